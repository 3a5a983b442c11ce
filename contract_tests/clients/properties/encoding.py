"""What a client sends, on which connections, and for whom: C51, C53, C54 and C55."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import orjson

from contract_tests.clients.directives.base import Family
from contract_tests.clients.properties.base import (
    NOT_EXERCISED,
    PASSED,
    Judgement,
    Level,
    Policy,
    failed,
    prop,
    verdict,
)
from contract_tests.clients.story import Ending, Outcome, Request, Story
from mock_server.bodies import FORM, JSON, MULTIPART, media_type, read_multipart
from mock_server.errors import ApiError
from mock_server.identity import read_image_name

_KEY = "TT-API-KEY"
_MOST_IDLE = 2
_LINE_END = re.compile(r"\r\n?")


@prop("C51", "prompts arrive byte for byte", Level.MUST, Family.ODD_PROMPT)
def exact_prompts(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: the prompt arrives as it was given, in UTF-8: emoji, every script, quotes, line ends, blanks around it,
        controls, 10 kB. A client may put words of its own around it.
    Observed: the prompt of each submission against what was wanted. In a form the line ends may have become CRLF.
    Source: S1 (any language); RFC 8259, 8.1 (JSON is UTF-8).
    Usual bug: JSON built by a template or by hand; encode("ascii", "ignore") or Latin-1; strip(), a cut at a length, or
        Unicode normalisation of what is not one's own.
    Fix: json=... or json.dumps(...).encode(); leave the prompt alone, or refuse it.
    """
    if not story.submissions:
        return NOT_EXERCISED
    wanted = [intent.prompt for intent in story.intents]
    for request in story.submissions:
        got = _prompt(request)
        if got is None:
            return failed(
                f"no prompt can be read from submission {request.number}: its body is neither JSON nor a form"
            )
        in_form = media_type(request.header("Content-Type") or "") == MULTIPART
        if not any(_arrived(prompt, got, in_form=in_form) for prompt in wanted):
            return failed(f"the prompt {wanted[0][:60]!r} arrived as {got[:60]!r}")
    return PASSED


def _arrived(prompt: str, got: str, *, in_form: bool) -> bool:
    return prompt in got or (in_form and _LINE_END.sub("\n", prompt) in _LINE_END.sub("\n", got))


def _prompt(request: Request) -> str | None:
    """Return the prompt of a submission; None when there is none that can be read."""
    kind = request.header("Content-Type") or ""
    fields = request.fields
    try:
        if media_type(kind) == MULTIPART:
            fields = read_multipart(kind, request.body).fields
        elif request.body.lstrip()[:1] == b"{":
            fields = orjson.loads(request.body)
    except (ApiError, ValueError):
        return None
    prompt = fields.get("prompt")
    return prompt if isinstance(prompt, str) else None


