"""The proxy answers as the API did, whatever becomes of the recording; and it records no secret, however packed."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask, Response, request
from test_command import KEY, fluxmock, recording

from contract_tests.exchanges import Exchange
from contract_tests.record import HOOKS, MOST_RECORDED, Proxy
from contract_tests.recording import as_line
from contract_tests.redaction import Pseudonyms, redacted
from mock_server.http.runner import BackgroundServer

PUBLIC = "https://proxy.example"


class Upstream:
    """Keeps what it was sent, and answers with what a test wants."""

    def __init__(self) -> None:
        self.app = Flask("upstream")
        self.app.post("/flux/<path:_>")(self._answer)
        self.came: list[bytes] = []
        self.answer = Response(b"{}", content_type="application/json")

    def _answer(self, _: str) -> Response:
        self.came.append(request.get_data())
        return self.answer


@contextmanager
def proxied(upstream: Upstream, note: Any, public_url: str | None = PUBLIC) -> Iterator[str]:
    with (
        BackgroundServer(upstream.app) as api,
        BackgroundServer(Proxy(api.url, note, public_url=public_url)) as proxy,
    ):
        yield f"{proxy.url}/flux/generate"


def order(url: str, hook: str, **more: str) -> str:
    """Order with a hook, and return what the upstream would be told of it."""
    answer = requests.post(url, json={"hookUrl": hook, **more}, timeout=20)
    return answer.text


def test_the_client_is_answered_even_if_nothing_can_be_noted(caplog: pytest.LogCaptureFixture) -> None:
    def note(_: Exchange) -> None:
        raise MemoryError("of no interest to the client")

    upstream = Upstream()
    with proxied(upstream, note) as url:
        assert requests.post(url, json={}, timeout=20).status_code == 200
    assert "exchange 1 was not recorded: MemoryError" in caplog.text


def twice(body: bytes) -> bytes:
    return gzip.compress(gzip.compress(body))


def raw(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "pack"), [("gzip", gzip.compress), ("deflate", raw), ("deflate", zlib.compress), ("gzip, gzip", twice)]
)
def test_what_is_packed_is_recorded_unpacked_and_without_the_key(coding: str, pack: Any) -> None:
    noted: list[Exchange] = []
    upstream = Upstream()
    packed = pack(json.dumps({"message": f"the key {KEY}"}).encode())
    upstream.answer = Response(packed, content_type="application/json", headers={"Content-Encoding": coding})
    headers = {"TT-API-KEY": KEY, "Content-Encoding": coding, "Content-Type": "application/json"}
    with proxied(upstream, noted.append) as url:
        answer = requests.post(url, data=packed, headers=headers, timeout=20, stream=True)
        assert answer.raw.read(decode_content=False) == packed
    assert upstream.came == [packed]
    clean = redacted(noted[0], Pseudonyms())
    for body in (clean.request_body, clean.response_body):
        assert set(json.loads(body or b"")) == {"message"}
    assert KEY.encode() not in as_line(clean)


def test_a_body_that_unpacks_to_too_much_is_left_out_and_passed_on() -> None:
    noted: list[Exchange] = []
    upstream = Upstream()
    bomb = gzip.compress(bytes(MOST_RECORDED + 1))
    upstream.answer = Response(bomb, headers={"Content-Encoding": "gzip"})
    with proxied(upstream, noted.append) as url:
        answer = requests.post(url, data=b"{}", timeout=20, stream=True)
        assert answer.raw.read(decode_content=False) == bomb
    assert (noted[0].status, noted[0].response_body) == (200, None)
    assert noted[0].error == "the answer's body is left out: it is longer than 32 MiB"


def test_each_hook_url_has_a_token_of_its_own_that_nobody_can_guess() -> None:
    upstream = Upstream()
    with proxied(upstream, lambda _: None) as url, ThreadPoolExecutor(8) as pool:
        hooks = [f"https://client.example/{n}" for n in range(40)]
        list(pool.map(lambda hook: order(url, hook), hooks * 2))
        ours = {json.loads(body)["hookUrl"] for body in upstream.came}
        assert len(ours) == len(hooks)
        assert all(len(one.removeprefix(PUBLIC + HOOKS)) >= 20 for one in ours)
        echo = {"hooks": sorted(ours), "other": f"{PUBLIC}{HOOKS}unknown"}
        for text in (json.dumps(echo), json.dumps(echo).replace("/", "\\/")):
            upstream.answer = Response(text, content_type="application/json")
            answer = requests.post(url, json={}, timeout=20).json()
            assert (sorted(answer["hooks"]), answer["other"]) == (sorted(hooks), echo["other"])


@pytest.mark.parametrize(
    ("coding", "pack"), [("gzip", gzip.compress), ("deflate", raw), ("deflate", zlib.compress), ("gzip, gzip", twice)]
)
def test_hook_urls_are_put_back_into_what_is_compressed(coding: str, pack: Any) -> None:
    hook = "https://client.example/mine"
    upstream = Upstream()
    noted: list[Exchange] = []
    with proxied(upstream, noted.append) as url:
        order(url, hook)
        ours = json.loads(upstream.came[0])["hookUrl"]
        packed = pack(json.dumps({"hookUrl": ours}).encode())
        headers = {"Content-Encoding": coding, "Vary": "Accept-Encoding"}
        upstream.answer = Response(packed, content_type="application/json", headers=headers)
        answer = requests.post(url, json={}, timeout=20)
    assert answer.json() == {"hookUrl": hook}
    assert ("Content-Encoding" in answer.headers, answer.headers["Vary"]) == (False, "Accept-Encoding")
    assert json.loads(noted[1].response_body or b"") == {"hookUrl": hook}


def test_a_compressed_webhook_names_the_clients_own_url() -> None:
    came: list[tuple[bytes, str | None]] = []
    receiver = Flask("receiver")

    @receiver.post("/mine")
    def take() -> str:
        came.append((request.get_data(), request.headers.get("Content-Encoding")))
        return ""

    upstream = Upstream()
    with BackgroundServer(receiver) as client, proxied(upstream, lambda _: None) as url:
        hook = f"{client.url}/mine"
        order(url, hook)
        ours = json.loads(upstream.came[0])["hookUrl"]
        to_proxy = url.replace("/flux/generate", ours.removeprefix(PUBLIC))
        for said in ({"hookUrl": ours}, {"hookUrl": None}):
            body = gzip.compress(json.dumps(said).encode())
            requests.post(to_proxy, data=body, headers={"Content-Encoding": "gzip"}, timeout=20)
    assert came[0] == (json.dumps({"hookUrl": hook}).encode(), None)
    assert came[1] == (body, "gzip")


@pytest.mark.parametrize(
    ("wanted", "asked"),
    [("gzip, compress, deflate, br", "gzip, deflate"), ("br;q=1.0, zstd", "identity"), ("gzip;q=0.5", "gzip;q=0.5")],
)
def test_only_codings_are_asked_for_that_can_be_recorded(wanted: str, asked: str) -> None:
    noted: list[Exchange] = []
    with proxied(Upstream(), noted.append) as url:
        requests.post(url, json={}, headers={"Accept-Encoding": wanted}, timeout=20)
    assert noted[0].request_headers["accept-encoding"] == asked


def test_only_the_field_is_replaced_where_a_prompt_names_the_hook_url() -> None:
    hook = "https://client.example/mine"
    upstream = Upstream()
    with proxied(upstream, lambda _: None) as url:
        fields = {"prompt": (None, f"a poster with {hook}"), "hookUrl": (None, hook)}
        requests.post(url, files=fields, timeout=20)
    (body,) = upstream.came
    assert f"a poster with {hook}\r\n".encode() in body
    assert body.count(hook.encode()) == 1
    assert f"{PUBLIC}{HOOKS}".encode() in body


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--upstream", "http://", "expected an http or https URL with a host, got 'http://'"),
        ("--upstream", "http://a:b", "expected an http or https URL with a host, got 'http://a:b'"),
        ("--public-url", "proxy.example", "expected an http or https URL with a host, got 'proxy.example'"),
        ("--contract", "1999", "expected auto, 2024-09, 2026-03; got '1999'"),
        ("-o", "nowhere/x.jsonl", "nowhere/x.jsonl: cannot be written to: No such file or directory"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_forwarded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, value: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    options = {"--upstream": "http://127.0.0.1:9", "-o": "x.jsonl", "--port": "0", option: value}
    done = fluxmock("record", *(word for pair in options.items() for word in pair))
    assert done.returncode in {1, 2}
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_findings_are_placed_in_the_file_that_was_written(tmp_path: Path) -> None:
    upstream = Upstream()
    upstream.answer = Response('{"status": "THROTTLED"}', content_type="application/json")
    (tmp_path / "recording.jsonl").write_text("\n\n\n")
    with BackgroundServer(upstream.app) as api, recording(api.url, tmp_path) as (url, output, said):
        requests.post(f"{url}/flux/fetch", json={"jobId": "1"}, timeout=20)
    assert f"first in {output}:4" in " ".join(" ".join(said).split())
    assert said[-1] == "1"
