"""What a client's transport repeated by itself is told from what the client sent; the journal says who moved the clock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from journal_notes import Serve, note
from requests.adapters import HTTPAdapter
from support import KEY, picture
from urllib3.util.retry import Retry

from mock_server.http.wire import End, Wire
from mock_server.journal import ClockEntry, Entry, Journal
from mock_server.verification import Unverified


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
