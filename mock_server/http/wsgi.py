"""From WSGI to HTTP: an application is called, and what it answers becomes bytes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from wsgiref.types import WSGIApplication, WSGIEnvironment

logger = logging.getLogger("fluxmock.server")


class Response(NamedTuple):
    """A complete response, ready for the wire but for its `Connection` line.

    Args:
        head: status line and header lines, without the empty line that ends them: what is said about the
            connection is decided when the answer is sent.
        body: what follows the head; empty where HTTP allows no body.
        close: the application wants the connection closed afterwards.

    """

    head: bytes
    body: bytes
    close: bool


def call(app: WSGIApplication, environ: WSGIEnvironment) -> Response:
    """Run the application on one request, to the end, and return its answer.

    An application that fails is logged, and the answer is a bare 500. Never raises.
    """
    response = _Started()
    try:
        chunks = app(environ, response.start)
        try:
            body = b"".join(chunks)
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()
        if response.written:
            body = b"".join(response.written) + body
        return _encode(response.status, response.headers, body, environ["REQUEST_METHOD"])
    except BaseException:  # SystemExit too: whatever it was, the client must not be left without an answer
        logger.exception("the application failed on %s %s", environ.get("REQUEST_METHOD"), environ.get("PATH_INFO"))
        return FAILURE


class _Started:
    """What the application has said so far. Nothing is sent before it has finished."""

    __slots__ = ("headers", "status", "written")

    def __init__(self) -> None:
        self.status = ""
        self.headers: list[tuple[str, str]] = []
        self.written: list[bytes] = []

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Callable[[bytes], object]:
        if self.status and exc_info is None:
            raise AssertionError(
                f"start_response was called with {status!r} after {self.status!r}; call it once, or pass exc_info"
            )
        self.status = status
        self.headers = headers
        return self.written.append


def _encode(status: str, headers: list[tuple[str, str]], body: bytes, method: str) -> Response:
    """Return the answer as bytes, with a `Content-Length` that fits.

    Raises:
        ValueError: the application's status, headers and body cannot be sent as one HTTP response.

    """
    if not status:
        raise ValueError("the application returned a body but never called start_response; call it first")
    code = status[:3]
    if not code.isdecimal() or code < "200":
        raise ValueError(f"expected a final status such as '200 OK' from the application, got {status!r}")
    bodiless = method == "HEAD" or code in {"204", "304"}
    length: str | None = None
    close = False
    lines = [f"HTTP/1.1 {status}\r\n"]
    for name, value in headers:
        lowered = name.lower()
        if lowered == "content-length":
            length = value
            continue
        if lowered == "connection":
            close = close or value.lower() == "close"
            continue
        if lowered == "transfer-encoding":
            raise ValueError("the application set Transfer-Encoding; leave the framing to the server")
        lines.append(f"{name}: {value}\r\n")
    if length is None:
        if not bodiless or (body and method == "HEAD" and code not in {"204", "304"}):
            lines.append(f"Content-Length: {len(body)}\r\n")
    elif code != "204":  # which may not have one: RFC 9110, 8.6
        if not bodiless and length != str(len(body)):
            raise ValueError(f"the application set Content-Length to {length} but returned {len(body)} bytes")
        lines.append(f"Content-Length: {length}\r\n")
    head = "".join(lines)
    if head.count("\n") != len(lines) or head.count("\r") != len(lines):
        raise ValueError(f"expected status and headers without line breaks, got {status!r} and {headers!r}")
    return Response(head.encode("latin-1"), b"" if bodiless else body, close)


FAILURE = Response(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n", b"", close=True)
