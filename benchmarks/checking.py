"""Clean recordings checked, from file to report: messages a second of one core; seconds and memory for HAR of any size.

The recordings are of jobs that were ordered, fetched until they were finished, and once more, as our recorder writes
them; each job has an id of its own. The time is that of the processor, so that others on the machine do less harm.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import jsonschema
import jsonschema_rs
import orjson
from measure import Figure, Target, hottest, take_turns
from process import environment
from referencing import Registry, Resource

from contract_tests import check
from contract_tests.exchanges import Exchange, Place
from contract_tests.messages import parsed
from contract_tests.recording import as_line
from contract_tests.redaction import Pseudonyms, redacted
from mock_server.app import create_app
from mock_server.contract import contract
from mock_server.settings import Settings
from mock_server.world import World

_VERSION = "2026-03"
_BASE = "http://127.0.0.1:8787"
_HEADERS = {
    "host": "127.0.0.1:8787",
    "user-agent": "python-requests/2.32.3",
    "accept-encoding": "gzip, deflate",
    "accept": "*/*",
    "connection": "keep-alive",
    "tt-api-key": "benchmark",
    "content-type": "application/json",
}
_ORDER = {"prompt": "a lighthouse on a cliff in the morning fog, oil on canvas", "mode": "flux1-dev"}
_MEGABYTE = 1_000_000

_CHILD = """
import sys, time
from contract_tests import check
if len(sys.argv) > 1:
    report = check(sys.argv[1])
    assert report.messages and not report.findings and not report.troubles, report
