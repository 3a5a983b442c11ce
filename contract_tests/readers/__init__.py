"""Reads recordings: HAR, VCR.py cassettes, JSON Lines, journals and lone bodies, in memory that stays flat."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from contract_tests.exchanges import STDIN, Endpoint, Exchange, Place, Recorded, Trouble, Unreadable
from contract_tests.readers import body, har, journal, lines, sample, vcr
from contract_tests.readers.sources import Advance, chunks_of, ending_of, files_below, with_head
from contract_tests.readers.telling import EXPECTED, HEAD, Format, tell

__all__ = ["Advance", "read", "size_of"]

_MOST_TROUBLES = 20
_READERS = {
    Format.HAR: har.read,
    Format.VCR_JSON: vcr.read_json,
    Format.VCR_YAML: vcr.read_yaml,
    Format.JOURNAL: journal.read,
    Format.SAMPLE: sample.read,
}


def read(
    source: str, *, endpoint: Endpoint | None = None, advance: Advance | None = None
) -> Iterator[Exchange | Trouble]:
    """
    Read what was recorded, exchange by exchange; what cannot be read comes as a Trouble in its place.

    The content tells the format, and whether it is compressed with gzip or zstd.

    Args:
        source: path of a file, or of a folder whose recordings are read in the order of their names; "-" is standard
            input.
        endpoint: what JSON is about that is none of the formats, but the body of an answer or of a webhook.
        advance: is told of each piece that was read how many bytes it had; see `size_of`.

    Raises:
        Unreadable: at the first step, when nothing at all can be read.
    """
    folder = Path(source)
    if source == STDIN or not folder.is_dir():
        yield from _few_troubles(source, _read_file(source, endpoint, advance))
        return
    for path in files_below(folder):
        name = str(path)
        try:
            yield from _few_troubles(name, _read_file(name, endpoint, advance))
        except Unreadable as error:
            yield Trouble(Place(name, 0), str(error).removeprefix(f"{name}: "))


def size_of(source: str) -> int | None:
    """Return how many bytes there are to be read, before anything is decompressed; None when nobody knows."""
    path = Path(source)
    try:
        if source != STDIN and path.is_dir():
            return sum(file.stat().st_size for file in files_below(path))
        return path.stat().st_size if source != STDIN and path.is_file() else None
    except (OSError, Unreadable):
        return None


def _read_file(name: str, endpoint: Endpoint | None, advance: Advance | None) -> Recorded:
    head, chunks, broken = with_head(chunks_of(name, advance), HEAD)
    found = tell(head, ending_of(name), bodies=endpoint is not None)
    if isinstance(found, str):
        raise Unreadable(f"{Place(name, 0)}: {broken if broken and not head else f'expected {EXPECTED}; got {found}'}")
    if found is Format.LINES:
        return lines.read(name, chunks, endpoint)
    if found is Format.BODY and endpoint is not None:
        return body.read(name, chunks, endpoint)
    return _READERS[found](name, chunks)


def _few_troubles(name: str, recorded: Recorded) -> Recorded:
    """Let the first troubles of a file through, and count the others."""
    troubles = 0
    last = None
    for item in recorded:
        if type(item) is Trouble:
            troubles += 1
            if troubles > _MOST_TROUBLES:
                last = item
                continue
        yield item
    if last is not None:
        more = troubles - _MOST_TROUBLES
        words = f"{more:,} more like these" if more > 1 else "one more like these"
        yield Trouble(Place(name, 0), f"{words}, the last at {last.place}: {last.why}", more)
