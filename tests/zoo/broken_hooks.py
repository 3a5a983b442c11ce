"""Clients that believe webhooks too much, or too little: C35 to C42."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

from zoo.common import DEADLINE, FluxError, url_of
from zoo.good_hooks import Answer, Bells, final_job, receiver, rounds, submit
from zoo.good_requests import Api, download
from zoo.registry import broken, memory

KEYED, PICTURES, EVERY, RACING, ALONE, OPEN, NAIVE, SEEN = (memory(Bells()) for _ in range(8))


def image_of(told: Any) -> str:
    """Return the URL of the image in a webhook, if it is where images are; else ""."""
    data = told.get("data") if isinstance(told, dict) else None
    url = data.get("imageUrl") if isinstance(data, dict) else None
    return url if isinstance(url, str) and url.startswith("http://images.fluxmock.test/") else ""


def waited(api: Api, job_id: str, bells: Bells) -> str:
    """Poll, and be woken by webhooks."""
    for _ in rounds():
        bells.wait(job_id, 4)
        url = url_of(api.look(job_id))
        if url is not None:
            return url
    raise AssertionError


def rings(bells: Bells) -> Any:
    """Return a receiver that does nothing but ring."""

    def take(told: Any) -> Answer:
        job_id = final_job(told)
        if job_id is not None:
            bells.ring(job_id, told)
        return "", 204 if isinstance(told, dict) else 400

    return receiver(take)


@broken(
    "requests", "C35", also={"C43": "the key stands in a body, and goes to the host of hooks"}, receiver=rings(KEYED)
)
def key_proves_the_hook(base_url: str, api_key: str, prompt: str, hook_url: str | None = None) -> bytes:
    """The hookUrl has the key in its query, to know that a webhook is a true one."""
    with Api(base_url, api_key) as api:
        job_id = submit(api, prompt, hook_url and f"{hook_url}?key={api_key}")
        return download(waited(api, job_id, KEYED))


UNCLAIMED: dict[str, bool] = memory({})


def downloads_first(told: Any) -> Answer:
    job_id, url = final_job(told), image_of(told)
    if job_id is not None and url and UNCLAIMED.pop(job_id, False):
        try:
            PICTURES.ring(job_id, download(url))
        except FluxError as error:
            PICTURES.ring(job_id, error)
    return "", 204 if isinstance(told, dict) else 400


@broken("requests", "C36", receiver=receiver(downloads_first))
def downloads_in_the_handler(base_url: str, api_key: str, prompt: str, hook_url: str | None = None) -> bytes:
    """The receiver downloads the image before it answers, and the sender gives up meanwhile."""
    with Api(base_url, api_key) as api:
        job_id = submit(api, prompt, hook_url)
        UNCLAIMED[job_id] = True
        for _ in rounds():
            url = url_of(api.look(job_id))
            if url and UNCLAIMED.pop(job_id, False):
                return download(url)
            picture = PICTURES.wait(job_id, 4 if url is None else DEADLINE)
            if isinstance(picture, FluxError):
                raise picture
            if picture is not None:
                return picture
    raise AssertionError


MINE: set[str] = memory(set())
DONE: dict[str, list[bytes]] = memory({})


def downloads_each_time(told: Any) -> Answer:
    job_id, url = final_job(told), image_of(told)
    if job_id in MINE and url:
        threading.Thread(target=keep, args=(job_id, url), daemon=True).start()
    return "", 204 if isinstance(told, dict) else 400


def keep(job_id: str, url: str) -> None:
    try:
        DONE.setdefault(job_id, []).append(download(url))
    except FluxError:
        EVERY.ring(job_id, "the image could not be downloaded")
    else:
        EVERY.ring(job_id, "done")


@broken("requests", "C37", also={"C39": "nobody looks whether it is done"}, receiver=receiver(downloads_each_time))
def works_for_every_hook(base_url: str, api_key: str, prompt: str, hook_url: str | None = None) -> bytes:
    """Every webhook starts a download, also the second and the third about the same job."""
    with Api(base_url, api_key) as api:
        job_id = submit(api, prompt, hook_url)
        MINE.add(job_id)
        for _ in rounds():
            if EVERY.wait(job_id, 4) is None:
                url = url_of(api.look(job_id))
                if url is None:
                    continue
                keep(job_id, url)
            if not DONE.get(job_id):
                raise FluxError("the image could not be downloaded")
            return DONE[job_id][0]
    raise AssertionError


STATES: dict[str, Any] = memory({})


def overwrites(told: Any) -> Answer:
    job_id = told.get("jobId") if isinstance(told, dict) else None
    if isinstance(job_id, str):
        STATES[job_id] = told
    return "", 204 if isinstance(told, dict) else 400


@broken("requests", "C38", receiver=receiver(overwrites))
def any_hook_is_the_end(base_url: str, api_key: str, prompt: str, hook_url: str | None = None) -> bytes:
    """A webhook is taken for the end of the job whatever status it tells."""
    with Api(base_url, api_key) as api:
        job_id = submit(api, prompt, hook_url)
        for _ in rounds():
            if job_id in STATES and STATES[job_id].get("status") != "SUCCESS":
                raise FluxError(f"the job ended as {STATES[job_id].get('status')}")
            url = url_of(api.look(job_id))
            if url is not None:
                return download(url)
    raise AssertionError


WAITED_FOR: dict[str, str] = memory({})


def unknown_is_a_bug(told: Any) -> Answer:
    job_id = final_job(told)
    if job_id is not None and told["status"] == "SUCCESS" and job_id.count("-") == 4:
        RACING.ring(job_id, WAITED_FOR[job_id])
    return "", 204 if isinstance(told, dict) else 400


@broken(
    "requests", "C38", also={"C41": "so does one about a job of somebody else"}, receiver=receiver(unknown_is_a_bug)
)
def early_hooks_are_a_crash(base_url: str, api_key: str, prompt: str, hook_url: str | None = None) -> bytes:
    """Jobs are registered once the submission is answered; a webhook before that is a KeyError, and a 500."""
    with Api(base_url, api_key) as api:
        job_id = submit(api, prompt, hook_url)
        WAITED_FOR[job_id] = prompt
        return download(waited(api, job_id, RACING))


RESULTS: dict[str, bytes] = memory({})
HOOKED: set[str] = memory(set())


def completes_too(told: Any) -> Answer:
    job_id, url = final_job(told), image_of(told)
    if job_id in HOOKED and url:
        HOOKED.discard(job_id)
        threading.Thread(target=complete, args=(job_id, url), daemon=True).start()
    return "", 204 if isinstance(told, dict) else 400


def complete(job_id: str, url: str) -> None:
    try:
        RESULTS[job_id] = download(url)
    except FluxError:
        RESULTS.pop(job_id, None)


@broken("requests", "C39", receiver=receiver(completes_too))
def two_ways_to_complete(base_url: str, api_key: str, prompt: str, hook_url: str | None = None) -> bytes:
    """The webhook downloads the image, and so does the loop that polls, if both are told at the same time."""
    with Api(base_url, api_key) as api:
        job_id = submit(api, prompt, hook_url)
        HOOKED.add(job_id)
        for _ in rounds():
            url = url_of(api.look(job_id))
            if job_id in RESULTS:
                return RESULTS[job_id]
            if url is not None:
                return download(url)
    raise AssertionError


@broken("requests", "C40", receiver=rings(ALONE))
def waits_for_the_hook_alone(base_url: str, api_key: str, prompt: str, hook_url: str | None = None) -> bytes:
    """No webhook, no image: it never asks."""
    with Api(base_url, api_key) as api:
        job_id = submit(api, prompt, hook_url)
        told = ALONE.wait(job_id, 300) if hook_url else None
        if told is None:
            raise FluxError("no webhook came")
        if told["status"] == "FAILED" or not image_of(told):
            raise FluxError(f"the job failed: {told.get('message')}")
        return download(image_of(told))


def fetches_whatever_it_is_told(told: Any) -> Answer:
    if not isinstance(told, dict):
        return "", 400
    url = (told.get("data") or {}).get("imageUrl") if isinstance(told.get("data"), dict) else None
    job_id = final_job(told)
    if job_id is not None and isinstance(url, str):
        threading.Thread(target=warm_up, args=(job_id, url), daemon=True).start()
    return "", 204


def warm_up(job_id: str, url: str) -> None:
    with suppress(FluxError):
        CACHE.setdefault(url, download(url))
    OPEN.ring(job_id, url)


CACHE: dict[str, bytes] = memory({})
ONCE = {"C37": "each webhook starts a download", "C39": "the loop that polls may have begun one, too"}


@broken("requests", "C41", also=ONCE, receiver=receiver(fetches_whatever_it_is_told))
def downloads_for_strangers(base_url: str, api_key: str, prompt: str, hook_url: str | None = None) -> bytes:
    """The imageUrl of any webhook is downloaded, also that of a metadata service."""
    with Api(base_url, api_key) as api:
        job_id = submit(api, prompt, hook_url)
        url = waited(api, job_id, OPEN)
        return CACHE.get(url) or download(url)


def expects_the_example(told: Any) -> Answer:
    if told is None:
        return "no JSON", 400
    NAIVE.ring(told["jobId"], told["data"]["imageUrl"] if told["status"] == "SUCCESS" else None)
    return "", 204


@broken("requests", "C41", receiver=receiver(expects_the_example))
def indexes_blindly(base_url: str, api_key: str, prompt: str, hook_url: str | None = None) -> bytes:
    """told["data"]["imageUrl"] without a look, so that anybody makes it raise, and answer 500."""
    with Api(base_url, api_key) as api:
        return download(waited(api, submit(api, prompt, hook_url), NAIVE))


HEARD: set[str] = memory(set())
EXPECTED: set[str] = memory(set())
LOST = {"C38": "a webhook before the answer to the submission is lost for good"}


def notes_before_it_works(told: Any) -> Answer:
    job_id = final_job(told)
    if job_id is None or job_id in HEARD:
        return "", 204 if isinstance(told, dict) else 400
    HEARD.add(job_id)
    if job_id not in EXPECTED:
        return "unknown job", 404
    SEEN.ring(job_id, told)
    return "", 204


@broken("requests", "C42", also=LOST, receiver=receiver(notes_before_it_works))
def drops_what_comes_again(base_url: str, api_key: str, prompt: str, hook_url: str | None = None) -> bytes:
    """A webhook is noted as seen before it is looked at: what was refused at first is dropped when it comes again."""
    with Api(base_url, api_key) as api:
        job_id = submit(api, prompt, hook_url)
        EXPECTED.add(job_id)
        told = SEEN.wait(job_id, 300) if hook_url else None
        if told is None or not image_of(told):
            raise FluxError("no webhook came, or none of success")
        return download(image_of(told))
