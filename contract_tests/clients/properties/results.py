"""What a client returned, looked at: the bytes of its image, the URL that it was told, or a file with these bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any
from urllib.parse import urlsplit

from contract_tests.clients.story import Ending, Outcome, Story

_URL = re.compile(r"https?://[^\s'\"<>,)\]}]+")
_LONGEST = 60


def wrong_result(outcome: Outcome, story: Story) -> str:
    """
    Return what is wrong with what a client says is its image; "" for nothing, and where it said that it has none.

    What a download on the wire has done to the bytes is not its fault here: C46 and C47 look at that.
    """
    if outcome.ending is not Ending.RETURNED or outcome.error:
        return ""  # with an error it was ended, and only asked what if it had returned: see `process.endings`
    if outcome.image is not None:
        return _wrong_bytes(outcome.image, story)
    urls = _told_urls(story)
    given = {_bare(url) for url in _URL.findall(_text(outcome.value))}
    if given & urls:
        return ""
    returned = f"it returned {shown_value(outcome.value)}"
    if given:
        return f"{returned}, which is the URL of no image that it was told"
    is_path = isinstance(outcome.value, (str, PurePath))
    kind = "no file that can be read, and no URL" if is_path else "no image, no URL and no path"
    return f"{returned}, which is {kind}"


def shown_value(value: object) -> str:
    """Return a value in short; what a client returns may have no words for itself."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - the client's own code
        return f"an object of {type(value).__name__}"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _wrong_bytes(image: bytes, story: Story) -> str:
    got = [request for request in story.downloads if request.method == "GET"]
    served = [request.answer for request in got if request.status == 200]
    if any(image == request.answer for request in got):
        return ""  # of a refusal, too: that is for C46 to say
    if not image:
        return "it returned 0 bytes as the image"
    if any(not request.whole and request.answer.startswith(image) for request in got):
        return ""  # and this for C47
    cut = next((whole for whole in served if whole.startswith(image)), None)
    if cut is not None:
        return f"it returned {len(image)} bytes of an image of which it was sent all {len(cut)}"
    if not is_picture(image):
        return f"the {len(image)} bytes that it returned are no image, and not what was served"
    moved = any(300 <= request.status < 400 for request in got)
    return "" if served or moved else "it returned a picture, and has downloaded none"


def is_picture(data: bytes) -> bool:
    """Whether `data` are a whole image of any kind."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
    except Exception:  # noqa: BLE001 - what Pillow raises for what is no picture has no common class
        return False
    return True


def _told_urls(story: Story) -> set[str]:
    """Return the URLs in what told the client of its jobs; whether it may believe that yet is for C29 to say."""
    told: list[Any] = [fetch.answer_json for fetch in story.fetches if fetch.status == 200]
    told += [hook.told for hook in story.hooks if hook.told.get("status") == "SUCCESS" and not hook.forged]
    return {_bare(text) for body in told for text in _texts(body) if _URL.match(text)}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _bare(url: str) -> str:
    """Return a URL without what a client may add to it."""
    try:
        parts = urlsplit(url)
    except ValueError:  # a bracket where there should be none
        return url
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - the client's own code
        return ""
