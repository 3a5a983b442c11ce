"""How an answer goes onto the wire when it is not simply written: late, cut, in pieces, with a lie, or not at all.

Pure: a `Wire` turns a response into steps; the connection plays them, without a thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from itertools import cycle

from mock_server.http.reader import CLOSE
from mock_server.http.wsgi import Response

WIRE = "fluxmock.wire"
"""The environ key under which an application leaves the Wire of its answer."""

_LENGTH = re.compile(rb"(?im)^content-length: *(\d+)\r\n")


class End(StrEnum):
    """What becomes of the connection after the last byte that is sent."""

    KEEP = "keep"
    """What the request and the answer say, as always."""
    CLOSE = "close"
    """FIN: closed in both directions."""
    HALF_CLOSE = "half close"
    """FIN in this direction only; the client may go on sending, and is never answered."""
    RESET = "reset"
    """RST: what is under way is lost."""


@dataclass(frozen=True, slots=True)
class Wire:
    """
    One way to deliver an answer.

    Args:
        delay: seconds before its first byte.
        silent: nothing of it is sent at all.
        body_bytes: at most so many bytes of its body are sent; None sends all.
        end: what becomes of the connection then.
        piece: so many bytes are written at a time; 0 writes all at once.
        pause: seconds between pieces.
        chunks: sizes of the chunks of a chunked body, over and over; () does not chunk.
        length_error: added to the Content-Length that is declared.
        idle: seconds after which an idle keep-alive connection is closed; None leaves it to the server.
        until: the delay begins when this is done; None is at once.
    """

    delay: float = 0.0
    silent: bool = False
    body_bytes: int | None = None
    end: End = End.KEEP
    piece: int = 0
    pause: float = 0.0
    chunks: tuple[int, ...] = ()
    length_error: int = 0
    idle: float | None = None
    until: Future[None] | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """Wait `wait` seconds, then write `data`."""

    wait: float
    data: bytes


def steps(wire: Wire, response: Response, ending: bytes) -> Iterator[Step]:
    """
    Return what is to be written, and when.

    Args:
        wire: the way to do it.
        response: the answer.
        ending: the end of its head, which also says what becomes of the connection.
    """
    if wire.silent:
        yield Step(wire.delay, b"")
        return
    if wire.end is not End.KEEP:
        ending = CLOSE
    head, body = response.head, response.body
    if wire.length_error:
        head = _LENGTH.sub(lambda found: b"Content-Length: %d\r\n" % (int(found[1]) + wire.length_error), head)
    if wire.chunks and body:
        head = _LENGTH.sub(b"Transfer-Encoding: chunked\r\n", head)
        body = _chunked(body, wire.chunks)
    if wire.body_bytes is not None:
        body = body[: wire.body_bytes]
    data = head + ending + body
    size = wire.piece or len(data)
    wait = wire.delay
    for start in range(0, len(data), size):
        yield Step(wait, data[start : start + size])
        wait = wire.pause


_ENDS = {End.KEEP: "", End.CLOSE: "closed", End.HALF_CLOSE: "half closed", End.RESET: "reset"}


def wire_words(wire: Wire) -> str:
    """Say what is done to an answer, for a person; empty when it is simply written."""
    end = _ENDS[wire.end]
    if wire.silent:
        parts = [f"{end} without an answer" if end else "no answer at all"]
    else:
        parts = [
            f"Content-Length wrong by {wire.length_error:+}" if wire.length_error else "",
            f"in chunks of {', '.join(map(str, wire.chunks))} bytes" if wire.chunks else "",
            f"{wire.piece} bytes at a time, {wire.pause:g} s apart" if wire.piece else "",
            "" if wire.body_bytes is None else f"body cut after {wire.body_bytes} bytes",
            end,
            "" if wire.idle is None else f"closed after {wire.idle:g} idle s",
        ]
    late = f"{wire.delay:.3g} s late" if wire.delay else ""
    held = "held back for a webhook" if wire.until is not None else ""
    return ", ".join(filter(None, [held, late, *parts]))


def _chunked(body: bytes, sizes: tuple[int, ...]) -> bytes:
    pieces, start = [], 0
    for size in cycle(sizes):
        chunk = body[start : start + size]
        if not chunk:
            break
        pieces.append(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        start += size
    return b"".join(pieces) + b"0\r\n\r\n"
