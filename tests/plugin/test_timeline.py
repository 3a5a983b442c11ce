"""The swim-lane as text: what comes first, what fits, what is left out."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from mock_server.journal import ClockEntry, Entry, HookEntry, RequestEntry
from mock_server.model import Attempt, Delivery, DeliveryState, Job, JobState, Order, Plan, Receipt
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


def move(number: int, at: float, to: float, what: str) -> Entry:
    return ClockEntry(number, START + at, START + to, what)


def told(jobs: list[Job], entries: list[Entry], deliveries: tuple[Delivery, ...] = (), timed: bool = True) -> list[str]:
    """Return what each line says, without lane and padding."""
    lines = render(jobs, entries, START, deliveries=deliveries, timed=timed).splitlines()[2:]
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


def test_a_move_of_the_clock_comes_before_what_it_caused_and_after_what_had_happened_by_then() -> None:
    entries = [
        call(1, job_id="id-1"),
        move(2, 0.0, 2.0, "advance 2 s"),
        move(3, 2.0, 5.0, "next event"),
        fetched(4, 5.0, "SUCCESS"),
    ]
    assert told([job(1, started=2.0, finished=5.0)], entries) == [
        '+0.000 s POST /flux/generate → 200 "prompt 1"',
        "+0.000 s PENDING_QUEUE",
        "+0.000 s advance 2 s → +2.000 s",
        "+2.000 s ON_QUEUE",
        "+2.000 s next event → +5.000 s",
        "+5.000 s SUCCESS",
        "+5.000 s POST /flux/fetch → 200 job 1 SUCCESS",
    ]


def test_a_submission_comes_before_its_job_even_if_it_is_dated_later() -> None:
    entries = [call(1, 1.0, job_id="other"), call(2, 3.0, job_id="id-1")]
    assert told([job(1, submitted=2.0)], entries)[1:] == [
        '+3.000 s POST /flux/generate → 200 "prompt 1"',
        "+2.000 s PENDING_QUEUE",
    ]


@pytest.mark.parametrize(
    ("what", "words"), [("advance 2 s", "advance 2 s × 400 → +800.000 s"), ("advance to", "→ +800.000 s")]
)
def test_the_calls_of_a_client_that_polls_are_one_row_and_its_waits_another(what: str, words: str) -> None:
    entries = [call(1, job_id="id-1")]
    for number in range(400):
        entries.append(fetched(2 * number + 2, 2.0 * number, "ON_QUEUE"))
        entries.append(move(2 * number + 3, 2.0 * number, 2.0 * number + 2, what))
    entries.append(fetched(900, 800.0, "SUCCESS"))
    assert told([job(1, started=0.0, finished=799.0)], entries) == [
        '+0.000 s POST /flux/generate → 200 "prompt 1"',
        "+0.000 s ON_QUEUE",
        "+0.000 s POST /flux/fetch → 200 job 1 ON_QUEUE × 400 … +798.000 s",
        f"+0.000 s {words}",
        "+799.000 s SUCCESS",
        "+800.000 s POST /flux/fetch → 200 job 1 SUCCESS",
    ]


def test_a_client_that_waits_first_is_as_short() -> None:
    entries: list[Entry] = []
    for number in range(0, 20, 2):
        entries += [move(number, number, number + 2, "advance 2 s"), fetched(number + 1, number + 2, "ON_QUEUE")]
    assert told([], entries) == [
        "+0.000 s advance 2 s × 10 → +20.000 s",
        "+2.000 s POST /flux/fetch → 200 ON_QUEUE × 10 … +20.000 s",
    ]


def test_calls_that_differ_are_not_one() -> None:
    entries = [fetched(1, 0.0, "ON_QUEUE"), fetched(2, 1.0, "ON_QUEUE", "id-2"), fetched(3, 2.0, "ON_QUEUE")]
    entries += [replace(entries[-1], number=4, lint=("a remark",))]
    assert [line for line in told([job(1), job(2)], entries) if "×" in line] == []


def test_moves_that_differ_are_one_move() -> None:
    entries = [move(1, 0.0, 2.0, "advance 2 s"), move(2, 2.0, 5.0, "advance 3 s"), move(3, 5.0, 5.0, "freeze")]
    assert told([], entries) == ["+0.000 s → +5.000 s", "+5.000 s freeze"]


def test_a_sleep_that_passes_events_is_one_move() -> None:
    entries = [
        call(1, job_id="id-1"),
        move(2, 0.0, 1.0, "advance to"),
        move(3, 1.0, 4.0, "advance to"),
        move(4, 4.0, 9.0, "advance to"),
    ]
    assert told([job(1, started=1.0, finished=4.0)], entries)[2:] == [
        "+0.000 s → +9.000 s",
        "+1.000 s ON_QUEUE",
        "+4.000 s SUCCESS",
    ]


@pytest.mark.parametrize(
    ("state", "lines"),
    [
        (DeliveryState.DROPPED, ["+2.000 s hook of job 1 dropped"]),
        (DeliveryState.HELD, ["+2.000 s hook of job 1 held", "↳ until a fetch shows how the job ended"]),
        (DeliveryState.DUE, []),
        (DeliveryState.DELIVERED, []),
    ],
)
def test_a_hook_that_was_never_sent_is_told_where_its_job_ends(state: DeliveryState, lines: list[str]) -> None:
    deliveries = (Delivery("d", "id-1", "http://127.0.0.1/h", b"", state=state),)
    entries = [fetched(1, 3.0, "SUCCESS")]
    assert told([job(1, started=1.0, finished=2.0)], entries, deliveries)[2:] == [
        "+2.000 s SUCCESS",
        *lines,
        "+3.000 s POST /flux/fetch → 200 job 1 SUCCESS",
    ]


PLANNED = replace(job(1, started=2.0, finished=5.0), plan=Plan(2.0, 3.0))
FAILED = replace(PLANNED, state=JobState.FAILED, failure="violation")


@pytest.mark.parametrize(
    ("changed", "states"),
    [
        (PLANNED, ["ON_QUEUE", "SUCCESS"]),
        (replace(PLANNED, started_at=START + 1, finished_at=START + 4), ["ON_QUEUE by hand", "SUCCESS"]),
        (replace(PLANNED, started_at=START + 9, finished_at=START + 12), ["ON_QUEUE", "SUCCESS"]),
        (replace(PLANNED, finished_at=START + 4), ["ON_QUEUE", "SUCCESS by hand"]),
        (replace(PLANNED, plan=Plan(2.0, 3.0, "violation")), ["ON_QUEUE", "SUCCESS by hand"]),
        (FAILED, ["ON_QUEUE", "FAILED by hand"]),
        (replace(FAILED, plan=Plan(2.0, 3.0, "violation")), ["ON_QUEUE", "FAILED"]),
        (replace(FAILED, started_at=None), ["FAILED by hand"]),
    ],
)
def test_what_did_not_go_by_the_plan_was_done_by_hand(changed: Job, states: list[str]) -> None:
    assert [line.partition(" s ")[2] for line in told([changed], []) if line[0] == "+"][1:] == states


def test_jobs_that_do_not_move_by_time_are_never_early() -> None:
    early = replace(PLANNED, started_at=START + 1, finished_at=START + 1.5)
    assert [line for line in told([early], [], timed=False) if "by hand" in line] == []


def test_a_job_whose_hook_comes_before_the_answer_is_not_early() -> None:
    order = replace(PLANNED.order, hook_url="http://127.0.0.1/h")
    at_once = replace(PLANNED, order=order, started_at=START, finished_at=START)
    assert told([at_once], []) == ["+0.000 s SUCCESS"]


def test_a_fault_is_told_once() -> None:
    remark = "the scenario changed this answer: status 500, reset"
    fault = call(1, status=500, explanation="the scenario answers 500 here", lint=(remark,), twisted=True, wire="reset")
    broken = replace(fault, number=2, explanation="mode is missing", path="/flux/edits")
    assert told([], [fault, broken]) == [
        "+0.000 s POST /flux/generate → 500",
        f"↳ {remark}",
        "+0.000 s POST /flux/edits → 500",
        "↳ mode is missing",
        f"↳ {remark}",
    ]


FITTING = """
   clock │ client                               │ job 1         │ hooks, clock
