"""To which address a hook is delivered, or not at all, and over TLS to whom."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hook_receivers import RULES, Behaviour, Names, Receiver, answering, outcome, read_request

from mock_server.hooks.deliverer import HttpDeliverer
from mock_server.hooks.rules import HookRules
from mock_server.model import Receipt


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
