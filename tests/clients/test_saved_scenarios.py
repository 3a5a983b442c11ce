"""Scenarios of failures as files: they can be played by the emulator, and come back as what they were."""

from __future__ import annotations

import unittest
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import samples
from hypothesis import given

import contract_tests
from contract_tests.clients.check import Plan, check_client
from contract_tests.clients.directives.base import Directive, Family, scenario_of
from contract_tests.clients.directives.drawn import together
from contract_tests.clients.directives.menu import plain
from contract_tests.clients.lanes import timeline
from contract_tests.clients.properties.base import Policy
from contract_tests.clients.saved import Saved, read, save, text_of
from contract_tests.clients.verdict import PropertyResult, Result, Verdict
from mock_server.errors import SettingsError
from mock_server.scenarios.files import library, parse_scenario


@pytest.fixture(scope="module")
def verdict() -> Verdict:
    return check_client(samples.naive, plan=Plan(examples=30, only=("C01", "C02", "C18")))


@pytest.fixture(scope="module")
def failure(verdict: Verdict) -> PropertyResult:
    return verdict["C01"]


def of(failure: PropertyResult, directives: Sequence[Directive]) -> PropertyResult:
    assert failure.story is not None
    return replace(
        failure,
        story=replace(failure.story, directives=tuple(directives)),
        scenario=scenario_of(directives, "mine"),
    )


def saved(failure: PropertyResult, directives: Sequence[Directive], folder: Path) -> Saved:
    return read(save(of(failure, directives), folder, seed=7, contract="2024-09"))


@pytest.mark.parametrize("family", list(Family))
def test_a_directive_comes_back_as_it_was(failure: PropertyResult, family: Family, tmp_path: Path) -> None:
    for directive in plain():
        if directive.family is family:
            assert saved(failure, [directive], tmp_path) == Saved((directive,), "C01", 7, "2024-09")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scenarios")


@given(directives=together(frozenset(Family)))
def test_drawn_directives_come_back_as_they_were(
    failure: PropertyResult, folder: Path, directives: tuple[Directive, ...]
) -> None:
    back = saved(failure, directives, folder)
    assert scenario_of(back.directives) == scenario_of(directives)
    assert [(one.name, one.family, one.prompt, one.forged, one.harmless) for one in back.directives] == [
        (one.name, one.family, one.prompt, one.forged, one.harmless) for one in directives
    ]


def test_a_saved_scenario_is_one_that_the_emulator_plays(failure: PropertyResult) -> None:
    scenario = parse_scenario(text_of(failure, seed=0, contract="2026-03"))
    assert scenario.name == "c01-no-double-submit-after-an-ambiguous-outcome"
    assert scenario.settings == {"contract": "2026-03"}
    assert len(scenario.rules) == 1


def test_the_version_of_the_contract_comes_back(failure: PropertyResult, tmp_path: Path) -> None:
    assert read(save(failure, tmp_path, seed=0, contract="2026-03")).contract == "2026-03"


def test_a_replay_is_the_story_again(verdict: Verdict, tmp_path: Path) -> None:
    for result in verdict.failures():
        assert result.story is not None
        replayed = contract_tests.replay(save(result, tmp_path, seed=0, contract="2024-09"), samples.naive)
        assert timeline(replayed.story) == timeline(result.story)
        again = replayed.verdict[result.property.id]
        assert (again.result, again.why, again.bills) == (Result.FAIL, result.why, result.bills)


def test_a_scenario_that_was_edited_is_played_as_it_stands(failure: PropertyResult, tmp_path: Path) -> None:
    path = save(failure, tmp_path, seed=0, contract="2024-09")
    path.write_text(path.read_text("utf-8") + "  - on: fetch\n    then: {status: 500}\n", "utf-8")
    back = read(path)
    assert back.edited
    assert [one.family for one in back.directives] == [Family.OTHER]
    assert len(back.directives[0].rules) == 2


def test_a_scenario_that_somebody_wrote_is_judged_by_what_happened() -> None:
    done = contract_tests.replay(library()["gateway-502-after-accept"], samples.naive)
    assert not done.saved.edited
    assert done.verdict["C01"].result is Result.FAIL
    assert done.verdict["C09"].result is Result.NOT_EXERCISED


def test_a_replay_fails_a_test_with_what_the_client_did(failure: PropertyResult, tmp_path: Path) -> None:
    path = save(failure, tmp_path, seed=0, contract="2024-09")
    with pytest.raises(AssertionError, match=r"C01 MUST   no double submit[\s\S]*POST /flux/generate"):
        contract_tests.replay(path, samples.naive).check("C01")
    contract_tests.replay(path, samples.good).check("C01")
    with pytest.raises(unittest.SkipTest, match="C09 was not exercised"):
        contract_tests.replay(path, samples.good).check("C09")


def test_a_replay_takes_names_and_what_was_declared(failure: PropertyResult, tmp_path: Path) -> None:
    path = save(failure, tmp_path, seed=0, contract="2024-09")
    root = Path(samples.__file__).parent
    done = contract_tests.replay(path, "samples.py:naive", policy=Policy(resubmit=True), root=root)
    assert done.verdict["C01"].result is Result.PASS


def test_a_place_that_cannot_be_written_is_said(failure: PropertyResult, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="expected a place that can be written"):
        save(failure, tmp_path / "file", seed=0, contract="2024-09")
