"""A request and its answer as plain values, whichever way they came: Flask, the fast lane, or an adapter."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import Any
from urllib.parse import quote, quote_plus

from mock_server.http.reader import CONNECTION, DROPPED
from mock_server.http.wire import Wire

EXPLAIN = "X-Fluxmock-Explain"
ORIGIN = "fluxmock.origin"
"""The environ key of the origin that image URLs are to have, where it is not that of the request."""

SENT_HOST = "fluxmock.host"
"""The environ key of the Host as the client wrote it, where the app has put another in its place."""

_EXPLAIN_LIMIT = 2000
_SHOWN_LIMIT = 80
_SHORTEST_HIDDEN = 8
# A shorter key may stand anywhere by chance, and is no secret.

_PUBLIC = "/flux/generate /flux/edits /flux/fetch application/json flux1-dev"
_HOST = re.compile(
    r"(?:(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?", re.IGNORECASE
)


@dataclass(slots=True)
class Call:
    """
    A request, its body read whole.

    Args:
        headers: by WSGI name, such as `HTTP_TT_API_KEY`; use `header()`.
        origin: scheme and host that image URLs get; those that it was sent to, such as `http://127.0.0.1:8787`.
        connection: number of the connection it came on, 0 when unknown.
        dropped: names of headers that the server had to drop, because of an underscore.
        fields: the plain fields of its multipart form, once somebody has read it.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    content_type: str
    body: bytes
    origin: str
    connection: int = 0
    dropped: tuple[str, ...] = ()
    fields: Mapping[str, Any] | None = None

    def header(self, name: str) -> str | None:
        """Return the header `name`, in any spelling of case, or None."""
        return self.headers.get("HTTP_" + name.upper().replace("-", "_"))

    @classmethod
    def from_environ(cls, environ: Mapping[str, Any], body: bytes) -> Call:
        """Read a WSGI environ whose input has been read to `body`."""
        return cls(
            environ["REQUEST_METHOD"],
            environ["PATH_INFO"],
            environ.get("QUERY_STRING", ""),
            {name: value for name, value in environ.items() if name[:5] == "HTTP_"},
            environ.get("CONTENT_TYPE", ""),
            body,
            environ.get(ORIGIN) or f"{environ['wsgi.url_scheme']}://{host_of(environ)}",
            environ.get(CONNECTION, 0),
            environ.get(DROPPED, ()),
        )


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that came in a request: its field, its decoded name, its Content-Type, and its length in bytes."""

    field: str
    filename: str
    content_type: str
    size: int


@dataclass(slots=True)
class Answer:
    """
    What goes back. `explanation` is for the person: it becomes a header, never part of the body.

    Args:
        lint: remarks on a request that was accepted all the same.
        job_id: the job that the exchange was about, for log and journal.
        uploads: the files that came, for the journal.
        wire: how it goes onto the wire, if not simply written.
        twisted: a scenario changed it.
    """

    status: int
    body: bytes
    headers: list[tuple[str, str]] = field(default_factory=list)
    explanation: str = ""
    lint: tuple[str, ...] = ()
    job_id: str | None = None
    uploads: tuple[Upload, ...] = ()
    wire: Wire | None = None
    twisted: bool = False

    def wire_headers(self) -> list[tuple[str, str]]:
        """Return all headers as they are sent."""
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(self.body)))]
        if self.headers:
            own = {name.lower() for name, _ in self.headers}
            headers = [entry for entry in headers if entry[0].lower() not in own] + self.headers
        if self.explanation or self.lint:
            headers.append((EXPLAIN, header_text("; ".join(filter(None, (self.explanation, *self.lint))))))
        return headers


def header_text(text: str) -> str:
    """Return `text` as one line of printable ASCII, escaped and cut where it must be to travel in a header."""
    flat = " ".join(text.split())
    ascii_only = flat.encode("ascii", "backslashreplace").decode("ascii")
    return shortened("".join(char if " " <= char <= "~" else f"\\x{ord(char):02x}" for char in ascii_only))


def host_of(environ: Mapping[str, Any]) -> str:
    """Return the host that a request was sent to, or "localhost" when the client wrote none that could be one."""
    return _host(environ.get("HTTP_HOST") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}")


@lru_cache(maxsize=256)
def _host(text: str) -> str:
    return (
        text if _HOST.fullmatch(text) and int("0" + text.rpartition("]")[2].partition(":")[2]) < 65536 else "localhost"
    )


def shortened(text: str) -> str:
    """Return `text`, cut to what an explanation may have."""
    return text if len(text) <= _EXPLAIN_LIMIT else text[: _EXPLAIN_LIMIT - 3] + "..."


def shown(value: object) -> str:
    """Return a value that a client sent as it may stand in an explanation: quoted, and not too long."""
    if isinstance(value, str) and len(value) > _SHOWN_LIMIT:
        return f"{value[:_SHOWN_LIMIT]!r}..."
    text = repr(value)
    return text if len(text) <= 2 * _SHOWN_LIMIT else text[: 2 * _SHOWN_LIMIT] + "..."


def mask(key: str) -> str:
    """Return enough of an API key to tell it from others, never the whole: its start, and a short hash."""
    shown = 4 if len(key) >= 12 else 1 if len(key) >= 4 else 0
    digest = blake2b(key.encode("utf-8", "surrogateescape"), digest_size=2).hexdigest()
    return f"{header_text(key[:shown])}…#{digest}"


def hide(text: str, key: str) -> str:
    """Return `text` with the API key masked wherever it stands whole: as it is, or quoted for a URL, JSON or Python."""
    for form, instead in _forms(key):
        if form in text:
            text = text.replace(form, instead)
    return text


def hide_in_body(body: bytes, key: str) -> bytes:
    """Return a body with the API key masked, as `hide` does."""
    for form, instead in _forms(key):
        written = form.encode("utf-8", "surrogateescape")
        if written in body:
            body = body.replace(written, instead.encode())
    return body


@lru_cache(maxsize=256)
def _forms(key: str) -> tuple[tuple[str, str], ...]:
    """Return in which ways a key may be written, the longest first, and what is to stand there."""
    if len(key) < _SHORTEST_HIDDEN or key.lower() in _PUBLIC:
        return ()
    # To WSGI the bytes of a header are Latin-1, whatever the client meant by them.
    sent = key.encode("latin-1", "replace")
    plain = {key, key.lower(), sent.decode("utf-8", "replace")}
    quoted = {quote(sent, safe=""), quote(sent), quote_plus(sent)}
    quoted |= {re.sub("%..", lambda found: found[0].lower(), text) for text in quoted}
    escaped = {way(text)[1:-1] for text in plain for way in (repr, ascii, json.dumps)}
    return tuple((form, mask(key)) for form in sorted(plain | quoted | escaped, key=len, reverse=True))
