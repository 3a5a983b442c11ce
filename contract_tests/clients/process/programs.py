"""Clients that are a process for each call, or one process that takes call after call."""

from __future__ import annotations

import json
import queue
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from contract_tests.clients.process.asking import Said, Wish, environment, placeholders, returned
from contract_tests.clients.process.processes import (
    Stop,
    await_end,
    end,
    exit_code,
    exit_words,
    last_line,
    start,
    text_of,
)
from contract_tests.clients.story import Ending

_ANSWER = '{"id": 1, "ok": true, "image": "URL or path"} or {"id": 1, "ok": false, "error": "why"}'
_SHOWN = 200
_MOST_LINE = 1024 * 1024
_LINGER = 1.0


class Client(Protocol):
    """A client that is a process, for one call at a time."""

    quiet_seconds: float
    """Real seconds for which is listened after a call, to what it left behind."""

    def call(self, wish: Wish, folder: Path, stop: Stop) -> Said:
        """
        Have it get an image.

        Args:
            wish: which.
            folder: an empty one, for this call.
            stop: set when it is to be ended early.

        Raises:
            UnusableCommand: it cannot be run.
        """

    def tidy(self) -> None:
        """End what the call has left behind."""

    def close(self) -> None:
        """End it; no call is to come."""


class Program:
    """
    A command that is run for every call.

    Args:
        argv: the command, with placeholders.
        variables: environment variables to set besides.
        seconds: real seconds that a call may take.
        cwd: where it runs; None is an empty folder for each call.
    """

    quiet_seconds = 0.2

    def __init__(
        self, argv: Sequence[str], variables: Mapping[str, str], seconds: float, cwd: Path | None = None
    ) -> None:
        self._argv = argv
        self._variables = variables
        self._seconds = seconds
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None

    def call(self, wish: Wish, folder: Path, stop: Stop) -> Said:
        """Run the command. What an earlier call left behind is ended first."""
        self.tidy()
        work = self._cwd or folder / "work"
        work.mkdir(exist_ok=True)
        out, err = folder / "stdout", folder / "stderr"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = self._process = start(
                wish.arguments(self._argv),
                folder=work,
                variables=environment({**wish.variables(), **self._variables}),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        code = await_end(process, self._seconds, stop)
        said, complained = text_of(out), text_of(err)
        if code is None:
            return Said(Ending.HUNG, error=_cut(self._seconds, stop), output=said + complained)
        if code:
            why = _last_words(complained) or _last_words(said)
            return Said(Ending.FAILED, error=f"{exit_words(code)}{why}", output=said + complained)
        return returned(last_line(said), Path(wish.out), work, said + complained)

    def tidy(self) -> None:
        """End the processes that the command has left behind."""
        if self._process is not None:
            end(self._process)
            self._process = None

    def close(self) -> None:
        """End it."""
        self.tidy()


class Driver:
    """
    A command that stays, and takes a line of JSON for every call; one that dies or talks nonsense is started anew.

    Args:
        argv: the command.
        variables: environment variables to set besides.
        seconds: real seconds that a call may take.
        cwd: where it runs; None is a folder of its own.

    Raises:
        ValueError: there are placeholders in the command.
    """

    quiet_seconds = 0.4

    def __init__(
        self, argv: Sequence[str], variables: Mapping[str, str], seconds: float, cwd: Path | None = None
    ) -> None:
        if names := placeholders(argv):
            raise ValueError(
                f"expected a driver's command without placeholders, got {{{min(names)}}}; it is told with each call"
            )
        self._argv = argv
        self._variables = variables
        self._seconds = seconds
        self._cwd = cwd
        self._running: _Running | None = None
        self._number = 0

    def call(self, wish: Wish, _folder: Path, stop: Stop) -> Said:
        """Write the line, and wait for the one that answers it."""
        if self._running is None or self._running.exit_code() is not None:
            self.close()
            self._running = _Running(self._argv, self._variables, self._cwd)
        running = self._running
        self._number += 1
        running.ask({"id": self._number, **{name: value or None for name, value in wish.fields.items()}})
        line = running.hear(self._seconds, stop)
        output = running.output()
        answer = _read(line, self._number) if line else None
        if answer is None:
            self._running = None
            code = running.close()
            if line is None:
                return Said(Ending.HUNG, error=_cut(self._seconds, stop), output=output)
            died = f"the driver died in the midst of a call ({exit_words(code)}){_last_words(output)}"
            trouble = _nonsense(line) if line else died
            return Said(Ending.FAILED, error=trouble, output=output, trouble=trouble)
        if not answer["ok"]:
            return Said(Ending.FAILED, error=str(answer.get("error", "it gave no reason")), output=output)
        told = answer.get("image")
        return returned(told if isinstance(told, str) else "", Path(wish.out), running.folder, output)

    def tidy(self) -> None:
        """Leave it be: what it goes on with belongs to it."""

    def close(self) -> None:
        """End it."""
        if self._running is not None:
            self._running.close()
            self._running = None


class _Running:
    """One process of a driver."""

    def __init__(self, argv: Sequence[str], variables: Mapping[str, str], cwd: Path | None) -> None:
        self._place = tempfile.TemporaryDirectory(prefix="fluxmock-", ignore_cleanup_errors=True)
        self._complaints = Path(self._place.name, "stderr")
        self.folder = cwd or Path(self._place.name, "work")
        self.folder.mkdir(exist_ok=True)
        with self._complaints.open("wb") as stderr:
            self._process = start(
                argv,
                folder=self.folder,
                variables=environment(variables),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._said = b""
        self._since = 0
        self._reader = threading.Thread(target=self._listen, name="fluxmock-driver", daemon=True)
        self._reader.start()

    def _listen(self) -> None:
        stdout = self._process.stdout
        while line := stdout.readline(_MOST_LINE) if stdout else b"":
            self._lines.put(line)
        self._lines.put(b"")

    def exit_code(self) -> int | None:
        return exit_code(self._process)

    def ask(self, fields: Mapping[str, Any]) -> None:
        self._said = b""
        self._since = self._complaints.stat().st_size
        stdin = self._process.stdin
        with suppress(OSError):  # it has died, and that is heard next
            if stdin is not None:
                stdin.write(json.dumps(fields).encode() + b"\n")
                stdin.flush()

    def hear(self, seconds: float, stop: Stop) -> bytes | None:
        """Return its next line; b"" when it has died, None when it is to be ended."""
        until = time.monotonic() + seconds
        while not stop.is_set() and (left := until - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=min(left, 0.05))
            except queue.Empty:
                continue
            self._said += line
            return line
        return None

    def output(self) -> str:
        return self._said.decode("utf-8", "replace") + text_of(self._complaints, self._since)

    def close(self) -> int:
        """End it and all that it started; return its exit code."""
        code = end(self._process)
        self._reader.join(_LINGER)
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is not None:
            with suppress(OSError):  # what was still to be written goes nowhere
                stdin.close()
        if stdout is not None and not self._reader.is_alive():  # else somebody who got away still holds the other end
            stdout.close()
        self._place.cleanup()
        return code


def _read(line: bytes, number: int) -> dict[str, Any] | None:
    """Return the answer to the call of that number; None for what is none."""
    try:
        answer = json.loads(line)
    except ValueError:
        return None
    fits = isinstance(answer, dict) and answer.get("id") == number and isinstance(answer.get("ok"), bool)
    return answer if fits else None


def _nonsense(line: bytes) -> str:
    """Return what to say about a line that answers nothing."""
    shown = line.decode("utf-8", "replace").strip()[:_SHOWN]
    return (
        f"the driver said {shown!r} where a line such as {_ANSWER}, with the id of the call, was expected; "
        "print whatever else there is to stderr, and flush after each line"
    )


def _last_words(output: str) -> str:
    """Return how to go on after saying that a process has ended; "" if it said nothing."""
    line = last_line(output)
    return f": {line}" if line else ""


def _cut(seconds: float, stop: Stop) -> str:
    return "it went on and on sending requests" if stop.is_set() else f"it was still there after {seconds:g} s"
