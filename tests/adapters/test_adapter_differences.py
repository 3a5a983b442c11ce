# ruff: noqa: S113 - in-process there is nothing to wait for
"""What in-process leaves behind, and where it differs from a socket, as docs/in-process.md says."""

from __future__ import annotations

import gc
import io
import re
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import responses
from adapted_calls import API, ENDLESS, HEADERS, IMAGES, no_content, scenario
from support import KEY, PROMPT

from mock_server.adapters import for_httpx, for_requests
from mock_server.adapters.for_httpx import FluxTransport
from mock_server.adapters.inprocess import InProcess
from mock_server.control import TenantControl
from mock_server.serving import Server

DOCS = (Path(__file__).resolve().parents[2] / "docs" / "in-process.md").read_text("utf-8")


# What is left behind


def test_what_a_test_used_goes_without_the_garbage_collector(server: Server) -> None:
    """World, mock and connections refer to nothing that refers back: many small tests would keep it busy."""
    gone = [threading.Event() for _ in range(3)]

    def stay() -> list[weakref.ref[Any]]:
        order = {**PROMPT, "hookUrl": f"{server.tenant(KEY).hooks.deliver_to(no_content)}/hook"}
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