@prop("C53", "every call has its headers", Level.MUST)
def required_headers(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: every call of the API has the header TT-API-KEY once, with the key, and a Content-Type that says what
        its body is.
    Observed: the headers of each call, in the order in which they were sent.
    Source: S1 (TT-API-KEY on every call, application/json); S2 (a form for fetch); RFC 9110, 5.3 (no header twice).
    Usual bug: JSON sent as data=..., which says that it is a form; a Content-Type by hand without a boundary; the key
        set for the session and again for the call, so that it comes twice.
    Fix: one place that makes the headers of all calls; json=, data= and files= for bodies.
    """
    # Whether headers are kept on a redirect is another matter, and none of the API's.
    calls = [request for request in story.requests if request.origin == story.origins["api"] and request.endpoint]
    if not calls or any(directive.family is Family.REDIRECT for directive in story.directives):
        return NOT_EXERCISED
    for request in calls:
        keys = [value for name, value in request.headers if name.lower() == _KEY.lower()]
        if keys != [story.intent.api_key]:
            had = "no" if not keys else "another" if len(keys) == 1 else f"{len(keys)} times the"
            return failed(f"{request.method} {request.path} has {had} key in {_KEY}")
        types = [value for name, value in request.headers if name.lower() == "content-type"]
        wanted = _type_of(request.body)
        if len(types) > 1:
            return failed(f"{request.method} {request.path} has the header Content-Type {len(types)} times")
        if wanted and media_type("".join(types)) != wanted:
            said = media_type("".join(types)) or "nothing"
            return failed(f"{request.method} {request.path} sends {wanted}, and calls it {said}")
        if wanted == MULTIPART and not re.search(r";\s*boundary=", types[0], re.IGNORECASE):
            return failed(f"{request.method} {request.path} has a Content-Type without a boundary")
    return PASSED


def _type_of(body: bytes) -> str:
    """Return what a body is; "" for what cannot be told."""
    start = body.lstrip()[:2]
    if start[:1] == b"{":
        return JSON
    if start == b"--":
        return MULTIPART
    return FORM if re.match(rb"[A-Za-z_]+=", body) else ""


@prop("C54", "connections are closed", Level.SHOULD)
def closed_connections(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: when the client is done it has no connection open, and it has opened none that it did not use.
    Observed: connections that were open when the client had returned and a while had passed, where all went well; and
        those on which nothing was asked. A connection for each call is all right.
    Source: RFC 9112, 9.6 (the client closes what it does not need); open sockets of a long-lived process run out.
    Usual bug: a requests.Session, httpx.Client or aiohttp.ClientSession per call that nobody closes.
    Fix: `with Session() as session`, `async with ClientSession() as session`; or close() in a finally.
    """
    if story.directives or story.outcome.ending is not Ending.RETURNED:
        return NOT_EXERCISED
    made = [connection for connection in story.connections if not connection.refused]
    if not made:
        return NOT_EXERCISED
    left = sum(connection.closed_at is None for connection in made)
    if left:
        return failed(f"it left {left} of {len(made)} connections open")
    used = {request.connection for request in story.requests}
    idle = sum(connection.number not in used for connection in made)
    return verdict(idle <= _MOST_IDLE, f"it opened {idle} connections on which it asked for nothing")


@prop("C55", "parallel jobs do not mix", Level.MUST, Family.PARALLEL)
def parallel_jobs_do_not_mix(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: of several images that are wanted at the same time, each caller gets the one that it asked for.
    Observed: the bytes, or the URL, that each call returned, against the job with its prompt. A function is called in
        threads, a coroutine function in one event loop.
    Source: S1 (a job is known by its jobId alone).
    Usual bug: the id, the result or the file is kept in one place for all: a global, an attribute of a shared object, a
        file of a fixed name.
    Fix: keep what belongs to a call in local variables, and write to a file that is named for the job.
    """
    if len(story.intents) < 2 or not story.only(Family.PARALLEL):
        return NOT_EXERCISED
    exercised = False
    paths = [str(outcome.value) for outcome in story.outcomes if outcome.image is not None and _is_path(outcome)]
    if len(set(paths)) < len(paths):
        return failed("it wrote several images to the same file")
    for number, (intent, outcome) in enumerate(zip(story.intents, story.outcomes, strict=True), start=1):
        own = {job.id for job in story.jobs if intent.prompt in job.order.prompt}
        got = _jobs_of(outcome, story)
        exercised = exercised or bool(got)
        if got and not got & own:
            return failed(f"of {len(story.intents)} images wanted at once, number {number} is that of another call")
    return PASSED if exercised else NOT_EXERCISED


def _is_path(outcome: Outcome) -> bool:
    return not isinstance(outcome.value, bytes | bytearray | memoryview)


def _jobs_of(outcome: Outcome, story: Story) -> set[str]:
    """Return the ids of the jobs whose image a client returned; none when that cannot be told."""
    if outcome.image is not None:
        paths = {request.path for request in story.downloads if request.answer == outcome.image}
    elif isinstance(outcome.value, str):
        paths = {urlsplit(outcome.value).path}
    else:
        paths = set()
    return set(_ids(paths))


def _ids(paths: set[str]) -> Iterator[str]:
    for path in paths:
        read = read_image_name(path.rpartition("/")[2].removesuffix(".webp"))
        if read is not None:
            yield read[1]
