"""The client kit: scenarios a second of one core, and seconds until a verdict, for good clients of several stacks.

Scenarios are counted against the time of the processor, so that others on the machine do less harm. A usual job is one
submission, some fetches and a download; the default profile has also those in which a client polls up to its deadline.
The clients are those of the zoo (tests/zoo), and the driver is that of the tests of processes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from measure import Figure, Target, hottest, take_turns

from contract_tests.clients.check import Plan, check_client, playing
from contract_tests.clients.process.check import check_command

_TESTS = Path(__file__).resolve().parent.parent / "tests"
_DRIVER = [sys.executable, str(_TESTS / "clients" / "commands" / "driver.py")]
_SPEED = 10.0
# Of the driver, which divides its pauses by it.

_TARGETS = {"requests": Target(150, at_least=True), "urllib": Target(300, at_least=True)}


def measure(*, smoke: bool) -> list[Figure]:
    """Return scenarios a second, and seconds until a verdict."""
    rounds, plan = (1, Plan(examples=8)) if smoke else (5, Plan())
    clients = _clients()
    for client in clients.values():
        _judging(client, Plan(examples=8))  # what is imported late is imported now
    jobs = take_turns(rounds, *(partial(_usual_jobs, client, plan.examples) for client in clients.values()))
    runs = take_turns(rounds, *(partial(_judging, client, plan) for client in clients.values()))
    figures = []
    for stack, usual, took in zip(clients, jobs, runs, strict=True):
        target = _TARGETS.get(stack)
        figures.append(Figure(f"usual jobs with {stack}, in-process", "/s", usual, target=target))
        rates = [scenarios / cpu for scenarios, cpu, _ in took]
        figures.append(Figure(f"scenarios of the default profile with {stack}", "/s", rates, target=target))
        seconds = [wall for _, _, wall in took]
        figures.append(Figure(f"verdict on a client with {stack}, default profile", "s", seconds, target=Target(10)))
    start = time.perf_counter()
    check_command(_DRIVER, plan=plan, driver=True, speed=_SPEED)
    seconds = [time.perf_counter() - start]
    figures.append(Figure("verdict on a client behind a driver, default profile", "s", seconds, target=Target(90)))
    return figures


def _clients() -> dict[str, Callable[..., Any]]:
    sys.path.insert(0, str(_TESTS))
    from zoo import good_aiohttp, good_httpx, good_requests, good_stdlib

    return {
        "requests": good_requests.requests_session,
        "urllib": good_stdlib.urllib_bytes,
        "httpx": good_httpx.httpx_client,
        "httpx, async": good_httpx.httpx_async,
        "aiohttp": good_aiohttp.aiohttp_session,
    }


def _usual_jobs(client: Callable[..., Any], times: int) -> float:
    """Return how many scenarios in which all goes well are played in a second of the processor."""
    with playing(client, Plan()) as play:
        start = time.process_time()
        for _ in range(times):
            play(())
        return times / (time.process_time() - start)


def _judging(client: Callable[..., Any], plan: Plan) -> tuple[int, float, float]:
    """Return how many scenarios a verdict took, and its seconds: of the processor, and by the clock on the wall."""
    start, cpu = time.perf_counter(), time.process_time()
    verdict = check_client(client, plan=plan)
    took = time.process_time() - cpu, time.perf_counter() - start
    if verdict.failures():
        raise RuntimeError(f"expected a good client, got {[one.why for one in verdict.failures()]}")
    return verdict.examples + verdict.replays, *took


def profile(*, smoke: bool) -> str:
    """Return cProfile's view of a verdict on the client with requests."""
    client = _clients()["requests"]
    return hottest(partial(check_client, client, plan=Plan(examples=8 if smoke else 250)), 1)
