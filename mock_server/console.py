"""What a person sees while the server runs: a line for each request and each hook."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from typing import TextIO

import orjson

from mock_server.exchange import mask
from mock_server.journal import Entry, HookEntry, Journal, RequestEntry
from mock_server.model import DeliveryState

_GREEN, _YELLOW, _RED, _DIM, _PLAIN = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[2m", "\x1b[0m"


def coloured(stream: TextIO) -> bool:
    """Whether to use colours on `stream`: a terminal, and NO_COLOR is not set."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


class RequestLog:
    """An observer of journals that writes one readable line per entry, and one more for each explanation."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream
        self._colours = coloured(stream)
        self._broken = False

    def __call__(self, journal: Journal, entry: Entry) -> None:
        """Write `entry`. A reader that has gone away is no reason to stop serving."""
        if self._broken:
            return
        lines = [self._hook(entry)] if isinstance(entry, HookEntry) else self._request(journal, entry)
        encoding = self._stream.encoding or "ascii"
        text = "".join(f"{line}\n" for line in lines).encode(encoding, "backslashreplace").decode(encoding)
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._broken = True

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
    return str(orjson.loads(entry.response_body)["status"])


def _time(instant: float) -> str:
    return datetime.fromtimestamp(instant, UTC).strftime("%H:%M:%SZ")
