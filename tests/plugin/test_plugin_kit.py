"""Tests get the assertion of the kit as a fixture, and pay for it only where they use it."""

from __future__ import annotations

import pytest
from inner_runs import run, run_apart, write

pytest_plugins = ["pytester"]


def test_answers_of_any_client_are_asserted(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        test_answers="""
        import httpx
        import pytest
        import requests


        @pytest.mark.parametrize("client", [requests, httpx])
        def test_answer(flux, client, assert_matches_contract):
            order = {"prompt": "a cat", "mode": "flux1-dev"}
            url = f"{flux.url}/flux/generate"
            answer = client.post(url, json=order, headers={"TT-API-KEY": flux.api_key})
            assert_matches_contract(answer)
            assert_matches_contract(answer.json(), endpoint="generate")


        def test_drift(assert_matches_contract):
            assert_matches_contract({"status": "FAILED", "message": "x"}, endpoint="error")
        """,
    )
    result = run(pytester)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*AssertionError: error.response does not match contract 2026-03:*"])


def test_the_kit_is_not_imported_unless_it_is_used(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        test_nothing="""
        import sys


        def test_nothing():
            assert not [name for name in sys.modules if name.startswith("contract_tests")]
            assert not [name for name in sys.modules if name.startswith(("jsonschema_rs", "flask", "mock_server.contract"))]
        """,
    )
    run_apart(pytester).assert_outcomes(passed=1)


def test_a_folder_that_hides_the_kit_is_named(pytester: pytest.Pytester) -> None:
    pytester.mkpydir("contract_tests")
    write(pytester, test_mine="def test_mine(assert_matches_contract):\n    assert_matches_contract({})\n")
    result = run_apart(pytester, "-p", "no:randomly")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*cannot import the contract-testing kit: *is there a folder of that name here?*"])
