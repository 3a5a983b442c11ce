"""Bad input over a real socket: a documented code, the envelope, an explanation; never a traceback, a hang or a 500."""

from __future__ import annotations

import dataclasses
import json
import socket
import struct
import zlib
from collections.abc import Callable
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import PROMPT, picture

from mock_server.admin_data import as_json
from mock_server.exchange import mask
from mock_server.journal import log_explained
from mock_server.serving import Server

Serve = Callable[..., Server]
GOOD = json.dumps(PROMPT).encode()
DOCUMENTED = {200, 400, 401, 402, 404, 405, 413, 415, 429, 499}


def exchange(server: Server, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send raw bytes on a new connection, and read until the server closes it."""
    url = urlsplit(server.url)
    with socket.create_connection((url.hostname, url.port), timeout=20) as connection:
        connection.sendall(request)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    while head.startswith(b"HTTP/1.1 100"):
        head, _, body = body.partition(b"\r\n\r\n")
    lines = head.decode("ascii").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    return int(lines[0].split()[1]), headers, body


def post(path: str, body: bytes, kind: str = "application/json", length: int | None = None) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nTT-API-KEY: k\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body) if length is None else length}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def multipart(image: bytes) -> bytes:
    return (
        b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n' + image + b"\r\n"
        b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nx\r\n'
        b'--b\r\nContent-Disposition: form-data; name="mode"\r\n\r\nflux1-dev\r\n--b--\r\n'
    )


def bomb() -> bytes:
    """A PNG of a few hundred bytes that says it has 40,000 x 40,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 999)) + chunk(b"IEND", b"")
    )


