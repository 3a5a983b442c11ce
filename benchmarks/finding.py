"""
The zoo (tests/zoo): is every broken client found, how soon, in how small a scenario; is a good one accused.

Nothing is timed here, so all cores may work on it; it takes them an hour, most of which the programs spend asleep.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from measure import Figure, Target, hottest

from contract_tests.clients.check import PROFILES, Plan
from contract_tests.clients.verdict import Result, Verdict

if TYPE_CHECKING:
    from zoo.programs import Program
    from zoo.registry import Specimen

_SEEDS = 20
_FEW = 2


class _Outcome(NamedTuple):
    """What a verdict says of a client: was its fault found, at which scenario, by how many directives; is all well."""

    found: bool
    example: int
    directives: int
    quiet: bool


def measure(*, smoke: bool) -> list[Figure]:
    """Return shares of clients in percent, and of each broken client how many scenarios it took."""
    good, broken = ([one.name for one in kind] for kind in _zoo())
    if smoke:
        good, broken = good[:1], broken[:3]
    seeds = range(1 if smoke else _SEEDS)
    examples = 60 if smoke else PROFILES["default"]
    found = [outcome for outcome in _outcomes(broken, [0], examples) if outcome.found]
    small = [outcome for outcome in found if outcome.directives <= _FEW]
    quiet = [outcome.quiet for outcome in _outcomes(good, seeds, examples)]
    return [
        Figure(
            f"{len(broken)} broken clients: found with the default profile",
            "%",
            [_percent(len(found), len(broken))],
            target=Target(100, at_least=True),
        ),
        Figure(
            "scenarios until the fault of a broken client is seen",
            "scenarios",
            [outcome.example for outcome in found],
            target=Target(41),
        ),
        Figure(
            f"faults shown by at most {_FEW} directives",
            "%",
            [_percent(len(small), len(found))],
            target=Target(80, at_least=True),
        ),
        Figure(
            f"verdicts on {len(good)} good clients, {len(seeds)} seeds each: without a false alarm",
            "%",
            [_percent(sum(quiet), len(quiet))],
            target=Target(100, at_least=True),
        ),
    ]


def _zoo() -> tuple[list[Specimen | Program], list[Specimen | Program]]:
    """Return the good clients, and the broken ones; programs only if what they need is here."""
    tests = str(Path(__file__).resolve().parent.parent / "tests")
    if tests not in sys.path:
        sys.path.insert(0, tests)
    from zoo.programs import PROGRAMS
    from zoo.registry import specimens

    every = [*specimens(), *(one for one in PROGRAMS if not one.missing())]
    return [one for one in every if not one.about], [one for one in every if one.about]


def _outcomes(names: Sequence[str], seeds: Sequence[int], examples: int) -> list[_Outcome]:
    with ProcessPoolExecutor() as pool:
        return list(pool.map(_outcome, *zip(*product(names, seeds, [examples]), strict=True)))


def _outcome(name: str, seed: int, examples: int) -> _Outcome:
    client = next(one for kind in _zoo() for one in kind if one.name == name)
    verdict = _judged(client, Plan(seed=seed, examples=examples))
    quiet = not verdict.failures()
    if not client.about:
        return _Outcome(found=False, example=0, directives=0, quiet=quiet)
    result = verdict[client.about]
    return _Outcome(result.result is Result.FAIL, result.example, len(result.directives), quiet)


def _judged(client: Specimen | Program, plan: Plan) -> Verdict:
    from zoo.zoo_page import judged

    return judged(client, plan)


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole


def profile(*, smoke: bool) -> str:
    """Return cProfile's view of verdicts on some broken clients."""
    _, broken = _zoo()
    chosen = broken[:2] if smoke else broken[::8]

    def judge() -> None:
        for client in chosen:
            _judged(client, Plan(examples=20) if smoke else Plan())

    return hottest(judge, 1)
