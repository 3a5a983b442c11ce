"""Cassettes of VCR.py are read, in whatever shape they keep their bodies."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from recording_makers import as_cassette, as_vcr_yaml, placeless, read_bytes, sample

from contract_tests.checker import Checker
from contract_tests.exchanges import Exchange, Trouble
from contract_tests.readers import read

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
