"""Tasks of asyncio on the tenant's clock: their sleeps move it."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, date, datetime

import httpx
import pytest
from driving import DAY, SLOW, TEN_HOURS, Serve, control, submit


@pytest.mark.asyncio
async def test_an_asyncio_client_polls_on_the_clock(serve: Serve) -> None:
    server = serve(clock="frozen")
    tenant = server.tenant("k")
    tenant.scenario(SLOW)
    start = tenant.clock.now()

    async def poll(client: httpx.AsyncClient) -> int:
        job = (await client.post("/flux/generate", json={"prompt": "a cat", "mode": "flux1-dev"})).json()
        for calls in range(1, 100):
            answer = await client.post("/flux/fetch", json={"jobId": job["data"]["jobId"]})
            if answer.json()["status"] == "SUCCESS":
                return calls
            await asyncio.sleep(3)
        raise AssertionError("it never succeeded")

    with tenant.clock.drive():
        async with httpx.AsyncClient(base_url=server.url, headers={"TT-API-KEY": "k"}) as client:
            assert await poll(client) == 31
    assert tenant.clock.now() - start == 90.0


@pytest.mark.asyncio
async def test_tasks_that_sleep_at_once_wake_in_order() -> None:
    tenant = control()
    start = tenant.clock.now()
    woken: list[tuple[int, float]] = []

    async def nap(seconds: int) -> int:
        result = await asyncio.sleep(seconds, seconds)
        woken.append((seconds, time.time() - start))
        return result

    with tenant.clock.drive():
        assert await asyncio.gather(nap(5), nap(3), nap(TEN_HOURS), nap(3)) == [5, 3, TEN_HOURS, 3]
    assert woken == [(3, 3), (3, 3), (5, 5), (TEN_HOURS, TEN_HOURS)]


@pytest.mark.asyncio
async def test_a_sleep_that_is_cancelled_moves_nothing() -> None:
    tenant = control()
    start = tenant.clock.now()
    with tenant.clock.drive():
        long = asyncio.create_task(asyncio.sleep(TEN_HOURS))
        short = asyncio.create_task(asyncio.sleep(3))
        await short
        long.cancel()
        with pytest.raises(asyncio.CancelledError):
            await long
        await asyncio.sleep(4)
    assert tenant.clock.now() - start == 7.0


@pytest.mark.asyncio
async def test_a_sleep_of_nothing_is_a_yield() -> None:
    tenant = control()
    start = tenant.clock.now()
    seen = []
    with tenant.clock.drive():
        asyncio.get_running_loop().call_soon(seen.append, "ran")
        await asyncio.sleep(0)
        assert await asyncio.sleep(-1, "result") == "result"
    assert seen == ["ran"]
    assert tenant.clock.now() == start


@pytest.mark.asyncio
async def test_a_hook_receiver_on_the_same_loop_is_reached_while_a_task_sleeps(serve: Serve) -> None:
    server = serve(clock="frozen")
    tenant = server.tenant("k")
    arrived = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(2)  # the clock waits for this very hook
        arrived.append(datetime.now(UTC).date())
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    with tenant.clock.drive():
        async with await asyncio.start_server(take, "127.0.0.1", 0) as listener:
            port = listener.sockets[0].getsockname()[1]
            await asyncio.to_thread(submit, server.url, hookUrl=f"http://127.0.0.1:{port}/hook")
            await asyncio.sleep(TEN_HOURS)
    assert arrived == [DAY]
    assert tenant.hooks[0].attempts[0].receipt.status == 204


@pytest.mark.asyncio
async def test_the_threads_of_a_driven_loop_are_driven() -> None:
    tenant = control()
    start = tenant.clock.now()
    with tenant.clock.drive():
        await asyncio.to_thread(time.sleep, TEN_HOURS)
        assert await asyncio.to_thread(date.today) == DAY
    assert tenant.clock.now() - start == TEN_HOURS


@pytest.mark.asyncio
async def test_a_sleep_after_one_that_was_cancelled_takes_its_time() -> None:
    tenant = control()
    start = tenant.clock.now()

    async def impatient() -> None:
        sleeper = asyncio.create_task(asyncio.sleep(TEN_HOURS))
        await asyncio.sleep(0)
        sleeper.cancel()
        await asyncio.sleep(3)

    with tenant.clock.drive():
        for _ in range(5):
            await impatient()
    assert tenant.clock.now() - start == 15.0
