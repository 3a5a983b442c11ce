"""A client in virtual time: it repeats to the byte, it waits for nothing, and it ends, whatever it does."""

from __future__ import annotations

import asyncio
import json
import logging
import queue
import random
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import aiohttp
import httpx
import pytest
import requests
import urllib3
from flask import Flask, request

from contract_tests.clients.directives.base import Directive, Family, rule
from contract_tests.clients.given import Callee, UnusableClient
from contract_tests.clients.simulation.run import ORIGINS, Simulation
from contract_tests.clients.story import Ending, Intent, Story

KEY = "simulated-key"
SECONDS_OF_WORK = 20.0
SLOW = Directive(
    "slow", Family.SLOW_JOB, ({"on": "job", "then": {"queue_seconds": 0, "run_seconds": SECONDS_OF_WORK}},)
)


ORDER = {"prompt": "a cat", "mode": "flux1-dev"}


def play(client: Callable[..., Any], *directives: Directive, hook: bool = False, **how: Any) -> Story:
    intent = Intent(KEY, "a cat", "flux1-dev", hook_url=f"{ORIGINS['hooks']}/hook" if hook else None)
    with Simulation(Callee(client), contract="2024-09", **how) as simulation:
        return simulation.play(directives, intent)


def post(base_url: str, path: str, key: str, **fields: Any) -> Any:
    order = urllib.request.Request(
        base_url + path, json.dumps(fields).encode(), {"TT-API-KEY": key, "Content-Type": "application/json"}
    )
    with urllib.request.urlopen(order, timeout=30) as answer:
        return json.load(answer)


def ordered(base_url: str, key: str, **more: Any) -> str:
    return post(base_url, "/flux/generate", key, prompt="a cat", mode="flux1-dev", **more)["data"]["jobId"]


def polled(base_url: str, key: str, job_id: str, pause: float = 3.0) -> Any:
    while (answer := post(base_url, "/flux/fetch", key, jobId=job_id))["status"] not in {"SUCCESS", "FAILED"}:
        time.sleep(pause)
    return answer


def with_requests(base_url: str, api_key: str, prompt: str) -> bytes:
    with requests.Session() as session:
        session.headers["TT-API-KEY"] = api_key
        job = session.post(f"{base_url}/flux/generate", json={"prompt": prompt, "mode": "flux1-dev"}, timeout=30).json()
        while True:
            answer = session.post(f"{base_url}/flux/fetch", json=job["data"], timeout=30).json()
            if answer["status"] == "SUCCESS":
                break
            time.sleep(3)
    return requests.get(answer["data"]["imageUrl"], timeout=30).content


def with_httpx(base_url: str, api_key: str, prompt: str) -> bytes:
    with httpx.Client(base_url=base_url, headers={"TT-API-KEY": api_key}, verify=False) as client:
        job = client.post("/flux/generate", json={"prompt": prompt, "mode": "flux1-dev"}).json()["data"]
        while (answer := client.post("/flux/fetch", json=job).json())["status"] != "SUCCESS":
            time.sleep(3)
        return httpx.get(answer["data"]["imageUrl"], verify=False).content


def with_urllib3(base_url: str, api_key: str, prompt: str) -> bytes:
    with urllib3.PoolManager(headers={"TT-API-KEY": api_key}) as pool:
        order = {"prompt": prompt, "mode": "flux1-dev"}
        job = pool.request("POST", f"{base_url}/flux/generate", json=order).json()["data"]
        while (answer := pool.request("POST", f"{base_url}/flux/fetch", json=job).json())["status"] != "SUCCESS":
            time.sleep(3)
        return pool.request("GET", answer["data"]["imageUrl"], headers={}).data


async def with_httpx_async(base_url: str, api_key: str, prompt: str) -> bytes:
    async with httpx.AsyncClient(base_url=base_url, headers={"TT-API-KEY": api_key}, verify=False) as client:
        job = (await client.post("/flux/generate", json={"prompt": prompt, "mode": "flux1-dev"})).json()["data"]
        while (answer := (await client.post("/flux/fetch", json=job)).json())["status"] != "SUCCESS":
            await asyncio.sleep(3)
        return (await client.get(answer["data"]["imageUrl"], headers={"TT-API-KEY": ""})).content


async def with_aiohttp(base_url: str, api_key: str, prompt: str) -> bytes:
    async with aiohttp.ClientSession(base_url, headers={"TT-API-KEY": api_key}) as session:
        async with session.post("/flux/generate", json={"prompt": prompt, "mode": "flux1-dev"}) as answer:
            job = (await answer.json())["data"]
        while True:
            async with session.post("/flux/fetch", json=job) as answer:
                told = await answer.json()
            if told["status"] == "SUCCESS":
                break
            await asyncio.sleep(3)
    async with aiohttp.ClientSession() as session, session.get(told["data"]["imageUrl"]) as answer:
        return await answer.read()