─────────┼──────────────────────────────────────┼───────────────┼────────────────────
+0.000 s │ POST /flux/generate → 200 "prompt 1" │               │
+0.000 s │                                      │ PENDING_QUEUE │
+1.000 s │                                      │ ON_QUEUE      │
+2.000 s │                                      │ SUCCESS       │
+5.000 s │ POST /flux/fetch → 200 job 1 SUCCESS │               │
+5.000 s │                                      │               │ hook of job 1 → 200
         ↳ POST http://127.0.0.1/h
"""


def test_every_column_is_as_wide_as_what_is_in_it() -> None:
    entries = [call(1, job_id="id-1"), fetched(2, 5.0, "SUCCESS"), hook(3, 5.0, Receipt(200))]
    assert render([job(1, started=1.0, finished=2.0)], entries, START) == FITTING.strip("\n")


@pytest.mark.parametrize(
    ("width", "heads"),
    [
        (120, ["clock", "client", "job 1", "job 2", "hooks, clock"]),
        (100, ["clock", "client", "jobs", "hooks, clock"]),
        (70, ["clock", "what happened"]),
    ],
)
def test_where_there_is_less_room_there_are_fewer_columns(width: int, heads: list[str]) -> None:
    jobs = [job(1, started=1.0, finished=2.0), job(2, started=2.0)]
    entries = [call(1), call(2), fetched(3, 5.0, "SUCCESS"), hook(4, 5.0, Receipt(None, "timed out"))]
    lines = render(jobs, entries, START, width=width).splitlines()
    assert [head.strip() for head in lines[0].split("│")] == heads
    assert any("POST /flux/fetch → 200 job 1 SUCCESS" in line for line in lines)


@pytest.mark.parametrize("jobs", [0, 1, 2, 3, 4, 5, 120])
@pytest.mark.parametrize("hooks", [False, True])
@pytest.mark.parametrize("width", [40, 60, 100, 160])
def test_it_is_never_wider_than_told_and_every_state_is_there(jobs: int, hooks: bool, width: int) -> None:
    made = [job(number, started=1.0, finished=2.0) for number in range(1, jobs + 1)]
    entries = [call(number, explanation="long words " * 100, path="/p" * 50) for number in range(1, 4)]
    entries += [hook(9, 2.0, Receipt(None, "w" * 300))] if hooks else []
    lines = render(made, entries, START, most_lines=10_000, width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert sum("SUCCESS" in line for line in lines) == jobs
    assert any(" × 3" in line for line in lines)


def test_of_too_many_lines_the_middle_is_left_out() -> None:
    entries = [call(number, float(number), f"/{number}") for number in range(1, 501)]
    lines = render([], entries, START).splitlines()
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
