"""Makes one attempt at a webhook delivery and says what came of it. Retries are the engine's business."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from typing import Protocol

import httptools

from mock_server.hooks.rules import HookRules, HookTarget, host_and_port, parse_hook_url
from mock_server.model import Delivery, Receipt

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Finds the addresses of a host name; the port is a hint. Fails with OSError."""

MAX_ANSWER_BYTES = 64 * 1024

_LINGER_SECONDS = 1.0
_CLOSED = "the server was shut down before the receiver answered"

_log = logging.getLogger(__name__)


class Deliverer(Protocol):
    """Takes deliveries from any thread and makes one attempt at each."""

    def deliver(self, delivery: Delivery) -> Future[Receipt]:
        """Start one attempt and return at once.

        The future cannot be cancelled and always ends with a Receipt, which tells of problems, never with an
        exception. Its callbacks may run on the thread that delivers, so they must not wait for a delivery.
        """

    def close(self) -> None:
        """End all attempts, those to come too, with a Receipt that says so. May be called again."""


class RecordingDeliverer:
    """Sends nothing: for tests, with a Future that is already done.

    Args:
        answer: the status of every receipt, or what makes the receipt of a delivery.

    Attributes:
        sent: the deliveries given so far, in order, with the attempts that each had behind it.
    """

    def __init__(self, answer: int | Callable[[Delivery], Receipt] = 200) -> None:
        self.sent: list[Delivery] = []
        self._answer = answer
        self._closed = False

    def deliver(self, delivery: Delivery) -> Future[Receipt]:
        """Record the delivery and answer it."""
        if self._closed:
            return _done(Receipt(None, _CLOSED))
        self.sent.append(delivery)
        return _done(self._answer(delivery) if callable(self._answer) else Receipt(self._answer))

    def close(self) -> None:
        """Record no more."""
        self._closed = True


class HttpDeliverer:
    """POSTs deliveries from one event-loop thread, which starts with the first, so after a server has forked.

    A name is resolved once per attempt, and the addresses connected to are the very ones that `rules` passed:
    a name that changes its address in between gains nothing. Certificates are checked against the system's
    authorities, or those in the file that the environment variable SSL_CERT_FILE names.

    Args:
        rules: where hooks may go.
        timeout: real seconds for a whole attempt, from resolving the name to the head of the answer.
        max_concurrent: attempts under way at once; more wait, and their time starts when their turn comes.
        resolve: how names are resolved; the system's way unless told.
    """

    def __init__(
        self,
        rules: HookRules,
        timeout: float = 10.0,
        *,
        max_concurrent: int = 1000,
        resolve: Resolve | None = None,
    ) -> None:
        if timeout <= 0 or max_concurrent < 1:
            raise ValueError(
                f"timeout must be over 0 and max_concurrent at least 1, not {timeout} and {max_concurrent}: "
                "correct them."
            )
        self._rules = rules
        self._timeout = timeout
        self._resolve = resolve or _system_resolve
        self._turns = asyncio.Semaphore(max_concurrent)
        self._tasks: set[asyncio.Task[Receipt]] = set()
        self._tls: ssl.SSLContext | None = None
        self._lock = threading.Lock()  # guards the three below
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def deliver(self, delivery: Delivery) -> Future[Receipt]:
        """Start one attempt, or queue it when `max_concurrent` are under way."""
        future: Future[Receipt] = Future()
        future.set_running_or_notify_cancel()  # from here on nobody can cancel it
        with self._lock:
            if self._closed:
                return _done(Receipt(None, _CLOSED))
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._run, args=(self._loop,), name="fluxmock-hooks", daemon=True
                )
                self._thread.start()
            self._loop.call_soon_threadsafe(self._start, self._loop, delivery, future)
        return future

    def close(self) -> None:
        """End everything at once and wait for the thread; a name still being resolved is left behind."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop, self._thread, self._closed = None, None, True
        if loop and thread:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        # Not asyncio.run(), which would wait for lookups that cannot be interrupted.
        loop.run_forever()
        loop.run_until_complete(self._end_all())
        loop.close()

    async def _end_all(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, loop: asyncio.AbstractEventLoop, delivery: Delivery, future: Future[Receipt]) -> None:
        task = loop.create_task(self._take_turn(delivery))
        self._tasks.add(task)  # the loop itself keeps only a weak reference
        task.add_done_callback(lambda task: self._settle(task, future))

    def _settle(self, task: asyncio.Task[Receipt], future: Future[Receipt]) -> None:
        self._tasks.discard(task)
        if task.cancelled():  # while it waited for its turn
            future.set_result(Receipt(None, _CLOSED))
        elif bug := task.exception():
            _log.error("a hook delivery failed in an unforeseen way", exc_info=bug)
            future.set_result(Receipt(None, f"the delivery failed in an unforeseen way: {bug!r}"))
        else:
            future.set_result(task.result())

    async def _take_turn(self, delivery: Delivery) -> Receipt:
        async with self._turns:
            started = time.perf_counter()
            answer = _Answer()
            error, blocked = None, False
            try:
                async with asyncio.timeout(self._timeout) as limit:
                    await self._attempt(delivery, answer, limit)
            except TimeoutError:
                error = f"no answer within {self._timeout:g} s"
            except asyncio.CancelledError:  # only close() cancels
                error = _CLOSED
            except _NoAnswerError as problem:
                error, blocked = str(problem), problem.blocked
            if answer.status is not None:  # what came after the head does not matter
                error = None
            return Receipt(answer.status, error, blocked, time.perf_counter() - started)

    async def _attempt(self, delivery: Delivery, answer: _Answer, limit: asyncio.Timeout) -> None:
        if problem := self._rules.problem_with_url(delivery.url):
            raise _NoAnswerError(problem, blocked=True)
        target = parse_hook_url(delivery.url)
        reader, writer = await self._connect(target, await self._permitted_addresses(target))
        try:
            # No drain(): a receiver may answer, and close, before it has read everything.
            writer.write(request_bytes(delivery, target))
            await _read(reader, answer, limit)
        finally:
            writer.transport.abort()

    async def _permitted_addresses(self, target: HookTarget) -> Sequence[str]:
        try:
            addresses = [target.host] if target.is_address else await self._resolve(target.host, target.port)
        except OSError as error:
            raise _NoAnswerError(f"cannot resolve {target.host}: {_reason(error)}") from None
        problems = {address: self._rules.problem_with_address(target.host, address) for address in addresses}
        permitted = [address for address, problem in problems.items() if problem is None]
        if not permitted:
            problem = next(iter(problems.values()), None)
            raise _NoAnswerError(problem or f"cannot resolve {target.host}: no address", blocked=problem is not None)
        return permitted

    async def _connect(
        self, target: HookTarget, addresses: Sequence[str]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        tls = self._tls_context() if target.scheme == "https" else None
        problems = []
        for address in addresses:
            try:
                # asyncio does not resolve a literal address again. The certificate is checked by name.
                return await asyncio.open_connection(
                    address, target.port, ssl=tls, server_hostname=target.host if tls else None
                )
            except ssl.SSLError as error:
                raise _NoAnswerError(f"TLS with {target.authority} failed: {_reason(error)}") from None
            except ConnectionRefusedError:
                problems.append(f"connection refused by {host_and_port(address, target.port)}")
            except OSError as error:
                problems.append(f"cannot connect to {host_and_port(address, target.port)}: {_reason(error)}")
        raise _NoAnswerError("; ".join(problems))

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:  # not before it is needed: loading the certificates takes tens of milliseconds
            self._tls = ssl.create_default_context()
        return self._tls


class _NoAnswerError(Exception):
    """Why an attempt came to nothing, in words for the receipt."""

    def __init__(self, message: str, *, blocked: bool = False) -> None:
        super().__init__(message)
        self.blocked = blocked


class _Answer:
    """What is known of the receiver's answer so far, filled by the parser's calls.

    Attributes:
        status: that of the final answer, as soon as its head is complete; informational ones are skipped.
        complete: whether the body, too, is complete.
    """

    def __init__(self) -> None:
        self.status: int | None = None
        self.complete = False
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Go on parsing.

        Raises:
            httptools.HttpParserError, httptools.HttpParserUpgrade: this is not an answer to our request.
        """
        self._parser.feed_data(data)

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status // 100 != 1 and self.status is None:
            self.status = status

    def on_message_complete(self) -> None:
        self.complete = self.status is not None


