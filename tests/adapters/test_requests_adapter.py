# ruff: noqa: S113 - in-process there is nothing to wait for
"""In-process, requests gets what a socket would give it."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests
import responses
from adapted_calls import (
    API,
    BROKEN,
    ENDLESS,
    HEADERS,
    IMAGES,
    PATIENT,
    SHORT,
    WIRES,
    Outcome,
    answer,
    both_ways,
    scenario,
    words,
)
from requests.adapters import HTTPAdapter
from support import KEY, PROMPT, picture
from urllib3 import Retry

from mock_server.adapters import for_requests
from mock_server.adapters.inprocess import InProcess
from mock_server.control import TenantControl
from mock_server.serving import Server


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
