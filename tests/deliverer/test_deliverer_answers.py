"""What one attempt to deliver a hook sends, and what it comes to, whatever the receiver answers."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from collections.abc import Callable

import pytest
from hook_receivers import BODY, PATIENCE, Behaviour, Receiver, answering, delivery, hanging, outcome, read_request

from mock_server.hooks.deliverer import HttpDeliverer, request_bytes
from mock_server.hooks.rules import parse_hook_url
from mock_server.model import Receipt


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
