"""What a check is told of a recording, and says of it: how far it is, where it was, and that nothing was checked."""

from __future__ import annotations

import gzip
import json
import os
import pty
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
