"""What a client sends, on which connections, and for whom: C51, C53, C54 and C55."""

from __future__ import annotations

import re
from collections import Counter
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
)
from contract_tests.clients.properties.polling import told_by_hook, told_status
from contract_tests.clients.properties.results import wrong_result
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


@prop("C54", "connections are closed", Level.SHOULD, Family.IN_TURN)
def closed_connections(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: a client that is called again and again does not leave more and more connections open, and opens none
        that it does not use.
    Observed: connections that were open when a while had passed since the last of several images that were wanted one
        after another, to each host; one to each may wait for the next call. And, where all went well, those on which
        nothing was asked. A connection for each call is all right, and so is one pool for all.
    Source: RFC 9112, 9.6 (the client closes what it does not need); open sockets of a long-lived process run out.
    Usual bug: a requests.Session, httpx.Client or aiohttp.ClientSession per call that nobody closes.
    Fix: `with Session() as session`, `async with ClientSession() as session`; or one session for all calls.
    """
    in_turn = story.only(Family.IN_TURN)
    ended_well = all(outcome.ending is Ending.RETURNED for outcome in story.outcomes)
    made = [connection for connection in story.connections if not connection.refused]
    if not made or not ended_well or not (in_turn or not story.directives):
        return NOT_EXERCISED
    left = Counter(connection.origin for connection in made if connection.closed_at is None)
    if in_turn and len(story.intents) > 1 and max(left.values(), default=0) >= len(story.intents):
        return failed(f"it left {left.total()} of {len(made)} connections open after {len(story.intents)} images")
    used = {request.connection for request in story.requests}
    idle = sum(connection.number not in used for connection in made)
    if idle > _MOST_IDLE:
        return failed(f"it opened {idle} connections on which it asked for nothing")
    return PASSED if in_turn else NOT_EXERCISED


@prop(
    "C55",
    "each caller gets its own image",
    Level.MUST,
    Family.PARALLEL,
    Family.AMBIGUOUS_SUBMIT,
    Family.REJECTED_SUBMIT,
    Family.BROKEN_IMAGE,
)
def own_image(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: what is returned is the image that was asked for: its bytes, its URL, or a file with them. Of several
        that are wanted at the same time, each caller gets its own.
    Observed: what each call returned: bytes against those that were served, all of them (an image that the client has
        made into another one is let pass); a URL against those that the API told with SUCCESS; a path by what is in
        its file. Of several, against the job with the prompt of the call; a function is called in threads, a coroutine
        function in one event loop. What is returned for a job that failed, or has no image, is for C18 and C30; bytes
        that were lost on the wire are for C47.
    Source: S1 (a job is known by its jobId alone, and its image by its URL).
    Usual bug: the id, the result or the file is kept in one place for all: a global, an attribute of a shared object, a
        file of a fixed name. Or a placeholder, True or None is returned where there is no image; or the path of a
        temporary file that is gone.
    Fix: keep what belongs to a call in local variables, and write to a file that is named for the job; raise where
        there is no image.
    """
    returned = [outcome for outcome in story.outcomes if outcome.ending is Ending.RETURNED]
    if not returned or _is_for_others(story):
        return NOT_EXERCISED
    for outcome in returned:
        why = wrong_result(outcome, story)
        if why:
            return failed(why)
    if len(story.intents) < 2:
        return PASSED
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


_NO_PLAIN_END = frozenset(
    {
        Family.NO_IMAGE,
        Family.PARTIAL_DATA,
        Family.FORGED_HOOK,
        Family.NO_JSON,
        Family.REDIRECT,
        Family.DRIFT,
        Family.OTHER,
    }
)
# There, other properties say what may be returned; or nobody knows it.


def _is_for_others(story: Story) -> bool:
    families = {directive.family for directive in story.directives}
    failed_ = any(told_status(fetch) == "FAILED" for fetch in story.fetches) or "FAILED" in told_by_hook(story)
    return failed_ or not families.isdisjoint(_NO_PLAIN_END)


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
