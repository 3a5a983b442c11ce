"""What a check saw beside its findings, in lines for people: optional fields, times, branches of the contract."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from contract_tests.checker import Report
from contract_tests.coverage import FORM, HTTP, Covered, Spot, percent, share
from contract_tests.observed import Observed, Presence
from contract_tests.times import Spread

_NOBODY = "a host that is not known"


def observed(report: Report) -> Iterator[str]:
    """Return lines on how often optional fields came and how long it all took; those below a heading are indented."""
    for host, seen in sorted(report.observed.items()):
        if seen.fields or seen.times:
            yield f"seen beside that{_at(host, report)}"
            yield from (f"  {line}" for line in _about(seen))


def coverage(report: Report) -> Iterator[str]:
    """Return lines on what was exercised of the contract, and what never; those below a heading are indented."""
    for covered in report.coverage or ():
        exercised, branches = share(covered.spots)
        yield f"coverage of contract {covered.version}{_at(covered.host, report)}: {_share(exercised, branches)}"
        yield from _of_endpoints(covered)


def _at(host: str, report: Report) -> str:
    return f" at {host or _NOBODY}" if len(report.contracts) > 1 else ""


def _about(seen: Observed) -> Iterator[str]:
    for place, fields in groupby(seen.fields, key=lambda it: (it.message, it.shape)):
        yield f"optional in {_place(*place)}: {'; '.join(_presences(list(fields)))}"
    if seen.times:
        yield f"time, as median (least to greatest): {'; '.join(map(_spread, seen.times))}"


def _presences(fields: list[Presence]) -> Iterator[str]:
    # Fields that came equally often are told together.
    often = sorted(fields, key=lambda it: (-it.seen, it.of))
    for (seen, of), those in groupby(often, key=lambda it: (it.seen, it.of)):
        yield f"{seen:,} of {of:,} {' '.join(it.pointer for it in those)}"


def _spread(spread: Spread) -> str:
    least, middle, greatest = map(_duration, (spread.least, spread.median, spread.greatest))
    return f"{spread.what} {middle} ({least} to {greatest}) ×{spread.seen:,}"


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms" if abs(seconds) < 1 else f"{seconds:,.1f} s"


def _of_endpoints(covered: Covered) -> Iterator[str]:
    for endpoint, spots in covered.endpoints():
        yield f"  {endpoint}: {_share(*share(spots))}"
        for spot in spots:
            yield f"    {_spot(spot)}"


def _share(exercised: int, branches: int) -> str:
    return f"{exercised} of {branches} branches, {percent(exercised, branches)} %"


def _spot(spot: Spot) -> str:
    came = [f"{branch} ×{times:,}" for branch, times in spot.branches.items() if times]
    never = [branch for branch, times in spot.branches.items() if not times]
    said = [", ".join(came), f"never {', '.join(never)}" if never else ""]
    where = spot.about if spot.about in {FORM, HTTP} else _place(spot.about, spot.shape, spot.pointer)
    return f"{where}: {'; '.join(part for part in said if part)}"


def _place(message: str, shape: str, pointer: str = "") -> str:
    return f"{message}{f' ({shape})' if shape else ''}{f' {pointer}' if pointer else ''}"
