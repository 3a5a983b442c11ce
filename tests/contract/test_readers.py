"""Recordings are read alike whatever they were recorded with, however they are packed, and wherever they come from."""

from __future__ import annotations

import base64
import gzip
import io
import json
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from contract_tests.checker import Checker
from contract_tests.exchanges import Endpoint, Exchange, Part, Place, Trouble, Unreadable
from contract_tests.messages import parsed
from contract_tests.readers import read
from contract_tests.recording import as_line
from mock_server import create_app, resources
from mock_server.contract import contract
from mock_server.hooks.deliverer import RecordingDeliverer
from mock_server.settings import Settings
from mock_server.world import World

NOWHERE = Place("", 0)
JOB = "fac30d6c-d12b-465c-a580-8b1b3ae726e3"
FETCH = "https://api.ttapi.io/flux/fetch"


def sample(number: int = 1, **changes: Any) -> Exchange:
    """A fetch as every format can hold it."""
    answer = {
        "status": "ON_QUEUE",
        "message": "success",
        "jobId": JOB,
        "data": None,
        "n": number,
        "note": 'a "}]" \\ é',
    }
    return Exchange(
        NOWHERE,
        "POST",
        FETCH,
        {"content-type": "application/json", "tt-api-key": "k"},
        json.dumps({"jobId": JOB}).encode(),
        None,
        200,
        {"content-type": "application/json", "vary": "a, b"},
        json.dumps(answer, ensure_ascii=False).encode(),
    ).changed(**changes)


def as_jsonl(exchanges: Iterable[Exchange]) -> bytes:
    return b"".join(map(as_line, exchanges))


def as_har(exchanges: Iterable[Exchange], indent: int | None = None) -> bytes:
    entries = [_entry(exchange) for exchange in exchanges]
    pages = [{"id": "page_1", "title": "entries: [}"}, {"id": "page_2", "title": "two"}]
    log = {"version": "1.2", "creator": {"name": "test", "version": "1"}, "pages": pages, "entries": entries}
    return json.dumps({"log": log}, indent=indent).encode()


def _entry(exchange: Exchange) -> dict[str, Any]:
    content: dict[str, Any] = {"size": -1, "mimeType": "application/json"}
    if exchange.response_body is not None:
        content |= {"text": base64.b64encode(exchange.response_body).decode(), "encoding": "base64"}
    entry: dict[str, Any] = {
        "pageref": "page_1",
        "time": -1 if exchange.elapsed is None else exchange.elapsed * 1000,
        "request": {"method": exchange.method, "url": exchange.url, "headers": _har_headers(exchange.request_headers)},
        "response": {
            "status": exchange.status or 0,
            "statusText": "",
            "headers": _har_headers(exchange.response_headers),
            "content": content,
            "_error": exchange.error,
        },
    }
    if exchange.at is not None:
        entry["startedDateTime"] = datetime.fromtimestamp(exchange.at, UTC).isoformat()
    if exchange.request_body is not None:
        entry["request"]["postData"] = {"mimeType": "application/json", "text": exchange.request_body.decode()}
    return entry


def _har_headers(headers: Any) -> list[dict[str, str]]:
    return [{"name": name.title(), "value": word} for name, value in headers.items() for word in value.split(", ")]


def as_cassette(exchanges: Iterable[Exchange]) -> dict[str, Any]:
    def headers(given: Any) -> dict[str, list[str]]:
        return {name.title(): value.split(", ") for name, value in given.items()}

    return {
        "version": 1,
        "interactions": [
            {
                "request": {
                    "method": exchange.method,
                    "uri": exchange.url,
                    "headers": headers(exchange.request_headers),
                    "body": None if exchange.request_body is None else exchange.request_body.decode(),
                },
                "response": {
                    "status": {"code": exchange.status, "message": "OK"},
                    "headers": headers(exchange.response_headers),
                    "body": {"string": None if exchange.response_body is None else exchange.response_body.decode()},
                },
            }
            for exchange in exchanges
        ],
    }


def as_vcr_yaml(exchanges: Iterable[Exchange]) -> bytes:
    return yaml.safe_dump(as_cassette(exchanges)).encode()


