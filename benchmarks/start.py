"""From the start of the process to the first answer."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time

from measure import Figure, Target, take_turns
from process import SERVE, environment, running


def measure(*, smoke: bool) -> list[Figure]:
    """Return the milliseconds of a start, beside those of the interpreter alone and of `import flask` alone."""
    first_answer()  # writes the bytecode, and brings the files into memory
    rounds = 1 if smoke else 20
    ours, bare, flask = take_turns(
        rounds, first_answer, lambda: interpreter("pass"), lambda: interpreter("import flask")
    )
    return [
        Figure("start to first answer", "ms", ours, "`python -c 'import flask'`", flask, Target(250)),
        Figure("start to first answer", "ms", ours, "`python -c pass`", bare),
    ]


def first_answer() -> float:
    """Start the server, fetch a job that it does not know, and return the milliseconds until the answer was there."""
    start = time.perf_counter()
    with running(*SERVE) as server:
        status, _ = server.post("/flux/fetch", "benchmark", jobId="none")
        took = time.perf_counter() - start
    if status != 404:
        raise RuntimeError(f"expected status 404 for an unknown job, got {status}")
    return took * 1e3


def interpreter(code: str) -> float:
    """Return the milliseconds that an interpreter takes to run `code` and end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=environment())
    return (time.perf_counter() - start) * 1e3


def profile(*, smoke: bool) -> str:
    """Return the modules that took longest to import, by themselves and with all that they import."""
    count = 15 if smoke else 25
    with tempfile.TemporaryFile("w+") as said:
        with running("-X", "importtime", *SERVE, stderr=said) as server:
            server.post("/flux/fetch", "benchmark", jobId="none")
        said.seek(0)
        lines = [line.rstrip().removeprefix("import time:").split("|") for line in said if "|" in line][1:]
    blocks = []
    for column, title in ((0, "by themselves"), (1, "with all that they import")):
        slowest = sorted(lines, key=lambda cells: -int(cells[column]))[:count]
        blocks.append(f"Slowest imports {title}:")
        blocks += [f"{int(cells[column]) / 1e3:8.1f} ms  {cells[2].strip()}" for cells in slowest]
    return "\n".join(blocks)
