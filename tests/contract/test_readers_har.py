"""HAR as browsers and proxies write it is read: times, forms, answers that never came, and files of any size."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from recording_makers import _entry, placeless, read_bytes, sample

from contract_tests.exchanges import Exchange, Part, Place, Trouble
from contract_tests.messages import parsed
from contract_tests.readers import read
from mock_server.contract import contract

# HAR


def har_entry(**changes: Any) -> dict[str, Any]:
    return _entry(sample()) | changes


def read_entry(entry: dict[str, Any], folder: Path) -> Exchange | Trouble:
    (item,) = read_bytes(json.dumps({"log": {"entries": [entry]}}).encode(), folder)
    return item


def test_har_times_become_seconds(tmp_path: Path) -> None:
    entry = har_entry(time=1500, startedDateTime="2024-09-10T02:00:00.250+02:00")
    exchange = read_entry(entry, tmp_path)
    assert isinstance(exchange, Exchange)
    assert (exchange.at, exchange.elapsed) == (1725926400.25, 1.5)
    assert read_entry(har_entry(startedDateTime="never"), tmp_path).at is None  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("response", "error"),
    [
        ({"status": 0, "_error": "net::ERR_CONNECTION_REFUSED"}, "net::ERR_CONNECTION_REFUSED"),
        ({"status": 0, "statusText": "aborted"}, "aborted"),
        ({"status": 0, "statusText": ""}, "no answer"),
        (None, "no answer"),
    ],
)
def test_har_status_0_is_no_answer(response: Any, error: str, tmp_path: Path) -> None:
    exchange = read_entry(har_entry(response=response), tmp_path)
    assert isinstance(exchange, Exchange)
    assert (exchange.status, exchange.response_body, exchange.error) == (None, None, error)


def test_har_without_the_text_of_an_answer_has_no_body(tmp_path: Path) -> None:
    entry = har_entry()
    del entry["response"]["content"]["text"]
    assert read_entry(entry, tmp_path).response_body is None  # type: ignore[union-attr]


def test_har_multipart_params_become_parts(tmp_path: Path) -> None:
    params = [
        {"name": "prompt", "value": "a cat"},
        {"name": "image", "fileName": "cat.png", "contentType": "image/png", "value": "12345"},
        {"name": "image", "fileName": "big.png", "contentType": "image/png"},
    ]
    entry = har_entry()
    entry["request"]["headers"] = []
    entry["request"]["postData"] = {"mimeType": "multipart/form-data; boundary=x", "params": params}
    exchange = read_entry(entry, tmp_path)
    assert isinstance(exchange, Exchange)
    assert exchange.request_headers == {"content-type": "multipart/form-data; boundary=x"}
    assert exchange.parts == (
        Part("prompt", "a cat"),
        Part("image", None, "cat.png", "image/png", 5),
        Part("image", None, "big.png", "image/png", 1),
    )


def test_har_params_of_browsers_are_told_apart_as_files_and_texts(tmp_path: Path) -> None:
    params = [
        {"name": "prompt", "value": "a cat", "contentType": "text/plain; charset=utf-8"},
        {"name": "mode", "value": "flux1-dev"},
        {"name": "image", "value": "(binary)"},
    ]
    entry = har_entry()
    entry["request"]["postData"] = {"mimeType": "multipart/form-data; boundary=x", "params": params}
    entry["request"]["headers"] = []
    exchange = read_entry(entry, tmp_path)
    assert isinstance(exchange, Exchange)
    assert exchange.parts == (Part("prompt", "a cat"), Part("mode", "flux1-dev"), Part("image", None, size=1))
    edits = exchange.changed(url="https://api.ttapi.io/flux/edits")
    message = parsed(edits)
    assert message is not None
    assert contract("2026-03").accepts("edits.request", message.request)


def test_har_other_params_become_a_form(tmp_path: Path) -> None:
    entry = har_entry()
    form = [{"name": "prompt", "value": "a b&c"}, {"name": "empty"}]
    entry["request"]["postData"] = {"mimeType": "application/x-www-form-urlencoded", "params": form}
    assert read_entry(entry, tmp_path).request_body == b"prompt=a+b%26c&empty="  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (7, "expected an object with request, got a number"),
        ({}, "request: expected an object, got none"),
        ({"request": {"url": 3, "method": "GET"}}, "url: expected a text, got a number"),
        (har_entry(response={"status": True}), "status: expected a number, got true or false"),
        (har_entry(response={"status": 200, "headers": [1]}), "headers: expected names and texts, got something else"),
        (
            har_entry(response={"status": 200, "content": {"text": "%", "encoding": "base64"}}),
            "expected a body in base64, got something else",
        ),
    ],
)
def test_a_misshapen_entry_is_a_trouble_and_the_next_is_read(entry: Any, why: str, tmp_path: Path) -> None:
    data = json.dumps({"log": {"entries": [entry, har_entry()]}}).encode()
    trouble, exchange = read_bytes(data, tmp_path)
    assert trouble == Trouble(Place(str(tmp_path / "recording"), 1), why)
    assert placeless([exchange]) == [sample()]


def test_keys_may_stand_before_the_log_and_after_the_entries(tmp_path: Path) -> None:
    log = {"comment": "x" * 100_000, "entries": [_entry(sample())], "browser": {"name": "entries"}}
    data = json.dumps({"_meta": [1, {"log": []}], "log": log, "after": 1}).encode()
    assert placeless(read_bytes(data, tmp_path, "x.har")) == [sample()]


def test_a_large_har_is_read_in_little_memory(tmp_path: Path) -> None:
    entry = json.dumps(_entry(sample()), indent=2).encode()
    path = tmp_path / "large.har"
    count = 60_000_000 // len(entry)
    with path.open("wb") as file:
        file.write(b'{"log": {"entries": [' + entry)
        for _ in range(count - 1):
            file.write(b",\n" + entry)
        file.write(b"]}}")
    tracemalloc.start()
    try:
        seen = sum(isinstance(item, Exchange) for item in read(str(path)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seen == count
    assert peak < 10_000_000