def as_vcr_json(exchanges: Iterable[Exchange]) -> bytes:
    return json.dumps(as_cassette(exchanges), indent=4).encode()


MAKERS = {
    "jsonl": as_jsonl,
    "har": as_har,
    "yaml": as_vcr_yaml,
    "json": as_vcr_json,
}


def read_bytes(data: bytes, folder: Path, name: str = "recording", **options: Any) -> list[Exchange | Trouble]:
    path = folder / name
    path.write_bytes(data)
    return list(read(str(path), **options))


def placeless(items: Iterable[Exchange | Trouble]) -> list[Exchange]:
    exchanges = []
    for item in items:
        assert isinstance(item, Exchange), item
        exchanges.append(item.changed(place=NOWHERE))
    return exchanges


# The same from every format


@pytest.mark.parametrize("kind", MAKERS)
def test_every_format_gives_the_same_exchanges(kind: str, tmp_path: Path) -> None:
    """The name says nothing: content alone tells the format."""
    exchanges = [sample(number) for number in range(3)]
    assert placeless(read_bytes(MAKERS[kind](exchanges), tmp_path)) == exchanges


@pytest.mark.parametrize("pack", [gzip.compress, lambda data: gzip.compress(data[:99]) + gzip.compress(data[99:])])
@pytest.mark.parametrize("kind", MAKERS)
def test_gzip_is_told_by_its_magic(kind: str, pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    exchanges = [sample(number) for number in range(3)]
    assert placeless(read_bytes(pack(MAKERS[kind](exchanges)), tmp_path)) == exchanges


@pytest.mark.parametrize("kind", MAKERS)
def test_zstd_is_told_by_its_magic(kind: str, tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    exchanges = [sample(number) for number in range(300)]
    data = MAKERS[kind](exchanges)
    packed = zstandard.compress(data[:5000]) + zstandard.compress(data[5000:])
    assert placeless(read_bytes(packed, tmp_path)) == exchanges


def test_zstd_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(Unreadable, match=r"recording: it is compressed with zstd: pip install zstandard"):
        read_bytes(b"\x28\xb5\x2f\xfd" + bytes(20), tmp_path)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_byte_order_mark_is_passed_over(kind: str, tmp_path: Path) -> None:
    assert placeless(read_bytes(b"\xef\xbb\xbf" + MAKERS[kind]([sample()]), tmp_path)) == [sample()]


@pytest.mark.parametrize("kind", MAKERS)
def test_standard_input_is_read(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(MAKERS[kind]([sample(1), sample(2)]))

    monkeypatch.setattr(sys, "stdin", Stdin)
    items = list(read("-"))
    assert placeless(items) == [sample(1), sample(2)]
    assert {item.place.file for item in items} == {"-"}


def test_a_pipe_is_read() -> None:
    code = "from contract_tests.readers import read; print([item.status for item in read('-')])"
    data = gzip.compress(as_har([sample(), sample(status=404)]))
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
    assert done.stdout.strip() == b"[200, 404]"


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a.har").write_bytes(as_har([sample(1)]))
    (tmp_path / "b" / "c.yaml").write_bytes(as_vcr_yaml([sample(2)]))
    (tmp_path / "b" / "d.JSONL.gz").write_bytes(gzip.compress(as_jsonl([sample(3)])))
    (tmp_path / "e.json").write_bytes(as_vcr_json([sample(4)]))
    (tmp_path / "notes.txt").write_bytes(as_jsonl([sample(5)]))
    items = list(read(str(tmp_path)))
    assert placeless(items) == [sample(number) for number in (1, 2, 3, 4)]
    assert str(items[1].place) == f"{tmp_path / 'b' / 'c.yaml'}:2"


def test_an_unreadable_file_in_a_folder_is_a_trouble_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'{"name": "package"}')
    (tmp_path / "b.jsonl").write_bytes(as_jsonl([sample()]))
    trouble, exchange = read(str(tmp_path))
    assert isinstance(trouble, Trouble)
    assert trouble.place == Place(str(tmp_path / "a.json"), 0)
    assert "if it is a body, say of which endpoint" in trouble.why
    assert placeless([exchange]) == [sample()]


def test_a_folder_without_recordings_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"expected files ending in \.har, .*; found none$"):
        list(read(str(tmp_path)))


def test_places_name_file_number_and_line(tmp_path: Path) -> None:
    data = as_line(sample()) + b"\r\n\n" + as_line(sample())
    first, second = read_bytes(data, tmp_path)
    assert [first.place[1:], second.place[1:]] == [(1, 1), (2, 4)]
    assert str(second.place) == f"{tmp_path / 'recording'}:4"
    _, second = read_bytes(as_har([sample(), sample()]), tmp_path)
    assert str(second.place) == f"{tmp_path / 'recording'}, exchange 2"


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


# VCR.py


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data, wbits=-15)),
        ("gzip", bytes),
        ("deflate", bytes),
        ("br", bytes),
        ("identity", bytes),
    ],
)
def test_a_body_that_the_cassette_keeps_compressed_is_decompressed(
    coding: str, pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    """VCR.py keeps what came; with decode_compressed_response the header stays, and the body is plain."""
    cassette = as_cassette([sample()])
    response = cassette["interactions"][0]["response"]
    response["headers"]["Content-Encoding"] = [coding]
    response["body"]["string"] = pack(sample().response_body or b"")
    (exchange,) = read_bytes(yaml.safe_dump(cassette).encode(), tmp_path)
    assert isinstance(exchange, Exchange)
    assert exchange.response_body == sample().response_body


def test_a_body_that_cannot_be_decompressed_is_left_out(tmp_path: Path) -> None:
    cassette = as_cassette([sample()])
    response = cassette["interactions"][0]["response"]
    response["headers"]["Content-Encoding"] = ["br"]
    response["body"]["string"] = b"\x8b\x00\xff"
    trouble, exchange = read_bytes(yaml.safe_dump(cassette).encode(), tmp_path)
    assert isinstance(trouble, Trouble)
    assert trouble.why.startswith("its body is compressed with br: ")
    assert isinstance(exchange, Exchange)
    assert exchange.response_body is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (None, None),
        ("text", b"text"),
        ({"string": "text"}, b"text"),
        ({"base64_string": base64.b64encode(b"\xff").decode()}, b"\xff"),
    ],
)
def test_bodies_in_cassettes_come_in_several_shapes(body: Any, expected: bytes | None, tmp_path: Path) -> None:
    cassette = as_cassette([sample()])
    cassette["interactions"][0]["request"]["body"] = body
    (exchange,) = read_bytes(json.dumps(cassette).encode(), tmp_path)
    assert exchange.request_body == expected  # type: ignore[union-attr]


