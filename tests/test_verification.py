"""Calls that were expected are told from those that came, in words; so is what they cost."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from journal_notes import Emulate, note, steered

from mock_server.contract import Contract, contract
from mock_server.control import TenantControl
from mock_server.errors import FluxmockError
from mock_server.exchange import mask
from mock_server.expectations import Amount, Expectation
from mock_server.journal import Journal
from mock_server.verification import Unverified, verify_calls

# Messages


def test_a_missing_call_is_told_with_the_nearest_ones(emulate: Emulate) -> None:
    caller = emulate()
    tenant = steered(caller)
    caller.fetch(caller.submit(prompt="a cat"))
    tenant.clock.advance(12)
    caller.submit(prompt="a dog")
    caller.generate(prompt="a dog", mode="nope")
    with pytest.raises(Unverified) as failed:
        tenant.assert_called("generate", times=2, prompt="a cat", status=200)
    first, came, second, third = str(failed.value).split("\n  #")
    job = tenant.jobs[1].id
    assert (
        first
        == "expected exactly 2 calls to POST /flux/generate with prompt='a cat', status 200, got 1 of 4 calls\nthese came:"
    )
    assert came == f"1 at +0.0 s POST /flux/generate → 200, job {tenant.jobs[0].id}\nnearest to these:"
    assert second == f"4 at +12.0 s POST /flux/generate → 200, job {job}\n    prompt: expected 'a cat', got 'a dog'"
    assert third.startswith("5 at +12.0 s POST /flux/generate → 400\n    refused: mode: expected one of ")
    assert third.endswith("\n    status: expected 200, got 400\n    prompt: expected 'a cat', got 'a dog'")
    assert [miss.entry.number for miss in failed.value.nearest] == [4, 5]
    assert [entry.number for entry in failed.value.matching] == [1]


def test_of_calls_too_few_those_that_came_are_listed(emulate: Emulate) -> None:
    caller = emulate()
    first, second = caller.submit(), caller.submit()
    caller.fetch(first)
    with pytest.raises(Unverified) as failed:
        steered(caller).assert_called("generate", times=3)
    assert str(failed.value).splitlines() == [
        "expected exactly 3 calls to POST /flux/generate, got 2 of 3 calls",
        "these came:",
        f"  #1 at +0.0 s POST /flux/generate → 200, job {first}",
        f"  #2 at +0.0 s POST /flux/generate → 200, job {second}",
    ]


def test_calls_of_another_endpoint_are_near_only_where_none_of_this_one_came(emulate: Emulate) -> None:
    caller = emulate()
    tenant = steered(caller)
    job_id = caller.submit()
    with pytest.raises(Unverified) as failed:
        tenant.assert_called("fetch")
    assert [miss.entry.number for miss in failed.value.nearest] == [1]
    caller.fetch(job_id)
    with pytest.raises(Unverified) as failed:
        tenant.assert_called("fetch", status=404)
    assert [miss.entry.path for miss in failed.value.nearest] == ["/flux/fetch"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [("time", "times"), ("atleast", "at_least"), ("at_mots", "at_most"), ("stauts", "status"), ("jobId", "job_id")],
)
def test_a_field_that_was_meant_as_an_argument_is_asked_about(emulate: Emulate, written: str, meant: str) -> None:
    caller = emulate()
    caller.submit()
    with pytest.raises(Unverified) as failed:
        steered(caller).assert_called("generate", fields={written: 1})
    assert f"\n{written} was taken as a field, which no call had: did you mean {meant}=1?\n" in str(failed.value)


def test_a_field_that_some_call_had_was_meant_as_one(emulate: Emulate) -> None:
    caller = emulate()
    caller.fetch(caller.submit())
    with pytest.raises(Unverified) as failed:
        steered(caller).assert_called("fetch", jobId="x", size="y")
    assert "did you mean" not in str(failed.value)


def test_calls_too_many_are_listed(emulate: Emulate) -> None:
    caller = emulate()
    for number in range(12):
        caller.submit(prompt=f"cat {number}")
    with pytest.raises(Unverified) as failed:
        steered(caller).assert_called("generate", times=0, prompt=re.compile("cat"))
    head, these, *lines = str(failed.value).splitlines()
    assert these == "these came:"
    assert head == "expected no call to POST /flux/generate with prompt=a match of 'cat', got 12 of 12 calls"
    assert (len(lines), lines[-1]) == (11, "  and 2 more")
    assert failed.value.nearest == ()


def test_calls_that_are_as_expected_are_returned(emulate: Emulate) -> None:
    caller = emulate()
    job_id = caller.submit(prompt="a cat")
    caller.submit(prompt="a dog")
    caller.fetch(job_id)
    tenant = steered(caller)
    assert [entry.path for entry in tenant.assert_called(None, job_id=job_id)] == ["/flux/generate", "/flux/fetch"]
    assert tenant.assert_called("submit", times=2) == tenant.calls("generate", status=200)
    assert [entry.job_id for entry in tenant.assert_called("fetch", jobId=job_id)] == [job_id]
    assert tenant.assert_called("fetch", fields={"jobId": "x"}, times=0) == []
    assert tenant.assert_called("edits", at_most=0) == tenant.calls("image") == []


def test_calls_under_other_keys_are_mentioned_when_none_came(emulate: Emulate) -> None:
    caller = emulate(key="a-very-secret-key")
    caller.submit()
    caller.http.post("/flux/generate", json={})
    with pytest.raises(Unverified) as failed:
        TenantControl(caller.app.world, "another-secret-key").assert_called("generate")
    _, strays, others = str(failed.value).splitlines()
    assert strays == "calls with no key, with one that is not accepted, or to no endpoint: 1"
    assert re.fullmatch(r"calls came with the keys a-ve…#[0-9a-f]{4}", others)


def test_an_upper_bound_cannot_be_vouched_for_once_entries_are_gone(emulate: Emulate) -> None:
    caller = emulate(journal=2)
    for _ in range(3):
        caller.submit()
    tenant = steered(caller)
    assert len(tenant.assert_called("generate", at_least=2)) == 2
    for bound in ({"times": 2}, {"at_most": 2}):
        with pytest.raises(
            Unverified, match="1 older journal entries are gone, so there may have been more: --journal N"
        ):
            tenant.assert_called("generate", **bound)


def test_controls_in_a_path_do_not_reach_a_terminal() -> None:
    journal = Journal("", 10)
    entry = note(journal, path="/\x1b[31m")
    with pytest.raises(Unverified) as failed:
        verify_calls([entry], Expectation("fetch"), Amount.of(), start=0.0)
    assert "\x1b" not in str(failed.value)


# Spending


def test_what_was_spent_and_reserved_is_held_against_a_limit(emulate: Emulate) -> None:
    caller = emulate(progress="manual")
    tenant = steered(caller)
    assert tenant.assert_max_spend(0) == 0
    tenant.jobs.finish(caller.submit())
    caller.submit()
    assert tenant.assert_max_spend(2) == tenant.assert_max_spend("2.0") == 2
    with pytest.raises(Unverified, match="^expected at most 1.5 quota spent or reserved, got 2 for 2 jobs\n"):
        tenant.assert_max_spend(1.5)


def test_what_was_refunded_was_not_spent(emulate: Emulate) -> None:
    caller = emulate(progress="manual", refund=True)
    tenant = steered(caller)
    tenant.jobs.fail(caller.submit(prompt="a cat"))
    assert tenant.assert_max_spend(0) == 0
    caller.submit(prompt="a dog")
    with pytest.raises(Unverified) as failed:
        tenant.assert_max_spend(0)
    _, job = str(failed.value).splitlines()
    assert "prompt 'a dog', submitted by #2" in job


def test_a_submit_that_the_journal_no_longer_has_is_said_to_be_gone(emulate: Emulate) -> None:
    caller = emulate(journal=1)
    caller.fetch(caller.submit())
    with pytest.raises(Unverified, match="submitted by a call that the journal no longer has"):
        steered(caller).assert_max_spend(0)


@pytest.mark.parametrize("quota", [-1, "much", float("nan"), None, True])
def test_a_limit_that_is_no_amount_is_refused(emulate: Emulate, quota: Any) -> None:
    with pytest.raises(ValueError, match="^max_spend: expected quota units, 0 or more, got"):
        steered(emulate()).assert_max_spend(quota)


# What a debugger and a traceback show


def test_a_world_in_a_debugger_is_told_in_a_line_and_nothing_happens_to_it(emulate: Emulate) -> None:
    caller = emulate(clock="auto", key="a-very-secret-key")
    tenant = steered(caller)
    caller.submit()
    tenant.clock.advance(12)
    caller.submit()
    tenant.jobs.finish(tenant.jobs[1].id)
    tail = mask(caller.key)
    assert repr(tenant) == f"<fluxmock tenant {tail}: 2 jobs, spent {tenant.spent}, clock auto at +12.0 s>"
    assert repr(tenant.clock) == "<fluxmock clock auto at +12.0 s>"
    for pace, words in ((0, "frozen"), (60, "x60"), (1, "real")):
        tenant.clock.run(pace)
        assert repr(tenant.clock).startswith(f"<fluxmock clock {words} at +")
    caller.app.world.forget_all()
    assert repr(tenant) == f"<fluxmock tenant {tail}: no world yet>"
    assert repr(tenant.clock) == "<fluxmock clock of no world yet>"
    assert caller.app.world.tenants() == []


@pytest.mark.parametrize(
    "fails",
    [
        lambda tenant: tenant.assert_called("generate", times=7),
        lambda tenant: tenant.assert_max_spend(0),
        lambda tenant: tenant.hooks.wait_for_delivery(),
        lambda tenant: tenant.hooks.replay("nope"),
        lambda tenant: tenant.scenario("lost-hok"),
        lambda tenant: tenant.scenario({"name": "x", "rules": 7}),
    ],
    ids=["assert_called", "assert_max_spend", "wait_for_delivery", "replay", "scenario", "scenario-data"],
)
def test_a_traceback_ends_in_the_test_that_failed(emulate: Emulate, fails: Callable[[TenantControl], object]) -> None:
    caller = emulate()
    caller.submit()
    with pytest.raises((AssertionError, FluxmockError)) as failed:
        fails(steered(caller))
    assert {Path(str(frame.path)).name for frame in failed.traceback.filter(failed)} == {Path(__file__).name}


@pytest.mark.parametrize("ask", [Contract.accepts, Contract.problems])
def test_a_schema_that_is_none_is_told_from_those_that_are(ask: Callable[[Contract, str, object], object]) -> None:
    with pytest.raises(ValueError, match=r"got 'generat.response': did you mean 'generate.response'\?$"):
        ask(contract("2024-09"), "generat.response", {})
