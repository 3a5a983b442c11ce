"""A recording reverse proxy, as a WSGI application: forwards what a client sends, and tells of every exchange.

With a public URL it takes webhooks, too: it puts its own address in place of each hookUrl, forwards what comes there to
the client's receiver, and puts the client's address back into what it forwards.
"""

from __future__ import annotations

import itertools
import json
import logging
import re
import secrets
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection, IncompleteRead
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit

from contract_tests.exchanges import Endpoint, Exchange, Part, Place
from contract_tests.readers.contents import Packed, unpacked
from mock_server import bodies
from mock_server.errors import ApiError
from mock_server.http.wire import WIRE, End, Wire

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HOOKS = "/_hooks/"
MOST_RECORDED = 32 << 20
"""Bytes of a body, unpacked, that are recorded: a longer one is left out, and said to be."""

_LOG = logging.getLogger(__name__)
_HOOK_FIELD = re.compile(rb'name="?hookUrl"?(?:;[^\r\n]*)?\r\n(?:[^\r\n]+\r\n)*\r\n')
_ONE_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# Headers that are about one connection, and not passed on.
_READABLE = frozenset({"gzip", "x-gzip", "deflate", "identity"})
# The codings that can be unpacked without a package that may not be there.


class _Answer(NamedTuple):
    """What came back: `missing` bytes of the body did not."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes
    missing: int = 0


class Proxy:
    """
    Forwards to `upstream`.

    Args:
        upstream: origin of the API, such as https://api.ttapi.io.
        note: told of every exchange, in the order in which they end; called by several threads. What it raises is
            logged and counted, and never becomes the client's trouble.
        timeout: seconds to wait for the upstream.
        public_url: where the outside reaches this proxy; None leaves webhooks alone.
    """

    def __init__(
        self,
        upstream: str,
        note: Callable[[Exchange], None],
        *,
        timeout: float = 120.0,
        public_url: str | None = None,
    ) -> None:
        self._upstream = upstream.rstrip("/")
        self._note = note
        self._timeout = timeout
        self._public_url = public_url.rstrip("/") if public_url else None
        self._numbers = itertools.count(1)
        self._lock = Lock()
        self._hooks: dict[str, str] = {}
        self._tokens: dict[str, str] = {}
        slash = re.escape(f"{self._public_url}{HOOKS}").encode().replace(b"/", rb"\\?/")
        self._ours = re.compile(slash + rb"([\w-]+)")
        self._tls: ssl.SSLContext | None = None
        self.lost = 0
        """Exchanges that could not be noted."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Forward one request, and answer it as it was answered."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        path = environ["PATH_INFO"]
        query = environ.get("QUERY_STRING", "")
        if path.startswith(HOOKS):
            return self._hook(environ, start_response, path, body)
        url = f"{self._upstream}{_quoted(path)}{'?' + query if query else ''}"
        sent = self._with_our_hook(environ.get("CONTENT_TYPE", ""), body)
        return self._forward(environ, start_response, url, asked=body, sent=sent, endpoint=None)

    def _hook(self, environ: WSGIEnvironment, start_response: StartResponse, path: str, body: bytes) -> Iterable[bytes]:
        target = self._hooks.get(path.removeprefix(HOOKS))
        if target is None:
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"this proxy has given out no such hook URL\n"]
        body, plain = self._with_their_hooks(body, {"content-encoding": environ.get("HTTP_CONTENT_ENCODING", "")})
        if plain:
            environ = {name: value for name, value in environ.items() if name != "HTTP_CONTENT_ENCODING"}
        return self._forward(environ, start_response, target, asked=body, sent=body, endpoint=Endpoint.CALLBACK)

    def _forward(
        self,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        url: str,
        *,
        asked: bytes,
        sent: bytes,
        endpoint: Endpoint | None,
    ) -> Iterable[bytes]:
        method, headers = environ["REQUEST_METHOD"], _request_headers(environ)
        began_at, began = time.time(), time.perf_counter()
        answer, error = None, ""
        try:
            answer = self._told_to_the_client(self._ask(method, url, headers, sent))
        except (OSError, HTTPException) as problem:
            error = f"{type(problem).__name__}: {problem}"
        elapsed = time.perf_counter() - began
        asked_of = Exchange(
            place=Place("recording", next(self._numbers)),
            method=method,
            url=url,
            request_headers={name.lower(): value for name, value in headers.items()},
            request_body=asked or None,
            parts=parts_of(headers.get("Content-Type", ""), asked),
            at=round(began_at, 3),
            elapsed=round(elapsed, 4),
            error=error,
            endpoint=endpoint,
        )
        try:
            self._note(_recordable(asked_of, answer))
        except Exception as problem:  # noqa: BLE001
            # Whatever it is, the API has done its work: a client that saw a failure would order, and pay, again.
            self.lost += 1
            _LOG.error("exchange %d was not recorded: %s: %s", asked_of.place.number, type(problem).__name__, problem)
        if answer is None:
            # The client is to see what we saw: no answer, and the end of the connection.
            environ[WIRE] = Wire(silent=True, end=End.RESET if "reset" in error.lower() else End.CLOSE)
            start_response("502 Bad Gateway", [])
            return [b""]
        if answer.missing:
            environ[WIRE] = Wire(length_error=answer.missing, end=End.CLOSE)
        kept = [(name, value) for name, value in answer.headers if name.lower() not in _ONE_HOP | {"content-length"}]
        start_response(f"{answer.status} {answer.reason or 'Unknown'}", kept)
        return [answer.body]

    def _ask(self, method: str, url: str, headers: dict[str, str], body: bytes) -> _Answer:
        parts = urlsplit(url)
        connection = self._connect(parts.scheme, parts.netloc.rpartition("@")[2])
        try:
            target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
            connection.request(method, target, body or None, headers)
            answer = connection.getresponse()
            missing = 0
            try:
                content = answer.read()
            except IncompleteRead as broken:
                content, missing = broken.partial, broken.expected or 1
            return _Answer(answer.status, answer.reason, answer.getheaders(), content, missing)
        finally:
            connection.close()

    def _connect(self, scheme: str, host: str) -> HTTPConnection:
        if scheme != "https":
            return HTTPConnection(host, timeout=self._timeout)
        self._tls = self._tls or ssl.create_default_context()
        return HTTPSConnection(host, timeout=self._timeout, context=self._tls)

    def _told_to_the_client(self, answer: _Answer) -> _Answer:
        body, plain = self._with_their_hooks(answer.body, {name.lower(): value for name, value in answer.headers})
        headers = [pair for pair in answer.headers if not (plain and pair[0].lower() == "content-encoding")]
        return answer._replace(headers=headers, body=body)

    def _with_their_hooks(self, body: bytes, headers: Mapping[str, str]) -> tuple[bytes, bool]:
        """
        Put the client's own hook URLs back, wherever a body names ours.

        Returns:
            The body, and whether it is no longer compressed as `headers` say, for what is in it was changed.
        """
        if not self._hooks:
            return body, False
        try:
            plain = unpacked(body, headers) or b""
        except Packed:
            plain = body
        changed = self._with_theirs(plain)
        return (body, False) if changed == plain else (changed, plain is not body)

    def _with_theirs(self, body: bytes) -> bytes:

        def theirs(found: re.Match[bytes]) -> bytes:
            known = self._hooks.get(found[1].decode())
            return found[0] if known is None else json.dumps(known, ensure_ascii=False)[1:-1].encode()

        return self._ours.sub(theirs, body)

    def _with_our_hook(self, content_type: str, body: bytes) -> bytes:
        if self._public_url is None or b"hookUrl" not in body:
            return body
        theirs = _hook_url(content_type, body)
        if theirs is None:
            return body
        ours = f"{self._public_url}{HOOKS}{self._token(theirs)}"
        if bodies.media_type(content_type) == bodies.MULTIPART:
            return _with_field(body, theirs.encode(), ours.encode())
        return json.dumps(json.loads(body) | {"hookUrl": ours}, ensure_ascii=False).encode()

    def _token(self, theirs: str) -> str:
        """Return what stands for a hook URL; nobody can guess it."""
        with self._lock:
            token = self._tokens.get(theirs)
            if token is None:
                token = self._tokens[theirs] = secrets.token_urlsafe(16)
                self._hooks[token] = theirs
            return token


