"""Reads a sample: one exchange of our own format in a document of its own, with words about it, as our fixtures are."""

from __future__ import annotations

from contract_tests.exchanges import Place, Recorded, Trouble
from contract_tests.readers import lines
from contract_tests.readers.cutting import Cutter
from contract_tests.readers.sources import LIMIT, Broken, Chunks


def read(name: str, chunks: Chunks) -> Recorded:
    """Read the file `name`, an object with `exchange`; what else there is in it does not matter."""
    cutter = Cutter(chunks)
    place = Place(name, 1)
    try:
        for field in cutter.names():
            found = cutter.value(LIMIT if field == "exchange" else 0)
            if field != "exchange":
                continue
            if found is None:
                yield Trouble(place, f"it is longer than {LIMIT >> 20} MiB, and was left out")
            else:
                yield from lines.read_line(place, found)
    except Broken as error:
        yield Trouble(place, f"the rest cannot be read: {error}")