def test_aliases_in_a_cassette_are_followed(tmp_path: Path) -> None:
    """PyYAML writes them for values that are one and the same object."""
    cassette = as_cassette([sample(1), sample(2)])
    first, second = cassette["interactions"]
    second["request"] = first["request"]
    data = yaml.safe_dump(cassette).encode()
    assert b"*id" in data
    assert placeless(read_bytes(data, tmp_path)) == [sample(1), sample(2)]


def test_a_cassette_of_another_service_is_read_and_is_about_others(tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    path.write_bytes(as_vcr_yaml([sample(url="https://api.example/v1/users", response_body=b"<html>")]))
    checker = Checker()
    checker.feed(read(str(path)))
    report = checker.report()
    assert (report.others, report.messages, report.troubles) == (1, 0, ())


# Journals and lone bodies


def journal_of_a_job() -> tuple[bytes, list[Any]]:
    """Four calls and a move of the clock, as the emulator's journal shows them."""
    world = World(Settings.of(clock="frozen"), deliverer=RecordingDeliverer())
    client = create_app(world=world).test_client()
    headers = {"TT-API-KEY": "a-long-secret-key"}
    elsewhere = {**headers, "Host": "api.local:81"}
    client.post("/flux/generate", json={"prompt": "a cat", "mode": "flux1-dev"}, headers=elsewhere)
    client.post("/flux/fetch?x=1", json={"jobId": JOB}, headers=elsewhere)
    client.post("/flux/generate", json={"prompt": "a cat" * 1000, "mode": "flux1-dev"}, headers=headers)
    image = (io.BytesIO((resources.folder("fixtures") / "images" / "cat.webp").read_bytes()), "cat.webp", "image/webp")
    client.post("/flux/edits", data={"prompt": "a cat", "mode": "flux1-dev", "image": image}, headers=headers)
    client.post("/_mock/clock", json={"advance": 1}, headers=headers)
    answer = client.get("/_mock/journal", headers=headers).data
    world.close()
    return answer, json.loads(answer)["entries"]


def test_a_journal_of_the_emulator_is_read(tmp_path: Path) -> None:
    document, entries = journal_of_a_job()
    exchanges = placeless(read_bytes(document, tmp_path))
    submitted, fetched, long, edited = exchanges
    assert submitted.url == "http://api.local:81/flux/generate"
    assert json.loads(submitted.request_body or b"") == {"prompt": "a cat", "mode": "flux1-dev"}
    assert orjson.loads(submitted.response_body or b"")["status"] == "SUCCESS"
    assert fetched.url == "http://api.local:81/flux/fetch?x=1"
    assert fetched.status == 404
    assert long.request_body is None  # the journal shows its beginning only
    assert edited.parts is not None
    size = (resources.folder("fixtures") / "images" / "cat.webp").stat().st_size
    assert edited.parts[-1] == Part("image", None, "cat.webp", "image/webp", size)
    assert [entry["kind"] for entry in entries].count("clock") == 1
    lines = b"".join(orjson.dumps(entry) + b"\n" for entry in entries)
    assert placeless(read_bytes(lines, tmp_path)) == exchanges


def test_a_hook_in_a_journal_is_a_callback(tmp_path: Path) -> None:
    entry = {
        "kind": "hook", "number": 3, "at": 12.5, "twisted": False,
        "delivery": {"url": "https://client.example/hook", "body": '{"status": "FAILED"}', "content_type": "text/x"},
        "attempt": {"number": 1, "at": 12.5, "receipt": {"status": None, "error": "timed out", "elapsed": 5.0}},
    }  # fmt: skip
    (exchange,) = placeless(read_bytes(json.dumps({"dropped": 0, "entries": [entry]}).encode(), tmp_path))
    assert exchange == Exchange(
        NOWHERE, "POST", "https://client.example/hook", {"content-type": "text/x"}, b'{"status": "FAILED"}',
        at=12.5, elapsed=5.0, error="timed out", endpoint=Endpoint.CALLBACK,
    )  # fmt: skip


def test_a_lone_body_needs_an_endpoint(tmp_path: Path) -> None:
    data = json.dumps({"status": "FAILED", "jobId": JOB}, indent=1).encode()
    with pytest.raises(Unreadable, match=r"recording: expected HAR, .*; got a JSON object that is none of these"):
        read_bytes(data, tmp_path)
    (answer,) = placeless(read_bytes(data, tmp_path, endpoint=Endpoint.FETCH))
    assert answer == Exchange(NOWHERE, "POST", status=200, response_body=data, endpoint=Endpoint.FETCH)
    (hook,) = placeless(read_bytes(data, tmp_path, endpoint=Endpoint.CALLBACK))
    assert hook == Exchange(NOWHERE, "POST", request_body=data, endpoint=Endpoint.CALLBACK)
    first, second = placeless(read_bytes(b'{"a": 1}\n{"a": 2}\n', tmp_path, endpoint=Endpoint.FETCH))
    assert [first.response_body, second.response_body] == [b'{"a": 1}', b'{"a": 2}']


def test_the_examples_of_the_contract_fit_when_read_as_bodies(tmp_path: Path) -> None:
    for example in resources.load("2026-03/fetch.response.json")["examples"]:
        checker = Checker()
        checker.feed(read_bytes(json.dumps(example).encode(), tmp_path, endpoint=Endpoint.FETCH))
        report = checker.report()
        assert report.messages == 1
        assert not [finding for finding in report.findings if finding.breaking]