def with_threads(base_url: str, api_key: str, prompt: str) -> bytes:
    def one(number: int) -> Any:
        job_id = ordered(base_url, api_key, size=f"{1024}x{1024}", n=number)
        time.sleep(random.uniform(0, 5))
        return polled(base_url, api_key, job_id, pause=1 + number)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(one, range(6)))
    with urllib.request.urlopen(answers[0]["data"]["imageUrl"], timeout=30) as answer:
        return answer.read()


CLIENTS = [with_requests, with_httpx, with_urllib3, with_httpx_async, with_aiohttp, with_threads]


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)
def test_a_client_gets_its_image_after_the_virtual_time_of_its_job(client: Callable[..., Any]) -> None:
    story = play(client, SLOW)
    assert story.outcome.ending is Ending.RETURNED, story.outcome.output
    assert story.outcome.value == story.downloads[0].answer
    assert bytes(story.outcome.value[:4]) == b"RIFF"
    assert story.outcome.at >= SECONDS_OF_WORK
    assert len(story.fetches) >= SECONDS_OF_WORK / 8


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)
def test_the_same_scenario_gives_the_same_bytes(client: Callable[..., Any]) -> None:
    flaky = Directive("flaky", Family.FLAKY_FETCH, (rule("fetch", 2, delay={"uniform": [0, 2]}),))
    stories = [play(client, SLOW, flaky) for _ in range(3)]
    for story in stories[1:]:
        assert story.requests == stories[0].requests
        assert story.connections == stories[0].connections
        assert story.outcome == stories[0].outcome


def test_what_is_drawn_at_random_repeats_and_the_users_own_luck_does_not_change() -> None:
    def client(base_url: str, api_key: str, prompt: str) -> list[object]:
        return [random.random(), uuid.uuid4(), random.SystemRandom().random()]

    random.seed(7)
    before = random.getstate()
    first, second = (play(client).outcome.value for _ in range(2))
    assert first == second
    assert random.getstate() == before
    assert uuid.uuid4() != uuid.uuid4()


def test_a_timeout_ends_a_read_in_virtual_time() -> None:
    def client(base_url: str, api_key: str, prompt: str) -> object:
        return requests.post(
            f"{base_url}/flux/generate", json=ORDER, headers={"TT-API-KEY": api_key}, timeout=47
        ).status_code

    silent = Directive("silent", Family.STALLED, (rule("submit", None, wire={"silent": True, "end": "keep"}),))
    story = play(client, silent)
    assert (story.outcome.ending, story.outcome.at) == (Ending.FAILED, 47.0)
    assert "ReadTimeout" in story.outcome.error


def test_a_client_without_a_timeout_is_said_to_hang() -> None:
    def client(base_url: str, api_key: str, prompt: str) -> object:
        return requests.post(f"{base_url}/flux/generate", json=ORDER, headers={"TT-API-KEY": api_key}).status_code  # noqa: S113 - that is the fault

    silent = Directive("silent", Family.STALLED, (rule("submit", None, wire={"silent": True, "end": "keep"}),))
    story = play(client, silent)
    assert story.outcome.ending is Ending.HUNG
    assert story.outcome.error == "it waits for what will never come"


@pytest.mark.parametrize("pause", [0.0, 3.0], ids=["a hot loop", "a pause"])
def test_a_client_that_does_not_stop_is_stopped(pause: float) -> None:
    def client(base_url: str, api_key: str, prompt: str) -> None:
        job_id = ordered(base_url, api_key)
        while True:
            try:
                post(base_url, "/flux/fetch", api_key, jobId=job_id)
            except Exception:  # noqa: BLE001, S112 - as careless code does
                continue
            time.sleep(pause)

    story = play(client, seconds=600.0, most_requests=150)
    assert story.outcome.ending is Ending.HUNG
    assert len(story.requests) <= 150 or story.outcome.at >= 590


def test_a_wait_for_nobody_ends_the_client() -> None:
    def client(base_url: str, api_key: str, prompt: str) -> None:
        threading.Event().wait()

    assert play(client).outcome.ending is Ending.HUNG


def test_what_a_client_leaves_behind_is_watched_and_ended() -> None:
    def client(base_url: str, api_key: str, prompt: str) -> str:
        job_id = ordered(base_url, api_key)

        def poll() -> None:
            while True:
                time.sleep(10)
                post(base_url, "/flux/fetch", api_key, jobId=job_id)

        threading.Thread(target=poll, name="left-behind", daemon=True).start()
        return "done"

    story = play(client, quiet_seconds=65.0)
    assert story.outcome.value == "done"
    assert [fetch.at for fetch in story.fetches] == pytest.approx([10.02, 20.04, 30.06, 40.08, 50.1, 60.12], abs=0.05)
    assert not [thread for thread in threading.enumerate() if thread.name == "left-behind"]


