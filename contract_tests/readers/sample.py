"""Reads a sample: one exchange of our own format in a document of its own, with words about it, as our fixtures are."""

from __future__ import annotations

import orjson

from contract_tests.exchanges import Place, Recorded, Trouble
from contract_tests.readers import lines
from contract_tests.readers.cutting import Cutter
from contract_tests.readers.sources import LIMIT, Broken, Chunks

_MOST_PROVENANCE = 64 * 1024


def read(name: str, chunks: Chunks) -> Recorded:
    """
    Read the file `name`, an object with `exchange`.

    `provenance`, if it is there, may say in `contract` of which versions the exchange is a sample. What else there is
    does not matter.
    """
    cutter = Cutter(chunks)
    place = Place(name, 1)
    limits = {"exchange": LIMIT, "provenance": _MOST_PROVENANCE}
    found: dict[str, bytes | None] = {}
    try:
        for field in cutter.names():
            value = cutter.value(limits.get(field, 0))
            if field in limits:
                found[field] = value
    except Broken as error:
        yield Trouble(place, f"the rest cannot be read: {error}")
    if "exchange" not in found:
        return
    exchange = found["exchange"]
    if exchange is None:
        yield Trouble(place, f"it is longer than {LIMIT >> 20} MiB, and was left out")
        return
    versions = _versions(found.get("provenance"))
    for item in lines.read_line(place, exchange):
        yield item if isinstance(item, Trouble) else item.changed(sample_of=versions)


def _versions(provenance: bytes | None) -> tuple[str, ...]:
    try:
        said = orjson.loads(provenance or b"")["contract"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ()
    return tuple(version for version in said if isinstance(version, str)) if isinstance(said, list) else ()
