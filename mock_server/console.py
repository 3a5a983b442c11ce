"""What a person sees while the server runs: a line for each request and each hook."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from queue import Full, Queue
from threading import Thread
from typing import TextIO

import orjson

from mock_server.exchange import mask
from mock_server.journal import ClockEntry, Entry, HookEntry, Journal, RequestEntry
from mock_server.model import DeliveryState

_MOST_WAITING = 10_000
_GREEN, _YELLOW, _RED, _DIM, _PLAIN = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[2m", "\x1b[0m"


def coloured(stream: TextIO) -> bool:
    """Whether to use colours on `stream`: a terminal, and NO_COLOR is not set."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


class RequestLog:
    """
    An observer of journals that writes one readable line per entry, and one more for each explanation.

    A thread of its own writes, so that a terminal, or a pipe that nobody reads, never keeps a request waiting. When it
    falls behind, lines are left out, and said to be.
    """

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream
        self._colours = coloured(stream)
        self._queue: Queue[tuple[Journal, Entry] | None] = Queue(_MOST_WAITING)
        self._left_out = 0
        self._thread = Thread(target=self._write, name="fluxmock-log", daemon=True)
        self._thread.start()

    def __call__(self, journal: Journal, entry: Entry) -> None:
        """Have `entry` written."""
        try:
            self._queue.put_nowait((journal, entry))
        except Full:
            self._left_out += 1

    def close(self) -> None:
        """Write what is waiting, if that takes no more than a second."""
        with suppress(Full):
            self._queue.put_nowait(None)
            self._thread.join(1.0)

    def _write(self) -> None:
        # A reader that has gone away is no reason to stop serving.
        with suppress(OSError, ValueError):
            while (item := self._queue.get()) is not None:
                lines = self._lines(*item)
                if self._left_out and self._queue.empty():
                    lines.append(f"({self._left_out} lines were left out: nobody read them in time)")
                    self._left_out = 0
                encoding = self._stream.encoding or "ascii"
                text = "".join(f"{line}\n" for line in lines)
                self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
                self._stream.flush()

    def _lines(self, journal: Journal, entry: Entry) -> list[str]:
        if isinstance(entry, HookEntry):
            return [self._hook(entry)]
        return [self._clock(entry)] if isinstance(entry, ClockEntry) else self._request(journal, entry)

    def _clock(self, entry: ClockEntry) -> str:
        return self._paint(f"{_time(entry.at)}  time {entry.move}, to {_time(entry.to)}", _DIM)

    def _request(self, journal: Journal, entry: RequestEntry) -> list[str]:
        colour = _GREEN if entry.status < 400 else _YELLOW if entry.status < 500 else _RED
        line = "  ".join(
            [
                _time(entry.at),
                self._paint(str(entry.status), colour),
                f"{entry.method[:10]:<4} {_one_line(entry.path)[:100]:<14}",
                f"key {mask(journal.owner)}" if journal.owner else "no tenant",
                f"job {entry.job_id}" if entry.job_id else "",
                _job_status(entry),
            ]
        )
        remarks = [remark for remark in (entry.explanation, *entry.lint) if remark]
        return [line.rstrip(), *(self._paint(f"{'':11}↳ {_one_line(remark)[:600]}", _DIM) for remark in remarks)]

    def _hook(self, entry: HookEntry) -> str:
        receipt, delivery = entry.attempt.receipt, entry.delivery
        outcome = _one_line(receipt.error or f"answered {receipt.status}")
        after = ", to be tried again" if delivery.state is DeliveryState.DUE else f", {delivery.state.value}"
        word = self._paint("hook" if receipt.ok else "HOOK", _GREEN if receipt.ok else _RED)
        url = _one_line(delivery.url)[:120]
        attempt = f"attempt {entry.attempt.number}"
        return f"{_time(entry.at)}  {word} job {delivery.job_id}, {attempt} to {url}: {outcome}{after}"

    def _paint(self, text: str, colour: str) -> str:
        return f"{colour}{text}{_PLAIN}" if self._colours else text


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


def _job_status(entry: RequestEntry) -> str:
    if entry.path != "/flux/fetch" or entry.status != 200:
        return ""
    try:
        return str(orjson.loads(entry.response_body)["status"])
    except (ValueError, LookupError, TypeError):
        return ""  # a scenario made it something else


def _time(instant: float) -> str:
    return datetime.fromtimestamp(instant, UTC).strftime("%H:%M:%SZ")
