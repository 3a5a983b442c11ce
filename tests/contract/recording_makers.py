"""Exchanges as each format of recordings holds them, and how they are read back."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from contract_tests.exchanges import Exchange, Place, Trouble
from contract_tests.readers import read
from contract_tests.recording import as_line

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
