"""Clients that let nobody end them, that cannot be put into words, or that harm their process: all get a verdict."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import os
import queue
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
import requests

from contract_tests.clients.check import Plan, check_client
from contract_tests.clients.directives.base import Directive, Family, rule
from contract_tests.clients.given import Callee, UnusableClient
from contract_tests.clients.properties.base import Level
from contract_tests.clients.simulation.run import ORIGINS, Simulation
from contract_tests.clients.story import Ending, Intent, Story
from contract_tests.clients.verdict import Exit, Result

KEY = "simulated-key"
ENDLESS = Directive("endless", Family.ENDLESS_JOB, ({"on": "job", "then": {"queue_seconds": 10**7}},))


def play(client: Callable[..., Any], *directives: Directive, at_once: int = 1, **how: Any) -> Story:
    intents = [Intent(KEY, f"a cat {number}", "flux1-dev") for number in range(at_once)]
    with Simulation(Callee(client), contract="2024-09", **how) as simulation:
        return simulation.play(directives, *intents)


def post(base_url: str, path: str, key: str, **fields: Any) -> Any:
    order = urllib.request.Request(
        base_url + path, json.dumps(fields).encode(), {"TT-API-KEY": key, "Content-Type": "application/json"}
    )
    with urllib.request.urlopen(order, timeout=30) as answer:
        return json.load(answer)


def ordered(base_url: str, key: str) -> str:
    return post(base_url, "/flux/generate", key, prompt="a cat", mode="flux1-dev")["data"]["jobId"]


# ------------------------------------------------------------------------------------------- clients that hear nothing


def pauses_outside(base_url: str, api_key: str, prompt: str) -> str:
    job_id = ordered(base_url, api_key)
    while True:
        try:
            told = post(base_url, "/flux/fetch", api_key, jobId=job_id)
            if told["status"] == "SUCCESS":
                return told["data"]["imageUrl"]
        except:  # noqa: E722, S110 - that is the fault
            pass
        time.sleep(1)


def swallows_all(base_url: str, api_key: str, prompt: str) -> str:
    job_id = ordered(base_url, api_key)
    while True:
        try:
            told = post(base_url, "/flux/fetch", api_key, jobId=job_id)
            if told["status"] == "SUCCESS":
                return told["data"]["imageUrl"]
            time.sleep(1)
        except:  # noqa: E722, S110 - that is the fault
            pass


def swallows_twice(base_url: str, api_key: str, prompt: str) -> str:
    while True:
        try:
            return swallows_all(base_url, api_key, prompt)
        except BaseException:  # noqa: BLE001, S112 - that is the fault
            continue


def swallows_in_a_pool(base_url: str, api_key: str, prompt: str) -> str:
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return pool.submit(swallows_all, base_url, api_key, prompt).result()


def waits_for_a_queue(base_url: str, api_key: str, prompt: str) -> str:
    while True:
        try:
            return queue.Queue[str]().get(timeout=7)
        except:  # noqa: E722, S112 - that is the fault
            continue


DEAF = [pauses_outside, swallows_all, swallows_twice, swallows_in_a_pool, waits_for_a_queue]


@pytest.mark.parametrize("client", DEAF, ids=lambda client: client.__name__)
def test_a_client_that_swallows_all_that_ends_it_hangs_and_the_same_way_each_time(client: Callable[..., Any]) -> None:
    stories = [play(client, ENDLESS, seconds=60.0) for _ in range(2)]
    assert [story.outcome.ending for story in stories] == [Ending.HUNG] * 2
    assert stories[0].outcome == stories[1].outcome
    assert stories[0].requests == stories[1].requests
    assert max((request.at for request in stories[0].requests), default=0) <= 61.0


def test_of_several_that_are_wanted_at_once_each_that_swallows_hangs() -> None:
    story = play(swallows_all, ENDLESS, at_once=3, seconds=30.0)
    assert [outcome.ending for outcome in story.outcomes] == [Ending.HUNG] * 3


def test_a_client_that_swallows_all_breaks_the_property_that_it_gives_up() -> None:
    verdict = check_client(swallows_all, plan=Plan(only=("C10",), examples=6))
    assert verdict["C10"].result is Result.FAIL
    assert verdict.exit_code is Exit.FAILED


def test_a_client_may_hold_on_to_its_thread_after_a_hundred_scenarios_that_hung() -> None:
    """What was left behind neither adds to later stories nor keeps Python from ending."""
    with Simulation(Callee(swallows_all), contract="2024-09", seconds=5.0) as simulation:
        stories = [simulation.play((ENDLESS,), Intent(f"key-{n}", "a cat", "flux1-dev")) for n in range(100)]
    assert len({len(story.requests) for story in stories}) == 1


# ------------------------------------------------------------------------------------------------------ busy clients


@pytest.mark.parametrize("clock", [time.monotonic, time.time, time.perf_counter], ids=lambda clock: clock.__name__)
def test_to_wait_busily_takes_virtual_time(clock: Callable[[], float]) -> None:
    name = clock.__name__

    def client(base_url: str, api_key: str, prompt: str) -> float:
        now = getattr(time, name)
        start = now()
        while now() < start + 20:
            pass
        return float(now() - start)

    first, second = (play(client).outcome for _ in range(2))
    assert first == second
    assert first.value == pytest.approx(20, abs=1.1)


def test_to_wait_busily_lets_other_threads_go_on() -> None:
    def client(base_url: str, api_key: str, prompt: str) -> bool:
        done = threading.Event()

        def work() -> None:
            time.sleep(3)
            done.set()

        threading.Thread(target=work).start()
        end = time.monotonic() + 5
        while time.monotonic() < end and not done.is_set():
            time.sleep(0)
        return done.is_set()

    assert play(client).outcome.value is True


def test_to_wait_busily_on_an_event_loop_takes_virtual_time() -> None:
    async def client(base_url: str, api_key: str, prompt: str) -> float:
        loop = asyncio.get_running_loop()
        start = loop.time()
        while loop.time() < start + 5:
            await asyncio.sleep(0)
        return loop.time() - start

    assert play(client).outcome.value == pytest.approx(5, abs=1.1)


def test_a_client_that_is_busy_for_ever_is_unusable_and_the_place_is_told() -> None:
    def client(base_url: str, api_key: str, prompt: str) -> None:
        while True:
            pass

    with pytest.raises(UnusableClient, match=rf"at {__file__}:\d+, in client\. Let it pause"):
        play(client, stuck_seconds=0.3)


def test_a_client_that_waits_for_a_lock_that_nobody_gives_back_is_unusable() -> None:
    def client(base_url: str, api_key: str, prompt: str) -> None:
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()

    with pytest.raises(UnusableClient, match=r", in client\."):
        play(client, stuck_seconds=0.3)


def test_after_a_client_that_was_given_up_others_can_be_played() -> None:
    def spins(base_url: str, api_key: str, prompt: str) -> None:
        while True:
            pass

    with pytest.raises(UnusableClient):
        play(spins, stuck_seconds=0.2)
    assert play(lambda base_url, api_key, prompt: "done").outcome.value == "done"


def test_hurry_limits_the_calls_of_a_client_without_a_pause() -> None:
    def client(base_url: str, api_key: str, prompt: str) -> None:
        while True:
            requests.get(f"{base_url}/flux/fetch", timeout=5)

    with Simulation(Callee(client), contract="2024-09") as simulation:
        simulation.hurry()
        story = simulation.play((), Intent(KEY, "a cat", "flux1-dev"))
    assert story.outcome.ending is Ending.HUNG
    assert len(story.requests) == 300
    assert story.outcome.at < 300


def test_endless_recursion_is_no_way_to_end() -> None:
    def client(base_url: str, api_key: str, prompt: str) -> Any:
        return client(base_url, api_key, prompt)

    outcome = play(client).outcome
    assert outcome.ending is Ending.HUNG
    assert outcome.error.startswith("RecursionError: ")


def test_a_client_that_polls_on_for_a_quarter_of_an_hour_is_not_asked_to_for_ever() -> None:
    def client(base_url: str, api_key: str, prompt: str) -> str:
        job_id = ordered(base_url, api_key)
        end = time.time() + 890
        while time.time() < end:
            try:
                told = post(base_url, "/flux/fetch", api_key, jobId=job_id)
                if told["status"] == "SUCCESS":
                    return str(told["data"]["imageUrl"])
            except Exception:  # noqa: BLE001, S110 - that is the fault
                pass
            time.sleep(1)
        raise TimeoutError

    verdict = check_client(client, plan=Plan(examples=100))
    assert verdict["C08"].result is Result.FAIL
    assert verdict.examples > 70  # what does not take long is played all the same
    assert verdict.requests < 8000


# ------------------------------------------------------------------------------------------- what cannot be put in words


class _Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")

    __repr__ = __str__


class _Own(BaseException):
    """Neither an Exception nor a way to end Python."""


def raises(error: BaseException) -> Callable[..., Any]:
    def client(base_url: str, api_key: str, prompt: str) -> None:
        ordered(base_url, api_key)
        raise error

    return client


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (_Mute(), "_Mute: (its text cannot be printed)"),
        (_Own("own"), "_Own: own"),
        (asyncio.CancelledError(), "CancelledError"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (GeneratorExit(), "GeneratorExit"),
        (SystemExit(3), "SystemExit: 3"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("at_once", [1, 2])
def test_whatever_a_client_raises_is_its_failure(error: BaseException, words: str, at_once: int) -> None:
    story = play(raises(error), at_once=at_once)
    assert [(one.ending, one.error) for one in story.outcomes] == [(Ending.FAILED, words)] * at_once
    assert "Traceback" in story.outcome.output


@pytest.mark.parametrize("error", [asyncio.CancelledError, _Own, KeyboardInterrupt, _Mute])
@pytest.mark.parametrize("at_once", [1, 2])
def test_whatever_a_coroutine_raises_is_its_failure(error: type[BaseException], at_once: int) -> None:
    async def client(base_url: str, api_key: str, prompt: str) -> None:
        await asyncio.sleep(1)
        raise error

    assert [one.ending for one in play(client, at_once=at_once).outcomes] == [Ending.FAILED] * at_once


def test_what_cannot_be_printed_can_be_returned() -> None:
    class Mute:
        def __repr__(self) -> str:
            raise ValueError("no words")

    def client(base_url: str, api_key: str, prompt: str) -> Mute:
        ordered(base_url, api_key)
        return Mute()

    assert repr(play(client).outcome.value) == "<Mute that cannot be printed>"
    verdict = check_client(client, plan=Plan(examples=20))
    assert verdict.failures(Level.MUST)


def test_a_client_may_close_its_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    def client(base_url: str, api_key: str, prompt: str) -> str:
        print("before")
        sys.stdout.close()
        sys.stderr.close()
        print("after")
        return "done"

    outcome = play(client).outcome
    assert (outcome.ending, outcome.output) == (Ending.RETURNED, "before\nafter\n")
    print("and after that")
    assert capsys.readouterr().out == "and after that\n"


# ---------------------------------------------------------------------------------------------- its process, and ours


def test_a_client_that_ends_its_process_fails_and_the_kit_goes_on() -> None:
    def client(base_url: str, api_key: str, prompt: str) -> None:
        ordered(base_url, api_key)
        os._exit(0)

    outcome = play(client).outcome
    assert (outcome.ending, outcome.error) == (Ending.FAILED, "SystemExit: 0")


def test_a_client_that_forks_is_unusable_and_is_told_what_to_do() -> None:
    def client(base_url: str, api_key: str, prompt: str) -> Any:
        with concurrent.futures.ProcessPoolExecutor(1) as pool:
            return pool.submit(len, prompt).result()

    with pytest.raises(UnusableClient, match=r"got one that forks.*test it as a command"):
        play(client)


def test_the_old_way_to_an_event_loop_works_in_every_scenario() -> None:
    async def waits() -> str:
        await asyncio.sleep(5)
        return "done"

    def client(base_url: str, api_key: str, prompt: str) -> str:
        return asyncio.get_event_loop().run_until_complete(waits())

    for at_once in (1, 2):
        for _ in range(2):
            assert [one.value for one in play(client, at_once=at_once).outcomes] == ["done"] * at_once


def test_proxies_of_the_machine_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:1")
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:1")

    def client(base_url: str, api_key: str, prompt: str) -> int:
        requests.get(ORIGINS["elsewhere"], timeout=5).raise_for_status()
        ordered(base_url, api_key)
        return len(urllib.request.getproxies())

    assert play(client).outcome.value == 0
    assert urllib.request.getproxies()["http"] == "http://proxy.invalid:1"


def test_a_rule_is_still_heard_after_trouble() -> None:
    """A scenario that follows one in which the client hung is told as if that had not been."""
    silent = Directive("silent", Family.STALLED, (rule("submit", None, wire={"silent": True, "end": "keep"}),))

    def client(base_url: str, api_key: str, prompt: str) -> str:
        while True:
            try:
                headers = {"TT-API-KEY": api_key}
                order = {"prompt": prompt, "mode": "flux1-dev"}
                return str(requests.post(f"{base_url}/flux/generate", json=order, headers=headers).text)  # noqa: S113
            except:  # noqa: E722, S110 - that is the fault
                pass

    with Simulation(Callee(client), contract="2024-09") as simulation:
        hung = simulation.play((silent,), Intent("a", "a cat", "flux1-dev"))
        after = simulation.play((), Intent("b", "a cat", "flux1-dev"))
    assert (hung.outcome.ending, after.outcome.ending) == (Ending.HUNG, Ending.RETURNED)
