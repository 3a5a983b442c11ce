"""A request and its answer as plain values, whichever way they came: Flask, the fast lane, or an adapter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from mock_server.http.wire import Wire

EXPLAIN = "X-Fluxmock-Explain"
_EXPLAIN_LIMIT = 2000


@dataclass(slots=True)
class Call:
    """
    A request, its body read whole.

    Args:
        headers: by WSGI name, such as `HTTP_TT_API_KEY`; use `header()`.
        origin: scheme and host that it was sent to, such as `http://127.0.0.1:8787`.
        connection: number of the connection it came on, 0 when unknown.
        dropped: names of headers that the server had to drop, because of an underscore.
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

    def header(self, name: str) -> str | None:
        """Return the header `name`, in any spelling of case, or None."""
        return self.headers.get("HTTP_" + name.upper().replace("-", "_"))

    @classmethod
    def from_environ(cls, environ: Mapping[str, Any], body: bytes) -> Call:
        """Read a WSGI environ whose input has been read to `body`."""
        host = environ.get("HTTP_HOST") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
        return cls(
            environ["REQUEST_METHOD"],
            environ["PATH_INFO"],
            environ.get("QUERY_STRING", ""),
            {name: value for name, value in environ.items() if name[:5] == "HTTP_"},
            environ.get("CONTENT_TYPE", ""),
            body,
            f"{environ['wsgi.url_scheme']}://{host}",
            environ.get("fluxmock.connection", 0),
            environ.get("fluxmock.dropped", ()),
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
    printable = "".join(char if " " <= char <= "~" else f"\\x{ord(char):02x}" for char in ascii_only)
    return printable if len(printable) <= _EXPLAIN_LIMIT else printable[: _EXPLAIN_LIMIT - 3] + "..."


def mask(key: str) -> str:
    """Return enough of an API key to tell it from others, never the whole: its start, and a short hash."""
    shown = 4 if len(key) >= 12 else 1 if len(key) >= 4 else 0
    digest = blake2b(key.encode("utf-8", "surrogateescape"), digest_size=2).hexdigest()
    return f"{header_text(key[:shown])}…#{digest}"
