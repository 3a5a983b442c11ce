"""In-process, httpx gets what a socket would give it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import requests
from adapted_calls import (
    API,
    BROKEN,
    ENDLESS,
    HEADERS,
    PATIENT,
    WIRES,
    Outcome,
    answer,
    both_ways,
    no_content,
    scenario,
    words,
)
from support import KEY, PROMPT, picture

from mock_server.adapters import for_httpx, for_requests
from mock_server.adapters.for_httpx import AsyncFluxTransport, FluxTransport
from mock_server.adapters.inprocess import InProcess
from mock_server.control import TenantControl
from mock_server.serving import Server


def by_httpx(url: str, timeout: float) -> Outcome:
    with httpx.Client(timeout=timeout) as client:
        return answer(client.post(f"{url}/flux/generate", json=PROMPT, headers={"TT-API-KEY": KEY}))


def by_httpx_streaming(url: str, timeout: float) -> Outcome:
    got = bytearray()
    with (
        httpx.Client(timeout=timeout) as client,
        client.stream("POST", f"{url}/flux/generate", json=PROMPT, headers={"TT-API-KEY": KEY}) as response,
    ):
        try:
            for piece in response.iter_bytes():
                got += piece
        except httpx.HTTPError as error:
            return response.status_code, len(got), type(error), words(error)
    return response.status_code, len(got)


def by_async_httpx(url: str, timeout: float) -> Outcome:
    async def ask() -> Outcome:
        async with httpx.AsyncClient(timeout=timeout) as client:
            return answer(await client.post(f"{url}/flux/generate", json=PROMPT, headers={"TT-API-KEY": KEY}))

    return asyncio.run(ask())


@pytest.mark.parametrize("ask", [by_httpx, by_httpx_streaming, by_async_httpx])
@pytest.mark.parametrize(("then", "timeout"), [wire[1:] for wire in WIRES], ids=[wire[0] for wire in WIRES])
def test_httpx_sees_what_a_socket_shows(
    then: dict[str, Any],
    timeout: float,
    ask: Callable[[str, float], Outcome],
    tenant: TenantControl,
    inprocess: InProcess,
) -> None:
    by_socket, in_process = both_ways(lambda url: ask(url, timeout), for_httpx, scenario(then), tenant, inprocess)
    assert in_process == by_socket
    assert in_process[-1] == 1


def test_faults_have_the_names_that_clients_of_httpx_catch(tenant: TenantControl, inprocess: InProcess) -> None:
    for name, expected in {
        "reset at once": httpx.ReadError,
        "empty answer": httpx.RemoteProtocolError,
        "body cut": httpx.RemoteProtocolError,
        "silent": httpx.ReadTimeout,
        "no gzip at all": httpx.DecodingError,
    }.items():
        tenant.scenario(scenario((BROKEN | ENDLESS)[name]))
        with pytest.raises(expected), httpx.Client(transport=FluxTransport(inprocess), timeout=PATIENT) as client:
            client.post(f"{API}/flux/generate", json=PROMPT, headers=HEADERS)


def test_a_transport_takes_every_host_to_the_emulator(tenant: TenantControl, inprocess: InProcess) -> None:
    with httpx.Client(transport=FluxTransport(inprocess), base_url="http://anywhere", headers=HEADERS) as client:
        job_id = client.post("/flux/generate", json=PROMPT).json()["data"]["jobId"]
        done = client.get("/flux/fetch", params={"jobId": job_id}).json()
        image = client.get(done["data"]["imageUrl"])
    assert done["data"]["imageUrl"] == tenant.jobs.image_url(job_id)
    assert image.content[:4] == b"RIFF"
    assert {entry.connection for entry in tenant.journal.requests} == {1, 2}


def test_an_async_client_does_a_whole_job_and_many_at_once(tenant: TenantControl, inprocess: InProcess) -> None:
    async def job(client: httpx.AsyncClient) -> bytes:
        files = {"image": ("cat.png", picture(), "image/png")}
        submitted = await client.post(f"{API}/flux/edits", data=PROMPT, files=files)
        job_id = submitted.json()["data"]["jobId"]
        done = await client.post(f"{API}/flux/fetch", json={"jobId": job_id})
        return (await client.get(done.json()["data"]["imageUrl"])).content

    async def jobs(client: httpx.AsyncClient) -> list[bytes]:
        async with client:
            return await asyncio.gather(*(job(client) for _ in range(4)))

    images = asyncio.run(jobs(httpx.AsyncClient(transport=AsyncFluxTransport(inprocess), headers=HEADERS)))
    with for_httpx.intercept(inprocess):
        images += asyncio.run(jobs(httpx.AsyncClient(headers=HEADERS)))
    assert {image[:4] for image in images} == {b"RIFF"}
    assert len(tenant.jobs) == 8


def test_drawing_does_not_hold_up_the_event_loop(inprocess: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """The image is drawn only once the loop has gone on: were it drawn on the loop, neither would end."""
    drawing, went_on = threading.Event(), threading.Event()

    def slow(*_: object) -> bytes:
        drawing.set()
        assert went_on.wait(20)
        return b"drawn"

    async def main() -> bytes:
        async with httpx.AsyncClient(transport=AsyncFluxTransport(inprocess), headers=HEADERS, timeout=30) as client:
            job_id = (await client.post(f"{API}/flux/generate", json=PROMPT)).json()["data"]["jobId"]
            url = (await client.post(f"{API}/flux/fetch", json={"jobId": job_id})).json()["data"]["imageUrl"]
            download = asyncio.create_task(client.get(url))
            while not drawing.is_set():
                await asyncio.sleep(0)
            went_on.set()
            return (await download).content

    monkeypatch.setattr("mock_server.images.gallery._draw", slow)
    assert asyncio.run(main()) == b"drawn"


def test_clients_give_up_on_an_answer_that_waits_for_a_receiver_which_hangs(
    tenant: TenantControl, inprocess: InProcess
) -> None:
    released = threading.Event()

    def receiver(environ: object, start_response: Callable[..., object]) -> list[bytes]:
        assert released.wait(20)
        return no_content(environ, start_response)

    async def ask(timeout: float | None) -> None:
        transport = AsyncFluxTransport(inprocess)
        async with httpx.AsyncClient(transport=transport, timeout=timeout, headers=HEADERS) as client:
            await client.post(f"{API}/flux/generate", json=order)

    async def cancel() -> None:
        async with asyncio.timeout(0.05):
            await ask(None)

    tenant.scenario("early-hook")
    order = {**PROMPT, "hookUrl": f"{tenant.hooks.deliver_to(receiver)}/hook"}
    with for_requests.intercept(inprocess), for_httpx.intercept(inprocess):
        with pytest.raises(requests.ReadTimeout, match="Read timed out"):
            requests.post(f"{API}/flux/generate", json=order, headers=HEADERS, timeout=0.05)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{API}/flux/generate", json=order, headers=HEADERS, timeout=0.05)
        with pytest.raises(httpx.ReadTimeout):
            asyncio.run(ask(0.05))
        with pytest.raises(TimeoutError):
            asyncio.run(cancel())
        released.set()
        assert requests.post(f"{API}/flux/generate", json=order, headers=HEADERS, timeout=PATIENT).status_code == 200
        asyncio.run(ask(PATIENT))


def test_clients_of_httpx_reach_other_hosts_as_ever(server: Server, inprocess: InProcess) -> None:
    before = httpx.HTTPTransport.handle_request, httpx.AsyncHTTPTransport.handle_async_request

    async def front_page() -> str:
        async with httpx.AsyncClient() as client:
            return (await client.get(server.url)).text

    with contextlib.suppress(ZeroDivisionError), for_httpx.intercept(inprocess):
        assert httpx.get(server.url).text.startswith("fluxmock")
        assert asyncio.run(front_page()).startswith("fluxmock")
        raise ZeroDivisionError
    assert before == (httpx.HTTPTransport.handle_request, httpx.AsyncHTTPTransport.handle_async_request)
