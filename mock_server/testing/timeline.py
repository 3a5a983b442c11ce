"""What happened to one tenant as a swim-lane in plain text: client calls, hooks, moves of the clock, and jobs. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mock_server.journal import Entry
from mock_server.model import Delivery, Job
from mock_server.testing.rows import CLIENT, OTHERS, Row, cut, one_line, rows_of

_MOST_LANES = 4
_LEAST = {CLIENT: len("POST /flux/fetch → 200 job 1 ON_QUEUE"), OTHERS: 24}
# Columns that these lanes keep of what they need; narrower they would say too little.
_BETWEEN = " │ "
_MOST_NOTE_LINES = 3


def render(
    jobs: Sequence[Job],
    entries: Iterable[Entry],
    start: float,
    *,
    deliveries: Iterable[Delivery] = (),
    timed: bool = True,
    width: int = 120,
    most_lines: int = 60,
    encoding: str = "utf-8",
) -> str:
    """
    Return the swim-lane of a tenant.

    Args:
        jobs: its jobs, oldest first.
        entries: its journal.
        start: the instant that its clock is counted from, in seconds since the Unix epoch.
        deliveries: its webhooks, for those that were never sent are not in the journal.
        timed: jobs move by time, so that one that was earlier than its plan was moved by hand.
        width: columns at most; 40 or more.
        most_lines: lines at most; of more, those in the middle are left out, and counted.
        encoding: of where it will be shown; what that does not have is replaced or escaped.
    """
    rows = rows_of(jobs, entries, deliveries, timed=timed)
    return drawn(rows, start, width=width, most_lines=most_lines, encoding=encoding)


def drawn(rows: Sequence[Row], start: float, *, width: int, most_lines: int, encoding: str) -> str:
    """Return `rows` as a swim-lane; the other arguments are those of `render`."""
    if not rows:
        return "(no calls, no jobs, no hooks)"
    for cells in _layouts(rows, start):
        lanes, fits = _lanes(cells, width)
        if fits:
            break
    body = [line for row, cell in zip(rows, cells, strict=True) for line in _lines(row, cell, lanes, width)]
    heads = [_line({name: _Cell("", name, name) for name in lanes}, lanes), _rule(lanes)]
    return in_encoding("\n".join([*heads, *_shortened(body, most_lines - len(heads))]), encoding)


def in_encoding(text: str, encoding: str) -> str:
    """Return `text` with what `encoding` cannot say replaced or escaped."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_PLAIN)
    return text.encode(encoding, "backslashreplace").decode(encoding)


_PLAIN = {
    ord(sign): plain
    for sign, plain in {"│": "|", "─": "-", "┼": "+", "→": "->", "↳": "`", "…": "...", "×": "x"}.items()
}


# How rows are spread over columns


@dataclass(frozen=True, slots=True)
class _Cell:
    """What a row says in the lane `lane`: `ending`, which counts, is never cut off."""

    clock: str
    lane: str
    text: str
    ending: str = ""


def _layouts(rows: Sequence[Row], start: float) -> Iterator[list[_Cell]]:
    """Return ways to show the rows, from the clearest to the narrowest."""
    if len({_job(row) for row in rows} - {""}) <= _MOST_LANES:
        yield [_cell(row, start, row.lane) for row in rows]
    yield [_cell(row, start, "jobs" if _job(row) else row.lane, f"{_job(row)}: ") for row in rows]
    yield [_cell(row, start, "what happened", f"{row.lane}: ") for row in rows]


def _cell(row: Row, start: float, lane: str, prefix: str = "") -> _Cell:
    text = f"{prefix}{row.text}" if _job(row) and lane != row.lane else row.text
    ending = f" × {row.count}" if row.count > 1 and text else ""
    if row.to is not None:
        ending += f" → {_since(row.to, start)}"
    elif row.last is not None and row.last != row.at:
        ending += f" … {_since(row.last, start)}"
    return _Cell(_since(row.at, start), lane, one_line(text), ending if text else ending.lstrip())


def _job(row: Row) -> str:
    """Return the number of the job in whose lane a row stands, or "" if it stands in another."""
    return "" if row.lane in {CLIENT, OTHERS} else row.lane.removeprefix("job ")


def _lanes(cells: Sequence[_Cell], width: int) -> tuple[dict[str, int], bool]:
    """Return the width of each lane, by its name, in the order in which they stand, and whether that will do."""
    names = dict.fromkeys(cell.lane for cell in cells)
    between = sorted(names.keys() - _LEAST.keys(), key=lambda name: (len(name), name))
    ordered = [name for name in (CLIENT, *between, OTHERS) if name in names]
    lanes = {"clock": max(len("clock"), *(len(cell.clock) for cell in cells)), **{name: len(name) for name in ordered}}
    least = dict(lanes)
    for cell in cells:
        lanes[cell.lane] = max(lanes[cell.lane], len(cell.text) + len(cell.ending))
        kept = min(len(cell.text), _LEAST.get(cell.lane, len(cell.text))) + len(cell.ending)
        least[cell.lane] = max(least[cell.lane], kept)
    excess = sum(lanes.values()) + len(_BETWEEN) * (len(lanes) - 1) - width
    fits = sum(lanes.values()) - sum(least.values()) >= excess
    # The widest give way first; where even that is not enough, the first lane after the clock has to.
    for _ in range(excess):
        can_give = [name for name in lanes if lanes[name] > least[name]] or ordered[:1]
        lanes[max(can_give, key=lanes.__getitem__)] -= 1
    return lanes, fits


def _lines(row: Row, cell: _Cell, lanes: dict[str, int], width: int) -> list[str]:
    lines = [_line({"clock": _Cell("", "clock", cell.clock), cell.lane: cell}, lanes)]
    indent = " " * (lanes["clock"] + 1)
    for note in row.notes:
        lines += textwrap.wrap(
            one_line(note),
            width,
            initial_indent=f"{indent}↳ ",
            subsequent_indent=f"{indent}  ",
            max_lines=_MOST_NOTE_LINES,
            placeholder=" …",
        )
    return lines


def _line(cells: dict[str, _Cell], lanes: dict[str, int]) -> str:
    texts = []
    for name, size in lanes.items():
        cell = cells.get(name)
        text = "" if cell is None else cut(cell.text, size - len(cell.ending)) + cell.ending
        texts.append(f"{text:>{size}}" if name == "clock" else f"{text:<{size}}")
    return _BETWEEN.join(texts).rstrip()


def _rule(lanes: dict[str, int]) -> str:
    return "─┼─".join("─" * size for size in lanes.values())


def _shortened(lines: list[str], most: int) -> list[str]:
    if len(lines) <= most:
        return lines
    head, tail = most // 2, most - most // 2 - 1
    return [*lines[:head], f"… {len(lines) - head - tail} lines left out …", *lines[-tail:]]


def _since(instant: float, start: float) -> str:
    return f"{instant - start:+.3f} s"
