"""Kinds of drift: one job of contract 2026-03 as it was recorded, changed in one way, and what must be found.

`python tests/contract/drift_corpus.py > docs/drift.md` writes the page.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from contract_tests.exchanges import Endpoint, Exchange, Place
from contract_tests.findings import RULES

API = "https://api.ttapi.io"
JOB = "fac30d6c-d12b-465c-a580-8b1b3ae726e3"
OTHER = "bf165abb-a7fa-4c77-a2e4-138baac1130d"
HOOK = "https://client.example/hook"
IMAGE = "https://cdnb.ttapi.io/2024-09-10/9rk3gmw3m6sxm4r75my02r48jizyli1l.webp"

Story = dict[str, dict[str, Any]]


def story() -> Story:
    """One job, as it was recorded: all of it fits the contract."""
    queued = {"message": "", "jobId": JOB, "data": None}
    done = {
        "status": "SUCCESS",
        "message": "",
        "jobId": JOB,
        "data": {
            "mode": "flux-dev",
            "jobId": JOB,
            "prompt": "a cat",
            "quota": "1",
            "size": "1024x1024",
            "imageUrl": IMAGE,
            "hookUrl": HOOK,
        },
    }
    order = {"prompt": "a cat", "mode": "flux1-dev", "size": "1024x1024", "hookUrl": HOOK}
    submitted = {"status": "SUCCESS", "message": "success", "data": {"job_id": JOB}}
    return {
        "refused": {"request": {"mode": "flux1-dev"}, "status": 400,
                    "response": {"status": "FAILED", "message": "Parameter error", "data": None}},
        "submit": {"request": order, "status": 200, "response": submitted},
        "pending": {"request": {"jobId": JOB}, "status": 200, "response": {"status": "PENDING_QUEUE", **queued}},
        "running": {"request": {"jobId": JOB}, "status": 200, "response": {"status": "ON_QUEUE", **queued}},
        "done": {"request": {"jobId": JOB}, "status": 200, "response": done},
        "hook": {"request": copy.deepcopy(done), "status": 204, "response": None},
    }  # fmt: skip


def exchanges(told: Story) -> Iterator[Exchange]:
    """Return the story as exchanges."""
    for number, (name, one) in enumerate(told.items(), 1):
        hook = name == "hook"
        response = one["response"]
        if name == "download":
            yield Exchange(Place("story", number), "GET", IMAGE, status=one["status"], response_body=response)
            continue
        path = "/flux/generate" if name in {"submit", "refused", "another"} else "/flux/fetch"
        yield Exchange(
            place=Place("story", number),
            method="POST",
            url=HOOK if hook else API + path,
            request_headers={"content-type": "application/json"},
            request_body=json.dumps(one["request"]).encode(),
            status=one["status"],
            response_headers={"content-type": one.get("type", "application/json")},
            response_body=response if isinstance(response, bytes) else b"" if hook else json.dumps(response).encode(),
            endpoint=Endpoint.CALLBACK if hook else None,
        )


@dataclass(frozen=True)
class Drift:
    """
    One kind of drift.

    Args:
        name: what changed, in words.
        change: changes the story.
        found: what must be found, each as (severity, rule, message, pointer); nothing else may be.
    """

    name: str
    change: Callable[[Story], object]
    found: tuple[tuple[str, str, str, str], ...] = ()

    @property
    def breaking(self) -> bool:
        return any(RULES[rule].breaking for _, rule, _, _ in self.found)


def setting(where: str, path: str, value: object) -> Callable[[Story], object]:
    """Put a value into an answer (into the body of the webhook, if that is meant)."""

    def change(told: Story) -> None:
        holder, name = _holder(told, where, path)
        holder[name] = value

    return change


def removing(where: str, path: str) -> Callable[[Story], object]:
    """Take a field out."""

    def change(told: Story) -> None:
        holder, name = _holder(told, where, path)
        del holder[name]

    return change


def both(*changes: Callable[[Story], object]) -> Callable[[Story], object]:
    """Change several things."""
    return lambda told: [change(told) for change in changes]


def result(path: str, value: object) -> Callable[[Story], object]:
    """Put a value into the final fetch and into the webhook alike."""
    return both(setting("done", path, value), setting("hook", path, value))


def without(path: str) -> Callable[[Story], object]:
    """Take a field out of the final fetch and of the webhook alike."""
    return both(removing("done", path), removing("hook", path))


def _holder(told: Story, where: str, path: str) -> tuple[Any, str]:
    *way, name = path.split("/")
    value = told[where]["request" if where == "hook" else "response"]
    for step in way:
        value = value[step]
    return value, name


def asked(where: str, name: str, value: object) -> Callable[[Story], object]:
    """Put a field into the request."""
    return lambda told: told[where]["request"].__setitem__(name, value)


def downloaded(status: int) -> Callable[[Story], object]:
    """Download the image, and answer that with a status."""
    return lambda told: told.update(download={"status": status, "response": b""})


def answered(where: str, status: int, body: object = ...) -> Callable[[Story], object]:
    """Answer with another status, and another body if one is given."""

    def change(told: Story) -> None:
        told[where]["status"] = status
        if body is not ...:
            told[where]["response"] = body

    return change


def twice(rule: str, pointer: str, severity: str = "error") -> tuple[tuple[str, str, str, str], ...]:
    """The same finding in the final fetch and in the webhook."""
    return tuple((severity, rule, endpoint, pointer) for endpoint in ("fetch.response", "callback.request"))


def once(rule: str, endpoint: str, pointer: str, severity: str = "error") -> tuple[tuple[str, str, str, str], ...]:
    return ((severity, rule, endpoint, pointer),)


FAILED = {"status": "FAILED", "message": "prompt violation", "jobId": JOB, "data": None}
ENVELOPE = {"status": "FAILED", "message": "x", "data": None}


def _fail(told: Story) -> None:
    told["done"]["response"] = copy.deepcopy(FAILED)
    told["hook"]["request"] = copy.deepcopy(FAILED)


CORPUS: tuple[Drift, ...] = (
    # Benign
    Drift("nothing changed", lambda told: None),
    Drift("fields in another order", lambda told: told["done"].update(response=dict(reversed(told["done"]["response"].items())))),
    Drift("message null while queued", setting("running", "message", None)),
    Drift("another message of success", setting("submit", "message", "ok")),
    Drift("an object of nulls while queued", setting("running", "data", {"mode": None, "jobId": JOB, "imageUrl": None})),
    Drift("a price written 1.0", result("data/quota", "1.0")),
    Drift("the job fails", _fail),
    Drift("no webhook came", lambda told: told.pop("hook")),
    Drift("ON_QUEUE was never seen", lambda told: told.pop("running")),
    Drift("an unknown field was sent and ignored", asked("submit", "negative_prompt", "dogs")),
    Drift("a known status, seldom seen", answered("refused", 429, {**ENVELOPE, "message": "Too many requests"})),
    Drift("a webhook without a hookUrl in it", lambda told: None),
    Drift("size and aspect_ratio were sent", both(asked("submit", "aspect_ratio", "16:9"), result("data/size", "1344x768"))),
    # New, and no harm to a tolerant reader
    Drift("a new field in the envelope", setting("submit", "traceId", "x"), once("field/unknown", "generate.response", "/traceId", "info")),
    Drift("a new field beside the job id", setting("submit", "data/eta", 9), once("field/unknown", "generate.response", "/data/eta", "info")),
    Drift("a new field while queued", setting("running", "progress", 40), once("field/unknown", "fetch.response", "/progress", "info")),
    Drift("a new field in the result", result("data/seed", 7), twice("field/unknown", "/data/seed", "info")),
    Drift("a new object in the result", result("data/meta", {"a": [1]}), twice("field/unknown", "/data/meta", "info")),
    Drift("a new field in errors", setting("refused", "code", 7), once("field/unknown", "error.response", "/code", "info")),
    Drift("a size that was not known is accepted", both(asked("submit", "size", "512x512"), result("data/size", "512x512")),
          once("request/accepted", "generate.request", "/size", "info")),
    Drift("a mode that was not known is accepted", asked("submit", "mode", "flux-3"), once("request/accepted", "generate.request", "/mode", "info")),
    Drift("a missing prompt is accepted", lambda told: told["submit"]["request"].pop("prompt"), once("request/accepted", "generate.request", "/prompt", "info")),
    Drift("an error with another message", setting("refused", "message", "Bad parameter"), once("message/changed", "error.response", "/message", "info")),
    Drift("the recording ends before the job", lambda told: [told.pop("done"), told.pop("hook")], once("job/unfinished", "fetch.response", "/status", "info")),
    # Fields gone
    Drift("no status in a submission", removing("submit", "status"), once("field/missing", "generate.response", "/status")),
    Drift("no message in a submission", removing("submit", "message"), once("field/missing", "generate.response", "/message")),
    Drift("no data in a submission", removing("submit", "data"), once("field/missing", "generate.response", "/data")),
    Drift("no job id in a submission", removing("submit", "data/job_id"), once("field/missing", "generate.response", "/data/job_id")),
    Drift("the job id has another name", both(removing("submit", "data/job_id"), setting("submit", "data/id", JOB)),
          (*once("field/missing", "generate.response", "/data/job_id"), *once("field/unknown", "generate.response", "/data/id", "info"))),
    Drift("no status in a fetch", removing("running", "status"), once("field/missing", "fetch.response", "/status")),
    Drift("no message while queued", removing("running", "message"), once("field/missing", "fetch.response", "/message", "info")),
    Drift("no jobId while queued", removing("running", "jobId"), once("field/missing", "fetch.response", "/jobId")),
    Drift("no data while queued", removing("running", "data"), once("field/missing", "fetch.response", "/data", "info")),
    Drift("no data in a result", without("data"), twice("field/missing", "/data")),
    Drift("no imageUrl", without("data/imageUrl"), twice("field/missing", "/data/imageUrl")),
    Drift("no quota", without("data/quota"), twice("field/missing", "/data/quota")),
    Drift("no prompt", without("data/prompt"), twice("field/missing", "/data/prompt")),
    Drift("no size", without("data/size"), twice("field/missing", "/data/size")),
    Drift("no mode", without("data/mode"), twice("field/missing", "/data/mode")),
    Drift("no hookUrl", without("data/hookUrl"), twice("field/missing", "/data/hookUrl")),
    Drift("no message in an error", removing("refused", "message"), once("field/missing", "error.response", "/message")),
    # Other types
    Drift("quota is a number", result("data/quota", 1), twice("type/changed", "/data/quota")),
    Drift("imageUrl is null", result("data/imageUrl", None), twice("type/changed", "/data/imageUrl")),
    Drift("imageUrl is a list", result("data/imageUrl", [IMAGE]), twice("type/changed", "/data/imageUrl")),
    Drift("data is null in a result", result("data", None), twice("type/changed", "/data")),
    Drift("data is a list", result("data", [{"imageUrl": IMAGE}]), twice("type/changed", "/data")),
    Drift("the job id is a number", setting("submit", "data/job_id", 12), once("type/changed", "generate.response", "/data/job_id")),
    Drift("message is an object", setting("submit", "message", {"text": "success"}), once("type/changed", "generate.response", "/message")),
    Drift("data in an error is an object", setting("refused", "data", {}), once("type/changed", "error.response", "/data")),
    Drift("an answer that is a list", lambda told: told["running"].update(response=[1]), once("type/changed", "fetch.response", "")),
    # Other values
    Drift("a status nobody knows", setting("running", "status", "THROTTLED"), once("value/unknown", "fetch.response", "/status")),
    Drift("a status in lower case", setting("running", "status", "on_queue"), once("value/unknown", "fetch.response", "/status")),
    Drift("a failure with 200 at submission", lambda told: told["submit"].update(response=ENVELOPE),
          (*once("value/unknown", "generate.response", "/status"), *once("type/changed", "generate.response", "/data"))),
    Drift("an error whose status is ERROR", setting("refused", "status", "ERROR"), once("value/unknown", "error.response", "/status")),
    Drift("quota is no number in words", result("data/quota", "one"), twice("value/constraint", "/data/quota")),
    Drift("size is written otherwise", result("data/size", "1024*1024"),
          (*twice("value/constraint", "/data/size"), *once("job/echo", "fetch.response", "/data/size"))),
    Drift("the job id is no UUID", lambda told: [setting("submit", "data/job_id", "42")(told)], once("value/constraint", "generate.response", "/data/job_id")),
    Drift("an empty message in an error", setting("refused", "message", ""),
          (*once("value/constraint", "error.response", "/message"), *once("message/changed", "error.response", "/message", "info"))),
    # HTTP
    Drift("a page of HTML instead of JSON", lambda told: told["running"].update(response=b"<html>"), once("body/not-json", "fetch.response", "")),
    Drift("JSON that ends in the middle", lambda told: told["running"].update(response=b'{"status": "ON_'), once("body/not-json", "fetch.response", "")),
    Drift("an empty answer", lambda told: told["running"].update(response=b""), once("body/not-json", "fetch.response", "")),
    Drift("a status code nobody knows", answered("refused", 418), once("status/unknown", "generate.response", "")),
    Drift("an order is answered 201", answered("submit", 201), once("status/unknown", "generate.response", "")),
    Drift("JSON comes as text/html", lambda told: told["running"].update(type="text/html; charset=utf-8"),
          once("body/content-type", "fetch.response", "", "warning")),
    Drift("a redirect", answered("running", 302, b""), once("status/unknown", "fetch.response", "")),
    Drift("a gateway's 502", answered("running", 502, b"<html>"),
          (*once("status/unknown", "fetch.response", ""), *once("body/not-json", "error.response", ""))),
    Drift("a known request is refused", lambda told: told["refused"].update(request=dict(told["submit"]["request"])),
          once("request/refused", "generate.request", "", "warning")),
    # The job as a whole
    Drift("the outer id is another job's", setting("done", "jobId", OTHER),
          (*once("job/ids", "fetch.response", "/jobId", "warning"), *once("job/hook", "callback.request", "/jobId"))),
    Drift("the inner id is another job's", result("data/jobId", OTHER), twice("job/ids", "/data/jobId", "warning")),
    Drift("SUCCESS, and later ON_QUEUE", lambda told: told.update(late=copy.deepcopy(story()["running"])), once("job/order", "fetch.response", "/status")),
    Drift("ON_QUEUE, and later PENDING_QUEUE", lambda told: [told["pending"].update(response=story()["running"]["response"]), told["running"].update(response=story()["pending"]["response"])],
          once("job/order", "fetch.response", "/status")),
    Drift("SUCCESS, and later FAILED", lambda told: told.update(late={**copy.deepcopy(story()["done"]), "response": FAILED}),
          (*once("job/order", "fetch.response", "/status"), *once("job/hook", "callback.request", "/data"))),
    Drift("a finished job has another image when it is fetched again",
          lambda told: [told.update(late=copy.deepcopy(story()["done"])), setting("late", "data/imageUrl", IMAGE.replace("9rk3", "9rk4"))(told)],
          (*once("job/result", "fetch.response", "/data/imageUrl", "warning"), *once("job/hook", "callback.request", "/data"))),
    Drift("two orders get one job id", lambda told: told.update(another=copy.deepcopy(told["submit"])), once("job/reused", "generate.response", "/data", "warning")),
    Drift("the webhook has another size", setting("hook", "data/size", "512x512"), once("job/hook", "callback.request", "/data")),
    Drift("the webhook says FAILED", lambda told: told["hook"].update(request=FAILED), once("job/hook", "callback.request", "/data")),
    Drift("images lie on another host", result("data/imageUrl", IMAGE.replace("cdnb", "cdnc")), once("job/image-host", "fetch.response", "/data/imageUrl", "warning")),
    Drift("images have another path", result("data/imageUrl", "https://cdnb.ttapi.io/images/1.webp"),
          twice("value/constraint", "/data/imageUrl")),
    Drift("its image is downloaded", downloaded(200), ()),
    Drift("its image is not there", downloaded(404), once("job/image-gone", "fetch.response", "/data/imageUrl")),
    Drift("its image cannot be downloaded just then", downloaded(503), once("job/image-failed", "fetch.response", "/data/imageUrl", "warning")),
    Drift("flux1-dev costs 2", result("data/quota", "2"), once("job/price", "fetch.response", "/data/quota")),
    Drift("flux1-pro, whose price is assumed, costs 5",
          both(asked("submit", "mode", "flux1-pro"), result("data/mode", "flux-pro"), result("data/quota", "5")),
          once("job/price", "fetch.response", "/data/quota", "info")),
    Drift("the mode is reported as it was sent", result("data/mode", "flux1-dev"), once("job/echo", "fetch.response", "/data/mode")),
    Drift("the prompt was rewritten", result("data/prompt", "a fine cat"), once("job/echo", "fetch.response", "/data/prompt")),
    Drift("the image has another size", result("data/size", "512x512"), once("job/echo", "fetch.response", "/data/size")),
)  # fmt: skip
"""All kinds of drift."""


def page() -> str:
    """Return the page for the documentation."""
    rows = [
        f"| {drift.name} | {'yes' if drift.breaking else 'no'} | "
        + ("<br>".join(f"{severity} `{rule}` {endpoint} `{pointer or '/'}`" for severity, rule, endpoint, pointer in drift.found) or "clean")
        + " |"
        for drift in CORPUS
    ]  # fmt: skip
    return "\n".join(
        [
            "# Kinds of drift",
            "",
            f"What `fluxmock check` makes of {len(CORPUS)} ways in which a recorded job can differ from contract 2026-03. Every row is a",
            "test; this page is written by `python tests/contract/drift_corpus.py > docs/drift.md`. What breaks a *documented* fact is an",
            "error, what breaks an *observed* one a warning, and what was only *assumed* and turns out otherwise is news: info.",
            "",
            "| what changed | breaking | found |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    print(page(), end="")
