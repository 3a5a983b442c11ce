"""Servers as real processes, each on a core of its own where the machine lets us choose."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

SERVE = ("-m", "mock_server", "serve", "--quiet")
_STARTUP_SECONDS = 30.0
_LOOK_SECONDS = 0.0005  # between two looks for the ready file; adds half of this to a start, on average


@dataclass(frozen=True, slots=True)
class Running:
    """A server that listens."""

    host: str
    port: int
    pid: int

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://{self.host}:{self.port}"

    def post(self, path: str, key: str, **fields: Any) -> tuple[int, bytes]:
        """Send one JSON request on a connection of its own; return status and body."""
        connection = HTTPConnection(self.host, self.port, timeout=_STARTUP_SECONDS)
        try:
            headers = {"TT-API-KEY": key, "Content-Type": "application/json"}
            connection.request("POST", path, json.dumps(fields), headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def rss(self) -> int:
        """Return the bytes of its memory that are resident."""
        return resident(self.pid)


def resident(pid: int) -> int:
    """Return the resident bytes of a process."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"expected a line VmRSS in /proc/{pid}/status: has the process ended?")


def environment() -> dict[str, str]:
    """Return the environment without settings of the emulator, which would change what is measured."""
    return {name: value for name, value in os.environ.items() if not name.startswith("FLUXMOCK_")}


def on_core(place: int) -> list[str]:
    """Return the words before a command that pin it to the machine's core number `place`; none where we cannot."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2 or shutil.which("taskset") is None:
        return []
    return ["taskset", "-c", str(cores[place % len(cores)])]


@contextmanager
def running(*command: str, pinned: bool = False, stderr: IO[str] | int | None = None) -> Iterator[Running]:
    """Run `python COMMAND --port 0 --ready-file F` from when it is ready until the context is left."""
    with TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.json"
        words = [*(on_core(0) if pinned else ()), sys.executable, *command, "--port", "0", "--ready-file", str(ready)]
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=stderr, env=environment())
        try:
            deadline = time.monotonic() + _STARTUP_SECONDS
            while not ready.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"expected a server that gets ready, got none from: {' '.join(words)}")
                time.sleep(_LOOK_SECONDS)
            said = json.loads(ready.read_text(encoding="utf-8"))
            host, _, port = said["url"].removeprefix("http://").rpartition(":")
            yield Running(host, int(port), said["pid"])
        finally:
            process.terminate()
            process.wait(_STARTUP_SECONDS)
