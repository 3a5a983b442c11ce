"""Where recordings come from: files, folders, standard input; compressed or not; always a piece at a time."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from contract_tests.exchanges import STDIN, Place, Unreadable

LIMIT = 64 * 1024 * 1024
"""Bytes that one exchange may have; what is longer is left out, so that memory stays flat."""

_CHUNK = 128 * 1024
# With its lines, or what is cut out of it, it stays in the cache of a core; twice as much takes 7 % longer.
_BOM = b"\xef\xbb\xbf"
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_ZSTD_FEED = 2048
# 3 bytes of zstd can stand for 128 KiB; feeding little at a time bounds what one step can give.
_ENDINGS = (".har", ".json", ".jsonl", ".ndjson", ".yaml", ".yml")
_COMPRESSED = (".gz", ".zst")

Chunks = Iterator[bytes]
Advance = Callable[[int], object]
"""Is told how many bytes more have been read, as they stand in the file."""


class Broken(Exception):
    """The rest of a recording cannot be read; the text says why, and at which byte if that is known."""


def ending_of(name: str) -> str:
    """Return the ending of a file's name, in lower case, without that of its compression: `.har`."""
    path = Path(name.lower())
    return Path(path.stem).suffix if path.suffix in _COMPRESSED else path.suffix


def files_below(folder: Path) -> list[Path]:
    """
    Return the recordings in a folder, at any depth and sorted, told by their endings.

    Raises:
        Unreadable: there are none.
    """
    found = sorted(path for path in folder.rglob("*") if ending_of(path.name) in _ENDINGS and path.is_file())
    if not found:
        endings = ", ".join(_ENDINGS)
        raise Unreadable(f"{folder}: expected files ending in {endings}, or one of these and .gz or .zst; found none")
    return found


def chunks_of(source: str, advance: Advance | None = None) -> Chunks:
    """
    Return what is in a file or in standard input, decompressed, without byte order mark.

    Args:
        source: its name.
        advance: is told of each piece that was read how many bytes it had.

    Raises:
        Unreadable: it cannot be opened, or needs a package that is not installed.
        Broken: reading or decompressing failed on the way.
    """
    return _without_bom(_decompressed(source, _raw(source, advance)))


def with_head(chunks: Chunks, size: int) -> tuple[bytes, Chunks, Broken | None]:
    """Return at least the first `size` bytes, if there are so many, and all chunks; and what broke among the first."""
    pieces: list[bytes] = []
    broken = None
    try:
        for chunk in chunks:
            pieces.append(chunk)
            if sum(map(len, pieces)) >= size:
                break
    except Broken as error:
        broken = error
    return b"".join(pieces), chain(pieces, chunks if broken is None else _breaking(broken)), broken


def _breaking(error: Broken) -> Chunks:
    raise error
    yield  # which makes this a generator, so that it breaks when its turn comes


def _raw(source: str, advance: Advance | None) -> Chunks:
    try:
        if source == STDIN:
            yield from _pieces(sys.stdin.buffer, advance)
            return
        file = Path(source).open("rb")  # noqa: SIM115 - it is closed below; only a failure to open means Unreadable
    except OSError as error:
        raise Unreadable(f"{Place(source, 0)}: expected a file that can be read: {error.strerror}") from None
    with file:
        yield from _pieces(file, advance)


def _pieces(file: BinaryIO, advance: Advance | None) -> Chunks:
    # read1 gives what a pipe has, without waiting for a whole chunk.
    read = getattr(file, "read1", file.read)
    try:
        while data := read(_CHUNK):
            if advance is not None:
                advance(len(data))
            yield data
    except OSError as error:
        raise Broken(f"reading failed: {error.strerror}") from None


def _without_bom(chunks: Chunks) -> Chunks:
    head, chunks, _ = with_head(chunks, len(_BOM))
    if head.startswith(_BOM):
        for _ in range(len(_BOM)):  # it may have come byte by byte
            first = next(chunks)
            chunks = chain([first[1:]] if first[1:] else [], chunks)
    yield from chunks


def _decompressed(source: str, chunks: Chunks) -> Chunks:
    head, chunks, _ = with_head(chunks, len(_ZSTD))
    if head.startswith(_GZIP):
        return _gunzipped(chunks)
    return _unzstd(source, chunks) if head.startswith(_ZSTD) else chunks


def _gunzipped(chunks: Chunks) -> Chunks:
    member = zlib.decompressobj(zlib.MAX_WBITS + 16)
    try:
        for chunk in chunks:
            data = chunk
            while data:
                if member.eof:
                    data = data.lstrip(b"\0")  # tapes and some tools pad with zeros
                    if not data:
                        break
                    member = zlib.decompressobj(zlib.MAX_WBITS + 16)
                if piece := member.decompress(data, _CHUNK):
                    yield piece
                data = member.unused_data if member.eof else member.unconsumed_tail
        if piece := member.flush():
            yield piece
    except zlib.error:
        raise Broken("the gzip data is damaged") from None
    if not member.eof:
        raise Broken("the gzip data ends too early")


def _unzstd(source: str, chunks: Chunks) -> Chunks:
    try:
        yield from unzstd(chunks)
    except ImportError:
        words = "it is compressed with zstd: pip install zstandard, or decompress it"
        raise Unreadable(f"{Place(source, 0)}: {words}") from None


def unzstd(chunks: Iterable[bytes]) -> Chunks:
    """
    Return what zstd data stands for, a piece at a time, of which none takes much memory.

    Raises:
        Broken: it is damaged, or ends too early.
        ImportError: zstandard is not installed.
    """
    import zstandard

    frame = zstandard.ZstdDecompressor().decompressobj()
    try:
        for data in _fed(chunks):
            rest = data
            while rest:
                if frame.eof:
                    frame = zstandard.ZstdDecompressor().decompressobj()
                if piece := frame.decompress(rest):
                    yield piece
                rest = frame.unused_data if frame.eof else b""
    except zstandard.ZstdError:
        raise Broken("the zstd data is damaged") from None
    if not frame.eof:
        raise Broken("the zstd data ends too early")


def _fed(chunks: Iterable[bytes]) -> Chunks:
    for chunk in chunks:
        for start in range(0, len(chunk), _ZSTD_FEED):
            yield chunk[start : start + _ZSTD_FEED]
