"""The swim-lane as text: what comes first, what fits, what is left out."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from mock_server.journal import ClockEntry, Entry, HookEntry, RequestEntry
from mock_server.model import Attempt, Delivery, Job, JobState, Order, Plan, Receipt
from mock_server.testing.timeline import in_encoding, render

START = 1_725_926_400.0


def job(number: int, *, submitted: float = 0.0, started: float | None = None, finished: float | None = None) -> Job:
    state = JobState.SUCCESS if finished is not None else JobState.PENDING if started is None else JobState.RUNNING
    return Job(
        id=f"id-{number}",
        number=number,
        order=Order("generate", f"prompt {number}", "flux1-dev", "1024x1024", None, "http://127.0.0.1"),
        price=Decimal(1),
        state=state,
        plan=Plan(0.0, 0.0),
        submitted_at=START + submitted,
        started_at=None if started is None else START + started,
        finished_at=None if finished is None else START + finished,
    )


def call(
    number: int, at: float = 0.0, path: str = "/flux/generate", job_id: str | None = None, **more: object
) -> Entry:
    entry = RequestEntry(
        number=number, at=START + at, method="POST", path=path, query="", headers={}, request_body=b"{}", request_size=2,
        status=200, response_body=b"", explanation="", lint=(), job_id=job_id, connection=1, uploads=(), twisted=False,
    )  # fmt: skip
    return replace(entry, **more)  # type: ignore[arg-type]


def fetched(number: int, at: float, status: str, job_id: str = "id-1") -> Entry:
    return call(number, at, "/flux/fetch", job_id, response_body=b'{"status": "%s"}' % status.encode())


def hook(number: int, at: float, receipt: Receipt, url: str = "http://127.0.0.1/h") -> Entry:
    return HookEntry(number, START + at, Delivery("d", "id-1", url, b""), Attempt(1, START + at, receipt))


def told(jobs: list[Job], entries: list[Entry]) -> list[str]:
    """Return what each line says, without clock, lane and padding."""
    lines = render(jobs, entries, START).splitlines()[2:]
    return [" ".join(line.replace("│", " ").split()) for line in lines]


def test_at_one_instant_a_state_comes_after_its_cause_and_before_what_shows_it() -> None:
    jobs = [job(1, started=0.0, finished=5.0), job(2, started=5.0)]
    entries = [
        call(1, job_id="id-1"),
        fetched(2, 0.0, "ON_QUEUE"),
        call(3, job_id="id-2"),
        fetched(4, 5.0, "ON_QUEUE"),
        fetched(5, 5.0, "SUCCESS"),
        hook(6, 5.0, Receipt(200)),
    ]
    assert told(jobs, entries) == [
        '+0.000 s POST /flux/generate → 200 "prompt 1"',
        "+0.000 s ON_QUEUE",
        "+0.000 s POST /flux/fetch → 200 job 1 ON_QUEUE",
        '+0.000 s POST /flux/generate → 200 "prompt 2"',
        "+0.000 s PENDING_QUEUE",
        "+5.000 s POST /flux/fetch → 200 job 1 ON_QUEUE",
        "+5.000 s SUCCESS",
        "+5.000 s POST /flux/fetch → 200 job 1 SUCCESS",
        "+5.000 s hook of job 1 → 200",
        "↳ POST http://127.0.0.1/h",
        "+5.000 s ON_QUEUE",
    ]


def test_states_between_two_calls_come_by_their_instants() -> None:
    jobs = [job(1, started=1.0, finished=9.0), job(2, started=2.0, finished=4.0)]
    entries = [call(1, job_id="id-1"), call(2, job_id="id-2"), fetched(3, 60.0, "SUCCESS")]
    times = [float(line.split()[0]) for line in told(jobs, entries)]
    assert times == sorted(times) == [0, 0, 0, 0, 1, 2, 4, 9, 60]


def test_a_repetition_of_what_was_refused_or_lost_is_an_attempt() -> None:
    entries = [
        call(1, status=429, explanation="too many"),
        call(2, status=502, twisted=True, wire="reset"),
        call(3, request_body=b"other"),
        call(4),
        call(5),
        call(6, path="/flux/edits", wire="cut", twisted=True),
        call(7, path="/flux/edits", attempt=2, repeats=6),
    ]
    assert told([], entries) == [
        "+0.000 s POST /flux/generate → 429",
        "↳ too many",
        "+0.000 s POST /flux/generate → 502 (attempt 2)",
        "↳ the scenario changed this answer: reset",
        "+0.000 s POST /flux/generate → 200",
        "+0.000 s POST /flux/generate → 200 (attempt 3)",
        "+0.000 s POST /flux/generate → 200",
        "+0.000 s POST /flux/edits → 200",
        "↳ the scenario changed this answer: cut",
        "+0.000 s POST /flux/edits → 200 (attempt 2)",
    ]


@pytest.mark.parametrize(
    ("receipt", "outcome", "note"),
    [
        (Receipt(None, "timed out"), "no answer", ": timed out"),
        (Receipt(None, "not a public host", blocked=True), "not sent", ": not a public host"),
        (Receipt(503), "503", ""),
    ],
)
def test_a_hook_says_what_became_of_it_and_no_secret(receipt: Receipt, outcome: str, note: str) -> None:
    entries = [hook(1, 0.0, receipt, "http://user:pass@127.0.0.1:1/h/x?token=s3cret")]
    assert told([job(1, submitted=1.0)], entries)[:2] == [
        f"+0.000 s hook of job 1 → {outcome}",
        f"↳ POST http://127.0.0.1:1/h/x?…{note}",
    ]


def test_moves_of_the_clock_say_where_to() -> None:
    entries: list[Entry] = [
        ClockEntry(1, START, START + 60, "advance 60 s"),
        ClockEntry(2, START + 60, START + 60, "freeze"),
    ]
    assert told([], entries) == ["+0.000 s advance 60 s → +60.000 s", "+60.000 s freeze"]


@pytest.mark.parametrize("jobs", [0, 1, 2, 3, 4, 5, 120])
@pytest.mark.parametrize("hooks", [False, True])
def test_it_is_never_wider_than_told_and_every_state_is_there(jobs: int, hooks: bool) -> None:
    made = [job(number, started=1.0, finished=2.0) for number in range(1, jobs + 1)]
    entries = [call(number, explanation="long words " * 100) for number in range(1, 4)]
    entries += [hook(9, 2.0, Receipt(None, "w" * 300))] if hooks else []
    lines = render(made, entries, START, most_lines=10_000).splitlines()
    assert max(map(len, lines)) <= 120
    assert sum("SUCCESS" in line for line in lines) == jobs
    assert ("jobs" in lines[0]) is (jobs > 4)
    assert ("hooks, clock" in lines[0]) is hooks


def test_of_too_many_lines_the_middle_is_left_out() -> None:
    lines = render([], [call(number, float(number)) for number in range(1, 501)], START).splitlines()
    assert len(lines) == 60
    assert lines[2].split()[0] == "+1.000"
    assert "… 443 lines left out …" in lines
    assert lines[-1].split()[0] == "+500.000"


def test_what_clients_send_cannot_break_a_line() -> None:
    entries = [call(1, method="GET\x1b[31m", path="/a\nb" * 50, status=404, explanation="no\r\nsuch\x1b")]
    text = render([], entries, START)
    assert len(text.splitlines()) == 4
    assert all(sign.isprintable() for line in text.splitlines() for sign in line)


@pytest.mark.parametrize(
    ("encoding", "text"), [("utf-8", "a │ b → ä"), ("ascii", "a | b -> \\xe4"), ("latin-1", "a | b -> ä")]
)
def test_it_is_said_in_what_the_terminal_can_show(encoding: str, text: str) -> None:
    assert in_encoding("a │ b → ä", encoding) == text


def test_an_empty_world_says_so() -> None:
    assert render([], [], START) == "(no calls, no jobs, no hooks)"
