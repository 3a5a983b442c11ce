"""Deadlines on event loops, on the tenant's clock: what sleeps pass is over, and what guards real I/O is not."""

from __future__ import annotations

import asyncio
import contextvars
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import httpx
import pytest
from driving import ETERNAL, TEN_HOURS, Serve, control

from mock_server.drive import members

pytestmark = pytest.mark.asyncio

Poll = Callable[[Callable[[], Awaitable[str]]], Awaitable[None]]


@asynccontextmanager
async def listening(release: asyncio.Event) -> AsyncIterator[str]:
    """Run a server whose answers wait for `release`, and yield its URL."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await release.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


# Clients that give up


async def until_timeout(fetch: Callable[[], Awaitable[str]]) -> None:
    async with asyncio.timeout(300):
        while await fetch() != "SUCCESS":
            await asyncio.sleep(2)


async def until_timeout_at(fetch: Callable[[], Awaitable[str]]) -> None:
    async with asyncio.timeout_at(asyncio.get_running_loop().time() + 300):
        while await fetch() != "SUCCESS":
            await asyncio.sleep(7)  # 300 is no multiple of it


async def until_wait_for(fetch: Callable[[], Awaitable[str]]) -> None:
    async def poll() -> None:
        while await fetch() != "SUCCESS":
            await asyncio.sleep(2)

    await asyncio.wait_for(poll(), 300)


async def until_loop_time(fetch: Callable[[], Awaitable[str]]) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 300
    while loop.time() < deadline:
        if await fetch() == "SUCCESS":
            return
        await asyncio.sleep(2)
    raise TimeoutError


async def until_called_back(fetch: Callable[[], Awaitable[str]]) -> None:
    given_up = asyncio.Event()
    asyncio.get_running_loop().call_later(300, given_up.set)
    while await fetch() != "SUCCESS":
        await asyncio.sleep(2)
        if given_up.is_set():
            raise TimeoutError


async def until_a_thread_has_slept(fetch: Callable[[], Awaitable[str]]) -> None:
    async with asyncio.timeout(300):
        while await fetch() != "SUCCESS":
            time.sleep(7)


@pytest.mark.parametrize(
    "poll",
    [
        until_timeout,
        until_timeout_at,
        until_wait_for,
        until_loop_time,
        until_called_back,
        until_a_thread_has_slept,
    ],
)
async def test_a_client_gives_up_at_its_own_deadline(serve: Serve, poll: Poll) -> None:
    server = serve(clock="frozen")
    tenant = server.tenant("k")
    tenant.scenario(ETERNAL)
    start = tenant.clock.now()
    with tenant.clock.drive():
        async with httpx.AsyncClient(base_url=server.url, headers={"TT-API-KEY": "k"}) as client:
            job = (await client.post("/flux/generate", json={"prompt": "a cat", "mode": "flux1-dev"})).json()["data"]

            async def fetch() -> str:
                return str((await client.post("/flux/fetch", json=job)).json()["status"])

            with pytest.raises(TimeoutError):
                await poll(fetch)
    assert 300 <= tenant.clock.now() - start <= 301


async def test_the_clock_stops_at_a_deadline_that_a_sleep_would_pass() -> None:
    tenant = control()
    start = tenant.clock.now()
    with tenant.clock.drive():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(TEN_HOURS), 5)
        assert tenant.clock.now() - start == 5
        results = await asyncio.gather(
            *(asyncio.wait_for(asyncio.sleep(3, "slept"), limit) for limit in (2, 4, None)), return_exceptions=True
        )
    assert [type(result) for result in results] == [TimeoutError, str, str]
    assert tenant.clock.now() - start == 8


async def test_a_deadline_comes_before_a_sleep_that_ends_with_it() -> None:
    with control().clock.drive():
        for _ in range(5):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.sleep(3), 3)
            async with asyncio.timeout(3.001):
                await asyncio.sleep(3)


@pytest.mark.parametrize("clock", ["frozen", "auto"])
async def test_a_deadline_is_met_whoever_moves_the_clock(clock: str) -> None:
    tenant = control(clock=clock)

    async def wait_in_vain() -> None:
        async with asyncio.timeout(TEN_HOURS / 2):
            tenant.clock.advance(TEN_HOURS)
            await asyncio.Event().wait()

    with tenant.clock.drive(), pytest.raises(TimeoutError):
        await wait_in_vain()


async def test_a_loop_that_never_sleeps_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "STILL_SECONDS", -1.0)
    loop = asyncio.get_running_loop()

    async def spin() -> None:
        deadline = loop.time() + 300
        while loop.time() < deadline:
            await asyncio.sleep(0)

    with control().clock.drive(), pytest.raises(RuntimeError, match="the clock was read again and again"):
        await spin()


async def test_a_thread_that_sleeps_passes_the_deadline_of_a_loop() -> None:
    tenant = control()
    with tenant.clock.drive():
        sleeper = asyncio.create_task(asyncio.to_thread(time.sleep, TEN_HOURS))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(TEN_HOURS / 2):
                await asyncio.Event().wait()
        await sleeper


async def test_what_never_comes_is_waited_for_in_real_time() -> None:
    tenant = control()
    start = tenant.clock.now()
    with tenant.clock.drive():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.001)
        done, pending = await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.001)
        assert (len(done), len(pending)) == (0, 1)
    assert tenant.clock.now() == start


# Real I/O


async def by_httpx(url: str) -> str:
    async with httpx.AsyncClient(timeout=60) as client:
        return (await client.get(url)).text


async def by_aiohttp(url: str) -> str:
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60, sock_read=50)) as session,
        session.get(url) as answer,
    ):
        return await answer.text()


@pytest.mark.parametrize("get", [by_httpx, by_aiohttp])
async def test_timeouts_of_http_clients_are_real_and_the_users_own_are_not(
    get: Callable[[str], Awaitable[str]],
) -> None:
    release = asyncio.Event()

    async def impatient(url: str) -> str:
        async with asyncio.timeout(70):
            return await get(url)

    with control().clock.drive():
        async with listening(release) as url:
            patient, given_up = asyncio.ensure_future(get(url)), asyncio.create_task(impatient(url))
            await asyncio.sleep(TEN_HOURS)
            assert not patient.done()
            assert isinstance(given_up.exception(), TimeoutError)
            release.set()
            assert await patient == "ok"


# What the real ones do


async def shortened_sleep(timeout: asyncio.Timeout) -> None:
    async with timeout:
        timeout.reschedule(asyncio.get_running_loop().time() - 1)
        await asyncio.sleep(9)


async def nested_sleep(outer: asyncio.Timeout, inner: asyncio.Timeout) -> None:
    async with outer, inner:
        await asyncio.sleep(40)


async def test_a_timeout_keeps_its_meaning() -> None:
    with control().clock.drive():
        now = asyncio.get_running_loop().time
        begun = now()
        assert begun == time.monotonic()
        async with asyncio.timeout(None) as endless:
            await asyncio.sleep(TEN_HOURS)
        assert (endless.when(), endless.expired()) == (None, False)
        async with asyncio.timeout(10) as extended:
            assert extended.when() == now() + 10
            await asyncio.sleep(9)
            extended.reschedule(now() + 100)
            await asyncio.sleep(99)
        assert not extended.expired()
        shortened = asyncio.timeout(10)
        with pytest.raises(TimeoutError):
            await shortened_sleep(shortened)
        assert shortened.expired()
        assert now() - begun == TEN_HOURS + 108


async def test_the_inner_and_the_outer_timeout_are_told_apart() -> None:
    tenant = control()
    start = tenant.clock.now()
    with tenant.clock.drive():
        async with asyncio.timeout(20) as outer:
            inner = asyncio.timeout(10)
            with pytest.raises(TimeoutError):
                await nested_sleep(asyncio.timeout(None), inner)
            assert (inner.expired(), outer.expired()) == (True, False)
        outer, inner = asyncio.timeout(20), asyncio.timeout(30)
        with pytest.raises(TimeoutError):
            await nested_sleep(outer, inner)
        assert (inner.expired(), outer.expired()) == (False, True)
    assert tenant.clock.now() - start == 30


async def test_waiting_for_nothing_or_for_ever_keeps_its_meaning() -> None:
    with control().clock.drive():
        assert await asyncio.wait_for(asyncio.sleep(TEN_HOURS, "slept"), None) == "slept"
        done = asyncio.get_running_loop().create_future()
        done.set_result("done")
        assert await asyncio.wait_for(done, 0) == "done"
        for limit in (0, -1):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.sleep(1), limit)


async def test_a_cancelled_wait_is_cancelled() -> None:
    tenant = control()
    start = tenant.clock.now()
    with tenant.clock.drive():
        waiting = asyncio.create_task(asyncio.wait_for(asyncio.sleep(TEN_HOURS), 100))
        await asyncio.sleep(5)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.sleep(200)
    assert tenant.clock.now() - start == 205


async def test_callbacks_run_once_in_order_and_in_their_context() -> None:
    loop = asyncio.get_running_loop()
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="none")
    seen: list[tuple[str, float]] = []
    with control().clock.drive():
        begun = loop.time()

        def note(what: str) -> None:
            seen.append((f"{what} {name.get()}", loop.time() - begun))

        name.set("own")
        other = contextvars.copy_context()
        other.run(name.set, "other")
        loop.call_later(20, note, "second", context=other)
        first = loop.call_at(begun + 10, note, "first")
        never = loop.call_later(15, note, "never")
        late = loop.call_later(TEN_HOURS * 2, note, "late")
        assert first.when() == begun + 10
        never.cancel()
        assert never.cancelled()
        await asyncio.sleep(TEN_HOURS)
        late.cancel()
    assert seen == [("first own", 10), ("second other", 20)]


async def test_timeouts_that_were_not_needed_leave_nothing_behind() -> None:
    tenant = control()
    start = tenant.clock.now()
    loop = asyncio.get_running_loop()
    with tenant.clock.drive():
        pending = {id(handle) for handle in loop._scheduled if not handle.cancelled()}  # type: ignore[attr-defined]
        for _ in range(20):
            async with asyncio.timeout(5):
                await asyncio.sleep(0)
            assert await asyncio.wait_for(asyncio.sleep(0, "slept"), 5) == "slept"
        left = [handle for handle in loop._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]
        assert {id(handle) for handle in left} <= pending
        await asyncio.sleep(TEN_HOURS)
    assert tenant.clock.now() - start == TEN_HOURS


async def test_a_deadline_that_outlives_the_block_is_real() -> None:
    loop = asyncio.get_running_loop()
    tenant = control()
    called = asyncio.Event()
    with tenant.clock.drive():
        await asyncio.sleep(TEN_HOURS)
        loop.call_later(0.05, called.set)
    await called.wait()
    assert loop.time() == pytest.approx(time.monotonic(), abs=60)


async def test_deadlines_outside_the_block_are_real(serve: Serve) -> None:
    server = serve(clock="frozen")
    tenant = server.tenant("k")
    async with asyncio.timeout(3600):
        with tenant.clock.drive():
            await asyncio.sleep(TEN_HOURS)
    body = json.dumps({"jobId": "none"})
    async with httpx.AsyncClient(base_url=server.url) as client, asyncio.timeout(3600):
        tenant.clock.advance(TEN_HOURS)
        assert (await client.post("/flux/fetch", content=body)).status_code < 500
