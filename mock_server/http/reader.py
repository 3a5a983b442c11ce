"""From HTTP to WSGI: the bytes of a connection become environs.

Pure translation: no sockets, no clock, no event loop.
"""

from __future__ import annotations

import functools
import io
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import unquote_to_bytes

import httptools

if TYPE_CHECKING:
    from collections.abc import Callable
    from wsgiref.types import WSGIEnvironment

REFUSAL = "fluxmock.refusal"
"""The environ key of one sentence that says why the server itself refuses this request."""

BODY = "fluxmock.body"
"""The environ key of the request body as bytes, for callers that need no file object."""

CONNECTION = "fluxmock.connection"
"""The environ key of the number of the client's connection; a server counts them from 1."""

DROPPED = "fluxmock.dropped"
"""The environ key of the names of headers that were dropped, if any were."""

# How the head of an answer ends, which is also what becomes of the connection afterwards.
KEEP = b"\r\n"
KEEP_1_0 = b"Connection: keep-alive\r\n\r\n"
CLOSE = b"Connection: close\r\n\r\n"

_ABSOLUTE_FORM = re.compile(rb"[a-z][a-z0-9+.-]*://([^/?]*)(.*)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may send and how long it may take.

    Times are kept to within a second, or to within a quarter of the shortest one when that is less.

    Args:
        header_bytes: size of request target and headers, and of trailers.
        header_count: number of header lines, trailers included.
        body_bytes: size of a body that is read; a larger one is left to the application to answer, unread.
        slow_seconds: a request that has not arrived whole this long after its first byte is refused.
        idle_seconds: a connection without a request is closed after this time.
        linger_seconds: after a last answer, how long further input is awaited and thrown away. A socket
            that is closed with input unread is reset, and the reset could overtake the answer.

    """

    header_bytes: int = 64 * 1024
    header_count: int = 200
    body_bytes: int = 32 * 1024 * 1024
    slow_seconds: float = 30.0
    idle_seconds: float = 75.0
    linger_seconds: float = 2.0


def connection_environ(server: tuple[str, int], client: tuple[str, int], number: int) -> WSGIEnvironment:
    """Return the part of the environ that all requests of a connection share, with the request `GET /`."""
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.input_terminated": True,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        CONNECTION: number,
    }


@functools.lru_cache(maxsize=1024)
def environ_key(name: bytes) -> str | None:
    """Return the environ key of a header, or None when the header is to be dropped.

    A name with an underscore is dropped: it would get the same key as its spelling with a hyphen, and so a
    client could pass off one header as another.
    """
    if b"_" in name:
        return None
    key = name.decode("latin-1").upper().replace("-", "_")
    return key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else "HTTP_" + key


def add_header(environ: WSGIEnvironment, name: bytes, value: bytes) -> None:
    """Put one header line into the environ; repeated ones are joined (RFC 9110, 5.3; RFC 6265, 5.4)."""
    key = environ_key(name)
    if key is None:
        environ[DROPPED] = (*environ.get(DROPPED, ()), name.decode("latin-1"))
        return
    text = value.decode("latin-1")
    if key in environ:
        text = environ[key] + ("; " if key == "HTTP_COOKIE" else ", ") + text
    environ[key] = text


def set_target(environ: WSGIEnvironment, target: bytes) -> None:
    """Put a request target into the environ: `/path?query`, `http://host/path?query` or `*`."""
    if target[:1] != b"/" and (absolute := _ABSOLUTE_FORM.fullmatch(target)):
        environ["HTTP_HOST"] = absolute[1].decode("latin-1")  # it overrules the header: RFC 9112, 3.2.2
        target = absolute[2] if absolute[2][:1] == b"/" else b"/" + absolute[2]
    path, _, query = target.partition(b"?")
    if b"%" in path:
        path = unquote_to_bytes(path)
    environ["PATH_INFO"] = path.decode("latin-1")
    environ["QUERY_STRING"] = query.decode("latin-1")


class _Halt(Exception):
    """Ends the parsing of input that has been dealt with."""


class RequestReader:
    """Turns the bytes of one connection into environs, with their bodies, in order.

    `receiving` says that a request has begun and is not complete; `sealed`, that the last one has been taken,
    so that there is no point in feeding more.

    Args:
        base: the environ that all requests of the connection start from.
        limits: sizes to refuse beyond.
        take: called with the environ of each request and the ending of its answer: KEEP, KEEP_1_0 or CLOSE.
            A refused request is one with the key `fluxmock.refusal`, no body, and the ending CLOSE.
        expect: called when the client waits for `100 Continue` before it sends the body.

    """

    __slots__ = (
        "base", "body", "ending", "environ", "expect", "header_count", "header_size", "in_head", "limits",
        "mark", "parser", "receiving", "sealed", "silent", "take", "target", "upgrading",
    )  # fmt: skip

    def __init__(
        self,
        base: WSGIEnvironment,
        limits: Limits,
        take: Callable[[WSGIEnvironment, bytes], None],
        expect: Callable[[], None],
    ) -> None:
        self.base = base
        self.limits = limits
        self.take = take
        self.expect = expect
        self.parser = httptools.HttpRequestParser(self)
        self.receiving = self.sealed = self.in_head = self.upgrading = False
        self.environ: WSGIEnvironment = {}
        self.target = b""
        self.body = bytearray()
        self.ending = CLOSE
        self.header_size = self.header_count = self.silent = 0
        self.mark = -1

    def feed(self, data: bytes) -> None:
        """Read on. Bytes that are no request are not an error here: they are taken as a refused request."""
        size = len(data)
        while not self.sealed:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                self.upgrading = False
                data = self._head_without_upgrade() + data[upgrade.args[0] :]
                continue
            except httptools.HttpParserError as error:
                if not self.sealed:  # else halted by us, or input after the last request
                    self.refuse(_explain(error, data, self.target))
            break
        if self.receiving:
            self._bound_silence(size)

    def refuse(self, sentence: str) -> None:
        """Take the request under way, or else a bare `GET /`, as a refused one, and no further request."""
        environ = self.environ if self.receiving else self.base.copy()
        if self.in_head and self.target:
            environ["REQUEST_METHOD"] = self.parser.get_method().decode("latin-1")
            set_target(environ, self.target)
        environ.pop("CONTENT_LENGTH", None)
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ[REFUSAL] = sentence
        self._complete(environ, b"", CLOSE)

    def seal(self) -> None:
        """Take no further request; one under way is forgotten."""
        self.sealed = True
        self.receiving = False

    def close(self) -> None:
        """Take no further request, ever, and let go of what refers back to the reader. May be called again."""
        self.seal()
        if hasattr(self, "parser"):
            del self.take, self.expect, self.parser

    def progress(self) -> str:
        """Say how far the request under way has come."""
        return "only part of its headers" if self.in_head else f"only {len(self.body)} bytes of its body"

    # The parser's callbacks. An exception stops it, and comes out of `feed_data` as an HttpParserError.

    def on_message_begin(self) -> None:
        """Begin a request."""
        self.environ = self.base.copy()
        self.target = b""
        self.header_size = self.header_count = 0
        self.receiving = self.in_head = True

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self.target += url
        self.header_size += len(url)
        if self.header_size > self.limits.header_bytes:
            self._halt(self._too_large())

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer."""
        self.header_count += 1
        self.header_size += len(name) + len(value) + 4
        if self.header_size > self.limits.header_bytes or self.header_count > self.limits.header_count:
            self._halt(self._too_large())
        if self.in_head:  # a trailer comes too late to be a header
            add_header(self.environ, name, value)

    def on_headers_complete(self) -> None:
        """Decide how to go on, now that the head is known."""
        parser, environ = self.parser, self.environ
        version = parser.get_http_version()
        keep = parser.should_keep_alive()
        if version == "1.1":
            self.ending = KEEP if keep else CLOSE
        elif version == "1.0":
            environ["SERVER_PROTOCOL"] = "HTTP/1.0"
            self.ending = KEEP_1_0 if keep else CLOSE
        else:
            self._halt(f"expected HTTP/1.1 or HTTP/1.0, got HTTP/{version}; have the client speak HTTP/1.1")
        if parser.should_upgrade():
            if parser.get_method() == b"CONNECT":
                self._halt(
                    "expected a request for this server, got CONNECT, which is for proxies; "
                    "use this server's URL as the base URL, not as a proxy"
                )
            self.upgrading = True
            return
        environ["REQUEST_METHOD"] = parser.get_method().decode("latin-1")
        set_target(environ, self.target)
        self.in_head = False
        coding = environ.pop("HTTP_TRANSFER_ENCODING", None)
        if coding is not None and (coding.lower() != "chunked" or version == "1.0"):
            self._halt(
                f"expected a body with Content-Length, or chunked in HTTP/1.1, got Transfer-Encoding "
                f"{coding!r} in HTTP/{version}; send the body as it is, with Content-Length"
            )
        declared = environ.get("CONTENT_LENGTH")
        if declared is not None and int(declared) > self.limits.body_bytes:
            self._complete(environ, b"", CLOSE)
            raise _Halt
        if "HTTP_EXPECT" in environ and environ["HTTP_EXPECT"].lower() == "100-continue" and version == "1.1":
            self.expect()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self.body += body
        if len(self.body) > self.limits.body_bytes:  # a chunked one: a declared length was looked at before
            self.environ["CONTENT_LENGTH"] = str(len(self.body))
            self._complete(self.environ, b"", CLOSE)
            raise _Halt

    def on_message_complete(self) -> None:
        """Hand over the request."""
        if self.upgrading:
            return  # `feed` reads this request again, without the upgrade
        body, environ = bytes(self.body), self.environ
        if body and "CONTENT_LENGTH" not in environ:
            environ["CONTENT_LENGTH"] = str(len(body))  # it came in chunks, but from here on it is whole
        self._complete(environ, body, self.ending)

    def _complete(self, environ: WSGIEnvironment, body: bytes, ending: bytes) -> None:
        self.receiving = self.in_head = False
        self.mark = -1
        if self.body:
            self.body = bytearray()
        if ending is CLOSE:
            self.sealed = True
        environ[BODY] = body
        environ["wsgi.input"] = io.BytesIO(body)
        self.take(environ, ending)

    def _halt(self, sentence: str) -> NoReturn:
        self.refuse(sentence)
        raise _Halt

    def _head_without_upgrade(self) -> bytes:
        # To the parser an upgrade is the end of HTTP, so that it would not read the request's body.
        fields = {
            key.removeprefix("HTTP_").replace("_", "-"): value
            for key, value in self.environ.items()
            if key.startswith(("HTTP_", "CONTENT_")) and key != "HTTP_UPGRADE"
        }
        protocol = self.environ["SERVER_PROTOCOL"].encode()
        lines = [b" ".join((self.parser.get_method(), self.target, protocol))]
        lines += [f"{name}: {value}".encode("latin-1") for name, value in fields.items()]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _bound_silence(self, size: int) -> None:
        # The parser gathers an unfinished header, and skips chunk extensions, without a callback that counts.
        mark = self.header_size + len(self.body)
        self.silent = self.silent + size if mark == self.mark else 0
        self.mark = mark
        if self.silent > self.limits.header_bytes:
            self.refuse(self._too_large())

    def _too_large(self) -> str:
        return (
            f"expected at most {self.limits.header_bytes} bytes in {self.limits.header_count} headers, "
            "got more; send fewer or shorter headers, and large values in the body"
        )


def _explain(error: httptools.HttpParserError, data: bytes, target: bytes) -> str:
    """Say in one sentence what is wrong with input that the parser does not take."""
    reason = str(error)
    if not target and data.startswith(b"\x16\x03"):
        return "expected plain HTTP, got a TLS handshake; use http:// instead of https:// in the base URL"
    if target == b"*" and "PRI" in reason:
        return "expected HTTP/1.1 or HTTP/1.0, got HTTP/2; have the client speak HTTP/1.1"
    if reason == "Duplicate Content-Length" or "can't be present with" in reason:
        return f"expected the length of the body to be stated once ({reason}); send one Content-Length only"
    return (
        f"expected an HTTP/1.1 request, got one that breaks the protocol ({reason}); "
        "check the request line, the headers, and the length or the chunks of the body"
    )
