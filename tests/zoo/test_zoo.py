"""Every broken client is found, and of nothing else is anybody accused; the page of the zoo tells it as it is.

The whole matrix and 20 seeds take half an hour of two cores, so they are computed where the variable ZOO is "all", as in
CI. Elsewhere a broken client is only asked for what it is about, and a good one with two seeds.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from contract_tests.clients.check import PROFILES, Plan, check_client
from contract_tests.clients.process.check import check_command
from contract_tests.clients.properties.base import Level, properties
from contract_tests.clients.verdict import Result, Verdict
from zoo.programs import FOLDER, PROGRAMS, SPEED, TIMEOUT, Program
from zoo.registry import Specimen, forget_all, specimens
from zoo.zoo_page import failing, judged, page, row, rows_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "zoo.md"
WHOLE = os.environ.get("ZOO") == "all"
SEEDS, EXAMPLES = (20, PROFILES["default"]) if WHOLE else (2, 25)
PROGRAM_SEEDS, PROGRAM_EXAMPLES = (3, PROFILES["quick"]) if WHOLE else (1, 12)

clients = specimens()
good = [client for client in clients if not client.about]
broken = [client for client in clients if client.about]


@pytest.fixture(autouse=True)
def _fresh() -> None:
    forget_all()


def failures(verdict: Verdict, *levels: Level) -> set[str]:
    return {one.property.id for one in verdict.failures(*levels)}


@pytest.mark.parametrize("client", broken, ids=lambda client: client.name)
def test_a_broken_client_is_found(client: Specimen) -> None:
    plan = Plan(only=(client.about,)) if properties()[client.about].families else Plan()
    verdict = check_client(client.client, plan=plan, receiver=client.receiver)
    assert verdict[client.about].result is Result.FAIL


@pytest.mark.parametrize("client", clients if WHOLE else good[:2], ids=lambda client: client.name)
def test_a_client_breaks_what_it_is_about_and_nothing_else(client: Specimen) -> None:
    """... that MUST hold, unless its fault really breaks it; and the page says of each property what came of it."""
    verdict = judged(client)
    whys = [(one.property.id, one.why, one.directives) for one in verdict.failures()]
    if client.about:
        assert verdict[client.about].result is Result.FAIL, whys
        assert failures(verdict, Level.MUST) <= client.breaks, whys
    else:
        assert failures(verdict) == set(), whys
    assert rows_of(PAGE.read_text("utf-8"))[client.name] == row(client, verdict)


@pytest.mark.parametrize("client", good, ids=lambda client: client.name)
def test_a_good_client_is_accused_of_nothing_whatever_the_seed(client: Specimen) -> None:
    """What is drawn differs from seed to seed, and so does the order of all that is not."""
    for seed in range(1, SEEDS + 1):
        verdict = check_client(client.client, plan=Plan(seed=seed, examples=EXAMPLES), receiver=client.receiver)
        assert failures(verdict) == set(), (seed, [(one.why, one.directives) for one in verdict.failures()])


@pytest.fixture
def program(request: pytest.FixtureRequest) -> Program:
    """Return a program that can be run here, or skip the test."""
    found: Program = request.param
    if found.missing():
        assert not os.environ.get("CI"), f"CI has {found.missing()}"
        pytest.skip(f"there is no {found.missing()}")
    return found


def by_name(one: Program) -> str:
    return one.name


broken_programs = [one for one in PROGRAMS if one.about]
good_programs = [one for one in PROGRAMS if not one.about]


@pytest.mark.parametrize("program", broken_programs, ids=by_name, indirect=True)
def test_a_broken_program_is_found(program: Program) -> None:
    plan = Plan(only=(program.about, *program.beside), examples=9)
    verdict = check_command(program.argv, plan=plan, speed=8, timeout=6)
    assert verdict[program.about].result is Result.FAIL


@pytest.mark.skipif(not WHOLE, reason="it takes a quarter of an hour; ZOO=all does it")
@pytest.mark.parametrize("program", PROGRAMS, ids=by_name, indirect=True)
def test_a_program_breaks_what_it_is_about_and_nothing_else(program: Program) -> None:
    """... that MUST hold, as on the page; what it has no time for differs from time to time."""
    verdict = judged(program)
    whys = [(one.property.id, one.why, one.directives) for one in verdict.failures()]
    assert not program.about or verdict[program.about].result is Result.FAIL, whys
    must = {one.id for one in Plan().chosen() if one.level is Level.MUST}
    published = failing(rows_of(PAGE.read_text("utf-8")), program)
    assert failures(verdict) & must <= program.breaks, whys
    assert published & must <= program.breaks <= published


@pytest.mark.parametrize("program", good_programs, ids=by_name, indirect=True)
def test_a_good_program_is_accused_of_nothing_whatever_the_seed(program: Program) -> None:
    """Programs sleep for real, so that 20 seeds of the default profile are left to `benchmarks zoo`."""
    for seed in range(1, PROGRAM_SEEDS + 1):
        plan = Plan(seed=seed, examples=PROGRAM_EXAMPLES)
        verdict = check_command(program.argv, plan=plan, speed=SPEED, timeout=TIMEOUT if WHOLE else 8.0)
        assert failures(verdict) == set(), (seed, [(one.why, one.directives) for one in verdict.failures()])


def test_the_zoo_is_large_enough() -> None:
    assert len(broken) >= 50
    assert len(good) >= 8
    assert {path.name for path in FOLDER.iterdir()} == {one.name for one in PROGRAMS} | {
        "flux.cjs",
        "flux.mjs",
        "flux.sh",
    }


def test_every_property_of_the_default_profile_is_broken_by_somebody() -> None:
    about = Counter(client.about for client in broken)
    assert [one.id for one in Plan().chosen() if not about[one.id]] == []


def test_the_page_is_what_the_zoo_says() -> None:
    text = PAGE.read_text("utf-8")
    assert page(rows_of(text)) == text
