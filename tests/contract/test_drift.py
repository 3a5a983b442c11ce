"""Every kind of drift is classified as it should be."""

from __future__ import annotations

from pathlib import Path

import pytest
from drift_corpus import CORPUS, Drift, exchanges, page, story

from contract_tests.checker import Checker


@pytest.mark.parametrize("drift", CORPUS, ids=lambda drift: drift.name)
def test_a_kind_of_drift_is_found_for_what_it_is(drift: Drift) -> None:
    told = story()
    drift.change(told)
    checker = Checker("2026-03")
    checker.feed(exchanges(told))
    report = checker.report()
    found = {(finding.severity.value, finding.rule, finding.endpoint, finding.pointer) for finding in report.findings}
    assert found == set(drift.found)
    assert any(finding.breaking for finding in report.findings) == drift.breaking


def test_there_are_enough_kinds_and_their_names_differ() -> None:
    assert len(CORPUS) >= 60
    assert len({drift.name for drift in CORPUS}) == len(CORPUS)


def test_the_page_in_the_documentation_is_the_table() -> None:
    written = (Path(__file__).parents[2] / "docs" / "drift.md").read_text("utf-8")
    assert written == page(), "run: python tests/contract/drift_corpus.py > docs/drift.md"
