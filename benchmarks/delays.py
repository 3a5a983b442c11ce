"""10,000 answers that are late at once: how punctual they are, and what each one takes of memory and threads."""

from __future__ import annotations

import asyncio
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles

from measure import Figure, Target
from process import SERVE, Running, running

_KEY = "benchmark"


@dataclass(slots=True)
class Seen:
    """Milliseconds by which the answers were later than they should be; bytes that each took; threads of the server."""

    late: list[float] = field(default_factory=list)
    bytes_each: float = 0.0
    threads: int = 0


def measure(*, smoke: bool) -> list[Figure]:
    """Return lateness, memory and threads."""
    count, seconds = (100, 0.5) if smoke else (10_000, 6.0)
    rounds = [late_answers(count, seconds) for _ in range(1 if smoke else 3)]
    percentiles = [quantiles(seen.late, n=100) for seen in rounds]
    name = f"{count:,} delayed answers at once"
    return [
        Figure(f"{name}: later than asked, p50", "ms", [cuts[49] for cuts in percentiles]),
        Figure(f"{name}: later than asked, p99", "ms", [cuts[98] for cuts in percentiles]),
        Figure(f"{name}: memory of each, with its connection", "bytes", [seen.bytes_each for seen in rounds]),
        Figure(f"{name}: threads of the server", "threads", [seen.threads for seen in rounds], target=Target(20)),
    ]


def late_answers(count: int, seconds: float) -> Seen:
    """
    Ask `count` times for an answer that is `seconds` late, each on a connection of its own.

    The questions take half of that time, so that for the other half all of them wait.
    """
    scenario = {"name": "late", "rules": [{"on": "fetch", "then": {"delay": seconds}}]}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "late.json"
        file.write_text(json.dumps(scenario), "utf-8")
        with running(*SERVE, "--progress", "immediate", "--scenario", str(file), pinned=True) as server:
            status, body = server.post("/flux/generate", _KEY, prompt="a lighthouse", mode="flux1-dev")
            if status != 200:
                raise RuntimeError(f"expected a job, got {status}: {body!r}")
            return asyncio.run(_ask(server, json.loads(body)["data"]["jobId"], count, seconds))


class _Question(asyncio.Protocol):
    """One connection: asks once, and notes when the answer comes."""

    def __init__(self, request: bytes, answered: asyncio.Semaphore) -> None:
        self.request = request
        self.answered = answered
        self.asked_at = self.answered_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def ask(self) -> None:
        self.asked_at = asyncio.get_running_loop().time()
        self.transport.write(self.request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        if not self.answered_at and data.startswith(b"HTTP/1.1 200"):
            self.answered_at = asyncio.get_running_loop().time()
            self.answered.release()


async def _ask(server: Running, job_id: str, count: int, seconds: float) -> Seen:
    loop = asyncio.get_running_loop()
    body = json.dumps({"jobId": job_id}).encode()
    request = (
        b"POST /flux/fetch HTTP/1.1\r\nHost: 127.0.0.1\r\nTT-API-KEY: %b\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (_KEY.encode(), len(body), body)
    )
    answered = asyncio.Semaphore(0)
    questions: list[_Question] = []
    before = server.rss()
    for start in range(0, count, 100):
        opened = [
            loop.create_connection(lambda: _Question(request, answered), server.host, server.port)
            for _ in range(min(100, count - start))
        ]
        questions += [question for _, question in await asyncio.gather(*opened)]
    begin = loop.time() + 0.1
    for number, question in enumerate(questions):
        loop.call_at(begin + number * seconds / 2 / count, question.ask)
    await asyncio.sleep(begin + seconds * 0.75 - loop.time())  # all have asked, none is answered
    seen = Seen(bytes_each=(server.rss() - before) / count, threads=_threads(server))
    async with asyncio.timeout(seconds * 3 + 30):
        for _ in questions:
            await answered.acquire()
    seen.late = [(question.answered_at - question.asked_at - seconds) * 1e3 for question in questions]
    for question in questions:
        question.transport.close()
    return seen


def _threads(server: Running) -> int:
    for line in Path(f"/proc/{server.pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("Threads:"):
            return int(line.split()[1])
    raise RuntimeError(f"expected a line Threads in /proc/{server.pid}/status: has the process ended?")


def profile(*, smoke: bool) -> str:
    """Return how late the answers were, percentile by percentile."""
    late = quantiles(late_answers(*((100, 0.5) if smoke else (10_000, 6.0))).late, n=100)
    shown = (1, 10, 25, 50, 75, 90, 95, 99)
    return "\n".join(["Milliseconds later than asked:", *(f"  p{share:<3} {late[share - 1]:.2f}" for share in shown)])
