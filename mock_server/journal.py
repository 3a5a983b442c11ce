"""What happened in a tenant, in order: requests and answers, attempts to deliver hooks, moves of the clock. Bounded."""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from threading import Lock
from typing import Any, overload
from urllib.parse import quote, unquote_plus

from mock_server.exchange import Answer, Call, Upload, hide, hide_in_body, mask
from mock_server.http.wire import End, Wire, wire_words
from mock_server.model import Attempt, Delivery

_log = logging.getLogger("fluxmock.requests")

_BODY_LIMIT = 16 * 1024
_MOST_BROKEN = 1000
# Broken answers, for a repetition of whose request a journal watches at a time.

_SECRET = re.compile(r"key|token|auth|cookie|secret", re.IGNORECASE)


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
        wire: what was done to the answer on the wire, in words such as "reset" or "0.5 s late"; empty when nothing was.
        attempt: 1, or more when this repeats, byte for byte in method, path, query and body, a request whose answer
            the scenario broke on the wire, as the transport of a client does by itself: one more than that one's.
        repeats: the number of the entry that it so repeats.
        fields: the plain fields of a multipart form, read before its body was cut; None when there was none, or when
            they are longer than what is kept of a body.
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
    wire: str = ""
    attempt: int = 1
    repeats: int | None = None
    fields: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class HookEntry:
    """
    One attempt to deliver a hook, at the tenant's time `at`.

    Args:
        delivery: as it stood afterwards, but with the body and type that were sent.
        twisted: a scenario changed what was sent, or lost it.
    """

    number: int
    at: float
    delivery: Delivery
    attempt: Attempt
    twisted: bool = False


@dataclass(frozen=True, slots=True)
class ClockEntry:
    """
    Somebody moved or set the tenant's clock by hand.

    Args:
        number: counts the tenant's journal entries from 1.
        at: the tenant's time before, in seconds since the Unix epoch.
        to: where it was moved to; `at` when only its pace changed, or the end was open. What happened on the way
            follows this entry.
        move: what was done, in words such as "advance 60 s", "run until idle" or "freeze".
    """

    number: int
    at: float
    to: float
    move: str


Entry = RequestEntry | HookEntry | ClockEntry
Observer = Callable[["Journal", Entry], None]
_RawRequest = tuple[int, float, Call, int, Answer, int, int | None]
_Raw = _RawRequest | HookEntry | ClockEntry


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
        self._broken: dict[bytes, tuple[int, int]] = {}

    @property
    def dropped(self) -> int:
        """Entries that were written and are no longer kept."""
        return self.written - len(self._entries)

    def note_request(self, at: float, call: Call, answer: Answer) -> None:
        """Write one request and its answer down; the tenant's key is masked in what the answer explains."""
        if answer.explanation or answer.lint:
            key = self._key(call)
            answer.explanation = hide(answer.explanation, key)
            answer.lint = tuple(hide(remark, key) for remark in answer.lint)
        size = len(call.body)
        breaks = answer.wire is not None and _breaks(answer.wire)
        # Only a tenant some of whose answers were broken pays for telling repetitions.
        mark = _fingerprint(call) if breaks or self._broken else None
        if size > _BODY_LIMIT:
            call.body = call.body[:_BODY_LIMIT]
            if call.fields and sum(len(name) + len(value) for name, value in call.fields.items()) > _BODY_LIMIT:
                call.fields = None
        with self._lock:
            self.written += 1
            attempt, repeats = (1, None) if mark is None else self._count(mark, breaks=breaks)
            raw = (self.written, at, call, size, answer, attempt, repeats)
            self._entries.append(raw)
        if self._observer is not None:
            self._tell(self._entry(raw))

    def note_attempt(self, delivery: Delivery, attempt: Attempt, *, twisted: bool = False) -> None:
        """Write one attempt to deliver a hook down."""
        with self._lock:
            self.written += 1
            entry = HookEntry(self.written, attempt.at, delivery, attempt, twisted)
            self._entries.append(entry)
        self._tell(entry)

    def note_clock(self, at: float, to: float, move: str) -> None:
        """Write down that somebody moved the clock by hand, from `at` to `to`, or set its pace; `move` says how."""
        with self._lock:
            self.written += 1
            entry = ClockEntry(self.written, at, to, move)
            self._entries.append(entry)
        self._tell(entry)

    def _count(self, mark: bytes, *, breaks: bool) -> tuple[int, int | None]:
        """Return which attempt the request of this fingerprint is, and at what; its own answer may be broken, too."""
        repeats, attempts = self._broken.pop(mark, (None, 0))
        if breaks:
            self._broken[mark] = (self.written, attempts + 1)
            if len(self._broken) > _MOST_BROKEN:
                del self._broken[next(iter(self._broken))]
        return attempts + 1, repeats

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
            return [self._entry(raw) for raw in self._snapshot()[index]]
        return self._entry(self._entries[index])

    def __iter__(self) -> Iterator[Entry]:
        return map(self._entry, self._snapshot())

    def _entry(self, raw: _Raw) -> Entry:
        return _entry(raw, self._key(raw[2])) if isinstance(raw, tuple) else raw

    def _key(self, call: Call) -> str:
        """Return the key that must not be seen whole: the owner's, or the one that opened nothing."""
        return self.owner or call.header("TT-API-KEY") or ""

    def _snapshot(self) -> tuple[_Raw, ...]:
        with self._lock:
            return tuple(self._entries)

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