status = open("/proc/self/status").read()
print(time.process_time(), int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6)
"""


def measure(*, smoke: bool) -> list[Figure]:
    """Return messages a second from JSON Lines, and seconds and peak memory for HAR."""
    rounds, jobs, small, large = (1, 40, 1, 2) if smoke else (7, 4_000, 200, 2_000)
    with tempfile.TemporaryDirectory() as folder:
        lines, har = Path(folder, "recording.jsonl"), Path(folder, "recording.har")
        lines.write_bytes(b"".join(islice(_jobs(as_line), jobs)))
        found, told, plain, fast = take_turns(
            rounds,
            partial(_checking, lines, None),
            partial(_checking, lines, _VERSION),
            _validating(_with_jsonschema(), 200),
            _validating(_with_jsonschema_rs(), 20_000),
        )
        _write_har(har, small)
        runs, empty = take_turns(min(rounds, 3), lambda: _child(har), _child)
        _write_har(har, large)
        huge, nothing = take_turns(1, lambda: _child(har), _child)
    alone, alone_rs = (f"{name} alone, on answers already parsed" for name in ("jsonschema", "jsonschema-rs"))
    imports = "the imports alone"
    figures = [
        Figure("messages checked, JSON Lines", "/s", found, alone, plain, Target(100_000, at_least=True)),
        Figure("messages checked, JSON Lines, version given", "/s", told, alone, plain),
        Figure("messages checked, JSON Lines, version given", "/s", told, alone_rs, fast),
    ]
    for megabytes, checked, beside, target in ((small, runs, empty, Target(5)), (large, huge, nothing, None)):
        (seconds, peaks), (start, least) = zip(*checked, strict=True), zip(*beside, strict=True)
        name = f"{megabytes:,} MB of HAR checked"
        figures.append(Figure(name, "s", seconds, imports, start, target))
        figures.append(Figure(f"{name}: memory at most", "MB", peaks, imports, least, Target(150)))
    return figures


def _checking(path: Path, version: str | None) -> float:
    start = time.process_time()
    report = check(path, contract=version)
    took = time.process_time() - start
    if not report.messages or report.findings or report.troubles:
        raise RuntimeError(f"expected a clean recording, got {report}")
    return report.messages / took


def _validating(is_valid: Callable[[str, Any], bool], least: int) -> Callable[[], float]:
    """Return what tells how many answers a second are validated, of at least so many."""
    answers = [(message.endpoint.response, message.response) for message in map(parsed, _job()) if message is not None]
    rounds = least // len(answers)

    def run() -> float:
        start = time.process_time()
        for _ in range(rounds):
            if not all(is_valid(name, value) for name, value in answers):
                raise RuntimeError("expected answers that fit the contract")
        return rounds * len(answers) / (time.process_time() - start)

    return run


def _with_jsonschema() -> Callable[[str, Any], bool]:
    schemas = contract(_VERSION).schemas
    registry: Registry[Any] = Registry().with_resources(
        (schema["$id"], Resource.from_contents(schema)) for schema in schemas.values()
    )
    checks = jsonschema.FormatChecker(["uuid"])
    validators = {
        name: jsonschema.Draft202012Validator(schema, registry=registry, format_checker=checks)
        for name, schema in schemas.items()
    }
    return lambda name, value: validators[name].is_valid(value)


def _with_jsonschema_rs() -> Callable[[str, Any], bool]:
    schemas = contract(_VERSION).schemas
    registry = jsonschema_rs.Registry([(schema["$id"], schema) for schema in schemas.values()])
    validators = {
        name: jsonschema_rs.Draft202012Validator(schema, registry=registry, validate_formats=True)
        for name, schema in schemas.items()
    }
    return lambda name, value: validators[name].is_valid(value)


def _child(*paths: Path) -> tuple[float, float]:
    """Return the seconds and the megabytes that a process took to check a file, or only to be ready for it."""
    command = [sys.executable, "-c", _CHILD, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    if done.returncode:
        raise RuntimeError(f"expected a clean recording, got {done.stderr[-1000:]}")
    seconds, megabytes = map(float, done.stdout.split())
    return seconds, megabytes


def _job() -> list[Exchange]:
    """Return one job as the recorder gets it: ordered, fetched while it waits, runs and is finished, and once more."""
    world = World(Settings.of(contract=_VERSION, progress="polls:3", clock="frozen"), observer=None)
    http = create_app(world=world).test_client()
    recorded = []

    def post(endpoint: str, fields: dict[str, str]) -> Any:
        body = json.dumps(fields).encode()
        answer = http.post(f"/flux/{endpoint}", data=body, headers=_HEADERS)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        exchange = Exchange(
            Place("recording", len(recorded) + 1),
            "POST",
            f"{_BASE}/flux/{endpoint}",
            _HEADERS,
            body,
            None,
            answer.status_code,
            headers,
            answer.data,
            1_726_000_000.0 + len(recorded),
            0.004,
        )
        recorded.append(redacted(exchange, pseudonyms))
        return answer.get_json()

    pseudonyms = Pseudonyms()
    job_id = post("generate", _ORDER)["data"]["job_id"]
    statuses = [post("fetch", {"jobId": job_id})["status"] for _ in range(4)]
    world.close()
    if statuses != ["PENDING_QUEUE", "ON_QUEUE", "SUCCESS", "SUCCESS"]:
        raise RuntimeError(f"expected a job that succeeds at the third fetch, got {statuses}")
    return recorded


def _jobs(written: Callable[[Exchange], bytes]) -> Iterator[bytes]:
    """Yield jobs without end, as `written` writes each exchange, and each with an id of its own."""
    exchanges = _job()
    job_id = orjson.loads(exchanges[0].response_body or b"")["data"]["job_id"].encode()
    block = b"".join(map(written, exchanges))
    number = 0
    while True:
        yield block.replace(job_id, str(uuid.uuid5(uuid.NAMESPACE_URL, str(number))).encode())
        number += 1


def _write_har(path: Path, megabytes: int) -> None:
    """Write a HAR of at least so many megabytes."""
    with path.open("wb") as file:
        file.write(b'{"log": {"version": "1.2", "creator": {"name": "benchmark", "version": "1"}, "entries": [\n')
        between = b""
        for block in _jobs(_har_entry):
            file.write(between + block.removesuffix(b",\n"))
            between = b",\n"
            if file.tell() > megabytes * _MEGABYTE:
                break
        file.write(b"\n]}}\n")


def _har_entry(exchange: Exchange) -> bytes:
    sent, received = (exchange.request_body or b"").decode(), (exchange.response_body or b"").decode()
    entry = {
        "startedDateTime": "2024-09-10T20:26:40.500Z",
        "time": 4,
        "request": {
            "method": exchange.method,
            "url": exchange.url,
            "httpVersion": "HTTP/1.1",
            "headers": _har_headers(exchange.request_headers.items()),
            "queryString": [],
            "cookies": [],
            "headersSize": -1,
            "bodySize": len(sent),
            "postData": {"mimeType": "application/json", "text": sent},
        },
        "response": {
            "status": exchange.status,
            "statusText": "OK",
            "httpVersion": "HTTP/1.1",
            "headers": _har_headers(exchange.response_headers.items()),
            "cookies": [],
            "content": {"size": len(received), "mimeType": "application/json", "text": received},
            "redirectURL": "",
            "headersSize": -1,
            "bodySize": len(received),
        },
        "cache": {},
        "timings": {"send": 0, "wait": 4, "receive": 0},
    }
    return orjson.dumps(entry) + b",\n"


def _har_headers(headers: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers]


def profile(*, smoke: bool) -> str:
    """Return cProfile's view of a check of JSON Lines."""
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder, "recording.jsonl")
        lines.write_bytes(b"".join(islice(_jobs(as_line), 40 if smoke else 10_000)))
        return hottest(lambda: check(lines), 1)