BAD: list[tuple[str, bytes, int, str]] = [
    ("not UTF-8", post("/flux/generate", b'{"prompt": "\xff", "mode": "flux1-dev"}'), 400, "UTF-8"),
    ("byte order mark", post("/flux/generate", b"\xef\xbb\xbf" + GOOD), 400, "byte order mark"),
    ("an array", post("/flux/generate", b"[1]"), 400, "got an array"),
    ("a string", post("/flux/generate", b'"x"'), 400, "got a string"),
    ("null", post("/flux/generate", b"null"), 400, "got null"),
    ("a number", post("/flux/fetch", b"7"), 400, "got a number"),
    ("nothing", post("/flux/generate", b""), 400, "empty body"),
    ("cut short", post("/flux/generate", b'{"prompt": "x'), 400, "line 1"),
    ("10,000 levels", post("/flux/generate", b"[" * 10_000 + b"]" * 10_000), 400, "100 levels"),
    ("10,000 levels in a field", post("/flux/generate", b'{"prompt":' + b"[" * 10_000 + b"]" * 10_000 + b"}"), 400, "100 levels"),
    ("900 levels in a field", post("/flux/generate", b'{"a:b":' + b"[" * 900 + b"]" * 900 + b"}"), 400, "100 levels"),
    ("101 levels in a good one", post("/flux/generate", GOOD[:-1] + b', "x":' + b"[" * 100 + b"]" * 100 + b"}"), 400, "100 levels"),
    ("100 levels in a good one", post("/flux/generate", GOOD[:-1] + b', "x":' + b"[" * 99 + b"]" * 99 + b"}"), 200, ""),
    ("NaN", post("/flux/generate", b'{"prompt": NaN, "mode": "flux1-dev"}'), 400, "NaN"),
    ("Infinity", post("/flux/generate", b'{"prompt": -Infinity, "mode": "flux1-dev"}'), 400, "Infinity"),
    ("a lone surrogate", post("/flux/generate", b'{"prompt": "\\ud800", "mode": "flux1-dev"}'), 400, "JSON"),
    ("a name twice", post("/flux/generate", b'{"mode":"flux1-dev","prompt":"a","prompt":"b"}'), 400, "'prompt' more than once"),
    ("a name twice, deep", post("/flux/generate", b'{"mode":"flux1-dev","prompt":"a","x":{"y":1,"y":2}}'), 400, "'y' more"),
    ("1 GB to come", post("/flux/generate", b"", length=10**9), 413, "--max-body"),
    ("1 GB to come, edits", post("/flux/edits", b"", "multipart/form-data; boundary=b", 10**9), 413, "--max-body"),
    ("a length that is none", post("/flux/generate", b"").replace(b"Length: 0", b"Length: abc"), 400, ""),
    ("a negative length", post("/flux/generate", b"").replace(b"Length: 0", b"Length: -1"), 400, ""),
    ("no HTTP", b"hello there\r\n\r\n", 400, ""),
    ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40 + b"\r\n\r\n", 400, ""),
    ("a key header with underscores", post("/flux/generate", GOOD).replace(b"TT-API-KEY", b"TT_API_KEY"), 401, "TT_API_KEY: write it TT-API-KEY"),
    ("a compressed body", post("/flux/generate", b"\x1f\x8b\x08").replace(b"Host: x", b"Host: x\r\nContent-Encoding: gzip"), 400, "compressed"),
    ("a header without end", b"GET / HTTP/1.1\r\nX: " + b"x" * 200_000, 400, ""),
    ("10,000 headers", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000 + b"\r\n", 400, ""),
    ("no image", post("/flux/edits", multipart(b"GIF89a, honestly"), "multipart/form-data; boundary=b"), 400, "image"),
    ("half an image", post("/flux/edits", multipart(picture(size=(500, 500))[:900]), "multipart/form-data; boundary=b"), 400, "image"),
    ("a decompression bomb", post("/flux/edits", multipart(bomb()), "multipart/form-data; boundary=b"), 400, "megapixel"),
    ("another boundary", post("/flux/edits", multipart(picture()), "multipart/form-data; boundary=c"), 400, ""),
    ("no end of multipart", post("/flux/edits", multipart(picture())[:-9], "multipart/form-data; boundary=b"), 400, ""),
    ("a boundary of 10 kB", post("/flux/edits", b"--x", "multipart/form-data; boundary=" + "b" * 10_000), 400, ""),
    ("a boundary that is no ASCII", post("/flux/edits", b"--x", "multipart/form-data; boundary=\u732b"), 400, ""),
    ("1,000 parts", post("/flux/edits", b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n' * 1000 + b"--b--\r\n",
                         "multipart/form-data; boundary=b"), 413, "parts"),
    ("1,000 fields", post("/flux/generate", b"&".join([b"a=1"] * 1000), "application/x-www-form-urlencoded"), 400, ""),
    ("a form that is not UTF-8", post("/flux/generate", b"prompt=%ff&mode=flux1-dev", "application/x-www-form-urlencoded"), 400, "UTF-8"),
    ("a query that is not UTF-8", b"GET /flux/fetch?jobId=%ff HTTP/1.1\r\nHost: x\r\nTT-API-KEY: k\r\nConnection: close\r\n\r\n", 400, "UTF-8"),
    ("a charset that is none", post("/flux/generate", GOOD, "application/json; charset=klingon"), 200, ""),
    ("a Host that is none", post("/flux/generate", GOOD).replace(b"Host: x", b"Host: <script>"), 200, ""),
    ("a key that is no ASCII", post("/flux/generate", GOOD).replace(b"KEY: k", "KEY: \u732b".encode()), 200, ""),
    ("a path that is not UTF-8", b"GET /%ff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404, ""),
    ("a path of 30 kB", b"GET /" + b"x" * 30_000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404, ""),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "status", "words"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_input_gets_a_documented_code_and_the_envelope(
    serve: Serve, request_: bytes, status: int, words: str
) -> None:
    server = serve()
    got, headers, body = exchange(server, request_)
    assert (got, words in headers.get("x-fluxmock-explain", "")) == (status, True), headers
    if status >= 400:
        assert json.loads(body)["status"] == "FAILED"
        assert json.loads(body)["data"] is None
        assert headers["x-fluxmock-explain"]
    assert exchange(server, post("/flux/generate", GOOD))[0] == 200


def get(target: str, key: str, headers: str = "") -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: x\r\nTT-API-KEY: {key}\r\n{headers}Connection: close\r\n\r\n".encode()


def test_a_query_full_of_secret_words_is_journalled(serve: Serve) -> None:
    """To mask it takes steps in proportion to its length: with the third power this would not end."""
    server, words = serve(), "key" * 8000
    assert exchange(server, get(f"/flux/fetch?{words}", "k"))[0] == 400
    assert exchange(server, get(f"/flux/fetch?{words}=hidden-value&x=1&%6bey=other-value", "k"))[0] == 400
    bare, named = server.tenant("k").journal.requests
    assert bare.query == words
    assert named.query == f"{words}={mask('hidden-value')}&x=1&%6bey={mask('other-value')}"


SECRET = 'sk-9/4 "F+1e'
QUOTED = quote(SECRET, safe="")
ESCAPED = "".join(f"%{ord(letter):02x}" for letter in SECRET)
FORM = "multipart/form-data; boundary=b"
PART = f'--b\r\nContent-Disposition: form-data; name="{QUOTED}"; filename="{QUOTED}"\r\nContent-Type: {SECRET}\r\n\r\n'


def leaks(key: str) -> list[bytes]:
    """Requests that carry the key where it does not belong, beside where it does."""
    good = post("/flux/generate", GOOD).replace(b"KEY: k", f"KEY: {key}".encode())
    own = json.dumps({**PROMPT, SECRET: 1, "size": SECRET}).encode()
    remarked = json.dumps({**PROMPT, SECRET: 1}).encode()
    edits = PART.encode() + b"x\r\n" + multipart(picture()).replace(b"\r\nx\r\n", f"\r\n{SECRET}\r\n".encode())
    return [
        good.replace(b"Host: x", f"Host: x\r\nX-Own: {SECRET}\r\nReferer: http://x/?{QUOTED}".encode()),
        good.replace(b"Host: x", f"Host: x\r\nX-Own: Bearer {SECRET}".encode()),
        get(f"/flux/fetch?jobId={QUOTED}", key),
        get(f"/flux/fetch?jobId={ESCAPED}&%6bey={ESCAPED}", key),
        get(f"/flux/fetch?{QUOTED}=1&jobid={QUOTED.lower()}", key),
        get(f"/{QUOTED}", key),
        get(f"/flux/{ESCAPED}", key),
        post("/flux/generate", own).replace(b"KEY: k", f"KEY: {key}".encode()),
        post("/flux/generate", remarked).replace(b"KEY: k", f"KEY: {key}".encode()),
        post("/flux/fetch", json.dumps({"jobId": SECRET}).encode()).replace(b"KEY: k", f"KEY: {key}".encode()),
        post("/flux/generate", GOOD, f"text/{SECRET}").replace(b"KEY: k", f"KEY: {key}".encode()),
        post("/flux/edits", edits, FORM).replace(b"KEY: k", f"KEY: {key}".encode()),
        good.replace(b"Host: x", f"Host: x\r\nContent-Encoding: {SECRET}".encode()),
    ]


@pytest.mark.parametrize("allowed", [None, "only-this-key"], ids=["of a tenant", "that opens nothing"])
def test_a_key_is_nowhere_seen_whole(serve: Serve, allowed: str | None, caplog: pytest.LogCaptureFixture) -> None:
    server = serve() if allowed is None else serve(key=allowed)
    server_journal = server.world.tenant(SECRET).journal if allowed is None else server.strays
    with caplog.at_level("INFO"):
        seen = [exchange(server, request) for request in leaks(SECRET)]
        for entry in server_journal:
            log_explained(server_journal, entry)
    assert len(server_journal) == len(seen)
    explained = [headers.get("x-fluxmock-explain", "") for _, headers, _ in seen]
    shown = [as_json([dataclasses.asdict(entry) for entry in server_journal]).decode(), repr(list(server_journal))]
    outputs = [*explained, caplog.text, *shown]
    assert any(explained)
    forms = {
        SECRET,
        SECRET.lower(),
        QUOTED,
        QUOTED.lower(),
        ESCAPED,
        json.dumps(SECRET)[1:-1],
        json.dumps(json.dumps(SECRET))[2:-2],
    }
    assert [(form, output) for form in forms for output in outputs if form in output] == []
    assert all(mask(SECRET) in output for output in shown)


def test_what_has_nothing_of_the_key_is_journalled_as_it_came(serve: Serve) -> None:
    server = serve()
    for key in ("generate", "flux1-dev", "prompt"):
        exchange(server, post("/flux/generate?a=%41+b", GOOD).replace(b"KEY: k", f"KEY: {key}".encode()))
        (entry,) = server.tenant(key).journal.requests
        assert (entry.path, entry.query, entry.request_body) == ("/flux/generate", "a=%41+b", GOOD)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("1.1\r\nHost: x~y.evil.example:8787", 403), ("1.1\r\nHost: a!b.evil.com", 403), ("1.1\r\nHost:", 403),
        ("1.1\r\nHost: evil.com:99999", 403), ("1.0\r\nHost: x~y.evil.example", 403), ("1.0\r\nX: y", 200),
        ("1.1\r\nHost: LOCALHOST:8787", 200),
    ],
)  # fmt: skip
def test_control_looks_at_the_host_as_it_was_written(serve: Serve, head: str, status: int) -> None:
    request = f"GET /_mock/health HTTP/{head}\r\nConnection: close\r\n\r\n"
    assert exchange(serve(), request.encode())[0] == status


@pytest.fixture(scope="module")
def lasting_server() -> Server:
    import mock_server

    with mock_server.serve(port=0, queue=1_000_000, balance=10**9) as server:
        yield server


NAMES = st.sampled_from(["prompt", "mode", "jobId", "size", "hookUrl", "x"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=6,
)
KINDS = ["application/json", "multipart/form-data; boundary=b", "application/x-www-form-urlencoded", "", "x/y"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    path=st.sampled_from(["/flux/generate", "/flux/edits", "/flux/fetch"]),
    kind=st.sampled_from(KINDS),
    body=st.one_of(
        st.binary(max_size=300),
        VALUES.map(lambda value: json.dumps(value).encode()),
        st.binary(max_size=50).map(multipart),
    ),
)  # fmt: skip
def test_no_body_whatever_brings_a_500(lasting_server: Server, path: str, kind: str, body: bytes) -> None:
    status, headers, answer = exchange(lasting_server, post(path, body, kind))
    assert status in DOCUMENTED
    if status >= 400:
        assert json.loads(answer)["status"] == "FAILED"
        assert headers["x-fluxmock-explain"]
