"""`fluxmock check --client`: what drift means for one client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mock_server.cli import cli

CLIENTS = """
import json, time, urllib.request

def post(base_url, path, key, fields):
    headers = {"TT-API-KEY": key, "Content-Type": "application/json"}
    order = urllib.request.Request(base_url + path, json.dumps(fields).encode(), headers)
    with urllib.request.urlopen(order, timeout=30) as answer:
        return json.load(answer)

def fetched(base_url, key, job_id):
    for _ in range(100):
        answer = post(base_url, "/flux/fetch", key, {"jobId": job_id})
        if answer["status"] == "SUCCESS":
            return answer
        if answer["status"] == "FAILED":
            raise RuntimeError(answer["message"])
        time.sleep(3)
    raise TimeoutError

def strict(base_url, api_key, prompt):
    job_id = post(base_url, "/flux/generate", api_key, {"prompt": prompt, "mode": "flux1-dev"})["data"]["jobId"]
    data = fetched(base_url, api_key, job_id)["data"]
    if int(data["quota"]) > 9 or not isinstance(data["quota"], str):
        raise ValueError("quota")
    return data["imageUrl"]

def tolerant(base_url, api_key, prompt):
    data = post(base_url, "/flux/generate", api_key, {"prompt": prompt, "mode": "flux1-dev"})["data"]
    return fetched(base_url, api_key, data["jobId"])["data"]["imageUrl"]

def broken(base_url, api_key, prompt):
    raise RuntimeError("it never works")
"""
JOB = "0b5f2b1e-3f3a-4c52-9d0e-0a1b2c3d4e5f"


@pytest.fixture
def drifted(tmp_path: Path) -> Path:
    """A recording in which `quota` has become a number."""
    (tmp_path / "shop.py").write_text(CLIENTS, "utf-8")
    data = {
        "mode": "flux-dev",
        "jobId": JOB,
        "prompt": "a cat",
        "quota": 1,
        "size": "1024x1024",
        "imageUrl": f"https://cdnb.ttapi.io/2024-09-10/{'a1' * 16}.webp",
        "hookUrl": None,
    }
    body: dict[str, Any] = {"status": "SUCCESS", "message": "success", "jobId": JOB, "data": data}
    file = tmp_path / "fetch.json"
    file.write_text(json.dumps(body), "utf-8")
    return file


def check(file: Path, client: str, *more: str) -> tuple[int, str]:
    command = ["check", str(file), "--endpoint", "fetch", "--contract", "2024-09", "--client", client, *more]
    result = CliRunner().invoke(cli, command)
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("name", "breaking", "why"),
    [
        ("strict", True, "it reported failure, although its image was there: ValueError: quota"),
        ("tolerant", False, "it returned, as it should"),
        ("broken", None, "it gets no image without the drift either: RuntimeError: it never works"),
    ],
)
def test_a_finding_is_related_to_a_client(drifted: Path, name: str, breaking: bool | None, why: str) -> None:
    _, output = check(drifted, f"{drifted.parent}/shop.py:{name}", "--format", "json")
    report = json.loads(output)
    (quota,) = [one for one in report["findings"] if one["pointer"] == "/data/quota"]
    (effect,) = [one for one in report["client"] if one["fingerprint"] == quota["fingerprint"]]
    assert (effect["breaking"], effect["why"]) == (breaking, why)


def test_a_finding_is_not_blamed_for_another_in_the_same_answer(drifted: Path) -> None:
    body = json.loads(drifted.read_text("utf-8"))
    body["data"]["seed"] = 7
    drifted.write_text(json.dumps(body), "utf-8")
    _, output = check(drifted, f"{drifted.parent}/shop.py:strict", "--format", "json")
    report = json.loads(output)
    pointers = {one["fingerprint"]: one["pointer"] for one in report["findings"]}
    told = {pointers[one["fingerprint"]]: one["breaking"] for one in report["client"]}
    assert told == {"/data/quota": True, "/data/seed": False}


@pytest.mark.parametrize("format_", ["junit", "sarif", "markdown", "github", "html"])
def test_what_a_format_cannot_show_is_not_asked_for_in_vain(drifted: Path, format_: str) -> None:
    code, output = check(drifted, f"{drifted.parent}/shop.py:strict", "--format", format_)
    assert code == 2
    assert "--client: expected a format that can show it (text, json)" in output


def test_people_are_told_in_a_line_for_each_finding(drifted: Path) -> None:
    code, output = check(drifted, f"{drifted.parent}/shop.py:strict")
    assert code == 1
    assert "breaking for your client: 1 of 1" in output
    assert "fetch.response type/changed /data/quota: yes, it reported failure" in output


@pytest.mark.parametrize(
    ("client", "words"), [("nothing", "MODULE:NAME"), ("shop.py:nobody", "nobody"), ("no_module:x", "no_module")]
)
def test_a_client_that_there_is_not_is_a_usage_error(
    drifted: Path, monkeypatch: pytest.MonkeyPatch, client: str, words: str
) -> None:
    monkeypatch.chdir(drifted.parent)
    code, output = check(drifted, client)
    assert code == 2
    assert words in output