def _with_field(body: bytes, theirs: bytes, ours: bytes) -> bytes:
    """Replace a multipart body's hookUrl, and nothing else that reads like it."""
    for field in _HOOK_FIELD.finditer(body):
        if body.startswith(theirs + b"\r\n--", field.end()):
            return body[: field.end()] + ours + body[field.end() + len(theirs) :]
    return body


def parts_of(content_type: str, body: bytes) -> tuple[Part, ...] | None:
    """Return a multipart body by part, without the contents of files; None when it is none."""
    if bodies.media_type(content_type) != bodies.MULTIPART:
        return None
    try:
        form = bodies.read_multipart(content_type, body)
    except ApiError:
        return None
    fields = [Part(name, str(text)) for name, text in form.fields.items()]
    files = [Part(file.name, None, file.filename, file.content_type, len(file.data)) for file in form.files]
    return (*fields, *files)


def _hook_url(content_type: str, body: bytes) -> str | None:
    if bodies.media_type(content_type) == bodies.MULTIPART:
        found = (part.text for part in parts_of(content_type, body) or () if part.name == "hookUrl")
        return next(found, None)
    try:
        value = json.loads(body)
    except ValueError:
        return None
    theirs = value.get("hookUrl") if isinstance(value, dict) else None
    return theirs if isinstance(theirs, str) else None


