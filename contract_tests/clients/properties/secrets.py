"""The API key: C43, C44 and C48. It is for the API alone."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import unquote_to_bytes, urljoin

from contract_tests.clients.directives.base import Family
from contract_tests.clients.properties.base import NOT_EXERCISED, PASSED, Judgement, Level, Policy, failed, prop
from contract_tests.clients.story import Request, Story

_KEY = "tt-api-key"
_MOST_HOPS = 50
# More than the limit of any HTTP library: curl's, the largest, is 50.


@prop("C43", "the key goes to the API alone", Level.MUST, Family.REDIRECT, Family.BROKEN_IMAGE)
def key_to_the_api_alone(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: the key goes to the origin of the API, in its header, and nowhere else: not to the hosts of images and
        webhooks, not to where a redirect leads, and not in a URL, a Referer or a body.
    Observed: every byte that was sent to another origin, and URL, body and all other headers of what was sent to the
        API, such as Authorization or Referer; the key as it is, percent-encoded and in base64.
    Source: S1 (the key belongs into the header TT-API-KEY); RFC 9110, 15.4 (a client that follows a redirect takes
        care of the headers that it sets); 17.9 (no secrets in URLs). Tried: requests, urllib3, httpx, aiohttp and
        urllib all send a header of one's own along to another host.
    Usual bug: the key is a header of the whole session, which then downloads the image, or follows a redirect.
    Fix: give the key with each call of the API, allow no redirects there, and download with a client that has no key.
    """
    if not story.requests:
        return NOT_EXERCISED
    for request in story.requests:
        where = leak(request, story)
        if where:
            return failed(f"it sent the key to {request.origin} {where}")
    return PASSED


@prop(
    "C44",
    "the key is not printed",
    Level.SHOULD,
    Family.REJECTED_SUBMIT,
    Family.FAILED_JOB,
    Family.BROKEN_FETCH,
    Family.BROKEN_IMAGE,
)
def key_not_printed(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: the key stands in nothing that the client prints, logs or raises; a part of it may.
    Observed: standard output and error, also as C code, commands that it runs and loggers with handlers of their own
        write to them; what was logged; and the text of exceptions with their tracebacks. Files are not looked at.
    Source: logs and reports of errors are read by others; keys in logs and recordings are a common leak.
    Usual bug: headers, a URL with the key in it, or a whole configuration are logged or put into an error.
    Fix: mask the key where you word errors; never log headers.
    """
    if not story.requests:
        return NOT_EXERCISED
    for intent, outcome in zip(story.intents, story.outcomes, strict=True):
        for text, where in ((outcome.error, "its error"), (outcome.output, "what it printed or logged")):
            if holds(text.encode("utf-8", "replace"), intent.api_key):
                return failed(f"the key stands in {where}")
    return PASSED


@prop("C48", "redirects are not chased", Level.MUST, Family.REDIRECT)
def redirects_not_chased(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: no redirect gets the key to another origin, least of all to the client's own machine or to the metadata
        service of a cloud, and one that leads in a circle ends.
    Observed: what the targets of redirects were sent, and how many redirects were followed in a row. That https is not
        given up for http is not looked at: there is no https here.
    Source: RFC 9110, 15.4 (a client detects circles, and takes off headers that are no business of the new origin);
        S1 has no redirect in the API at all.
    Usual bug: an HTTP library that follows redirects by default, and sends a header of one's own along.
    Fix: switch redirects off for calls of the API (allow_redirects=False, follow_redirects=False) and take one for an
        error; where an image is downloaded allow a few, without the key.
    """
    told = [request for request in story.requests if _target(request)]
    if not told:
        return NOT_EXERCISED
    leads = {_target(request) for request in told}
    for request in story.requests:
        if request.origin != story.origins["api"] and _url(request) in leads and leak(request, story):
            return failed(f"it followed a redirect to {request.origin}, and sent the key along")
    if _longest_chain(story.requests) > _MOST_HOPS:
        return failed(f"it followed more than {_MOST_HOPS} redirects in a row")
    return PASSED


def _longest_chain(requests: Sequence[Request]) -> int:
    """Return how many redirects were followed in a row; each leads to one request, and several chains may be mixed."""
    open_ends: dict[str, list[int]] = {}
    longest = 0
    for request in requests:
        ends = open_ends.get(_url(request))
        hops = 0
        if ends:
            hops = min(ends) + 1
            ends.remove(hops - 1)
        if target := _target(request):
            open_ends.setdefault(target, []).append(hops)
        longest = max(longest, hops)
    return longest


def leak(request: Request, story: Story) -> str:
    """Return where in a request the key is that has no business there; "" when it is nowhere."""
    key = story.intent.api_key
    if holds(f"{request.path}?{request.query}".encode("utf-8", "surrogateescape"), key):
        return "in the URL"
    foreign = request.origin != story.origins["api"]
    headers = [(name, value) for name, value in request.headers if foreign or name.lower() != _KEY]
    if _in_headers(headers, key):
        return next((f"in the header {one[0]}" for one in headers if _in_headers([one], key)), "in the headers")
    return "in the body" if holds(request.body, key) else ""


def _in_headers(headers: Sequence[tuple[str, str]], key: str) -> bool:
    return holds("\n".join(f"{name}: {value}" for name, value in headers).encode("latin-1", "replace"), key)


def _url(request: Request) -> str:
    return f"{request.origin}{request.path}" + (f"?{request.query}" if request.query else "")


def _target(request: Request) -> str:
    location = request.answer_headers.get("location", "") if 300 <= request.status < 400 else ""
    return urljoin(_url(request), location) if location else ""


def holds(data: bytes, key: str) -> bool:
    """Whether the key stands in `data`: as it is, percent-encoded or in base64."""
    texts = (data, unquote_to_bytes(data)) if b"%" in data else (data,)
    return any(form in text for text in texts for form in _forms(key))


@lru_cache(maxsize=64)
def _forms(key: str) -> tuple[bytes, ...]:
    """Return what is found wherever the key stands: itself, and what it always is within base64, by its place there."""
    raw = key.encode()
    inner = []
    for before in range(3):
        coded = b64encode(bytes(before) + raw)
        start, end = -(-before * 8 // 6), (before + len(raw)) * 8 // 6  # only what depends on nothing but the key
        inner.append(coded[start:end])
    return (raw, *inner, *(form.translate(bytes.maketrans(b"+/", b"-_")) for form in inner))
