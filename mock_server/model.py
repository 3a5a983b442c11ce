"""The data of the emulator: frozen values without behaviour, shared by every other module.

Times are seconds since the Unix epoch on the tenant's own clock. Money is in quota units (100 quota = 1 USD, S2),
exact, as `Decimal`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum


def later(instant: float, seconds: float) -> float:
    """
    Return the instant that is `seconds` after `instant`, to the millisecond.

    Rounded so, a float of today's date is the only one for its millisecond, and sums are exact.
    """
    return round(instant + seconds, 3)


class JobState(StrEnum):
    """Where a job stands. The values are the API's own words (S1; PENDING_QUEUE is S2's)."""

    PENDING = "PENDING_QUEUE"
    RUNNING = "ON_QUEUE"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"

    @property
    def final(self) -> bool:
        """Whether a job in this state can never change again."""
        return self is JobState.SUCCESS or self is JobState.FAILED


@dataclass(frozen=True, slots=True)
class Plan:
    """What is going to happen to a job, decided once, at submission.

    Args:
        queue_seconds: shortest time in PENDING_QUEUE; longer when no slot is free.
        run_seconds: time in ON_QUEUE.
        failure: the reason that it will fail with, or None when it will succeed.
    """

    queue_seconds: float
    run_seconds: float
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """What a client asked for, already validated: the part of a job that the client chose."""

    endpoint: str
    prompt: str
    mode: str
    size: str
    hook_url: str | None
    origin: str
    upload: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Job:
    """One image being made, or made. `number` counts a tenant's jobs from 1."""

    id: str
    number: int
    order: Order
    price: Decimal
    state: JobState
    plan: Plan
    submitted_at: float
    started_at: float | None = None
    finished_at: float | None = None
    failure: str | None = None
    polls: int = 0


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one attempt to deliver a hook came to.

    Args:
        status: the HTTP status that the receiver answered, or None when there was no answer.
        error: why there was no answer, or why none was sought (one line), else None.
        blocked: the address rules forbade the attempt: nothing was sent, and nothing will be.
        elapsed: real seconds that it took.
    """

    status: int | None
    error: str | None = None
    blocked: bool = False
    elapsed: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the receiver took it: any 2xx."""
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a delivery: the when and the outcome."""

    number: int
    at: float
    receipt: Receipt


class DeliveryState(StrEnum):
    """Where a webhook delivery stands."""

    DUE = "due"
    HELD = "held"
    """Until a fetch has shown the job's final state."""
    DELIVERED = "delivered"
    GIVEN_UP = "given up"
    BLOCKED = "blocked"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Delivery:
    """
    A webhook delivery: a snapshot of the final fetch body on its way to `url`, under an id that retries keep.

    What a scenario changes about a sending is in the journal's entry of the attempt, not here. `pending` counts the
    sendings, copies and retries alike, that are still to come or on their way.
    """

    id: str
    job_id: str
    url: str
    body: bytes
    content_type: str = "application/json"
    state: DeliveryState = DeliveryState.DUE
    attempts: tuple[Attempt, ...] = ()
    pending: int = 0


class Account(StrEnum):
    """The accounts of a tenant's ledger. What leaves one enters another."""

    PURCHASED = "purchased"
    AVAILABLE = "available"
    RESERVED = "reserved"
    SPENT = "spent"


@dataclass(frozen=True, slots=True)
class Posting:
    """One double-entry posting: `amount` quota units from one account to another."""

    at: float
    source: Account
    target: Account
    amount: Decimal
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """
    The settings that the engine decides by.

    Args:
        timed: jobs move by time; else something outside says when.
        slots: jobs that run at once.
        queue: unfinished jobs allowed.
        refund: FAILED jobs cost nothing.
        retry: seconds to wait before each retry of a webhook.
    """

    timed: bool = True
    slots: int = 10
    queue: int = 1000
    refund: bool = False
    retry: tuple[float, ...] = ()


class TimerKind(StrEnum):
    """What falls due on a tenant's clock."""

    START = "start"
    FINISH = "finish"
    DELIVER = "deliver"


@dataclass(frozen=True, slots=True)
class Timer:
    """An event to come: `ref` is a job id, or a delivery id for DELIVER."""

    due: float
    kind: TimerKind
    ref: str


@dataclass(frozen=True, slots=True)
class Change:
    """What one step of the engine did; a store commits it whole or not at all."""

    jobs: tuple[Job, ...] = ()
    postings: tuple[Posting, ...] = ()
    timers: tuple[Timer, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
