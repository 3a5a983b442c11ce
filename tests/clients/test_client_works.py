"""A client that can do nothing is never green, and what a client returns is looked at: in process and as a command."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest
import requests
from broken_parts import calls, judged, made
from click.testing import CliRunner
from good_clients import TIMEOUT, job_of, with_requests

from contract_tests.clients.check import Plan, check_client
from contract_tests.clients.given import UnusableClient
from contract_tests.clients.process.check import check_command
from contract_tests.clients.properties.base import Policy
from contract_tests.clients.reports import FORMATS, Context
from contract_tests.clients.verdict import Exit, Result, Verdict
from mock_server import cli, resources

SCRIPT = Path(__file__).with_name("commands") / "generate.py"


def downloaded(base_url: str, api_key: str, prompt: str) -> bytes:
    answer = requests.get(made(calls(base_url, api_key), prompt), timeout=TIMEOUT)
    answer.raise_for_status()
    return answer.content


# What does not work when all goes well


def pings(base_url: str, api_key: str, prompt: str) -> None:
    requests.get(base_url, timeout=TIMEOUT)
    sys.exit(1)


def calls_a_path_that_there_is_not(base_url: str, api_key: str, prompt: str) -> Any:
    return calls(base_url, api_key)("/v1/flux/generate", {"prompt": prompt})


def says_no_mode(base_url: str, api_key: str, prompt: str) -> Any:
    return calls(base_url, api_key)("/flux/generate", {"prompt": prompt})


def forgets_the_job(base_url: str, api_key: str, prompt: str) -> str:
    return job_of(calls(base_url, api_key)("/flux/generate", {"prompt": prompt, "mode": "flux1-dev"}))


def says_true(base_url: str, api_key: str, prompt: str) -> bool:
    return bool(downloaded(base_url, api_key, prompt))


def cuts_the_url(base_url: str, api_key: str, prompt: str) -> str:
    return made(calls(base_url, api_key), prompt).rsplit(".", 1)[0]


def deletes_the_file(base_url: str, api_key: str, prompt: str) -> Path:
    with tempfile.NamedTemporaryFile(suffix=".webp") as file:
        file.write(downloaded(base_url, api_key, prompt))
        return Path(file.name)


def cuts_the_last_byte(base_url: str, api_key: str, prompt: str) -> bytes:
    return downloaded(base_url, api_key, prompt)[:-1]


def has_a_picture_of_its_own(base_url: str, api_key: str, prompt: str) -> bytes:
    made(calls(base_url, api_key), prompt)
    return (Path(__file__).resolve().parents[2] / "fixtures" / "images" / "cat.webp").read_bytes()


def returns_a_generator(base_url: str, api_key: str, prompt: str) -> Iterator[str]:
    return (url for url in [made(calls(base_url, api_key), prompt)])


NOTHING = [
    (pings, "it reported failure (SystemExit: 1); it ordered no image"),
    (calls_a_path_that_there_is_not, "POST /v1/flux/generate was answered 404"),
    (says_no_mode, "POST /flux/generate was answered 400 (mode is missing)"),
    (forgets_the_job, "which is no file that can be read, and no URL; it never fetched the job"),
    (says_true, "it returned True, which is no image, no URL and no path"),
    (cuts_the_url, "which is the URL of no image that it was told"),
    (deletes_the_file, "which is no file that can be read, and no URL"),
    (cuts_the_last_byte, "bytes of an image of which it was sent all"),
    (has_a_picture_of_its_own, "it returned a picture, and has downloaded none"),
    (returns_a_generator, "which is no image, no URL and no path"),
]


@pytest.mark.parametrize(("client", "why"), NOTHING, ids=lambda one: getattr(one, "__name__", ""))
def test_a_client_that_has_no_image_when_all_goes_well_fails_whatever_is_looked_for(
    client: Callable[..., Any], why: str
) -> None:
    verdict = check_client(client, plan=Plan(only=("C53",), examples=2))
    assert verdict.works is not None
    assert (verdict.exit_code, verdict.works.result) == (Exit.FAILED, Result.FAIL)
    assert why in verdict.works.why


def test_a_client_that_works_says_so_and_the_image_may_be_another_picture_url_or_path(tmp_path: Path) -> None:
    def with_query(base_url: str, api_key: str, prompt: str) -> str:
        return f"{made(calls(base_url, api_key), prompt)}?download=1"

    def in_a_dict(base_url: str, api_key: str, prompt: str) -> dict[str, str]:
        return {"url": made(calls(base_url, api_key), prompt)}

    def in_a_file(base_url: str, api_key: str, prompt: str) -> str:
        path = tmp_path / f"{prompt[-6:]}.webp"
        path.write_bytes(downloaded(base_url, api_key, prompt))
        return str(path)

    for client in (with_query, in_a_dict, in_a_file, downloaded):
        verdict = check_client(client, plan=Plan(only=("C53",), examples=1))
        assert verdict.works is not None
        assert (verdict.exit_code, verdict.works.result) == (Exit.OK, Result.PASS), verdict.works.why


def test_what_is_returned_although_no_job_is_known_is_found() -> None:
    def placeholder(base_url: str, api_key: str, prompt: str) -> str:
        try:
            return made(calls(base_url, api_key), prompt)
        except (requests.Timeout, requests.ConnectionError):
            return "https://example.com/placeholder.png"

    def nothing(base_url: str, api_key: str, prompt: str) -> bytes:
        try:
            return downloaded(base_url, api_key, prompt)
        except requests.HTTPError:
            return b""

    for client, why in ((placeholder, "placeholder.png', which is the URL of no image"), (nothing, "no file that can")):
        result = judged(client, "C55")
        assert result.result is Result.FAIL
        assert why in result.why or "it returned 0 bytes as the image" in result.why


# Nothing is known


def test_a_verdict_without_anything_that_was_seen_is_no_pass() -> None:
    verdict = check_client(downloaded, plan=Plan(only=("C49",), examples=3))
    assert verdict.exit_code is Exit.UNKNOWN
    text = FORMATS["text"](verdict, Context(width=200))
    assert text.startswith("the client: nothing is known: the property that was looked for was not seen")
    assert "a client that takes a file to edit" in text
    assert json.loads(FORMATS["json"](verdict, Context()))["verdict"] == "unknown"
    assert ET.fromstring(FORMATS["junit"](verdict, Context())).get("errors") == "1"  # noqa: S314 - we wrote it


def test_a_client_that_raises_before_it_calls_is_told_why() -> None:
    def wants_more(base_url: str, api_key: str, prompt: str) -> str:
        raise TypeError("size is missing")

    verdict = check_client(wants_more, plan=Plan(only=("C02",), examples=2))
    assert verdict.exit_code is Exit.UNKNOWN
    assert "never called the API" in FORMATS["text"](verdict, Context(width=500))
    assert "it reported failure (TypeError: size is missing)" in FORMATS["text"](verdict, Context(width=500))


# All formats tell it first


@pytest.fixture(scope="module")
def no_mode() -> Verdict:
    return check_client(says_no_mode, plan=Plan(examples=2))


@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_says_first_that_a_client_does_not_work(no_mode: Verdict, format_: str) -> None:
    command = ("fluxmock", "test-client", "c.py:f", "--profile", "quick")
    text = FORMATS[format_](no_mode, Context(client="c.py:f", command=command, width=500))
    assert "mode is missing" in text
    assert "fluxmock test-client c.py:f --play 'all went well'" in unescape(text)
    places = [text.find(word) for word in ("mode is missing", "C01")]
    assert 0 < places[0] < (places[1] if places[1] > 0 else len(text))


def test_json_has_what_there_is_to_know_about_it(no_mode: Verdict) -> None:
    value = json.loads(FORMATS["json"](no_mode, Context()))
    jsonschema.Draft202012Validator(resources.load("verdict.schema.json")).validate(value)
    assert (value["verdict"], value["works"]["result"]) == ("failed", "fail")
    assert "POST /flux/generate → 400" in value["works"]["timeline"]


# Commands


def command(*words: str) -> tuple[str, ...]:
    return (sys.executable, str(SCRIPT), "{base_url}", "{api_key}", "{prompt}", *words)


@pytest.mark.skipif(shutil.which("sh") is None, reason="there is no shell")
def test_a_command_that_can_do_nothing_fails_too() -> None:
    code = (
        "import os, urllib.request as r\ntry: r.urlopen(os.environ['FLUXMOCK_BASE_URL'])\nfinally: print('http://done')"
    )
    verdict = check_command((sys.executable, "-c", code), plan=Plan(only=("C53",), examples=1))
    assert verdict.works is not None
    assert (verdict.exit_code, verdict.works.result) == (Exit.FAILED, Result.FAIL)
    done = CliRunner().invoke(
        cli.cli, ["test-client", "--examples", "1", "--format", "json", "--", sys.executable, "-c", code]
    )
    assert (done.exit_code, json.loads(done.stdout)["works"]["result"]) == (1, "fail")


def test_a_command_that_needs_more_time_is_not_accused_of_having_no_image() -> None:
    code = (
        "import os, time, urllib.request as r\ntry: r.urlopen(os.environ['FLUXMOCK_BASE_URL'])\nfinally: time.sleep(99)"
    )
    verdict = check_command((sys.executable, "-c", code), plan=Plan(only=("C53",), examples=1), timeout=3)
    assert verdict.works is not None
    assert (verdict.exit_code, verdict.works.result) == (Exit.UNKNOWN, Result.NOT_EXERCISED)
    assert "it may need more time" in FORMATS["text"](verdict, Context(width=200))


# What is called


def test_what_is_no_client_is_said_before_anything_is_played() -> None:
    def wants_four(b: str, k: str, p: str, size: int) -> None: ...

    def needs_a_name(base_url: str, api_key: str, prompt: str, *, size: int) -> None: ...

    def yields(base_url: str, api_key: str, prompt: str) -> Iterator[str]:
        yield base_url

    async def yields_later(base_url: str, api_key: str, prompt: str) -> Any:
        yield base_url

    for client, words in (
        (wants_four, r"takes \(b, k, p, size\): missing a required argument: 'size'"),
        (needs_a_name, "missing a required (keyword-only )?argument: 'size'"),
        (yields, "got a generator function: it yields"),
        (yields_later, "got a generator function: it yields"),
    ):
        with pytest.raises(UnusableClient, match=words):
            check_client(client, plan=Plan(examples=1))


def test_a_client_that_keeps_its_jobs_to_resume_them_is_not_accused(tmp_path: Path) -> None:
    """What it knows of a key and a prompt is of no use in another scenario, nor when the same one is played again."""

    def resumes(base_url: str, api_key: str, prompt: str) -> str:
        place = tmp_path / "jobs.json"
        known = json.loads(place.read_text("utf-8")) if place.exists() else {}
        call, mark = calls(base_url, api_key), f"{api_key} {prompt}"
        if mark not in known:
            known[mark] = job_of(call("/flux/generate", {"prompt": prompt, "mode": "flux1-dev"}))
            place.write_text(json.dumps(known), "utf-8")
        while True:  # and on FAILED, which is found
            time.sleep(2)
            answer = call("/flux/fetch", {"jobId": known[mark]})
            if answer["status"] == "SUCCESS":
                return str(answer["data"]["imageUrl"])

    verdict = check_client(resumes, plan=Plan(only=("C08", "C10", "C13", "C16"), examples=25))
    assert verdict["C08"].result is Result.FAIL
    assert verdict["C13"].result is Result.PASS
    assert verdict.replays > 0


# What is declared


def test_a_policy_that_nobody_could_keep_to_is_refused() -> None:
    for name in ("deadline", "stall", "hook_seconds", "max_attempts", "max_in_flight"):
        with pytest.raises(ValueError, match=f"^{name}: expected "):
            Policy(**{name: 0})


def test_a_cap_that_is_declared_is_looked_for() -> None:
    assert "C07" in {one.id for one in Plan(policy=Policy(max_in_flight=1)).chosen()}
    assert "C07" not in {one.id for one in Plan().chosen()}


def test_connections_may_wait_for_the_next_call_but_not_grow() -> None:
    with requests.Session() as session:

        def pooled(base_url: str, api_key: str, prompt: str) -> str:
            return made(calls(base_url, api_key, session), prompt)

        assert judged(pooled, "C54").result is Result.PASS
    assert judged(with_requests, "C54").result is Result.PASS
