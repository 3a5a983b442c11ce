"""Recordings are read alike whatever they were recorded with, however they are packed, and wherever they come from."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from recording_makers import (
    JOB,
    MAKERS,
    NOWHERE,
    as_har,
    as_jsonl,
    as_vcr_json,
    as_vcr_yaml,
    placeless,
    read_bytes,
    sample,
)

from contract_tests.checker import Checker
from contract_tests.exchanges import Endpoint, Exchange, Part, Place, Trouble, Unreadable
from contract_tests.readers import read
from contract_tests.recording import as_line
from mock_server import create_app, resources
from mock_server.hooks.deliverer import RecordingDeliverer
from mock_server.settings import Settings
from mock_server.world import World

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
