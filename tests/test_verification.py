"""Calls that were expected are told from those that came; what a client's transport repeated is told, too."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from requests.adapters import HTTPAdapter
from support import KEY, Caller, picture
from urllib3.util.retry import Retry

from mock_server.contract import Contract, contract
from mock_server.control import TenantControl
from mock_server.errors import FluxmockError
from mock_server.exchange import Answer, Call, mask
from mock_server.http.wire import End, Wire
from mock_server.journal import ClockEntry, Entry, Journal, RequestEntry
from mock_server.serving import Server
from mock_server.verification import (
    Amount,
    Difference,
    Expectation,
    Unverified,
    differences,
    sent_fields,
    verify_calls,
)

Emulate = Callable[..., Caller]
Serve = Callable[..., Server]
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


def note(journal: Journal, body: bytes = b"", *, wire: Wire | None = None, **call: Any) -> RequestEntry:
    """Note a call in a journal, and return its entry."""
    given_ = {"method": "POST", "path": "/flux/generate", "query": "", "content_type": JSON, "connection": 1, **call}
    status = given_.pop("status", 200)
    journal.note_request(0.0, Call(headers={}, body=body, origin="", **given_), Answer(status, b"{}", wire=wire))
    entry = journal[-1]
    assert isinstance(entry, RequestEntry)
    return entry


def entry_of(body: Any, **call: Any) -> RequestEntry:
    return note(Journal("", 10), body if isinstance(body, bytes) else json.dumps(body).encode(), **call)


def steered(caller: Caller) -> TenantControl:
    return TenantControl(caller.app.world, caller.key)


# Attempts


@pytest.fixture
def retrying() -> Iterator[requests.Session]:
    """A client whose transport repeats, by itself, what got no answer."""
    with requests.Session() as session:
        session.headers["TT-API-KEY"] = KEY
        session.mount("http://", HTTPAdapter(max_retries=Retry(3, allowed_methods=None, backoff_factor=0)))
        yield session


def test_a_fault_that_the_transport_retried_is_two_attempts_told_apart(
    serve: Serve, retrying: requests.Session
) -> None:
    server = serve(clock="frozen", scenario="reset-after-accept")
    order = {"prompt": "a cat", "mode": "flux1-dev"}
    assert retrying.post(f"{server.url}/flux/generate", json=order).status_code == 200
    first, second = server.tenant(KEY).journal.requests
    assert (first.attempt, first.repeats, first.wire) == (1, None, "reset without an answer")
    assert (second.attempt, second.repeats, second.wire) == (2, first.number, "")
    assert first.connection != second.connection
    tenant = server.tenant(KEY)
    with pytest.raises(Unverified) as failed:
        tenant.assert_called("generate", times=1)
    again = f"connection {second.connection}, attempt 2, after the answer to #1 was broken on the wire: reset without"
    assert again in str(failed.value)
    with pytest.raises(Unverified) as failed:
        tenant.assert_max_spend(1)
    head, one, two = str(failed.value).splitlines()
    assert head == "expected at most 1 quota spent or reserved, got 2 for 2 jobs"
    assert f"1 for job {first.job_id}: " in one
    assert "prompt 'a cat', submitted by #1" in one
    assert "submitted by #2 (attempt 2, after the answer to #1" in two


def test_an_upload_that_the_transport_retried_is_told_by_the_whole_of_it(
    serve: Serve, retrying: requests.Session
) -> None:
    server = serve(clock="frozen", scenario="reset-after-accept")
    file = picture(size=(900, 900), kind="BMP")
    fields = {"prompt": "a cat", "mode": "flux1-dev"}
    assert retrying.post(f"{server.url}/flux/edits", data=fields, files={"image": file}).status_code == 200
    entries = server.tenant(KEY).journal.requests
    assert [entry.attempt for entry in entries] == [1, 2]
    assert {entry.request_size > len(entry.request_body) for entry in entries} == {True}
    assert len(server.tenant(KEY).assert_called("edits", times=2, prompt="a cat")) == 2


def test_attempts_count_on_until_an_answer_came_whole() -> None:
    journal, reset = Journal("", 10), Wire(end=End.RESET)
    seen = [note(journal, b"{}", wire=wire) for wire in (reset, reset, None, None, reset, None)]
    assert [entry.attempt for entry in seen] == [1, 2, 3, 1, 1, 2]
    assert [entry.repeats for entry in seen] == [None, 1, 2, None, None, 5]


@pytest.mark.parametrize(
    "other",
    [{"body": b"{ }"}, {"path": "/flux/edits"}, {"query": "a=b"}, {"method": "PUT"}],
    ids=lambda other: next(iter(other)),
)
def test_what_differs_in_one_byte_repeats_nothing(other: dict[str, Any]) -> None:
    journal = Journal("", 10)
    note(journal, b"{}", wire=Wire(silent=True))
    assert note(journal, **{"body": b"{}", **other}).attempt == 1
    assert note(journal, b"{}", connection=2).attempt == 2


@pytest.mark.parametrize(
    ("wire", "words", "breaks"),
    [
        (Wire(end=End.RESET), "reset", True),
        (Wire(silent=True), "no answer at all", True),
        (Wire(silent=True, end=End.CLOSE), "closed without an answer", True),
        (Wire(silent=True, end=End.HALF_CLOSE), "half closed without an answer", True),
        (Wire(body_bytes=10), "body cut after 10 bytes", True),
        (Wire(body_bytes=0, end=End.CLOSE), "body cut after 0 bytes, closed", True),
        (Wire(length_error=5), "Content-Length wrong by +5", True),
        (Wire(length_error=-5), "Content-Length wrong by -5", False),
        (Wire(end=End.CLOSE), "closed", False),
        (Wire(end=End.HALF_CLOSE), "half closed", False),
        (Wire(delay=0.5), "0.5 s late", False),
        (Wire(delay=2, end=End.RESET), "2 s late, reset", True),
        (Wire(piece=3, pause=0.25), "3 bytes at a time, 0.25 s apart", False),
        (Wire(chunks=(3, 4)), "in chunks of 3, 4 bytes", False),
        (Wire(idle=1), "closed after 1 idle s", False),
    ],
)
def test_what_was_done_on_the_wire_is_worded_and_only_a_break_makes_an_attempt(
    wire: Wire, words: str, breaks: bool
) -> None:
    journal = Journal("", 10)
    assert note(journal, b"{}", wire=wire).wire == words
    assert note(journal, b"{}").attempt == (2 if breaks else 1)


def test_of_very_many_broken_answers_the_newest_are_watched_for() -> None:
    journal = Journal("", 10)
    for number in range(1001):
        note(journal, b"%d" % number, wire=Wire(silent=True))
    assert note(journal, b"0").attempt == 1
    assert note(journal, b"1000").attempt == 2


def test_who_moves_the_clock_is_in_the_journal_and_observers_are_told(serve: Serve) -> None:
    tenant = serve(clock="frozen").tenant(KEY)
    tenant.clock.advance(60)
    (entry,) = tenant.journal
    assert isinstance(entry, ClockEntry)
    assert (entry.number, entry.to - entry.at) == (1, 60)
    told: list[Entry] = []
    journal = Journal("", 10, lambda _, entry: told.append(entry))
    journal.note_clock(1.0, 3.0, "advance")
    assert told == [*journal] == [ClockEntry(1, 1.0, 3.0, "advance")]
    assert journal.requests == []


# Fields


def test_fields_are_read_from_wherever_they_came() -> None:
    fields = {"prompt": "a cat", "n": "1"}
    assert sent_fields(entry_of(fields)) == fields
    assert sent_fields(entry_of(urlencode(fields).encode(), content_type=FORM)) == fields
    assert sent_fields(entry_of(b"", method="GET", query="prompt=a+cat&n=1")) == fields
    assert sent_fields(entry_of({"n": 2}, query="prompt=a+cat&n=1")) == {"prompt": "a cat", "n": 2}
    assert sent_fields(entry_of(fields, content_type="text/plain")) == fields
    assert [sent_fields(entry_of(body)) for body in (b"[1]", b"{", b"", b"\xff")] == [{}] * 4


def test_fields_beside_a_large_file_are_read_although_the_body_is_cut(emulate: Emulate) -> None:
    caller = emulate()
    file = picture(size=(200, 200), kind="BMP")
    caller.edit((file, "a.bmp"), prompt="a cat", n="1")
    caller.edit((file, "a.bmp"), prompt="a cat", mode="nope")
    tenant = steered(caller)
    assert len(tenant.calls("edits", prompt="a cat")) == 2
    assert [entry.status for entry in tenant.calls("edits", mode="nope")] == [400]
    assert len(tenant.calls("edits", n=1)) == 1
    with pytest.raises(Unverified, match="prmpt: expected 'x', got no such field, but prompt='a cat'"):
        tenant.assert_called("edits", prmpt="x")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (json.dumps({"mode": "flux1-dev", "prompt": "x" * 20_000}).encode(), JSON),
        (urlencode({"mode": "flux1-dev", "prompt": "x" * 20_000}).encode(), FORM),
    ],
    ids=["json", "form"],
)
def test_what_is_no_longer_kept_of_a_body_is_said(body: bytes, kind: str) -> None:
    (difference,) = differences(entry_of(body, content_type=kind), Expectation(fields={"prompt": "x" * 20_000}))
    assert difference.got == f"none in what is kept of the body, 16384 of {len(body)} bytes"


def test_long_fields_beside_a_file_are_not_kept_and_that_is_said(emulate: Emulate) -> None:
    caller = emulate()
    caller.edit((picture(), "a.png"), prompt="x" * 20_000)
    with pytest.raises(Unverified, match="mode: expected 'a', got none in what is kept of the body, 16384 of"):
        steered(caller).assert_called("edits", mode="a")


# Differences


def is_short(text: str) -> bool:
    return len(text) < 3


@pytest.mark.parametrize(
    ("expected", "got", "words"),
    [
        ("a cat", "a dog", "expected 'a cat', got 'a dog'"),
        (1, "1", "expected 1, got '1'"),
        (1, True, "expected 1, got True"),
        (True, 1, "expected True, got 1"),
        (None, "x", "expected None, got 'x'"),
        (re.compile("^ca"), "a cat", "expected a match of '^ca', got 'a cat'"),
        (re.compile("7"), 5, "expected a match of '7', got 5"),
        (is_short, "long", "expected what is_short accepts, got 'long'"),
        (is_short, 5, "expected what is_short accepts, got 5, for which it raised TypeError("),
    ],
)
def test_a_value_that_is_not_as_expected_is_shown_beside_it(expected: Any, got: Any, words: str) -> None:
    (difference,) = differences(entry_of({"x": got}), Expectation(fields={"x": expected}))
    assert str(difference).startswith(f"x: {words}")


@pytest.mark.parametrize(
    ("expected", "got"),
    [("a", "a"), (1, 1.0), (None, None), ((1, 2), [1, 2]), (re.compile("a.*t"), "a cat"), (is_short, "ab"), ({}, {})],
)
def test_a_value_that_is_as_expected_is_no_difference(expected: Any, got: Any) -> None:
    assert differences(entry_of({"x": got}), Expectation(fields={"x": expected})) == ()


@pytest.mark.parametrize(("expected", "text"), [(1, "1"), (0.5, "0.5"), (True, "true"), (False, "False"), ("1", "1")])
def test_in_a_form_where_all_is_text_a_number_is_meant_by_its_digits(expected: Any, text: str) -> None:
    assert differences(entry_of(f"x={text}".encode(), content_type=FORM), Expectation(fields={"x": expected})) == ()


def test_of_long_texts_the_part_that_differs_is_shown() -> None:
    prompt = "a cat " * 50
    (difference,) = differences(entry_of({"prompt": prompt + "sits"}), Expectation(fields={"prompt": prompt + "runs"}))
    assert difference.expected.endswith("a cat runs'")
    assert difference.got.endswith("a cat sits'")
    assert len(str(difference)) < 200


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("hook_url", "no such field, but hookUrl='http://127.0.0.1:9/h': did you mean 'hookUrl'?"),
        ("promt", "no such field, but prompt='a cat': did you mean 'prompt'?"),
        ("size", "no such field"),
    ],
)
def test_a_field_under_another_name_is_found(name: str, hint: str) -> None:
    entry = entry_of({"prompt": "a cat", "hookUrl": "http://127.0.0.1:9/h"})
    assert differences(entry, Expectation(fields={name: "x"})) == (Difference(name, "'x'", hint),)


def test_endpoint_method_status_and_job_can_differ_too() -> None:
    entry = entry_of(b"", method="GET", path="/flux/fetch", status=404)
    expectation = Expectation("generate", None, 200, "an-id")
    assert [str(difference) for difference in differences(entry, expectation)] == [
        "path: expected /flux/generate, got /flux/fetch",
        "method: expected POST, got GET",
        "status: expected 200, got 404",
        "job_id: expected 'an-id', got no job",
    ]


@pytest.mark.parametrize(
    ("endpoint", "calls"),
    [
        (None, "gefi"), ("generate", "g"), ("edits", "e"), ("submit", "ge"), ("fetch", "f"), ("image", "i"),
        ("/flux/fetch", "f"), ("/nowhere", ""),
    ],
)  # fmt: skip
def test_an_endpoint_is_meant_by_its_name_or_its_path(endpoint: str | None, calls: str) -> None:
    came = {
        "g": entry_of({}),
        "e": entry_of(b"", path="/flux/edits", content_type="multipart/form-data"),
        "f": entry_of({}, path="/flux/fetch"),
        "i": entry_of(b"", method="GET", path="/2024-09-10/abc.webp"),
    }
    assert "".join(name for name, entry in came.items() if not differences(entry, Expectation(endpoint))) == calls


NAMES = st.text("abcdefgh", min_size=1, max_size=4)
VALUES = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5)
BODIES = st.dictionaries(NAMES, VALUES, min_size=1, max_size=5)


@given(BODIES)
def test_a_call_is_what_its_own_fields_describe(fields: dict[str, Any]) -> None:
    entry = entry_of(fields)
    assert differences(entry, Expectation("generate", "POST", 200, None, sent_fields(entry))) == ()


@given(BODIES, st.data())
def test_one_field_that_is_changed_is_one_difference(fields: dict[str, Any], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(fields)))
    changed = {
        **fields,
        name: data.draw(VALUES.filter(lambda value: (value, type(value)) != (fields[name], type(fields[name])))),
    }
    assert [difference.field for difference in differences(entry_of(fields), Expectation(fields=changed))] == [name]


@given(st.dictionaries(NAMES, st.text("abc &=%+é", max_size=5), min_size=1, max_size=5))
def test_the_same_fields_are_the_same_call_in_every_wrapping(fields: dict[str, str]) -> None:
    wrapped = [
        entry_of(fields),
        entry_of(urlencode(fields).encode(), content_type=FORM),
        entry_of(b"", query=urlencode(fields)),
    ]
    assert [differences(entry, Expectation(fields=fields)) for entry in wrapped] == [()] * 3


# How many


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))
def test_a_number_of_calls_is_held_against_its_bounds(came: int, low: int, more: int) -> None:
    assert (came in Amount.of(low)) is (came == low)
    assert (came in Amount.of(at_least=low)) is (came >= low)
    assert (came in Amount.of(at_most=low)) is (came <= low)
    assert (came in Amount.of(at_least=low, at_most=low + more)) is (low <= came <= low + more)
    assert (came in Amount.of()) is (came >= 1)


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (Amount.of(), "at least 1 call"), (Amount.of(0), "no call"), (Amount.of(2), "exactly 2 calls"),
        (Amount.of(at_most=1), "at most 1 call"), (Amount.of(at_least=2, at_most=3), "2 to 3 calls"),
    ],
)  # fmt: skip
def test_a_number_of_calls_is_worded(amount: Amount, words: str) -> None:
    assert str(amount) == words


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            {"endpoint": "genrate"},
            "^endpoint: expected one of generate, edits, .*, got 'genrate': did you mean 'generate'",
        ),
        ({"endpoint": 5}, "^endpoint: expected one of"),
        ({"times": -1}, "^times: expected a whole number, 0 or more, got -1$"),
        ({"at_least": True}, "^at_least: expected a whole number"),
        ({"at_most": 1.5}, "^at_most: expected a whole number"),
        (
            {"times": 1, "at_least": 1},
            "^times: expected it alone, got at_least or at_most, too: leave one of them out$",
        ),
        ({"at_least": 3, "at_most": 2}, "^at_least: expected no more than at_most, got 3 and 2: swap them$"),
        ({"status": "200"}, "^status: expected an HTTP status such as 200, got '200'$"),
        ({"job_id": 7}, "^job_id: expected the id of a job, got 7$"),
        ({"prompt": re.compile(b"x")}, "^prompt: expected a pattern for text, got one for bytes: write it without b$"),
        ({"fields": {"prompt": "a"}, "prompt": "b"}, "^prompt: expected it once, got it in fields and as an argument"),
    ],
)
def test_what_cannot_be_expected_is_said(emulate: Emulate, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        steered(emulate()).assert_called(**{"endpoint": "generate", **wrong})


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
