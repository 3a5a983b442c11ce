"""What one attempt to deliver a hook comes to, against real receivers on loopback sockets."""

from __future__ import annotations

import asyncio
import contextlib
import select
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mock_server.hooks.deliverer import Deliverer, HttpDeliverer, RecordingDeliverer, Resolve, request_bytes
from mock_server.hooks.rules import HookRules, parse_hook_url
from mock_server.model import Attempt, Delivery, Receipt

if TYPE_CHECKING:
    from pathlib import Path

RULES = HookRules()
PATIENCE = 20.0  # seconds until a test gives up on something that takes milliseconds
BODY = b'{"status":"SUCCESS"}'

Behaviour = Callable[[socket.socket], None]


class Receiver:
    """A listener on a free loopback port that behaves as told on every connection, each in a thread."""

    def __init__(self, behaviour: Behaviour, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family, backlog=256)
        self._behaviour = behaviour
        self.port: int = self._listener.getsockname()[1]
        self.connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # close() ends it
            while True:
                connection, _ = self._listener.accept()
                connection.settimeout(PATIENCE)
                self.connections.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            self._behaviour(connection)

    def close(self) -> None:
        """Stop listening and wait for the threads; the clients must have gone."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(PATIENCE)


@pytest.fixture
def receive() -> Iterator[Callable[..., Receiver]]:
    receivers: list[Receiver] = []

    def start(behaviour: Behaviour, host: str = "127.0.0.1") -> Receiver:
        receivers.append(Receiver(behaviour, host))
        return receivers[-1]

    yield start
    for receiver in receivers:
        receiver.close()


@pytest.fixture
def make() -> Iterator[Callable[..., HttpDeliverer]]:
    """Make deliverers that are closed before the receivers are, so that none of these waits for a client."""
    deliverers: list[HttpDeliverer] = []

    def start(
        rules: HookRules = RULES,
        timeout: float = PATIENCE,
        *,
        max_concurrent: int = 100,
        resolve: Resolve | None = None,
    ) -> HttpDeliverer:
        deliverers.append(HttpDeliverer(rules, timeout, max_concurrent=max_concurrent, resolve=resolve))
        return deliverers[-1]

    yield start
    for deliverer in deliverers:
        deliverer.close()


class Names:
    """A resolver of our own that remembers what it was asked."""

    def __init__(self, *answers: Sequence[str] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, _port: int) -> Sequence[str]:
        """Give the next answer."""
        self.asked.append(host)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def delivery(url: str, *, body: bytes = BODY, attempts: int = 0) -> Delivery:
    past = tuple(Attempt(number + 1, 0.0, Receipt(500)) for number in range(attempts))
    return Delivery("delivery-1", "job-1", url, body, attempts=past)


def outcome(deliverer: Deliverer, url: str) -> Receipt:
    return deliverer.deliver(delivery(url)).result(PATIENCE)


def read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536) or b"\r\n\r\n"
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def answering(*parts: bytes) -> Behaviour:
    """Read the request and send the parts, one packet each, then close."""

    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            connection.sendall(part)

    return behave


def hanging(connection: socket.socket) -> None:
    """Read until the client has gone."""
    while connection.recv(65536):
        pass


def test_the_request_on_the_wire_is_a_json_post_that_names_its_delivery_and_attempt(
    receive: Callable[..., Receiver], make: Callable[..., HttpDeliverer]
) -> None:
    requests: list[bytes] = []

    def behave(connection: socket.socket) -> None:
        requests.append(read_request(connection))
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    receiver = receive(behave)
    sent = delivery(f"http://127.0.0.1:{receiver.port}/hook?a=1#part", attempts=2)
    receipt = make().deliver(sent).result(PATIENCE)

    assert receipt == Receipt(204, elapsed=receipt.elapsed)
    assert 0 < receipt.elapsed < PATIENCE
    head, body = requests[0].split(b"\r\n\r\n", 1)
    request_line, *headers = head.decode().split("\r\n")
    assert request_line == "POST /hook?a=1 HTTP/1.1"
    assert dict(line.split(": ") for line in headers) == {
        "Host": f"127.0.0.1:{receiver.port}",
        "User-Agent": "fluxmock",
        "Content-Type": "application/json",
        "Content-Length": str(len(BODY)),
        "X-Fluxmock-Delivery": "delivery-1",
        "X-Fluxmock-Attempt": "3",
        "Connection": "close",
    }
    assert body == BODY


def test_the_bytes_to_send_hold_the_body_unchanged_and_only_ascii_before_it() -> None:
    body = '{"prompt":"пример"}'.encode()
    url = "http://[::1]/é"
    sent = request_bytes(delivery(url, body=body), parse_hook_url(url))
    head, rest = sent.split(b"\r\n\r\n", 1)
    assert rest == body
    assert head.isascii()
    assert head.startswith(b"POST /%C3%A9 HTTP/1.1\r\nHost: [::1]\r\n")
    assert f"Content-Length: {len(body)}".encode() in head


@pytest.mark.parametrize(
    ("answer", "status", "ok"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, True),
        (b"HTTP/1.0 202\r\n\r\nuntil the end", 202, True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, False),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 404, False),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 100\r\n\r\ncut short", 500, False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno chunk", 200, True),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 201 Created\r\n\r\n", 201, True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 503 No\r\n\r\n", 503, False),
    ],
)
def test_the_status_of_the_final_answer_counts_whatever_becomes_of_its_body(
    receive: Callable[..., Receiver],
    make: Callable[..., HttpDeliverer],
    answer: bytes,
    status: int,
    ok: bool,
) -> None:
    receipt = outcome(make(), f"http://127.0.0.1:{receive(answering(answer)).port}/")
    assert (receipt.status, receipt.error, receipt.blocked, receipt.ok) == (status, None, False, ok)


def test_an_answer_in_packets_of_one_byte_is_understood(
    receive: Callable[..., Receiver], make: Callable[..., HttpDeliverer]
) -> None:
    answer = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    receiver = receive(answering(*(bytes([byte]) for byte in answer)))
    assert outcome(make(), f"http://127.0.0.1:{receiver.port}/").status == 200


def test_a_redirect_is_not_followed(receive: Callable[..., Receiver], make: Callable[..., HttpDeliverer]) -> None:
    elsewhere = receive(answering(b"HTTP/1.1 200 OK\r\n\r\n"))
    location = f"http://127.0.0.1:{elsewhere.port}/"
    receiver = receive(answering(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n".encode()))
    deliverer = make()
    assert outcome(deliverer, f"http://127.0.0.1:{receiver.port}/").status == 302
    assert elsewhere.connections == []
    assert outcome(deliverer, location).status == 200  # it could have been reached


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (answering(), "the receiver closed the connection without an answer"),
        (
            answering(b"HTTP/1.1 200 OK\r\nContent-"),
            "the receiver closed the connection in the middle of its answer",
        ),
        (
            answering(b"HTTP/1.1 100 Continue\r\n\r\n"),
            "the receiver closed the connection in the middle of its answer",
        ),
        (answering(b"SSH-2.0-OpenSSH_9.6\r\n"), "the receiver's answer is not HTTP"),
        (answering(b"\x15\x03\x01\x00\x02\x02\x50"), "the receiver's answer is not HTTP"),
        (
            answering(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n\x00\x01"),
            "the receiver's answer is not HTTP",
        ),
        (
            answering(b"HTTP/1.1 200 OK\r\n" + b"X-Padding: 0123456789\r\n" * 3000),
            "the head of the receiver's answer is over 64 KiB",
        ),
    ],
    ids=["nothing", "half a head", "only 100", "SSH", "TLS alert", "upgrade", "huge head"],
)
def test_what_is_no_answer_is_an_error_in_words(
    receive: Callable[..., Receiver], make: Callable[..., HttpDeliverer], behaviour: Behaviour, error: str
) -> None:
    receipt = outcome(make(), f"http://127.0.0.1:{receive(behaviour).port}/")
    assert receipt == Receipt(None, error, elapsed=receipt.elapsed)


def test_a_reset_connection_is_an_error_in_words(
    receive: Callable[..., Receiver], make: Callable[..., HttpDeliverer]
) -> None:
    def reset(connection: socket.socket) -> None:
        read_request(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    receipt = outcome(make(), f"http://127.0.0.1:{receive(reset).port}/")
    assert receipt.error == "the receiver reset the connection before answering"


def test_a_refused_connection_names_the_address(make: Callable[..., HttpDeliverer]) -> None:
    with socket.socket() as taken:  # bound but not listening: nobody else gets the port
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        receipt = outcome(make(), f"http://127.0.0.1:{port}/")
    assert (receipt.status, receipt.error) == (None, f"connection refused by 127.0.0.1:{port}")


def test_a_receiver_that_never_answers_ends_at_the_time_limit(
    receive: Callable[..., Receiver], make: Callable[..., HttpDeliverer]
) -> None:
    receipt = outcome(make(timeout=0.05), f"http://127.0.0.1:{receive(hanging).port}/")
    assert (receipt.status, receipt.error) == (None, "no answer within 0.05 s")
    assert 0.05 <= receipt.elapsed < PATIENCE / 2


def test_a_receiver_that_drips_a_head_forever_ends_at_the_time_limit(
    receive: Callable[..., Receiver], make: Callable[..., HttpDeliverer]
) -> None:
    dripped = threading.Event()

    def drip(connection: socket.socket) -> None:
        read_request(connection)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Endless: ")
        gone = False
        while not gone:
            connection.send(b"x")
            dripped.set()
            gone = bool(select.select([connection], [], [], 0.01)[0])

    receipt = outcome(make(timeout=0.3), f"http://127.0.0.1:{receive(drip).port}/")
    assert dripped.is_set()
    assert receipt.error == "no answer within 0.3 s"
    assert 0.3 <= receipt.elapsed < PATIENCE / 2


@pytest.mark.parametrize("timeout", [0.5, 2 * PATIENCE], ids=["short limit", "long limit"])
def test_a_body_that_never_ends_neither_spoils_nor_holds_up_the_status(
    receive: Callable[..., Receiver], make: Callable[..., HttpDeliverer], timeout: float
) -> None:
    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        hanging(connection)

    receipt = outcome(make(timeout=timeout), f"http://127.0.0.1:{receive(behave).port}/")
    assert (receipt.status, receipt.error) == (200, None)


def test_an_answer_without_end_is_read_no_further_than_the_limit(
    receive: Callable[..., Receiver], make: Callable[..., HttpDeliverer]
) -> None:
    sent: list[int] = []
    hung_up = threading.Event()

    def flood(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                sent.append(connection.send(b"x" * 65536))
        hung_up.set()

    receipt = outcome(make(), f"http://127.0.0.1:{receive(flood).port}/")
    assert (receipt.status, receipt.error) == (200, None)
    assert hung_up.wait(PATIENCE)
    assert sum(sent) < 50_000_000  # what the system's own buffers take; a second of reading would be far more


def test_a_receiver_may_send_head_and_body_apart_without_being_hung_up_on(
    receive: Callable[..., Receiver], make: Callable[..., HttpDeliverer]
) -> None:
    ends: list[bytes | Exception] = []
    hung_up: list[socket.socket] = []
    ended = threading.Event()

    def behave(connection: socket.socket) -> None:
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n")(connection)
        hung_up.extend(select.select([connection], [], [], 0.1)[0])  # time enough for a client to do so
        try:
            connection.sendall(b"x" * 20000)
            ends.append(connection.recv(1))
        except OSError as error:
            ends.append(error)
        ended.set()

    assert outcome(make(), f"http://127.0.0.1:{receive(behave).port}/").ok
    assert ended.wait(PATIENCE)
    assert hung_up == []
    assert ends == [b""]  # closed in order, no reset


def test_localhost_is_resolved_by_the_system(
    receive: Callable[..., Receiver], make: Callable[..., HttpDeliverer]
) -> None:
    receiver = receive(answering(b"HTTP/1.1 200 OK\r\n\r\n"))
    assert outcome(make(), f"http://localhost:{receiver.port}/").status == 200


def test_ipv6_loopback_is_reached(receive: Callable[..., Receiver], make: Callable[..., HttpDeliverer]) -> None:
    try:
        receiver = receive(answering(b"HTTP/1.1 200 OK\r\n\r\n"), "::1")
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    assert outcome(make(), f"http://[::1]:{receiver.port}/").status == 200


def test_a_name_is_resolved_once_and_the_judged_address_is_the_one_connected_to(
    receive: Callable[..., Receiver], make: Callable[..., HttpDeliverer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_second_lookup(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_FAIL, f"looked up again: {args}")

    monkeypatch.setattr(socket, "getaddrinfo", no_second_lookup)
    hosts: list[bytes] = []

    def behave(connection: socket.socket) -> None:
        hosts.append(read_request(connection).split(b"\r\n")[1])
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

    port = receive(behave).port
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    deliverer = make(resolve=names)
    assert outcome(deliverer, f"http://rebinding.test:{port}/").status == 200
    assert names.asked == ["rebinding.test"]
    assert hosts == [f"Host: rebinding.test:{port}".encode()]

    receipt = outcome(deliverer, f"http://rebinding.test:{port}/")
    assert receipt.blocked
    assert "rebinding.test at 169.254.169.254 is a cloud metadata address" in (receipt.error or "")
    assert len(hosts) == 1


def test_the_next_address_is_tried_when_one_refuses(
    receive: Callable[..., Receiver], make: Callable[..., HttpDeliverer]
) -> None:
    receiver = receive(answering(b"HTTP/1.1 200 OK\r\n\r\n"))
    names = Names(["127.0.0.2", "127.0.0.1"])
    assert outcome(make(resolve=names), f"http://two.test:{receiver.port}/").status == 200


def test_forbidden_addresses_of_a_name_are_passed_over(
    receive: Callable[..., Receiver], make: Callable[..., HttpDeliverer]
) -> None:
    receiver = receive(answering(b"HTTP/1.1 200 OK\r\n\r\n"))
    names = Names(["0.0.0.0", "169.254.169.254", "127.0.0.1"])
    assert outcome(make(resolve=names), f"http://mixed.test:{receiver.port}/").status == 200


def test_every_address_that_refused_is_named(make: Callable[..., HttpDeliverer]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        names = Names(["::ffff:127.0.0.1", "127.0.0.1"])
        receipt = outcome(make(resolve=names), f"http://two.test:{port}/")
    first, second = (receipt.error or "").split("; ")
    assert f"[::ffff:127.0.0.1]:{port}" in first
    assert second == f"connection refused by 127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://hooks.example.com/", "hooks.example.com is public"),
        ("http://169.254.169.254/latest", "is a cloud metadata address"),
        ("ftp://localhost/", "must be absolute, with the scheme http or https"),
    ],
)
def test_a_forbidden_url_is_blocked_without_being_resolved(
    make: Callable[..., HttpDeliverer], url: str, sentence: str
) -> None:
    names = Names()
    receipt = outcome(make(resolve=names), url)
    assert (receipt.status, receipt.blocked, receipt.error) == (None, True, RULES.problem_with_url(url))
    assert sentence in (receipt.error or "")
    assert names.asked == []


def test_a_private_name_with_a_public_address_is_blocked(make: Callable[..., HttpDeliverer]) -> None:
    receipt = outcome(make(resolve=Names(["8.8.8.8"])), "http://worker:8000/")
    assert receipt.blocked
    assert receipt.error == RULES.problem_with_address("worker", "8.8.8.8")


def test_an_allowed_public_name_may_lead_to_loopback(
    receive: Callable[..., Receiver], make: Callable[..., HttpDeliverer]
) -> None:
    receiver = receive(answering(b"HTTP/1.1 200 OK\r\n\r\n"))
    deliverer = make(HookRules(allow=("*.example.com",)), resolve=Names(["127.0.0.1"]))
    assert outcome(deliverer, f"http://hooks.example.com:{receiver.port}/").status == 200


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            "cannot resolve nowhere.test: name or service not known",
        ),
        ([], "cannot resolve nowhere.test: no address"),
    ],
)
def test_a_name_without_address_is_an_error_in_words(
    make: Callable[..., HttpDeliverer], answer: Sequence[str] | Exception, error: str
) -> None:
    receipt = outcome(make(resolve=Names(answer)), "http://nowhere.test/")
    assert receipt == Receipt(None, error, elapsed=receipt.elapsed)


def test_the_time_limit_covers_the_lookup(make: Callable[..., HttpDeliverer]) -> None:
    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    assert outcome(make(timeout=0.05, resolve=never), "http://slow.test/").error == "no answer within 0.05 s"


def test_a_bug_ends_in_the_receipt_and_the_log(
    make: Callable[..., HttpDeliverer], caplog: pytest.LogCaptureFixture
) -> None:
    receipt = outcome(make(resolve=Names(RuntimeError("a bug"))), "http://worker/")
    assert receipt.error == "the delivery failed in an unforeseen way: RuntimeError('a bug')"
    assert "a hook delivery failed in an unforeseen way" in caplog.text


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Make a self-signed certificate for receiver.test, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    folder = tmp_path_factory.mktemp("tls")
    files = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "1", "-subj", "/CN=receiver.test"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", "subjectAltName=DNS:receiver.test"),
            *("-addext", "keyUsage=critical,digitalSignature,keyCertSign"),
            *("-out", str(files[0]), "-keyout", str(files[1])),
        ],
        check=True,
        capture_output=True,
    )
    return files


def over_tls(certificate: tuple[Path, Path], behaviour: Behaviour, names: list[str | None]) -> Behaviour:
    """Behave so inside TLS, noting the names that clients ask for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.sni_callback = lambda _socket, name, _context: names.append(name)

    def behave(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            behaviour(secure)

    return behave


def test_a_self_signed_certificate_is_refused_in_words(
    receive: Callable[..., Receiver], make: Callable[..., HttpDeliverer], certificate: tuple[Path, Path]
) -> None:
    receiver = receive(over_tls(certificate, answering(b"HTTP/1.1 200 OK\r\n\r\n"), []))
    receipt = outcome(make(resolve=Names(["127.0.0.1"])), f"https://receiver.test:{receiver.port}/")
    assert receipt.status is None
    assert not receipt.blocked
    # OpenSSL wrote "self signed" before version 3.
    assert (receipt.error or "").replace("self signed", "self-signed") == (
        f"TLS with receiver.test:{receiver.port} failed: self-signed certificate"
    )


def test_https_checks_the_certificate_against_the_name_and_not_the_address(
    receive: Callable[..., Receiver],
    make: Callable[..., HttpDeliverer],
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    asked: list[str | None] = []
    receiver = receive(over_tls(certificate, answering(b"HTTP/1.1 200 OK\r\n\r\n"), asked))
    deliverer = make(resolve=Names(["127.0.0.1"], ["127.0.0.1"]))
    assert outcome(deliverer, f"https://receiver.test:{receiver.port}/").status == 200
    wrong = outcome(deliverer, f"https://other.test:{receiver.port}/")
    assert "certificate is not valid for 'other.test'" in (wrong.error or "")
    assert asked == ["receiver.test", "other.test"]


def test_https_to_a_receiver_without_tls_is_an_error_in_words(
    receive: Callable[..., Receiver], make: Callable[..., HttpDeliverer]
) -> None:
    def behave(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    receiver = receive(behave)
    receipt = outcome(make(), f"https://127.0.0.1:{receiver.port}/")
    assert (receipt.error or "").startswith(f"TLS with 127.0.0.1:{receiver.port} failed: ")


def test_two_hundred_hanging_receivers_share_one_thread_and_close_ends_them(
    make: Callable[..., HttpDeliverer],
) -> None:
    deliverer = make(timeout=2 * PATIENCE, max_concurrent=200)
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener, contextlib.ExitStack() as open_:
        listener.settimeout(PATIENCE)
        before = set(threading.enumerate())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        futures = [deliverer.deliver(delivery(url)) for _ in range(200)]
        for _ in range(200):
            open_.enter_context(listener.accept()[0])
        assert len(set(threading.enumerate()) - before) == 1
        assert not any(future.done() for future in futures)

        deliverer.close()
        assert set(threading.enumerate()) <= before
        receipts = [future.result(0) for future in futures]
    assert {receipt.error for receipt in receipts} == {"the server was shut down before the receiver answered"}
    assert all(receipt.elapsed > 0 for receipt in receipts)


def test_no_more_attempts_are_under_way_than_allowed(make: Callable[..., HttpDeliverer]) -> None:
    deliverer = make(max_concurrent=2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        futures = [deliverer.deliver(delivery(url)) for _ in range(5)]
        served = 0
        for turn in (2, 2, 1):
            connections = [listener.accept()[0] for _ in range(turn)]
            assert select.select([listener], [], [], 0.05)[0] == []  # nobody else knocks
            for connection in connections:
                with connection:
                    answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(connection)
                served += 1
    assert served == 5
    assert [future.result(PATIENCE).status for future in futures] == [200] * 5


def test_close_also_ends_what_waits_for_its_turn(make: Callable[..., HttpDeliverer]) -> None:
    deliverer = make(max_concurrent=1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        futures = [deliverer.deliver(delivery(url)) for _ in range(3)]
        with listener.accept()[0]:
            deliverer.close()
    errors = [future.result(0).error for future in futures]
    assert errors == ["the server was shut down before the receiver answered"] * 3


def test_close_does_not_wait_for_a_lookup(make: Callable[..., HttpDeliverer]) -> None:
    asked = threading.Event()

    async def never(host: str, port: int) -> Sequence[str]:
        asked.set()
        await asyncio.Event().wait()
        return []

    deliverer = make(resolve=never)
    future = deliverer.deliver(delivery("http://slow.test/"))
    assert asked.wait(PATIENCE)
    deliverer.close()
    assert future.result(0).error == "the server was shut down before the receiver answered"


@pytest.mark.parametrize("make_one", [lambda: HttpDeliverer(RULES), RecordingDeliverer], ids=["http", "recording"])
def test_a_closed_deliverer_still_answers_every_delivery(make_one: Callable[[], Deliverer]) -> None:
    deliverer = make_one()
    deliverer.close()
    deliverer.close()
    receipt = deliverer.deliver(delivery("http://127.0.0.1:9/")).result(0)
    assert receipt == Receipt(None, "the server was shut down before the receiver answered")


def test_a_delivery_under_way_cannot_be_cancelled(
    receive: Callable[..., Receiver], make: Callable[..., HttpDeliverer]
) -> None:
    future = make(timeout=0.1).deliver(delivery(f"http://127.0.0.1:{receive(hanging).port}/"))
    assert not future.cancel()
    assert future.result(PATIENCE).error == "no answer within 0.1 s"


def test_many_threads_may_deliver_at_once_and_share_one_delivering_thread(
    receive: Callable[..., Receiver], make: Callable[..., HttpDeliverer]
) -> None:
    receiver = receive(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    deliverer = make()
    statuses: list[int | None] = []

    def deliver() -> None:
        statuses.append(outcome(deliverer, f"http://127.0.0.1:{receiver.port}/").status)

    threads = [threading.Thread(target=deliver) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert statuses == [200] * 8
    assert [thread.name for thread in threading.enumerate()].count("fluxmock-hooks") == 1


@pytest.mark.parametrize(("timeout", "max_concurrent"), [(0, 1), (-1, 1), (1, 0)])
def test_senseless_limits_are_refused(timeout: float, max_concurrent: int) -> None:
    with pytest.raises(ValueError, match=r"^timeout must be over 0 and max_concurrent at least 1, not "):
        HttpDeliverer(RULES, timeout, max_concurrent=max_concurrent)


def test_the_recording_deliverer_keeps_what_it_was_given_and_answers_with_a_status() -> None:
    deliverer = RecordingDeliverer(503)
    first = delivery("http://127.0.0.1:9/")
    second = replace(first, id="delivery-2")
    futures = [deliverer.deliver(first), deliverer.deliver(second)]
    assert deliverer.sent == [first, second]
    assert [future.result(0) for future in futures] == [Receipt(503), Receipt(503)]
    assert RecordingDeliverer().deliver(first).result(0).ok


def test_the_recording_deliverer_may_be_told_each_receipt() -> None:
    deliverer = RecordingDeliverer(lambda sent: Receipt(200 if sent.attempts else None, None))
    assert deliverer.deliver(delivery("http://x/")).result(0).status is None
    assert deliverer.deliver(delivery("http://x/", attempts=1)).result(0).status == 200


def test_time_is_measured_for_each_attempt_alone(make: Callable[..., HttpDeliverer]) -> None:
    """Waiting for a turn counts neither as elapsed nor against the limit."""
    deliverer = make(timeout=0.2, max_concurrent=1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        started = time.perf_counter()
        receipts = [f.result(PATIENCE) for f in [deliverer.deliver(delivery(url)) for _ in range(3)]]
        total = time.perf_counter() - started
    assert [receipt.error for receipt in receipts] == ["no answer within 0.2 s"] * 3
    assert sum(receipt.elapsed for receipt in receipts) <= total
