"""Downloads: C45 to C47. A client that returns the URL of the image has none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from contract_tests.clients.directives.base import Family
from contract_tests.clients.properties.base import (
    NOT_EXERCISED,
    PASSED,
    Judgement,
    Level,
    Need,
    Policy,
    failed,
    prop,
)
from contract_tests.clients.properties.results import is_picture
from contract_tests.clients.story import Ending, Request, Story
from mock_server.product import load_product

_UNFINISHED = frozenset({"ON_QUEUE", "PENDING_QUEUE"})


@prop(
    "C45",
    "images are downloaded in time",
    Level.MUST,
    Family.EXPIRING_IMAGE,
    Family.PARTIAL_DATA,
    needs=[Need.DOWNLOADS],
    timing=True,
    unseen="it downloaded no image that it had been told of",
)
def downloads_in_time(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: an image is asked for once its job has succeeded, and before its URL expires.
    Observed: from when the client was told SUCCESS with the URL, by a fetch or a webhook, to its first request for it;
        where the scenario has URLs that expire soon, these count, else the documented month.
    Source: S1 (an image URL is valid for one month); other services give a minute.
    Usual bug: URLs are gathered, or stored, and downloaded when all else is done; or a URL is taken from an answer that
        says that the job still runs.
    Fix: look at `status` first; at SUCCESS download at once, and store the image and not its URL.
    """
    exercised, seen = False, set[str]()
    for download in _downloads(story):
        if download.path in seen:
            continue
        seen.add(download.path)
        told = [(at, status) for at, status in _told(story, download.path) if at <= download.at]
        if not told:
            continue
        exercised = True
        successes = [at for at, status in told if status == "SUCCESS"]
        if not successes and all(status in _UNFINISHED for _, status in told):
            return failed(f"it downloaded an image while it was told {told[-1][1]}")
        late = download.at - successes[0] if successes else 0.0
        if late > _lifetime(story):
            return failed(
                f"it asked for the image {late:.3g} s after it was told its URL, which is valid {_lifetime(story):g} s"
            )
    return PASSED if exercised else NOT_EXERCISED


@prop(
    "C46",
    "a failed download is no failed job",
    Level.MUST,
    Family.BROKEN_IMAGE,
    needs=[Need.DOWNLOADS],
    unseen="none of its downloads failed, or it never ended then",
)
def failed_download_is_no_failed_job(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: when a download fails, no new image is ordered: the download is tried again, or failure is reported.
    Observed: submissions after a download that was refused or broke off; and that the body of a refusal is not
        returned as if it were the image.
    Source: S1 (the image is there for a month, and fetch is free of charge: it is paid for, and not lost).
    Usual bug: one retry loop around submitting, polling and downloading; or no look at the status of the download.
    Fix: retry the download by itself, with the same URL or that of a new fetch; raise an error that names the URL.
    """
    bad = [request for request in _downloads(story) if request.status >= 400 or not request.whole]
    if not bad:
        return NOT_EXERCISED
    again = [request for request in story.submissions if request.number > bad[0].number]
    if again and len(story.intents) == 1:  # of several, others may only begin
        return failed(f"it ordered {_images(len(again))} when a download {_trouble(bad[0])}", bills=len(story.jobs))
    for outcome in story.outcomes:
        if outcome.image is not None and any(
            outcome.image == request.answer for request in bad if request.status >= 400
        ):
            return failed(f"it returned as the image what a download that {_trouble(bad[0])} had in its body")
    return NOT_EXERCISED if any(outcome.ending is Ending.HUNG for outcome in story.outcomes) else PASSED


@prop(
    "C47",
    "downloaded bytes are intact",
    Level.SHOULD,
    Family.BROKEN_IMAGE,
    needs=[Need.DOWNLOADS],
    unseen="it returned no image that it had downloaded",
)
def intact_bytes(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: what is returned as the image are the bytes that were served, all of them; a body that is shorter than
        announced is an error.
    Observed: the bytes returned, or of the file whose path was, against those served, also where a download was cut
        off. An image that the client has made into another one is not judged. Bytes that are others although all of
        them came are a matter of C55, which MUST hold.
    Source: RFC 9112, 8 (a message shorter than its Content-Length, or without its last chunk, is incomplete).
    Usual bug: a body is copied in pieces by a function that takes the end of the connection for the end of the body
        (shutil.copyfileobj from urllib), or read as text.
    Fix: compare what came with Content-Length, or read it by a call that does; write to a temporary file, and rename it
        when it is whole.
    """
    served = [request for request in _downloads(story) if request.status == 200 and request.method == "GET"]
    if not served or any(300 <= request.status < 400 for request in _downloads(story)):
        return NOT_EXERCISED  # where a redirect leads, other bytes are served
    exercised = False
    for outcome in story.outcomes:
        image = outcome.image
        if image is None:
            continue
        if any(image == request.answer for request in served):
            exercised = True
            continue
        cut = next((request for request in served if not request.whole and request.answer.startswith(image)), None)
        if cut is not None:
            return failed(f"it returned {len(image)} bytes of an image that has {len(cut.answer)}")
        refused = any(image == request.answer for request in _downloads(story))
        if not refused and not is_picture(image):
            return failed(f"the {len(image)} bytes that it returned are no image, and not what was served")
    return PASSED if exercised else NOT_EXERCISED


def _downloads(story: Story) -> list[Request]:
    return [request for request in story.downloads if request.origin == story.origins["images"]]


def _told(story: Story, path: str) -> Iterator[tuple[float, object]]:
    """Return when the client was told the URL with this path, and with which status."""
    for fetch in story.fetches:
        if fetch.answered_at is not None and fetch.whole and path.encode() in fetch.answer:
            yield fetch.answered_at, _status(fetch.answer_json)
    for hook in story.hooks:
        if path.encode() in hook.body:
            yield hook.at, hook.told.get("status")


def _status(body: Any) -> object:
    return body.get("status") if isinstance(body, Mapping) else None


def _lifetime(story: Story) -> float:
    """Return for how many seconds an image URL is valid."""
    product = next((one.settings["product"] for one in story.directives if "product" in one.settings), None)
    return _documented_lifetime() if product is None else load_product(product).image_seconds


@lru_cache(maxsize=1)
def _documented_lifetime() -> float:
    return load_product().image_seconds


def _images(count: int) -> str:
    return "another image" if count == 1 else f"{count} more images"


def _trouble(request: Request) -> str:
    return f"was answered {request.status}" if request.status >= 400 else f"was {request.fault}"
