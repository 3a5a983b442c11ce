"""The zoo (tests/zoo): is every broken client found, how soon, in how small a scenario; is a good one accused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from measure import Figure, Target, hottest

from contract_tests.clients.check import Plan, check_client
from contract_tests.clients.verdict import Result, Verdict

if TYPE_CHECKING:
    from zoo.registry import Specimen

_SEEDS = 20
_FEW = 2


def measure(*, smoke: bool) -> list[Figure]:
    """Return shares of clients in percent, and of each broken client how many scenarios it took."""
    good, broken = _zoo()
    if smoke:
        good, broken = good[:1], broken[:3]
    plans = [Plan(seed=seed) for seed in range(1 if smoke else _SEEDS)]
    results = [(client, _judged(client, plans[0])[client.about]) for client in broken]
    found = [result for _, result in results if result.result is Result.FAIL]
    small = [result for result in found if len(result.directives) <= _FEW]
    quiet = [not _judged(client, plan).failures() for client in good for plan in plans]
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
            [result.example for result in found],
            target=Target(41),
        ),
        Figure(
            f"faults shown by at most {_FEW} directives",
            "%",
            [_percent(len(small), len(found))],
            target=Target(80, at_least=True),
        ),
        Figure(
            f"verdicts on {len(good)} good clients, {len(plans)} seeds each: without a false alarm",
            "%",
            [_percent(sum(quiet), len(quiet))],
            target=Target(100, at_least=True),
        ),
    ]


def _zoo() -> tuple[list[Specimen], list[Specimen]]:
    """Return the good clients, and the broken ones."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    from zoo.registry import specimens

    every = specimens()
    return [one for one in every if not one.about], [one for one in every if one.about]


def _judged(client: Specimen, plan: Plan) -> Verdict:
    return check_client(client.client, plan=plan, receiver=client.receiver)


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