def _entry(raw: _RawRequest, key: str) -> RequestEntry:
    # Entries are worded when somebody looks: writing one is on the hot path, reading is not.
    number, at, call, size, answer, attempt, repeats = raw
    headers = {
        hide(name[5:].replace("_", "-").title(), key): mask(value) if _SECRET.search(name) else hide(value, key)
        for name, value in call.headers.items()
    }
    if call.content_type:
        headers["Content-Type"] = hide(call.content_type, key)
    return RequestEntry(
        number=number,
        at=at,
        method=hide(call.method, key),
        path=hide(call.path, key),
        query="&".join(_parameter(text, key) for text in call.query.split("&")),
        headers=headers,
        request_body=hide_in_body(call.body, key),
        request_size=size,
        status=answer.status,
        response_body=hide_in_body(answer.body, key),
        explanation=answer.explanation,
        lint=answer.lint,
        job_id=answer.job_id and hide(answer.job_id, key),
        connection=call.connection,
        uploads=tuple(_upload(upload, key) for upload in answer.uploads),
        twisted=answer.twisted,
        wire="" if answer.wire is None else wire_words(answer.wire),
        attempt=attempt,
        repeats=repeats,
        fields=None if call.fields is None else _fields(call.fields, key),
    )


def _fields(fields: Mapping[str, Any], key: str) -> dict[str, Any]:
    texts = {name: hide(value, key) if isinstance(value, str) else value for name, value in fields.items()}
    return {hide(name, key): value for name, value in texts.items()}


def _parameter(text: str, key: str) -> str:
    name, equals, value = text.partition("=")
    if equals and _SECRET.search(unquote_plus(name)):
        return f"{hide(name, key)}={mask(value)}"
    plain = unquote_plus(text)
    hidden = hide(plain, key)
    # Any letter of a key may be percent-encoded; what has none of it stays as it was written.
    return hide(text, key) if hidden == plain else quote(hidden, safe="=…#")


def _upload(upload: Upload, key: str) -> Upload:
    field_name, filename, kind = (hide(text, key) for text in (upload.field, upload.filename, upload.content_type))
    return Upload(field_name, filename, kind, upload.size)


def _fingerprint(call: Call) -> bytes:
    digest = blake2b(f"{call.method} {call.path}?{call.query}\n".encode("utf-8", "surrogateescape"), digest_size=16)
    digest.update(call.body)
    return digest.digest()


def _breaks(wire: Wire) -> bool:
    """Whether a client does not get the whole of an answer that goes so: a close after all of it breaks nothing."""
    return wire.silent or wire.body_bytes is not None or wire.length_error > 0 or wire.end is End.RESET
