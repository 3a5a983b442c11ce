"""Answers as a scenario wants them, down to the bytes and what is done to them on a real socket."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from scenario_writing import raw, written
from support import KEY, PROMPT

import mock_server
from mock_server.scenarios.editing import edited
from mock_server.scenarios.rules import Edit


def test_an_answer_may_be_another_although_the_job_was_made() -> None:
    with mock_server.serve(port=0, scenario="gateway-502-after-accept", clock="frozen") as server:
        received = raw(server, "/flux/generate", PROMPT)
        assert received.startswith(b"HTTP/1.1 502")
        assert b"Content-Type: text/html" in received
        assert received.count(b"Content-Type") == 1
        assert server.tenant(KEY).ledger.reserved == 1


def test_a_body_may_be_edited(tmp_path: Path) -> None:
    edit = {"set": {"/status": "THROTTLED", "/data": {"x": [1]}}, "remove": ["/jobId"], "rename": {"message": "msg"}}
    name = written(tmp_path, {"on": "fetch", "then": edit})
    with mock_server.serve(port=0, scenario=name, clock="frozen") as server:
        job_id = json.loads(raw(server, "/flux/generate", PROMPT).partition(b"\r\n\r\n")[2])["data"]["jobId"]
        body = json.loads(raw(server, "/flux/fetch", {"jobId": job_id}).partition(b"\r\n\r\n")[2])
    assert body == {"status": "THROTTLED", "msg": "success", "data": {"x": [1]}}


@pytest.mark.parametrize("coding", ["gzip", "bom", "latin-1", "utf-16"])
def test_a_body_may_be_coded_otherwise(tmp_path: Path, coding: str) -> None:
    name = written(tmp_path, {"on": "submit", "then": {"coding": coding}})
    with mock_server.serve(port=0, scenario=name, clock="frozen") as server:
        head, _, body = raw(server, "/flux/generate", PROMPT).partition(b"\r\n\r\n")
    assert (b"Content-Encoding: gzip" in head) == (coding == "gzip")
    plain = gzip.decompress(body) if coding == "gzip" else body.removeprefix(b"\xef\xbb\xbf")
    assert (body != plain) == (coding in {"gzip", "bom"})
    assert json.loads(plain.decode(coding if coding in {"latin-1", "utf-16"} else "utf-8"))["status"] == "SUCCESS"


def wired(tmp_path: Path, **wire: Any) -> str:
    return written(tmp_path, {"on": "submit", "then": {"wire": wire}})


def test_a_reset_before_the_answer(tmp_path: Path) -> None:
    with mock_server.serve(port=0, scenario="reset-after-accept", clock="frozen") as server:
        with pytest.raises(ConnectionResetError):
            raw(server, "/flux/generate", PROMPT)
        assert server.tenant(KEY).ledger.reserved == 1
        assert raw(server, "/flux/generate", PROMPT).startswith(b"HTTP/1.1 200")


def test_a_reset_in_the_middle_of_the_body(tmp_path: Path) -> None:
    with (
        mock_server.serve(port=0, scenario=wired(tmp_path, body_bytes=5, end="reset")) as server,
        pytest.raises(ConnectionResetError),
    ):
        raw(server, "/flux/generate", PROMPT)


def test_an_empty_answer(tmp_path: Path) -> None:
    with mock_server.serve(port=0, scenario=wired(tmp_path, silent=True, end="close")) as server:
        assert raw(server, "/flux/generate", PROMPT) == b""


def test_a_truncated_body(tmp_path: Path) -> None:
    with mock_server.serve(port=0, scenario=wired(tmp_path, body_bytes=5, end="close")) as server:
        head, _, body = raw(server, "/flux/generate", PROMPT).partition(b"\r\n\r\n")
    assert body == b'{"sta'
    assert b"Content-Length: 96" in head


def test_a_wrong_content_length(tmp_path: Path) -> None:
    with mock_server.serve(port=0, scenario=wired(tmp_path, length_error=10, end="close")) as server:
        head, _, body = raw(server, "/flux/generate", PROMPT).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body) + 10}".encode() in head


def test_one_byte_at_a_time_gives_the_same_bytes(tmp_path: Path) -> None:
    with mock_server.serve(port=0, scenario=wired(tmp_path, piece=1, pause=0.0001)) as server:
        dripped = raw(server, "/flux/generate", PROMPT)
    with mock_server.serve(port=0) as server:
        whole = raw(server, "/flux/generate", PROMPT)
    head, _, body = dripped.partition(b"\r\n\r\n")
    assert body == whole.partition(b"\r\n\r\n")[2]
    assert b"1 bytes at a time, 0.0001 s apart" in head


def test_odd_chunks(tmp_path: Path) -> None:
    with mock_server.serve(port=0, scenario=wired(tmp_path, chunks=[1, 7, 3])) as server:
        url = urlsplit(server.url)
        connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=20)
        headers = {"TT-API-KEY": KEY, "Content-Type": "application/json"}
        for _ in range(2):
            connection.request("POST", "/flux/generate", json.dumps(PROMPT), headers)
            answer = connection.getresponse()
            assert answer.headers["Transfer-Encoding"] == "chunked"
            assert answer.headers["Content-Length"] is None
            assert json.loads(answer.read())["status"] == "SUCCESS"
        connection.close()


def test_a_half_closed_connection_gives_nothing_more(tmp_path: Path) -> None:
    with mock_server.serve(port=0, scenario=wired(tmp_path, silent=True, end="half close")) as server:
        url = urlsplit(server.url)
        with socket.create_connection((url.hostname, url.port), timeout=20) as connection:
            body = json.dumps(PROMPT).encode()
            head = f"POST /flux/generate HTTP/1.1\r\nHost: x\r\nTT-API-KEY: {KEY}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            assert connection.recv(10) == b""
            connection.sendall(b"still here")


def test_an_idle_connection_is_closed_between_calls(tmp_path: Path) -> None:
    with mock_server.serve(port=0, scenario=wired(tmp_path, idle=0.01)) as server:
        url = urlsplit(server.url)
        with socket.create_connection((url.hostname, url.port), timeout=20) as connection:
            body = json.dumps(PROMPT).encode()
            head = f"POST /flux/generate HTTP/1.1\r\nHost: x\r\nTT-API-KEY: {KEY}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
        assert b"Connection: close" not in received
        assert received.endswith(b"}")


def test_a_delay_takes_no_thread_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    import threading

    name = written(tmp_path, {"on": "submit", "where": {"prompt": "late"}, "then": {"delay": 3600}})
    with mock_server.serve(port=0, scenario=name) as server:
        url = urlsplit(server.url)
        threads = threading.active_count()
        waiting = []
        for _ in range(100):
            connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=20)
            headers = {"TT-API-KEY": KEY, "Content-Type": "application/json"}
            connection.request("POST", "/flux/generate", json.dumps({**PROMPT, "prompt": "late"}), headers)
            waiting.append(connection)
        assert raw(server, "/flux/generate", PROMPT).startswith(b"HTTP/1.1 200")
        assert threading.active_count() == threads
        for connection in waiting:
            connection.close()


def test_a_redirect_goes_to_another_origin(tmp_path: Path) -> None:
    name = written(tmp_path, {"on": "submit", "then": {"redirect": "http://127.0.0.1:9/elsewhere"}})
    with mock_server.serve(port=0, scenario=name) as server:
        received = raw(server, "/flux/generate", PROMPT)
        assert received.startswith(b"HTTP/1.1 307")
        assert b"Location: http://127.0.0.1:9/elsewhere\r\n" in received
        assert len(server.tenant(KEY).jobs) == 0


def test_a_status_that_is_no_refusal_keeps_the_answer(tmp_path: Path) -> None:
    name = written(tmp_path, {"on": "submit", "then": {"status": 201}})
    with mock_server.serve(port=0, scenario=name) as server:
        received = raw(server, "/flux/generate", PROMPT)
    assert received.startswith(b"HTTP/1.1 201")
    assert b'"jobId"' in received


@pytest.mark.parametrize("status", [299, 499, 520, 599])
def test_any_status_can_be_played_in_the_lane_and_beside_it(tmp_path: Path, status: int) -> None:
    name = written(tmp_path, {"on": "submit", "then": {"status": float(status)}})
    with mock_server.serve(port=0, scenario=name) as server:
        for path in ("/flux/generate", "/flux/generate?x=1"):
            assert raw(server, path, PROMPT).startswith(b"HTTP/1.1 %d " % status)


def test_whole_floats_are_played_as_integers(tmp_path: Path) -> None:
    wire = {"piece": 10.0, "body_bytes": 30.0, "chunks": [2.0], "length_error": 1.0}
    name = written(
        tmp_path,
        {"on": "submit", "calls": {"first": 1.0}, "job": [1.0, 2.0], "then": {"wire": wire, "set": {"/x": 1.0}}},
        {"on": "hook", "calls": 1.0, "job": 1.0, "then": {"copies": 2.0, "body_bytes": 3.0}},
    )
    with mock_server.serve(port=0, scenario=name) as server:
        assert b"10 bytes at a time" in raw(server, "/flux/generate", PROMPT)
        submit, hook = server.world.scenario().rules
    assert (submit.then.edit.set, hook.then.copies) == ({"/x": 1.0}, 2)  # type: ignore[union-attr]
    assert isinstance(submit.then.edit.set["/x"], float)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("edit", "body", "expected"),
    [
        (Edit(body="oops", set={"/a": 1}, remove=("/b",), rename={"c": "d"}), b"{}", b"oops"),
        (Edit(set={"/a": 1}), b"", b""),
        (Edit(set={"/a~01": 1}), b"{}", b'{"a~1":1}'),
        (Edit(set={"/a~1b/c": 2}), b'{"a/b":{}}', b'{"a/b":{"c":2}}'),
        (Edit(remove=("/no", "/a/no", "/a/b/no")), b'{"a":{"b":[]}}', b'{"a":{"b":[]}}'),
        (Edit(set={"/no/a": 1}), b'{"b":1}', b'{"b":1}'),
        (Edit(rename={"a": "b"}), b'{"a":[{"a":1}]}', b'{"b":[{"b":1}]}'),
    ],
)
def test_an_edit_changes_what_is_there(edit: Edit, body: bytes, expected: bytes) -> None:
    assert edited(edit, body) == expected


def test_the_same_body_gives_the_same_gzip_whenever(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = []
    for now in (1e9, 2e9):
        monkeypatch.setattr("time.time", lambda now=now: now)
        packed.append(edited(Edit(coding="gzip"), b"{}"))
    monkeypatch.undo()
    assert packed[0] == packed[1]
    assert gzip.decompress(packed[0]) == b"{}"
