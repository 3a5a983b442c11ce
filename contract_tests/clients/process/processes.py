"""Processes of clients: started in a group of their own, and ended with all that they started."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

_MOST_OUTPUT = 512 * 1024
_LONGEST_PAUSE = 0.05
_SHARED = Path("/dev/shm")  # noqa: S108 - where Linux shows shared memory


class UnusableCommand(Exception):
    """A command cannot be used as a client; the text says what was expected, what came, and what to do."""


class Stopped(Exception):
    """Somebody wants all clients to end."""


class Stop:
    """
    What ends the clients of one scenario early.

    Args:
        all_: set when all of all scenarios are to end.
    """

    def __init__(self, all_: threading.Event) -> None:
        self._all = all_
        self._own = threading.Event()

    def set(self) -> None:
        """End them."""
        self._own.set()

    def is_set(self) -> bool:
        """Whether they are to end."""
        return self._own.is_set() or self._all.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait for some hundredths of a second at most; return whether they are to end."""
        return self._own.wait(seconds) or self._all.is_set()


def start(
    argv: Sequence[str],
    *,
    folder: Path,
    variables: Mapping[str, str],
    stdin: int,
    stdout: int | IO[bytes],
    stderr: IO[bytes],
) -> subprocess.Popen[bytes]:
    """
    Start a process in a group of its own.

    Args:
        argv: the command.
        folder: where it runs.
        variables: its whole environment.
        stdin: as `subprocess.Popen` takes it; so are the next two.
        stdout: where its output goes.
        stderr: where its complaints go.

    Raises:
        UnusableCommand: there is no such program, or it cannot be run.
    """
    try:
        return subprocess.Popen(  # noqa: S603 - to run the command is what we are here for
            list(argv), cwd=folder, env=dict(variables), stdin=stdin, stdout=stdout, stderr=stderr,
            start_new_session=True,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        raise UnusableCommand(
            f"expected a command that can be run, got {argv[0]!r}: {getattr(error, 'strerror', None) or error}; "
            "give the program's name or its whole path"
        ) from None


def exit_code(process: subprocess.Popen[bytes]) -> int | None:
    """
    Return the exit code of a process, negative for a signal; None while it runs.

    Where that can be helped its id is not given back yet, for its group, which is still to be ended, has the same.
    """
    if process.returncode is not None or not hasattr(os, "waitid"):
        return process.poll()
    found = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if found is None:
        return None
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


def await_end(process: subprocess.Popen[bytes], seconds: float, stop: Stop) -> int | None:
    """Wait for a process to end, at most so many seconds or until `stop` is set; return its exit code, or None."""
    until = time.monotonic() + seconds
    pause = 0.002
    while (code := exit_code(process)) is None:
        if stop.wait(pause) or time.monotonic() >= until:
            return exit_code(process)
        pause = min(pause * 2, _LONGEST_PAUSE)
    return code


def end(process: subprocess.Popen[bytes]) -> int:
    """End a process and its group, whatever they are doing; return the exit code, negative for a signal."""
    if process.returncode is None:
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        for name in (f"faketime_shm_{process.pid}", f"sem.faketime_sem_{process.pid}"):
            # A process that is killed cannot take back the memory that libfaketime shares with its children.
            with suppress(OSError):
                (_SHARED / name).unlink(missing_ok=True)
    return process.wait()


def exit_words(code: int) -> str:
    """Say in words how a process ended."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def text_of(path: Path, since: int = 0) -> str:
    """Return what a file holds from a place on, at most half a megabyte of it: the first and the last part."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END) - since
        file.seek(since)
        if size <= _MOST_OUTPUT:
            data = file.read(size)
        else:
            data = file.read(_MOST_OUTPUT // 2)
            file.seek(-_MOST_OUTPUT // 2, os.SEEK_END)
            data += b"\n...\n" + file.read()
    return data.decode("utf-8", "replace")


def last_line(text: str) -> str:
    """Return the last line that is not blank; "" without one."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
