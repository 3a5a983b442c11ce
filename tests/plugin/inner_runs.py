"""What the tests of the plugin share: a client for the tests that pytest runs inside of tests."""

from __future__ import annotations

import pytest

CLIENT = """
import json
import urllib.error
import urllib.request

BASE_URL = "https://api.ttapi.io"


def call(path, body, url=None, key="a-key-of-the-client"):
    headers = {"TT-API-KEY": key, "Content-Type": "application/json"}
    request = urllib.request.Request((url or BASE_URL) + path, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return json.load(error)


def generate(flux, prompt="a cat", **fields):
    answer = call("/flux/generate", {"prompt": prompt, "mode": "flux1-dev", **fields}, flux.url, flux.api_key)
    data = answer["data"]
    return data and (data.get("jobId") or data["job_id"])


def fetch(flux, job_id):
    return call("/flux/fetch", {"jobId": job_id}, flux.url, flux.api_key)["status"]
"""

INI = """
[pytest]
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""


def write(pytester: pytest.Pytester, ini: str = "", **files: str) -> None:
    """Write the client, an ini file with the lines of `ini` added, and test modules by name."""
    (pytester.path / "pytest.ini").write_text(INI + ini)
    pytester.makepyfile(client=CLIENT, **files)


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run pytest in this process."""
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", *arguments)


def run_apart(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run pytest in a process of its own."""
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)