def request_bytes(delivery: Delivery, target: HookTarget) -> bytes:
    """Write the request of the next attempt at `delivery`, as it goes onto the wire."""
    headers = [("Host", target.authority), *delivery_headers(delivery), ("Connection", "close")]
    head = [f"POST {target.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), ""]
    return "".join(f"{line}\r\n" for line in head).encode("ascii") + delivery.body


def delivery_headers(delivery: Delivery) -> list[tuple[str, str]]:
    """Return the headers of the next attempt at `delivery`, but for those about the connection."""
    headers = [
        ("User-Agent", "fluxmock"),
        ("Content-Type", delivery.content_type),
        ("Content-Length", str(len(delivery.body))),
        ("X-Fluxmock-Delivery", delivery.id),
        ("X-Fluxmock-Attempt", str(len(delivery.attempts) + 1)),
    ]
    return [(name, value) for name, value in headers if value]


async def _read(reader: asyncio.StreamReader, answer: _Answer, limit: asyncio.Timeout) -> None:
    """Read the answer, at most MAX_ANSWER_BYTES of it.

    The head decides. The body is waited for only briefly, and only because hanging up on it would show as an
    error in the receiver's log.
    """
    size = 0
    while not answer.complete and size < MAX_ANSWER_BYTES:
        try:
            data = await reader.read(MAX_ANSWER_BYTES - size)
            if not data:
                break
            answer.feed(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            raise _NoAnswerError("the receiver's answer is not HTTP") from None
        except ConnectionError:
            raise _NoAnswerError("the receiver reset the connection before answering") from None
        except OSError as error:
            raise _NoAnswerError(f"the connection broke before an answer: {_reason(error)}") from None
        size += len(data)
        if answer.status is not None:
            now = asyncio.get_running_loop().time()
            limit.reschedule(min(limit.when() or now, now + _LINGER_SECONDS))
    if answer.status is None:
        if not size:
            raise _NoAnswerError("the receiver closed the connection without an answer")
        if size < MAX_ANSWER_BYTES:
            raise _NoAnswerError("the receiver closed the connection in the middle of its answer")
        raise _NoAnswerError(f"the head of the receiver's answer is over {MAX_ANSWER_BYTES // 1024} KiB")


async def _system_resolve(host: str, port: int) -> Sequence[str]:
    if host == "localhost" or host.endswith(".localhost"):
        return ("127.0.0.1", "::1")  # RFC 6761; and it need not wait for other lookups
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


def _reason(error: OSError) -> str:
    """Say what went wrong in the system's words, without the numbers and tuples of `str(error)`."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    if isinstance(error, socket.gaierror):
        return str(error.strerror).lower()
    return os.strerror(error.errno).lower() if error.errno else str(error)


def _done(receipt: Receipt) -> Future[Receipt]:
    future: Future[Receipt] = Future()
    future.set_result(receipt)
    return future
