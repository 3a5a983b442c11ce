"""What is wanted of a client in a scenario: the same for the same directives, and told apart from all other wants."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence

from contract_tests.clients.directives.base import Directive
from contract_tests.clients.story import Intent

_SIDE = 8
_HARD_TO_SEND = b"Comment\0\r\n--boundary--\r\n\r\n\xff\xfe \x1a%0D%0A\n"
# Bytes that a client which treats a file as text, or its parts as lines, does not send as they are.


def intents_for(
    directives: Sequence[Directive],
    seed: int,
    *,
    hook_url: str | None = None,
    edits: bool = False,
    draws: bool = True,
    mode: bool = False,
) -> tuple[Intent, ...]:
    """
    Return what is wanted in the scenario of `directives`: mostly one image.

    Args:
        directives: what is played.
        seed: of the run.
        hook_url: where results are to be sent; None for nowhere.
        edits: whether the client can be asked to edit a picture.
        draws: whether it can be asked for a picture without one to edit.
        mode: whether it is told the mode.
    """
    told = repr([seed, *((one.name, one.rules) for one in directives)]).encode()
    mark = hashlib.blake2b(told, digest_size=12).hexdigest()
    prompt = next((one.prompt for one in directives if one.prompt is not None), f"a cat on a roof, {mark[:6]}")
    named = next((one.filename for one in directives if one.filename is not None), None if draws else "cat.png")
    filename = named if edits else None
    count = max((one.at_once for one in directives), default=1)
    return tuple(
        Intent(
            f"fm-{mark}",
            prompt if count == 1 else f"{prompt}, the {number}. of {count}",
            "flux1-dev",
            mode,
            image=None if filename is None else picture(number),
            filename=filename or "cat.png",
            hook_url=hook_url,
        )
        for number in range(1, count + 1)
    )


def picture(number: int) -> bytes:
    """Return a small PNG; those of other numbers are others."""
    row = b"\0" + bytes((31 * number % 256, 200, 90)) * _SIDE
    header = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"tEXt", _HARD_TO_SEND), (b"IDAT", zlib.compress(row * _SIDE)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
