"""A broken recording gives what was readable before the break, and says where and why the rest is not."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recording_makers import MAKERS, as_har, as_jsonl, as_vcr_json, as_vcr_yaml, placeless, read_bytes, sample

from contract_tests.exchanges import Endpoint, Exchange, Trouble, Unreadable
from contract_tests.readers import lines, read
from contract_tests.readers.sources import LIMIT

SECRET = "tt-4f9a77c1d2e3"


def split(items: list[Exchange | Trouble]) -> tuple[list[Exchange], list[Trouble]]:
    exchanges = placeless(item for item in items if isinstance(item, Exchange))
    return exchanges, [item for item in items if isinstance(item, Trouble)]


def test_a_har_cut_anywhere_gives_the_entries_before_the_cut(tmp_path: Path) -> None:
    whole = [sample(1), sample(2)]
    data = as_har(whole, indent=1)
    for end in range(data.index(b'"log"') + 9, len(data)):
        exchanges, troubles = split(read_bytes(data[:end], tmp_path))
        complete = sum(end >= len(as_har(whole[:count], indent=1)) - len("\n  ]\n }\n}") for count in (1, 2))
        assert exchanges == whole[:complete], end
        (trouble,) = troubles
        assert trouble.place.file == str(tmp_path / "recording")
        assert trouble.why.startswith("the rest cannot be read: it ends too early: expected "), end


def test_lines_cut_anywhere_give_the_lines_before_the_cut(tmp_path: Path) -> None:
    whole = [sample(1), sample(2)]
    data = as_jsonl(whole)
    first = data.index(b"\n")
    for end in range(first, len(data) + 1):
        exchanges, troubles = split(read_bytes(data[:end], tmp_path))
        complete = 2 if end >= len(data) - 1 else 1
        assert exchanges == whole[:complete], end
        assert len(troubles) == (end > first + 1 and complete == 1), end
        assert all(trouble.place.line == 2 for trouble in troubles)


@pytest.mark.parametrize("maker", [as_vcr_yaml, as_vcr_json])
def test_a_cassette_cut_anywhere_is_no_crash_and_gives_what_was_whole(maker: Any, tmp_path: Path) -> None:
    whole = [sample(1), sample(2)]
    data = maker(whole)
    for end in range(data.index(b"interactions") + 20, len(data) - 1, 3):
        exchanges, troubles = split(read_bytes(data[:end], tmp_path))
        assert exchanges[: len(exchanges) - 1] == whole[: max(0, len(exchanges) - 1)]
        # Half a document is whole YAML whenever a line ends.
        assert troubles or maker is as_vcr_yaml or exchanges == whole


def test_a_broken_cassette_names_the_line(tmp_path: Path) -> None:
    data = as_vcr_yaml([sample(1), sample(2)]) + f"  {SECRET}: [\n".encode()
    exchanges, (trouble,) = split(read_bytes(data, tmp_path))
    assert exchanges[0] == sample(1)
    assert trouble.place.line > 40
    assert trouble.why.startswith("the rest cannot be read: expected YAML: ")
    assert SECRET not in trouble.why


@pytest.mark.parametrize("kind", MAKERS)
def test_gzip_that_ends_too_early_gives_what_came_before(kind: str, tmp_path: Path) -> None:
    whole = [sample(number, response_body=str(hash(str(number))).encode() * 20) for number in range(200)]
    packed = gzip.compress(MAKERS[kind](whole))
    exchanges, (trouble,) = split(read_bytes(packed[: len(packed) // 2], tmp_path))
    assert 20 < len(exchanges) < 200
    assert exchanges == whole[: len(exchanges)]
    assert "the gzip data ends too early" in trouble.why


def test_damaged_gzip_gives_what_came_before(tmp_path: Path) -> None:
    whole = [sample(number, response_body=str(hash(str(number))).encode() * 20) for number in range(2000)]
    packed = bytearray(gzip.compress(as_jsonl(whole)))
    packed[-2000:-1900] = bytes(100)
    exchanges, troubles = split(read_bytes(bytes(packed), tmp_path))
    assert exchanges[:100] == whole[:100]
    assert "the gzip data is damaged" in troubles[-1].why


def test_zstd_that_ends_too_early_gives_what_came_before(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    whole = [sample(number, response_body=str(hash(str(number))).encode() * 20) for number in range(9000)]
    packed = zstandard.compress(as_jsonl(whole))
    exchanges, (trouble,) = split(read_bytes(packed[: -len(packed) // 4], tmp_path))
    assert exchanges
    assert exchanges == whole[: len(exchanges)]
    assert "the zstd data ends too early" in trouble.why


def test_the_first_twenty_broken_lines_are_told_and_the_others_counted(tmp_path: Path) -> None:
    data = as_jsonl([sample()]) + f"{SECRET}\n".encode() * 50 + as_jsonl([sample()])
    exchanges, troubles = split(read_bytes(data, tmp_path))
    assert exchanges == [sample(), sample()]
    assert [trouble.place.line for trouble in troubles] == [*range(2, 22), 0]
    name = tmp_path / "recording"
    assert troubles[-1].why.startswith(f"30 more like these, the last at {name}:51: expected a line of JSON: ")
    assert sum(trouble.times for trouble in troubles) == 50
    assert not any(SECRET in trouble.why for trouble in troubles)


def test_a_line_over_the_limit_is_skipped() -> None:
    line = as_jsonl([sample()])

    def chunks() -> Iterator[bytes]:
        yield line + b'{"x": "'
        for _ in range(LIMIT // 2**20 + 2):
            yield b"x" * 2**20
        yield b'"}\n' + line

    first, trouble, last = lines.read("name", chunks())
    assert placeless([first, last]) == [sample(), sample()]
    assert isinstance(trouble, Trouble)
    assert str(trouble.place) == "name:2"
    assert trouble.why == "the line is longer than 64 MiB"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"version": 2}, "at /version, 1 was expected"),
        ({"kind": "clock"}, 'at /kind, the value is not one of "exchange" or "hook"'),
        ({"request": {"url": SECRET}}, 'at /request, "method" is a required property'),
        ({"request": {"method": "GET", "url": 7}}, 'at /request/url, the value is not of type "string"'),
        (
            {"request": {"method": "G", "url": "", "headers": {"a": 1}}},
            'at /request/headers/a, the value is not of type "string"',
        ),
        ({"response": {"status": SECRET}}, 'at /response/status, the value is not of type "integer"'),
        ({"at": SECRET}, 'at /at, the value is not of types "null", "number"'),
    ],
)
def test_a_misshapen_line_is_explained_by_the_schema_and_never_shown(
    changes: dict[str, Any], why: str, tmp_path: Path
) -> None:
    line = orjson.dumps(orjson.loads(as_jsonl([sample()])) | changes)
    exchanges, (trouble,) = split(read_bytes(line + b"\n" + as_jsonl([sample()]), tmp_path))
    assert exchanges == [sample()]
    assert trouble.why == f"expected a recorded exchange: {why}"


@pytest.mark.parametrize(
    ("data", "name", "got"),
    [
        (b"", "x.har", "nothing: it is empty"),
        (b" \n\t", "x.json", "nothing: it is empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "x.har", "binary data (a PNG image)"),
        (b"abc\x00" + bytes(100), "x.jsonl", "binary data (the byte 0x00 at 3)"),
        ("{}".encode("utf-16"), "x.har", "UTF-16: save it as UTF-8"),
        (b"just words", "x.txt", "text that is none of these"),
        (b"openapi: 3.1.0\npaths: {}\n", "x.yaml", "text that is none of these"),
        (b"[1, 2]", "x.json", "JSON that is no object"),
        (b'{"name": "x"}', "x.json", "a JSON object that is none of these"),
        (b"{", "x.json", "a JSON object that is none of these"),
        (gzip.compress(b"", mtime=0), "x.har.gz", "nothing: it is empty"),
    ],
)
def test_what_is_no_recording_is_unreadable(data: bytes, name: str, got: str, tmp_path: Path) -> None:
    with pytest.raises(Unreadable) as caught:
        read_bytes(data, tmp_path, name)
    expected = f"{tmp_path / name}: expected HAR, a VCR.py cassette, JSON Lines, or a journal of fluxmock; got {got}"
    assert str(caught.value).startswith(expected)


@pytest.mark.parametrize("data", [b"", b"\n \n"])
def test_lines_of_nobody_are_a_recording_of_nothing(data: bytes, tmp_path: Path) -> None:
    assert list(read_bytes(data, tmp_path, "x.jsonl")) == []


def test_a_file_that_is_not_there_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"none\.har: expected a file that can be read: No such file or directory$"):
        next(read(str(tmp_path / "none.har")))


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_hostile_nesting_is_a_trouble(opening: bytes, tmp_path: Path) -> None:
    entry = as_har([sample()])
    data = entry.replace(b'"entries": [', b'"entries": [' + opening * 100_000)
    exchanges, (trouble,) = split(read_bytes(data, tmp_path))
    assert (exchanges, trouble.place.number) == ([], 1)
    closed = (
        opening * 5000
        + b"1"
        + b"".join(b"}" if char == 123 else b"]" for char in reversed(opening) if char in b"{[") * 5000
    )
    data = entry.replace(b'"entries": [', b'"entries": [' + closed + b", ")
    exchanges, (trouble,) = split(read_bytes(data, tmp_path))
    assert exchanges == [sample()]
    assert trouble.place.number == 1


def test_a_har_without_entries_says_so(tmp_path: Path) -> None:
    exchanges, (trouble,) = split(read_bytes(b'{"log": {"version": "1.2", "entries": {}}}', tmp_path))
    assert (exchanges, trouble.why) == ([], "expected an array log.entries, found none")


def test_what_follows_the_document_is_a_trouble(tmp_path: Path) -> None:
    exchanges, (trouble,) = split(read_bytes(as_har([sample()]) + b"\n{}", tmp_path))
    assert exchanges == [sample()]
    assert trouble.why.startswith("the rest cannot be read: expected the end of the document at byte ")


def test_an_entry_that_is_no_json_is_left_out(tmp_path: Path) -> None:
    data = (
        as_har([sample(1), sample(2), sample(3)]).replace(b'\\"n\\": 2', b"x").replace(b'"time": -1', b'"time": ?', 1)
    )
    exchanges, (trouble,) = split(read_bytes(data, tmp_path))
    assert len(exchanges) == 2
    assert trouble.place.number == 1
    assert trouble.why.startswith("expected JSON: ")


def test_aliases_cannot_blow_a_cassette_up(tmp_path: Path) -> None:
    """Ten levels of ten aliases each stand for ten thousand million texts."""
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 10))
    data = f"l0: &l0 lol\n{levels}interactions: []\n".encode()
    (trouble,) = read_bytes(data, tmp_path)
    assert isinstance(trouble, Trouble)
    assert "an interaction is longer than 64 MiB" in trouble.why


@pytest.mark.parametrize("deep", ["[" * 5000, "- " * 5000, "{a: " * 5000])
def test_hostile_nesting_in_a_cassette_is_a_trouble(deep: str, tmp_path: Path) -> None:
    (trouble,) = read_bytes(f"version: 1\nx:\n {deep}\n".encode(), tmp_path)
    assert isinstance(trouble, Trouble)


def test_a_compressed_body_cannot_blow_up(tmp_path: Path) -> None:
    pump = zlib.compressobj(9, wbits=31)
    bomb = b"".join(pump.compress(bytes(2**20)) for _ in range(LIMIT // 2**20 + 1)) + pump.flush()
    headers = {"content-encoding": "gzip"}
    cassette = as_vcr_json([sample(response_body=b"", response_headers=headers)])
    data = json.loads(cassette)
    data["interactions"][0]["response"]["body"] = {"base64_string": base64.b64encode(bomb).decode()}
    exchanges, (trouble,) = split(read_bytes(json.dumps(data).encode(), tmp_path))
    assert exchanges[0].response_body is None
    assert "longer than 64 MiB" in trouble.why


def overwritten(kind: str, at: int, what: bytes) -> bytes:
    data = MAKERS[kind]([sample(1), sample(2)])
    at %= len(data)
    return data[:at] + what + data[at + len(what) :]


DAMAGE = st.binary(min_size=1, max_size=4) | st.sampled_from([b'"', b"}", b"]", b"[", b"\\", b"null", b": "])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.binary(max_size=300) | st.builds(overwritten, st.sampled_from(sorted(MAKERS)), st.integers(0, 10**6), DAMAGE),
    st.sampled_from(["x.har", "x.json", "x.jsonl", "x.yaml"]),
    st.sampled_from([None, Endpoint.FETCH, Endpoint.CALLBACK]),
)
def test_no_input_is_a_crash(tmp_path: Path, data: bytes, name: str, endpoint: Endpoint | None) -> None:
    try:
        items = read_bytes(data, tmp_path, name, endpoint=endpoint)
    except Unreadable as error:
        assert str(error).startswith(str(tmp_path / name))  # noqa: PT017 - not raising is fine, too
        return
    for item in items:
        assert item.place.file == str(tmp_path / name)
        if isinstance(item, Exchange):
            assert all(
                isinstance(value, str) for value in (*item.request_headers.values(), *item.response_headers.values())
            )
            assert isinstance(item.response_body, (bytes, type(None)))
            assert isinstance(item.request_body, (bytes, type(None)))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (
            b'{"version": 2, "version": 1, "kind": "hook", "request": {"method": "POST", "url": "x"}}',
            "expected each field once, and integers of 64 bits without a point, got something else at `$.version`",
        ),
        (
            b'{"version": 1, "kind": "exchange", "request": {"method": "GET", "url": "x"}, "response": {"status": 200.0}}',
            "expected each field once, and integers of 64 bits without a point, got something else at `$.response.status`",
        ),
        (
            b'{"version": 1, "kind": "exchange", "request": {"method": "GET", "url": "x"}, "response": {"status": '
            + str(2**64).encode()
            + b"}}",
            "expected each field once, and integers of 64 bits without a point, got something else at `$.response.status`",
        ),
        (
            b'{"version": 1, "kind": "hook", "request": {"method": "POST", "url": "x", "b\xffdy": "y"}}',
            "expected a line of JSON: ",
        ),
        (
            b'{"version": 1, "kind": "hook", "request": {"method": "POST", "url": "x"}, "error": '
            + b"[" * 900
            + b"]" * 900
            + b"}",
            "expected a recorded exchange, got one that is nested too deep",
        ),
    ],
    ids=["a field twice", "a point", "a number too long", "no UTF-8", "too deep"],
)
def test_a_line_that_nobody_could_write_is_told_and_passed_over(line: bytes, why: str, tmp_path: Path) -> None:
    exchanges, (trouble,) = split(read_bytes(as_jsonl([sample()]) + line + b"\n" + as_jsonl([sample()]), tmp_path))
    assert exchanges == [sample(), sample()]
    assert why in trouble.why
