"""What a person sees while the server runs: a line for each request and each hook."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from typing import TextIO

from mock_server.exchange import header_text, mask
from mock_server.journal import Entry, HookEntry, Journal, RequestEntry

_GREEN, _YELLOW, _RED, _DIM, _PLAIN = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[2m", "\x1b[0m"


def coloured(stream: TextIO) -> bool:
    """Whether to use colours on `stream`: a terminal, and NO_COLOR is not set."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


class RequestLog:
    """An observer of journals that writes one readable line per entry, and one more for an explanation."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream
        self._colours = coloured(stream)
        self._broken = False

    def __call__(self, journal: Journal, entry: Entry) -> None:
        """Write `entry`. A reader that has gone away is no reason to stop serving."""
        if self._broken:
            return
        lines = self._hook(entry) if isinstance(entry, HookEntry) else self._request(journal, entry)
        try:
            self._stream.write("".join(f"{line}\n" for line in lines))
            self._stream.flush()
        except (OSError, ValueError):
            self._broken = True

    def _request(self, journal: Journal, entry: RequestEntry) -> list[str]:
        colour = _GREEN if entry.status < 400 else _YELLOW if entry.status < 500 else _RED
        whose = f"key {mask(journal.owner)}" if journal.owner else "no key"
        job = f"  job {entry.job_id}" if entry.job_id else ""
        path = header_text(entry.path)[:100]
        when, status = _time(entry.at), self._paint(str(entry.status), colour)
        lines = [f"{when}  {status}  {entry.method[:10]:<4} {path:<14}  {whose}{job}"]
        lines += [
            self._paint(f"{'':10}↳ {header_text(remark)[:400]}", _DIM)
            for remark in (entry.explanation, *entry.lint)
            if remark
        ]
        return lines

    def _hook(self, entry: HookEntry) -> list[str]:
        receipt = entry.attempt.receipt
        outcome = receipt.error or f"answered {receipt.status}"
        colour = _GREEN if receipt.ok else _RED
        result = self._paint("hook" if receipt.ok else "HOOK", colour)
        return [
            f"{_time(entry.at)}  {result} attempt {entry.attempt.number} to {header_text(entry.delivery.url)[:120]}: "
            f"{header_text(outcome)}; {entry.delivery.state.value}"
        ]

    def _paint(self, text: str, colour: str) -> str:
        return f"{colour}{text}{_PLAIN}" if self._colours else text


def _time(instant: float) -> str:
    return datetime.fromtimestamp(instant, UTC).strftime("%H:%M:%S")
