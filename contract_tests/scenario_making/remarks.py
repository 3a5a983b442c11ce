"""What a scenario cannot show as it was recorded: said once for each kind, with the first place and how often."""

from __future__ import annotations

from pathlib import Path

from contract_tests.exchanges import Place


class Remarks:
    """Remarks on the way from a recording to a scenario."""

    def __init__(self) -> None:
        self._found: dict[str, list[Place | None]] = {}

    def note(self, words: str, place: Place | None = None) -> None:
        """Note one: `words` without what differs from one time to the next."""
        self._found.setdefault(words, []).append(place)

    def lines(self) -> list[str]:
        """Return them, each in a line."""
        return [_line(words, places) for words, places in self._found.items()]


def _line(words: str, places: list[Place | None]) -> str:
    first = next((place for place in places if place is not None), None)
    if first is None:
        return words
    where = first._replace(file=Path(first.file).name)
    more = len(places) - 1
    again = f" and {'once' if more == 1 else f'{more:,} times'} more" if more else ""
    return f"{words} ({where}{again})"
