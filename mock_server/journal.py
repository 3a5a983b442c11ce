"""What happened in a tenant, in order: requests with their answers, and attempts to deliver hooks. Bounded."""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import overload

from mock_server.exchange import Answer, Call, Upload, mask
from mock_server.model import Attempt, Delivery

_log = logging.getLogger("fluxmock.requests")

_BODY_LIMIT = 16 * 1024
_SECRET = re.compile(r"key|token|auth|cookie|secret", re.IGNORECASE)
_SECRET_PARAMETER = re.compile(r"([^=&]*(?:key|token|auth|secret)[^=&]*)=([^&]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RequestEntry:
    """
    One request and its answer.

    Args:
        number: counts the tenant's journal entries from 1.
        at: the tenant's time, in seconds since the Unix epoch.
        headers: of the request; secrets are masked.
        request_body: at most its first 16 KiB; `request_size` is its length in bytes.
        explanation: why it was refused, for a person; empty when it was not.
        lint: remarks on what was accepted all the same.
        uploads: the files that came with it.
        twisted: a scenario changed the answer.
    """

    number: int
    at: float
    method: str
    path: str
    query: str
    headers: dict[str, str] = field(repr=False)
    request_body: bytes
    request_size: int
    status: int
    response_body: bytes
    explanation: str
    lint: tuple[str, ...]
    job_id: str | None
    connection: int
    uploads: tuple[Upload, ...]
    twisted: bool


@dataclass(frozen=True, slots=True)
class HookEntry:
    """One attempt to deliver a hook, at the tenant's time `at`."""

    number: int
    at: float
    delivery: Delivery
    attempt: Attempt


Entry = RequestEntry | HookEntry
Observer = Callable[["Journal", Entry], None]
_Raw = tuple[int, float, Call, int, Answer] | HookEntry


class Journal(Sequence[Entry]):
    """
    The newest entries of one tenant; `dropped` says how many older ones had to go.

    Args:
        owner: the API key of the tenant, or "" for requests that belong to none.
        limit: entries kept.
        observer: told of every entry as it is written.
    """

    def __init__(self, owner: str, limit: int, observer: Observer | None = None) -> None:
        self.owner = owner
        self.limit = limit
        self.written = 0
        self._lock = Lock()
        self._observer = observer
        self._entries: deque[_Raw] = deque(maxlen=limit)

    @property
    def dropped(self) -> int:
        """Entries that were written and are no longer kept."""
        return self.written - len(self._entries)

    def note_request(self, at: float, call: Call, answer: Answer) -> None:
        """Write one request and its answer down."""
        size = len(call.body)
        if size > _BODY_LIMIT:
            call.body = call.body[:_BODY_LIMIT]
        with self._lock:
            self.written += 1
            raw = (self.written, at, call, size, answer)
            self._entries.append(raw)
        if self._observer is not None:
            self._tell(_entry(raw))

    def note_attempt(self, delivery: Delivery, attempt: Attempt) -> None:
        """Write one attempt to deliver a hook down."""
        with self._lock:
            self.written += 1
            entry = HookEntry(self.written, attempt.at, delivery, attempt)
            self._entries.append(entry)
        self._tell(entry)

    def _tell(self, entry: Entry) -> None:
        if self._observer is None:
            return
        try:
            self._observer(self, entry)
        except Exception:  # noqa: BLE001 - a broken observer must not turn a good answer into a fault
            _log.exception("an observer of the journal failed; what it observed is not affected")

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Entry]: ...
    def __getitem__(self, index: int | slice) -> Entry | Sequence[Entry]:
        if isinstance(index, slice):
            return [_entry(raw) for raw in list(self._entries)[index]]
        return _entry(self._entries[index])

    def __iter__(self) -> Iterator[Entry]:
        return map(_entry, tuple(self._entries))

    @property
    def requests(self) -> list[RequestEntry]:
        """The entries that are requests, oldest first."""
        return [entry for entry in self if isinstance(entry, RequestEntry)]


def log_explained(_journal: Journal, entry: Entry) -> None:
    """Observe a journal: log what was refused, with the reason, as a warning, and remarks as information."""
    if isinstance(entry, RequestEntry) and (entry.explanation or entry.lint):
        level = logging.WARNING if entry.explanation else logging.INFO
        words = "; ".join(filter(None, (entry.explanation, *entry.lint)))
        _log.log(level, "%s %s answered %d: %s", entry.method, entry.path, entry.status, words)


def _entry(raw: _Raw) -> Entry:
    # Entries are worded when somebody looks: writing one is on the hot path, reading is not.
    if isinstance(raw, HookEntry):
        return raw
    number, at, call, size, answer = raw
    headers = {
        name[5:].replace("_", "-").title(): mask(value) if _SECRET.search(name) else value
        for name, value in call.headers.items()
    }
    if call.content_type:
        headers["Content-Type"] = call.content_type
    return RequestEntry(
        number,
        at,
        call.method,
        call.path,
        _SECRET_PARAMETER.sub(lambda found: f"{found[1]}={mask(found[2])}", call.query),
        headers,
        call.body,
        size,
        answer.status,
        answer.body,
        answer.explanation,
        answer.lint,
        answer.job_id,
        call.connection,
        answer.uploads,
        answer.twisted,
    )