def test_threads_hand_over_to_each_other_and_time_passes_only_when_all_wait() -> None:
    seen: list[tuple[str, float]] = []

    def client(base_url: str, api_key: str, prompt: str) -> None:
        start, inbox = time.monotonic(), queue.Queue[str]()
        lock = threading.Lock()

        def worker(name: str, seconds: float) -> None:
            time.sleep(seconds)
            with lock:
                inbox.put(name)

        threads = [threading.Thread(target=worker, args=(name, seconds)) for name, seconds in [("b", 5), ("a", 3)]]
        for thread in threads:
            thread.start()
        seen.extend((inbox.get(timeout=60), round(time.monotonic() - start, 3)) for _ in threads)
        with pytest.raises(queue.Empty):
            inbox.get(timeout=4)
        seen.append(("nothing", round(time.monotonic() - start, 3)))
        for thread in threads:
            thread.join()

    assert play(client).outcome.ending is Ending.RETURNED
    assert seen == [("a", 3.0), ("b", 5.0), ("nothing", 9.0)]


def test_clocks_and_dates_are_those_of_the_simulation() -> None:
    def client(base_url: str, api_key: str, prompt: str) -> object:
        day = datetime.now().year
        before = time.time(), time.perf_counter()
        time.sleep(1000)
        return day, time.time() - before[0], time.perf_counter() - before[1]

    year, passed, counted = play(client).outcome.value
    assert (year, passed, counted) == (2024, 1000.0, 1000.0)


def test_what_is_printed_and_logged_and_raised_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    def client(base_url: str, api_key: str, prompt: str) -> None:
        print("printed", api_key)
        logging.getLogger("client").warning("logged %s", api_key)
        raise RuntimeError("raised")

    outcome = play(client).outcome
    assert (outcome.ending, outcome.error) == (Ending.FAILED, "RuntimeError: raised")
    assert f"printed {KEY}" in outcome.output
    assert f"logged {KEY}" in outcome.output
    assert "Traceback" in outcome.output
    assert capsys.readouterr().out == ""


def test_only_the_servers_that_there_are_can_be_reached() -> None:
    def client(base_url: str, api_key: str, prompt: str) -> object:
        for url in ("http://10.0.0.1/", "https://api.fluxmock.test/", "http://nobody.test:99/"):
            with pytest.raises(requests.ConnectionError):
                requests.get(url, timeout=5)
        return requests.get(ORIGINS["elsewhere"], timeout=5).status_code

    story = play(client)
    assert story.outcome.value == 200
    refused = [connection.origin for connection in story.connections if connection.refused]
    assert refused == ["http://10.0.0.1", "https://api.fluxmock.test", "http://nobody.test:99"]


def test_a_socket_that_listens_is_refused_with_the_reason() -> None:
    def client(base_url: str, api_key: str, prompt: str) -> None:
        import http.server

        http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)

    assert "receiver" in play(client).outcome.error


def test_a_receiver_of_webhooks_lives_on_the_same_clock() -> None:
    got: list[tuple[float, str]] = []
    arrived = threading.Event()
    inbox = Flask("inbox")

    @inbox.post("/hook")
    def hook() -> tuple[str, int]:
        time.sleep(2)
        got.append((time.time(), request.get_json()["status"]))
        arrived.set()
        return "", 204

    def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> float:
        arrived.clear()
        start = time.time()
        ordered(base_url, api_key, hookUrl=hook_url)
        assert arrived.wait(timeout=300)
        return time.time() - start

    story = play(client, SLOW, hook=True, receiver=inbox)
    assert story.outcome.value == pytest.approx(SECONDS_OF_WORK + 2, abs=0.1)
    assert [status for _, status in got] == ["SUCCESS"]
    (call,) = story.hooks
    assert (call.status, call.answered_at) == (204, pytest.approx(call.at + 2, abs=0.01))
    assert json.loads(call.body)["status"] == "SUCCESS"


def test_an_asgi_receiver_is_called_too() -> None:
    arrived = threading.Event()

    async def inbox(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await asyncio.sleep(1)
        await send({"type": "http.response.start", "status": 202, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        arrived.set()

    def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> bool:
        ordered(base_url, api_key, hookUrl=hook_url)
        return arrived.wait(timeout=300)

    story = play(client, hook=True, receiver=inbox)
    assert story.outcome.value is True
    assert [(call.status, call.error) for call in story.hooks] == [(202, None)]


def test_an_early_hook_comes_before_the_submit_answer() -> None:
    times: list[float] = []

    def inbox(environ: Any, start_response: Any) -> list[bytes]:
        times.append(time.monotonic())
        start_response("200 OK", [])
        return [b""]

    def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> bool:
        ordered(base_url, api_key, hookUrl=hook_url)
        return times[0] < time.monotonic()

    early = Directive("early", Family.ODD_HOOK, (rule("hook", None, when="before the submit answer"),))
    assert play(client, early, hook=True, receiver=inbox).outcome.value is True


@pytest.mark.parametrize(
    "thing", [None, 3, lambda: None, lambda prompt: prompt], ids=["nothing", "a number", "no argument", "one"]
)
def test_what_cannot_be_called_as_a_client_is_refused(thing: Any) -> None:
    with pytest.raises(UnusableClient, match="base_url, api_key, prompt"):
        Callee(thing)
