"""What the pytest plugin costs: unused, and in a test with a whole job in it.

Its profile is 10,000 small tests in two processes and random order, three times, which must all pass.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from measure import Figure, Target, take_turns
from process import environment

_EMPTY = """
import pytest

@pytest.mark.parametrize("number", range({count}))
def test_nothing(number):
    pass
"""

_SOCKET = """
import pytest
import requests
from flask import Flask

session = requests.Session()
session.trust_env = False  # looking for proxies takes as long as a call
inbox = Flask("inbox")

@inbox.post("/hook")
def hook():
    return "", 204

@pytest.mark.parametrize("number", range({count}))
def test_a_job_with_a_hook(flux, number):
    headers = {{"TT-API-KEY": flux.api_key}}
    order = {{"prompt": f"cat {{number}}", "mode": "flux1-dev", "hookUrl": flux.hooks.deliver_to(inbox) + "/hook"}}
    job = session.post(flux.url + "/flux/generate", json=order, headers=headers, timeout=20).json()["data"]
    flux.hooks.wait_for_delivery(job["jobId"])
    assert session.post(flux.url + "/flux/fetch", json=job, headers=headers, timeout=20).json()["status"] == "SUCCESS"
    assert flux.spent == 1
"""

_IN_PROCESS = _SOCKET.replace("(flux, number)", "(flux, flux_requests, number)").replace(
    "flux.url", '"https://api.ttapi.io"'
)

_HTTPX = (
    _SOCKET.replace("import requests\n", "import httpx\n")
    .replace("session = requests.Session()\n", "")
    .replace("session.trust_env = False  # looking for proxies takes as long as a call\n", "")
    .replace(
        "(flux, number):\n", "(flux, flux_httpx, number):\n    session = httpx.Client(transport=flux_httpx.transport)\n"
    )
    .replace("flux.url", '"https://api.ttapi.io"')
)

_SUITE = """
import pytest
import requests

API = "https://api.ttapi.io"

@pytest.mark.parametrize("number", range({count}))
class TestThings:
    def test_a_job(self, flux, number):
        job = call(flux.url, flux.api_key, "generate", prompt="a cat", mode="flux1-dev")["data"]
        assert call(flux.url, flux.api_key, "fetch", **job)["status"] in {{"ON_QUEUE", "SUCCESS"}}
        flux.clock.run_until_idle()
        assert call(flux.url, flux.api_key, "fetch", **job)["status"] == "SUCCESS"
        assert [job.number for job in flux.jobs] == [1] and flux.spent == 1

    def test_in_process(self, flux, flux_requests, number):
        job = call(API, "whatever", "generate", prompt="a cat", mode="flux1-dev")["data"]
        flux.jobs.fail(job["jobId"], "no")
        assert call(API, "whatever", "fetch", **job)["message"] == "no"
        flux.assert_called("generate", times=1, prompt="a cat")

    def test_time(self, flux, number):
        import time
        with flux.clock.drive():
            start = time.monotonic()
            time.sleep(3600)
            assert time.monotonic() - start >= 3600

    @pytest.mark.fluxmock(clock="frozen", scenario="duplicate-hooks")
    def test_hooks(self, flux, number):
        seen = []
        def inbox(environ, start_response):
            seen.append(environ["wsgi.input"].read())
            start_response("200 OK", [])
            return [b""]
        hook = flux.hooks.deliver_to(inbox) + "/hook"
        call(flux.url, flux.api_key, "generate", prompt="a cat", mode="flux1-dev", hookUrl=hook)
        flux.hooks.wait_for_delivery()
        flux.clock.run_until_idle()
        assert len(seen) == 3

    @pytest.mark.fluxmock(balance=1, scenario="rate-limited")
    def test_trouble(self, flux, number):
        answers = [requests.post(flux.url + "/flux/generate", json={{"prompt": "x", "mode": "flux1-dev"}},
                                 headers={{"TT-API-KEY": flux.api_key}}, timeout=60).status_code for _ in range(4)]
        assert answers == [429, 429, 200, 402]

def call(base, key, what, **fields):
    answer = requests.post(f"{{base}}/flux/{{what}}", json=fields, headers={{"TT-API-KEY": key}}, timeout=60)
    assert answer.status_code == 200, answer.headers
    return answer.json()
"""


def measure(*, smoke: bool) -> list[Figure]:
    """
    Return the milliseconds that an unused plugin adds to a start, and a test with a job to an empty one.

    What a session costs once, such as the imports and the server, is no part of a test: files with few tests and with
    many are run, and the difference counts.
    """
    rounds, few, many = (1, 2, 12) if smoke else (9, 100, 1_100)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "test_one.py").write_text("def test_nothing():\n    pass\n", "utf-8")
        starts = take_turns(
            3 if smoke else 25,
            lambda: _pytest(place, "--collect-only", "test_one.py"),
            lambda: _pytest(place, "--collect-only", "-p", "no:fluxmock", "test_one.py"),
        )
        runs: list[Callable[[], float]] = []
        for kind, text in (("empty", _EMPTY), ("socket", _SOCKET), ("inside", _IN_PROCESS), ("httpx", _HTTPX)):
            for count in (few, many):
                name = f"test_{kind}_{count}.py"
                (place / name).write_text(text.format(count=count), "utf-8")
                runs.append(partial(_pytest, place, name))
        took = take_turns(rounds, *runs)
    each = [
        [(long - short) / (many - few) for short, long in zip(*took[start : start + 2], strict=True)]
        for start in (0, 2, 4, 6)
    ]
    with_it, without = starts

    def added(name: str, costs: list[float], target: Target) -> Figure:
        extra = [mine - its for mine, its in zip(costs, each[0], strict=True)]
        return Figure(name, "ms", extra, "an empty test", each[0], target)

    return [
        Figure(
            "start of pytest: what the unused plugin adds",
            "ms",
            [mine - its for mine, its in zip(with_it, without, strict=True)],
            "start without it",
            without,
            Target(10),
        ),
        added("a test with flux, a job and a hook, over an empty one", each[1], Target(5)),
        added("the same in process, with flux_requests", each[2], Target(2)),
        added("the same in process, with flux_httpx and its transport", each[3], Target(2)),
    ]


def suite(count: int) -> str:
    """Run about `count` small tests under `-n 2` in random order; return pytest's last line, or raise RuntimeError."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "test_suite.py").write_text(_SUITE.format(count=count // 5), "utf-8")
        return _run(place, "-n", "2", "-p", "randomly", "test_suite.py")


def _pytest(place: Path, *arguments: str) -> float:
    start = time.perf_counter()
    others = ("randomly", "xdist", "hypothesispytest")
    _run(place, *(word for name in others for word in ("-p", f"no:{name}")), *arguments)
    return (time.perf_counter() - start) * 1e3


def _run(place: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    # An installed package has its bytecode; where Python is told to write none, each start would compile the plugin.
    variables = {name: value for name, value in environment().items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False, env=variables)
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""
    if done.returncode or re.search(r"failed|error", last):
        raise RuntimeError(f"expected tests that pass, got: {done.stdout[-3000:]}{done.stderr[-1000:]}")
    return last


def profile(*, smoke: bool) -> str:
    """Return pytest's last line of the suite of 10,000 tests, three times, each in an order of its own."""
    return "\n".join(suite(100 if smoke else 10_000) for _ in range(1 if smoke else 3))
