# ruff: noqa: S113 - in-process there is nothing to wait for
"""In-process, a client gets what a socket would give it; where that is not so, docs/in-process.md says so."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import re
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import responses
from requests.adapters import HTTPAdapter
from support import KEY, PROMPT, picture
from urllib3 import Retry

import mock_server
from mock_server.adapters import for_httpx, for_requests
from mock_server.adapters.for_httpx import AsyncFluxTransport, FluxTransport
from mock_server.adapters.inprocess import InProcess
from mock_server.control import TenantControl
from mock_server.product import load_product
from mock_server.serving import Server

DOCS = (Path(__file__).resolve().parent.parent / "docs" / "in-process.md").read_text("utf-8")
ORIGINS = load_product().origins
API, IMAGES = ORIGINS.api, ORIGINS.images
HEADERS = {"TT-API-KEY": "the key of production"}
SHORT = 0.4
"""Seconds that a client waits where something never comes. Over a socket they really pass."""

PATIENT = 30

ANSWERED = {
    "nothing special": {"status": 200},
    "late, but in time": {"delay": 0.01},
    "in pieces": {"wire": {"piece": 30, "pause": 0.001}},
    "chunked": {"wire": {"chunks": [1, 5, 17]}},
    "chunked in pieces": {"wire": {"chunks": [9], "piece": 4}},
    "closed afterwards": {"wire": {"end": "close"}},
    "half closed afterwards": {"wire": {"end": "half close"}},
    "reset afterwards": {"wire": {"end": "reset"}},
    "length too short": {"wire": {"length_error": -10}},
    "length too short, closed": {"wire": {"length_error": -10, "end": "close"}},
    "gzip": {"coding": "gzip"},
    "gzip, chunked": {"coding": "gzip", "wire": {"chunks": [10]}},
    "byte order mark": {"coding": "bom"},
    "utf-16": {"coding": "utf-16"},
    "half of the JSON": {"body": '{"status":"SUCC'},
    "empty body": {"body": ""},
    "gateway error": {"status": 502, "body": "<html>", "headers": {"Content-Type": "text/html"}},
    "rate limited": {"status": 429, "headers": {"Retry-After": "0"}},
    "cookie": {"headers": {"Set-Cookie": "seen=1; Path=/"}},
}
BROKEN = {
    "empty answer": {"wire": {"silent": True, "end": "close"}},
    "empty answer, half closed": {"wire": {"silent": True, "end": "half close"}},
    "reset at once": {"wire": {"silent": True, "end": "reset"}},
    "reset after a while": {"delay": 0.01, "wire": {"silent": True, "end": "reset"}},
    "body cut": {"wire": {"body_bytes": 10, "end": "close"}},
    "body reset": {"wire": {"body_bytes": 10, "end": "reset"}},
    "chunks cut": {"wire": {"chunks": [7], "body_bytes": 20, "end": "close"}},
    "gzip cut": {"coding": "gzip", "wire": {"body_bytes": 20, "end": "close"}},
    "no gzip at all": {"headers": {"Content-Encoding": "gzip"}},
    "length too long, closed": {"wire": {"length_error": 5, "end": "close"}},
}
ENDLESS = {
    "too late": {"delay": 3},
    "silent": {"wire": {"silent": True}},
    "pause too long": {"wire": {"piece": 150, "pause": 3}},
    "length too long": {"wire": {"length_error": 5}},
    "body stops": {"wire": {"body_bytes": 10}},
}
WIRES = [(name, then, PATIENT) for name, then in (ANSWERED | BROKEN).items()]
WIRES += [(name, then, SHORT) for name, then in ENDLESS.items()]

Outcome = tuple[object, ...]


def scenario(then: dict[str, Any], on: str = "generate", **rule: Any) -> dict[str, Any]:
    return {"name": "one-fault", "rules": [{"on": on, "then": {"accepted": True, **then}, **rule}]}


@pytest.fixture(scope="module")
def _server() -> Iterator[Server]:
    # One for all: to stop it takes until the last answer that is late.
    with mock_server.serve(clock="frozen", progress="immediate", observer=None) as server:
        yield server


@pytest.fixture
def server(_server: Server) -> Server:
    _server.world.forget_all()
    return _server


@pytest.fixture
def tenant(server: Server) -> TenantControl:
    return server.tenant(KEY)


@pytest.fixture
def inprocess(server: Server) -> InProcess:
    return InProcess(server.app, KEY)


@pytest.fixture
def flux(inprocess: InProcess) -> Iterator[responses.RequestsMock]:
    with for_requests.intercept(inprocess) as mock:
        yield mock


def both_ways(
    ask: Callable[[str], Outcome], way: Any, rule: dict[str, Any], tenant: TenantControl, inprocess: InProcess
) -> tuple[Outcome, Outcome]:
    """What `ask` comes to over a socket and in-process, in the same world made anew: it repeats its ids."""
    tenant.scenario(rule)
    by_socket = outcome(lambda: ask(tenant.url))
    jobs, _ = len(tenant.jobs), tenant.reset()
    tenant.scenario(rule)
    with way.intercept(inprocess):
        in_process = outcome(lambda: ask(API))
    return (*by_socket, jobs), (*in_process, len(tenant.jobs))


def words(error: BaseException) -> str:
    """What an error says, without the address."""
    text = re.sub(r"HTTPS?ConnectionPool\(host=.*?, port=\d+\)", "POOL", repr(error.args))
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def outcome(ask: Callable[[], Outcome]) -> Outcome:
    """What `ask` comes to: its answer, or the error with its cause."""
    try:
        return ask()
    except (requests.RequestException, httpx.HTTPError) as error:
        return type(error), type(error.__cause__ or error.__context__), words(error)


def answer(response: requests.Response | httpx.Response) -> Outcome:
    return (
        response.status_code,
        response.reason_phrase if isinstance(response, httpx.Response) else response.reason,
        (response.content),
        dict(response.headers),
        dict(response.cookies),
    )


# Requests


def by_requests(url: str, timeout: float) -> Outcome:
    return answer(requests.post(f"{url}/flux/generate", json=PROMPT, headers={"TT-API-KEY": KEY}, timeout=timeout))


def by_streaming(url: str, timeout: float) -> Outcome:
    got = bytearray()
    response = requests.post(
        f"{url}/flux/generate", json=PROMPT, headers={"TT-API-KEY": KEY}, timeout=timeout, stream=True
    )
    try:
        for piece in response.iter_content(16):
            got += piece
    except requests.RequestException as error:
        return response.status_code, len(got), type(error), words(error)
    return response.status_code, len(got)


@pytest.mark.parametrize("ask", [by_requests, by_streaming])
@pytest.mark.parametrize(("then", "timeout"), [wire[1:] for wire in WIRES], ids=[wire[0] for wire in WIRES])
def test_requests_sees_what_a_socket_shows(
    then: dict[str, Any],
    timeout: float,
    ask: Callable[[str, float], Outcome],
    tenant: TenantControl,
    inprocess: InProcess,
) -> None:
    by_socket, in_process = both_ways(lambda url: ask(url, timeout), for_requests, scenario(then), tenant, inprocess)
    assert in_process == by_socket
    assert in_process[-1] == 1


def test_faults_have_the_names_that_clients_of_requests_catch(flux: object, tenant: TenantControl) -> None:
    for name, expected in {
        "reset at once": requests.ConnectionError,
        "empty answer": requests.ConnectionError,
        "body cut": requests.exceptions.ChunkedEncodingError,
        "length too long, closed": requests.exceptions.ChunkedEncodingError,
        "silent": requests.ReadTimeout,
        "no gzip at all": requests.exceptions.ContentDecodingError,
    }.items():
        tenant.scenario(scenario((BROKEN | ENDLESS)[name]))
        with pytest.raises(expected) as caught:
            by_requests(API, PATIENT)
        assert caught.type is expected, name


@pytest.mark.parametrize("fault", [{"status": 502}, BROKEN["reset at once"], ENDLESS["too late"]])
@pytest.mark.parametrize("times", [2, 9])
@pytest.mark.parametrize("raises", [True, False])
def test_retries_of_urllib3_are_those_that_a_socket_gets(
    fault: dict[str, Any], times: int, raises: bool, tenant: TenantControl, inprocess: InProcess
) -> None:
    timeout = SHORT if fault is ENDLESS["too late"] else PATIENT

    def ask(url: str) -> Outcome:
        retry = Retry(3, backoff_factor=0, status_forcelist=[502], allowed_methods=None, raise_on_status=raises)
        with requests.Session() as session:
            session.mount(url, HTTPAdapter(max_retries=retry))
            return answer(
                session.post(f"{url}/flux/generate", json=PROMPT, headers={"TT-API-KEY": KEY}, timeout=timeout)
            )

    rule = scenario(fault, calls={"first": times})
    by_socket, in_process = both_ways(ask, for_requests, rule, tenant, inprocess)
    assert in_process == by_socket
    assert in_process[-1] == min(times, 3) + 1


def test_a_whole_job_reaches_the_tenant_whatever_the_key(flux: responses.RequestsMock, tenant: TenantControl) -> None:
    submitted = requests.post(f"{API}/flux/generate", json=PROMPT, headers=HEADERS)
    job_id = submitted.json()["data"]["jobId"]
    done = requests.get(f"{API}/flux/fetch", params={"jobId": job_id}, headers={"TT-API-KEY": "another"}).json()
    image = requests.get(done["data"]["imageUrl"])
    assert done["data"]["imageUrl"].startswith(f"{IMAGES}/")
    assert done["data"]["imageUrl"] == tenant.jobs.image_url(job_id)
    assert (image.headers["Content-Type"], image.content[:4]) == ("image/webp", b"RIFF")
    paths = [entry.path for entry in tenant.journal.requests]
    assert paths == ["/flux/generate", "/flux/fetch", requests.utils.urlparse(image.url).path]
    assert [call.request.url for call in flux.calls] == [submitted.url, f"{API}/flux/fetch?jobId={job_id}", image.url]
    assert "production" not in str(tenant.journal[0])


@pytest.mark.parametrize("headers", [{}, {"TT-API-KEY": ""}])
def test_a_key_that_is_missing_or_blank_stays_so(headers: dict[str, str], flux: object, server: Server) -> None:
    assert requests.post(f"{API}/flux/generate", json=PROMPT, headers=headers).status_code == 401
    assert server.strays.requests[-1].status == 401
    assert server.world.tenants() == []


@pytest.mark.parametrize(
    "url",
    [API + ":443", API.replace("https", "http"), API.replace("https", "http") + ":80", API + ":8443", API.upper()],
)
def test_any_scheme_and_port_of_the_hosts_is_intercepted(url: str, flux: object, tenant: TenantControl) -> None:
    assert requests.post(f"{url}/flux/generate", json=PROMPT, headers=HEADERS).status_code == 200
    assert len(tenant.jobs) == 1


def test_an_upload_arrives(flux: object, tenant: TenantControl) -> None:
    data = picture()
    fields = {"prompt": "in oil", "mode": "flux1-dev"}
    files = {"image": ("katze ü.png", data, "image/png")}
    done = requests.post(f"{API}/flux/edits", data=fields, files=files, headers=HEADERS)
    assert done.status_code == 200, done.headers
    (upload,) = tenant.journal.requests[0].uploads
    assert (upload.filename, upload.size) == ("katze ü.png", len(data))


def test_a_body_may_be_a_file_or_come_in_chunks(flux: object, tenant: TenantControl) -> None:
    text = b'{"prompt": "a cat", "mode": "flux1-dev"}'
    headers = HEADERS | {"Content-Type": "application/json"}
    for body in (io.BytesIO(text), iter([text[:9], text[9:]])):
        assert requests.post(f"{API}/flux/generate", data=body, headers=headers).status_code == 200
    assert [entry.request_body for entry in tenant.journal.requests] == [text, text]


def test_a_client_that_waits_for_leave_to_send_gets_it(flux: object) -> None:
    headers = HEADERS | {"Expect": "100-continue"}
    assert requests.post(f"{API}/flux/generate", json=PROMPT, headers=headers).status_code == 200


def test_redirects_are_followed_and_cookies_kept(flux: object, tenant: TenantControl) -> None:
    tenant.scenario(
        scenario({"redirect": "/flux/fetch?jobId=none", "headers": {"Set-Cookie": "seen=1; Path=/"}, "accepted": False})
    )
    with requests.Session() as session:
        response = session.post(f"{API}/flux/generate", json=PROMPT, headers=HEADERS)
        assert [step.status_code for step in response.history] == [307]
        assert response.status_code == 404
        assert dict(session.cookies) == {"seen": "1"}
    assert tenant.journal.requests[1].headers["Cookie"] != ""


def test_a_body_that_is_too_large_is_refused(serve: Callable[..., Server]) -> None:
    server = serve(max_body=1000)
    with for_requests.intercept(InProcess(server.app, KEY)):
        done = requests.post(f"{API}/flux/edits", data=b"x" * 5000, headers=HEADERS)
    assert done.status_code == 413


def test_a_session_keeps_its_connection_and_another_has_another(flux: object, tenant: TenantControl) -> None:
    for _ in range(2):
        with requests.Session() as session:
            for _ in range(2):
                session.post(f"{API}/flux/generate", json=PROMPT, headers=HEADERS)
    assert [entry.connection for entry in tenant.journal.requests] == [1, 1, 2, 2]


def test_a_connection_that_was_closed_is_not_used_again(flux: object, tenant: TenantControl) -> None:
    for end in ("close", "half close", "reset"):
        tenant.scenario(scenario({"wire": {"end": end}}))
        with requests.Session() as session:
            for _ in range(2):
                assert session.post(f"{API}/flux/generate", json=PROMPT, headers=HEADERS).status_code == 200
    assert [entry.connection for entry in tenant.journal.requests] == [1, 2, 3, 4, 5, 6]


def test_other_hosts_are_left_alone_and_stubs_come_first(flux: responses.RequestsMock, server: Server) -> None:
    flux.get("https://elsewhere.example/x", json={"stub": 1})
    flux.get(f"{API}/account", json={"stub": 2})
    assert requests.get("https://elsewhere.example/x").json() == {"stub": 1}
    assert requests.get(f"{API}/account").json() == {"stub": 2}
    assert requests.get(server.url).text.startswith("fluxmock")
    assert requests.get(f"{API}/nowhere").status_code == 404
    flux.reset()
    assert requests.post(f"{API}/flux/generate", json=PROMPT, headers=HEADERS).status_code == 200


def test_an_outer_mock_gets_the_other_hosts(inprocess: InProcess) -> None:
    with responses.RequestsMock() as outer:
        outer.get("https://elsewhere.example/", body="outer")
        with for_requests.intercept(inprocess):
            assert requests.get("https://elsewhere.example/").text == "outer"
            assert requests.post(f"{API}/flux/generate", json=PROMPT, headers=HEADERS).status_code == 200


def test_leaving_gives_requests_back(inprocess: InProcess) -> None:
    before = HTTPAdapter.send
    with contextlib.suppress(ZeroDivisionError), for_requests.intercept(inprocess):
        assert HTTPAdapter.send is not before
        raise ZeroDivisionError
    assert HTTPAdapter.send is before


def test_an_adapter_of_ones_own_is_asked(flux: object) -> None:
    class Own(HTTPAdapter):
        def build_response(self, req: Any, resp: Any) -> requests.Response:
            response = super().build_response(req, resp)
            response.headers["X-Own"] = "yes"
            return response

    with requests.Session() as session:
        session.mount(API, Own())
        response = session.post(f"{API}/flux/generate", json=PROMPT, headers=HEADERS)
    assert response.headers["X-Own"] == "yes"
    assert isinstance(response.connection, Own)


def test_threads_may_share_a_session(flux: object, tenant: TenantControl) -> None:
    statuses: list[int] = []
    with requests.Session() as session:

        def work() -> None:
            for _ in range(10):
                done = session.post(f"{API}/flux/generate", json=PROMPT, headers=HEADERS)
                statuses.append(done.status_code)

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert statuses == [200] * 60
    assert len({job.id for job in tenant.jobs}) == 60


@pytest.mark.parametrize(("delay", "in_time"), [(4.5, True), (5, False)])
def test_what_comes_just_when_the_client_gives_up_comes_too_late(
    flux: object, tenant: TenantControl, delay: float, in_time: bool
) -> None:
    tenant.scenario(scenario({"delay": delay}))
    patience = contextlib.nullcontext() if in_time else pytest.raises(requests.ReadTimeout)
    with patience:
        requests.post(f"{API}/flux/generate", json=PROMPT, headers=HEADERS, timeout=5)
    assert len(tenant.jobs) == 1


def test_a_host_with_the_dot_of_the_root_is_the_same_host(flux: object, tenant: TenantControl) -> None:
    for api in (f"{API}.", f"{API.upper()}.:443"):
        assert requests.post(f"{api}/flux/generate", json=PROMPT, headers=HEADERS).status_code == 200
    assert len(tenant.jobs) == 2


@pytest.mark.parametrize(
    "path", ["/_mock", "/_mock/", "/_mock/clock", "/_mock/nothing", "/%5fmock/jobs", "/_mock/x.webp"]
)
@pytest.mark.parametrize("headers", [{}, {"Host": "localhost"}, {"Host": "127.0.0.1:8787"}])
def test_in_process_nobody_controls(flux: object, server: Server, path: str, headers: dict[str, str]) -> None:
    before = [known.key for known in server.world.tenants()]
    for method, body in (("GET", None), ("POST", {"mode": "auto"})):
        answer = requests.request(method, f"{API}{path}", json=body, headers=HEADERS | headers)
        assert (answer.status_code, "in-process" in answer.json()["error"]) == (403, True)
    assert [known.key for known in server.world.tenants()] == before


# httpx


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
        return _no_content(environ, start_response)

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


# What is left behind


def test_what_a_test_used_goes_without_the_garbage_collector(server: Server) -> None:
    """World, mock and connections refer to nothing that refers back: many small tests would keep it busy."""
    gone = [threading.Event() for _ in range(3)]

    def stay() -> list[weakref.ref[Any]]:
        order = {**PROMPT, "hookUrl": f"{server.tenant(KEY).hooks.deliver_to(_no_content)}/hook"}
        inprocess = InProcess(server.app, KEY)
        with for_requests.intercept(inprocess) as mock:
            requests.post(f"{API}/flux/generate", json=order, headers=HEADERS)
        server.tenant(KEY).hooks.wait_for_delivery()
        watched = server.world.tenant(KEY), mock, inprocess
        server.world.forget(KEY)
        return [weakref.ref(one, lambda _, end=end: end.set()) for one, end in zip(watched, gone, strict=True)]

    gc.disable()
    try:
        references = stay()
        assert [end.wait(20) for end in gone] == [True] * len(references)
    finally:
        gc.enable()


def _no_content(_environ: object, start_response: Callable[..., object]) -> list[bytes]:
    start_response("204 No Content", [])
    return []


# What differs, and is said to


def _no_waiting(tenant: TenantControl, inprocess: InProcess) -> None:
    tenant.scenario(scenario({"delay": 7200, "wire": {"piece": 1, "pause": 3600}}))
    done = requests.post(f"{API}/flux/generate", json=PROMPT, headers=HEADERS)
    assert done.json()["status"] == "SUCCESS"
    tenant.scenario(scenario(ENDLESS["silent"]))
    with pytest.raises(requests.ReadTimeout):
        requests.post(f"{API}/flux/generate", json=PROMPT, headers=HEADERS, timeout=60)


def _keys(tenant: TenantControl, inprocess: InProcess) -> None:
    requests.post(f"{API}/flux/generate", json=PROMPT, headers=HEADERS)
    assert len(tenant.jobs) == 1


def _image_urls(tenant: TenantControl, inprocess: InProcess) -> None:
    requests.post(f"{API}/flux/generate", json=PROMPT, headers=HEADERS)
    assert tenant.jobs.image_url(tenant.jobs[0].id).startswith(IMAGES)


def _control(tenant: TenantControl, inprocess: InProcess) -> None:
    assert requests.get(f"{API}/_mock/health", headers=HEADERS).status_code == 403


def _idle(tenant: TenantControl, inprocess: InProcess) -> None:
    tenant.scenario(scenario({"wire": {"idle": 0}}))
    with requests.Session() as session:
        for _ in range(2):
            session.post(f"{API}/flux/generate", json=PROMPT, headers=HEADERS)
    assert [entry.connection for entry in tenant.journal.requests] == [1, 1]


def _network(tenant: TenantControl, inprocess: InProcess) -> None:
    proxies = {"https": "http://proxy.invalid:1"}
    done = requests.post(f"{API}/flux/generate", json=PROMPT, headers=HEADERS, proxies=proxies, verify="/no/such/file")
    assert done.status_code == 200


def _pools(tenant: TenantControl, inprocess: InProcess) -> None:
    limits, timeout = httpx.Limits(max_connections=1), httpx.Timeout(20, pool=0.01)
    with (
        httpx.Client(limits=limits, timeout=timeout, headers=HEADERS) as client,
        client.stream("POST", f"{API}/flux/generate", json=PROMPT) as one,
        client.stream("POST", f"{API}/flux/generate", json=PROMPT) as other,
    ):
        assert (one.status_code, other.status_code) == (200, 200)


def _numbers(tenant: TenantControl, inprocess: InProcess) -> None:
    for made_anew in (inprocess, InProcess(inprocess.app, KEY)):
        with httpx.Client(transport=FluxTransport(made_anew), headers=HEADERS) as client:
            client.post(f"{API}/flux/generate", json=PROMPT)
    assert [entry.connection for entry in tenant.journal.requests] == [1, 1]


def _files(tenant: TenantControl, inprocess: InProcess) -> None:
    prepared = requests.Request("POST", f"{API}/flux/generate", data=io.BytesIO(b"{}"), headers=HEADERS).prepare()
    with requests.Session() as session:
        session.send(prepared)
    assert prepared.body == b"{}"


def _inner_mock(tenant: TenantControl, inprocess: InProcess) -> None:
    with responses.RequestsMock(), pytest.raises(requests.ConnectionError, match="Connection refused by Responses"):
        requests.post(f"{API}/flux/generate", json=PROMPT, headers=HEADERS)
    assert len(tenant.jobs) == 0


DIFFERENCES = {
    "waiting": _no_waiting,
    "keys": _keys,
    "image URLs": _image_urls,
    "control": _control,
    "idle connections": _idle,
    "TLS, proxies, DNS": _network,
    "limits of pools": _pools,
    "connection numbers": _numbers,
    "bodies that are files": _files,
    "a second mock": _inner_mock,
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_difference_is_as_the_docs_say(name: str, tenant: TenantControl, inprocess: InProcess) -> None:
    with for_requests.intercept(inprocess), for_httpx.intercept(inprocess):
        DIFFERENCES[name](tenant, inprocess)


def test_the_docs_list_these_differences_with_reasons() -> None:
    rows = re.findall(r"^\| ([^|]+?) \| ([^|]+?) \| ([^|]+?) \| ([^|]+?) \|$", DOCS, re.MULTILINE)
    assert [row[0] for row in rows[1:]] == [*DIFFERENCES, "reach"]


@pytest.mark.parametrize(
    "example", re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL), ids=lambda text: text.split("\n")[0]
)
def test_an_example_of_the_docs_runs(example: str) -> None:
    exec(compile(example, "docs/in-process.md", "exec"), {"__name__": "example"})  # noqa: S102


@pytest.mark.parametrize(
    ("module", "package"), [("for_requests", "requests"), ("for_requests", "responses"), ("for_httpx", "httpx")]
)
def test_a_missing_package_is_named_with_its_cure(module: str, package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; import mock_server.adapters.{module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert f"found no {package}: pip install" in done.stderr


def test_the_core_needs_no_client() -> None:
    code = "import sys, mock_server.adapters.inprocess; print({'requests', 'responses', 'httpx'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "set()\n", done.stderr