def _request_headers(environ: WSGIEnvironment) -> dict[str, str]:
    headers = {
        name[5:].replace("_", "-").title(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") and name[5:].replace("_", "-").lower() not in _ONE_HOP | {"host", "expect"}
    }
    if environ.get("CONTENT_TYPE"):
        headers["Content-Type"] = environ["CONTENT_TYPE"]
    if "Accept-Encoding" in headers:
        # What cannot be unpacked can neither be recorded, nor have its hook URLs put back.
        wanted = (one.strip() for one in headers["Accept-Encoding"].split(","))
        known = [one for one in wanted if one.partition(";")[0].strip().lower() in _READABLE]
        headers["Accept-Encoding"] = ", ".join(known) or "identity"
    return headers


def _recordable(exchange: Exchange, answer: _Answer | None) -> Exchange:
    """Return the exchange with its answer, both unpacked: what is packed may hide a secret, or be of any size."""
    sent, left_out = _unpacked(exchange.request_body, exchange.request_headers, "request")
    errors = [exchange.error, left_out]
    if answer is None:
        return exchange.changed(request_body=sent, error="; ".join(filter(None, errors)))
    headers = {name.lower(): value for name, value in answer.headers}
    received, left_out = _unpacked(answer.body, headers, "answer")
    errors += ["the body broke off" if answer.missing else "", left_out]
    return exchange.changed(
        request_body=sent,
        status=answer.status,
        response_headers=headers,
        response_body=received,
        error="; ".join(filter(None, errors)),
    )


def _unpacked(body: bytes | None, headers: Mapping[str, str], what: str) -> tuple[bytes | None, str]:
    try:
        plain = unpacked(body, headers)
    except Packed as problem:
        return None, f"the {what}'s body is left out: {problem}"
    if plain is not None and len(plain) > MOST_RECORDED:
        return None, f"the {what}'s body is left out: it is longer than {MOST_RECORDED >> 20} MiB"
    return plain, ""


def _quoted(path: str) -> str:
    return quote(path.encode("latin-1"), safe="/:@!$&'()*+,;=~-._")
