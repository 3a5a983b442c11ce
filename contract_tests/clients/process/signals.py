"""Signals that end `fluxmock`: its clients, which are in groups of their own, do not get these by themselves."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from contract_tests.clients.process.processes import Stopped


@contextmanager
def ended_by_signals() -> Iterator[threading.Event]:
    """
    Return what is set when a signal is to end this process, as Ctrl-C does, and exit then; nothing is left behind.

    The signal raises nothing by itself: that would get lost where Python, or Hypothesis, swallows what is raised.
    """
    stop = threading.Event()
    received: list[int] = []

    def leave(number: int, _frame: object) -> None:
        received.append(number)
        stop.set()

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) in {signal.SIG_DFL, signal.default_int_handler}:
                before[number] = signal.signal(number, leave)
    try:
        yield stop
    except Stopped:
        sys.exit(128 + received[0])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
