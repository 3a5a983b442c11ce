"""What a check is told of a recording, and says of it: how far it is, where it was, and that nothing was checked."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import pty
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import contract_tests
from contract_tests import readers
from contract_tests.checker import Checker
from contract_tests.exchanges import Exchange, Place
from contract_tests.jobs import MOST_BYTES
from mock_server import resources
from mock_server.contract import versions

COMMAND = [sys.executable, "-m", "mock_server", "check"]
FETCH = "https://api.ttapi.io/flux/fetch"
SAMPLES = resources.folder("fixtures") / "exchanges"


def line(number: int = 1, **changes: Any) -> dict[str, Any]:
    job_id = f"00000000-0000-4000-8000-{number:012}"
    body = json.dumps({"status": "SUCCESS", "message": "", "jobId": job_id, "data": done(job_id)})
    request = {"method": "POST", "url": FETCH, "body": json.dumps({"jobId": job_id})}
    answer = {"status": 200, "headers": {}, "body": body}
    return {"version": 1, "kind": "exchange", "request": request, "response": answer, **changes}


def done(job_id: str) -> dict[str, Any]:
    image = "https://cdnb.ttapi.io/2024-09-10/9rk3gmw3m6sxm4r75my02r48jizyli1l.webp"
    return {"mode": "flux-dev", "jobId": job_id, "prompt": "a cat", "quota": "1", "size": "1024x1024",
            "imageUrl": image, "hookUrl": None}  # fmt: skip


def write(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in lines), "utf-8")
    return path


def fluxmock(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, input=stdin, timeout=60)


def test_reading_tells_how_many_bytes_of_all_it_has_read(tmp_path: Path) -> None:
    plain = write(tmp_path / "a.jsonl", *(line(number) for number in range(500)))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    for source in (plain, tmp_path / "b.jsonl.gz", tmp_path):
        pieces: list[int] = []
        assert len(list(readers.read(str(source), advance=pieces.append))) in {500, 1000}
        assert sum(pieces) == readers.size_of(str(source))
    assert len(pieces) > 1


@pytest.mark.parametrize("source", ["-", "nowhere.har"])
def test_the_size_of_what_is_no_file_is_unknown(source: str) -> None:
    assert readers.size_of(source) is None


def test_progress_is_shown_on_a_terminal_in_per_cent_of_the_bytes(tmp_path: Path) -> None:
    recording = write(tmp_path / "r.jsonl", *(line(number) for number in range(2_000)))
    main, terminal = pty.openpty()
    env = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    env |= {"TERM": "xterm", "COLUMNS": "200"}
    command = [*COMMAND, str(recording)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=terminal, stdin=terminal, env=env)
    os.close(terminal)
    shown = b""
    while True:
        try:
            shown += os.read(main, 65536)
        except OSError:  # the other end is closed
            break
    os.close(main)
    assert process.wait(20) == 0
    assert b"r.jsonl" in shown
    assert b"100%" in shown


@pytest.mark.parametrize("version", versions())
@pytest.mark.parametrize(
    "name", ["generate-200", "edits-200", "fetch-200-success", "hook-success", "generate-400-mode"]
)
def test_a_sample_is_read_and_clean(version: str, name: str) -> None:
    report = contract_tests.check(SAMPLES / "emulator" / version / f"{name}.json", contract=version)
    assert (report.messages, report.findings, report.troubles) == (1, (), ())


def test_every_sample_can_be_read() -> None:
    items = list(readers.read(str(SAMPLES)))
    assert len(items) == len(list(SAMPLES.rglob("*.json")))
    assert all(isinstance(item, Exchange) for item in items)


def test_all_samples_together_are_held_against_the_versions_that_they_say() -> None:
    """Those of both versions have one host, and the same jobs; each stands by itself."""
    done = fluxmock(SAMPLES, "--format", "json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["verdict"]) == (0, "clean")
    assert report["checked"]["messages"] == len(list(SAMPLES.rglob("*.json")))
    for path in SAMPLES.rglob("*.json"):
        said = json.loads(path.read_text("utf-8"))["provenance"]
        found = {one["rule"] for one in report["findings"] if Path(one["first"]["file"]) == path}
        assert found <= set(said["findings"])
    told = {host: choice["version"] for host, choice in report["contracts"].items() if choice["version"] in host}
    assert told == {
        f"{host} ({version})": version for host in ("127.0.0.1:8787", "api.ttapi.io") for version in versions()
    }


def test_a_sample_is_held_against_another_version_where_one_is_asked_for() -> None:
    sample = SAMPLES / "documented" / "s3-generate-model.json"
    assert {finding.severity.value for finding in contract_tests.check(sample).findings} == {"info"}
    asked = contract_tests.check(sample, contract="2026-03")
    assert "field/missing" in {finding.rule for finding in asked.findings}


def test_a_sample_beside_a_recording_is_no_part_of_it(tmp_path: Path) -> None:
    job_id = "00000000-0000-4000-8000-000000000001"
    queued = {"status": "ON_QUEUE", "message": "", "jobId": job_id, "data": None}
    end = line()
    recorded = line(response={"status": 200, "headers": {}, "body": json.dumps(queued)})
    hook = {"version": 1, "kind": "hook", "request": {"method": "POST", "url": "https://client.example/hook",
            "body": json.dumps({**queued, "status": "FAILED"})}}  # fmt: skip
    write(tmp_path / "a.jsonl", recorded)
    for name, exchange, said in (("b", end, versions()), ("c", hook, ["2024-09"])):
        sample = {"provenance": {"contract": said}, "exchange": exchange}
        (tmp_path / f"{name}.json").write_text(json.dumps(sample), "utf-8")
    report = contract_tests.check(tmp_path)
    assert [finding.rule for finding in report.findings] == ["job/unfinished"]
    assert list(report.contracts) == ["api.ttapi.io", "api.ttapi.io (2024-09)"]


@pytest.mark.parametrize("provenance", ['"contract": 1', '"contract": ["1999", 1]', '"contract": null', ""])
def test_a_sample_that_names_no_version_is_held_against_all(provenance: str, tmp_path: Path) -> None:
    path = tmp_path / "sample.json"
    path.write_text(f'{{"exchange": {json.dumps(line())}, "provenance": {{{provenance}}}}}', "utf-8")
    report = contract_tests.check(path)
    assert (report.messages, report.findings, list(report.contracts)) == (1, (), ["api.ttapi.io"])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"provenance": {}, "exchange": {"version": 1, "kind": "exchange"}}', "request"),
        ('{"provenance": {}, "exchange": {"version": 1,}}', "expected JSON"),
        ('{"provenance": {}, "exchange": {"version": 1', "ends too early"),
    ],
)
def test_a_sample_that_is_damaged_is_named(text: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "sample.json"
    path.write_text(text, "utf-8")
    (trouble,) = readers.read(str(path))
    assert trouble.place == Place(str(path), 1)
    assert why in getattr(trouble, "why", "")


REFUSAL = {"status": "FAILED", "message": "Parameter error", "data": None}
BODIES = {
    "generate": {"status": "SUCCESS", "message": "", "data": {"job_id": "00000000-0000-4000-8000-000000000001"}},
    "edits": {"status": "SUCCESS", "message": "", "data": {"job_id": "00000000-0000-4000-8000-000000000001"}},
    "fetch": {"status": "ON_QUEUE", "message": "", "jobId": "00000000-0000-4000-8000-000000000001", "data": None},
    "callback": {**REFUSAL, "jobId": "00000000-0000-4000-8000-000000000001"},
    "error": REFUSAL,
}


@pytest.mark.parametrize("endpoint", BODIES)
def test_a_lone_body_is_the_same_to_the_command_and_to_an_assertion(endpoint: str, tmp_path: Path) -> None:
    for body, fits in ((BODIES[endpoint], True), ({**BODIES[endpoint], "status": 1}, False)):
        path = tmp_path / "body.json"
        path.write_text(json.dumps(body), "utf-8")
        done = fluxmock(
            path, "--endpoint", endpoint, "--write-scenario", tmp_path / "drift.yaml", "--patch", tmp_path / "p.json"
        )
        assert (done.returncode, "Traceback" in done.stderr) == (0 if fits else 1, False), done.stdout + done.stderr
        with contextlib.nullcontext() if fits else pytest.raises(AssertionError, match="/status"):
            contract_tests.assert_matches_contract(body, endpoint=endpoint)


def test_both_take_the_same_endpoints() -> None:
    refused = fluxmock("-", "--endpoint", "nonsense").stderr
    assert set(re.findall(r"'(\w+)'", refused.partition("is not one of")[2])) == set(BODIES)


def test_a_report_in_python_has_no_secret_either(tmp_path: Path) -> None:
    key = "a-key-0123456789"
    request = {"method": "POST", "url": FETCH, "headers": {"TT-API-KEY": key}, "body": '{"jobId": "1"}'}
    echo = {"status": key, "message": f"no such key: {key}", "data": None, "jobId": "1", key: 1}
    refusal = {"status": 401, "headers": {}, "body": json.dumps(echo)}
    path = write(tmp_path / "r.jsonl", line(request=request, response=refusal))
    report = contract_tests.check(path)
    assert {finding.rule for finding in report.findings} >= {"field/unknown", "value/unknown", "message/changed"}
    assert key not in repr(report)
    assert "…" in repr(report)


EMPTY = {
    "answers without bodies": line(request={"method": "POST", "url": FETCH}, response={"status": 200, "headers": {}}),
    "calls that nobody answered": line(response=None, error="timed out"),
    "images": line(request={"method": "GET", "url": "https://cdnb.ttapi.io/x.webp"}),
    "a webhook without its body": {"version": 1, "kind": "hook", "request": {"method": "POST", "url": "https://x/"}},
}


@pytest.mark.parametrize("recorded", EMPTY.values(), ids=EMPTY)
def test_a_recording_without_anything_to_hold_against_the_contract_is_not_clean(
    recorded: dict[str, Any], tmp_path: Path
) -> None:
    path = write(tmp_path / "r.jsonl", {name: value for name, value in recorded.items() if value is not None})
    ended = fluxmock(path)
    assert ended.returncode == 3
    assert ended.stdout.startswith("nothing was checked: 1 message in ")
    assert "no bodies" in ended.stdout
    assert fluxmock(write(path, json.loads(path.read_text()), line())).returncode == 0


def test_standard_input_is_called_so() -> None:
    assert str(Place("-", 3, 7)) == "standard input, line 7"
    assert "standard input: expected HAR" in fluxmock("-", stdin="hello").stderr
    broken = line()
    broken["response"]["body"] = "{}"
    assert "first in standard input, line 1" in fluxmock("-", stdin=json.dumps(broken) + "\n").stdout


def test_jobs_with_long_prompts_do_not_pile_up() -> None:
    mebibyte, count = 1 << 20, 120
    prompt = "x" * mebibyte

    def orders() -> Iterator[Exchange]:
        for number in range(count):
            job_id = f"00000000-0000-4000-8000-{number:012}"
            order = json.dumps({"prompt": prompt, "mode": "flux1-dev"}).encode()
            answer = json.dumps({"status": "SUCCESS", "message": "", "data": {"job_id": job_id}}).encode()
            url = "https://api.ttapi.io/flux/generate"
            yield Exchange(Place("x", number + 1), "POST", url, {}, order, None, 200, {}, answer)

    tracemalloc.start()
    try:
        checker = Checker("2026-03")
        checker.feed(orders())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (checker.report().jobs, checker.report().findings) == (count, ())
    assert MOST_BYTES < peak < MOST_BYTES + 16 * mebibyte
