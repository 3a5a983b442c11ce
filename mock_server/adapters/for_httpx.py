"""For code that uses httpx: transports to give to a client, and `intercept()` for clients that get none.

Only the network is ours; httpcore, which speaks HTTP for httpx, is the client's own.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any, Generic, TypeVar
from unittest.mock import patch
from weakref import WeakKeyDictionary

from mock_server.adapters.inprocess import InProcess, Line

try:
    import anyio
    import httpcore
    import httpx
except ImportError as _error:
    raise ImportError(f"expected the package httpx, found no {_error.name}: pip install httpx") from _error

_EMPTY = httpx.ByteStream(b"")

_K = TypeVar("_K")
_V = TypeVar("_V")


class FluxTransport(httpx.BaseTransport):
    """
    Takes every request to the emulator, whatever its host: `httpx.Client(transport=FluxTransport(inprocess))`.

    Args:
        inprocess: the emulator, and the tenant in it.
    """

    def __init__(self, inprocess: InProcess) -> None:
        self._pool = httpcore.ConnectionPool(_no_tls(), max_connections=None, network_backend=_Backend(inprocess))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        with _errors_of_httpx():
            answer = self._pool.handle_request(_core(request))
        return _httpx(answer, _Body(answer.stream))

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()


class AsyncFluxTransport(httpx.AsyncBaseTransport):
    """
    The same for `httpx.AsyncClient(transport=AsyncFluxTransport(inprocess))`; images are drawn in a thread meanwhile.

    Args:
        inprocess: the emulator, and the tenant in it.
    """

    def __init__(self, inprocess: InProcess) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            _no_tls(), max_connections=None, network_backend=_AsyncBackend(inprocess)
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        with _errors_of_httpx():
            answer = await self._pool.handle_async_request(_core(request))
        return _httpx(answer, _AsyncBody(answer.stream))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pool.aclose()


@contextmanager
def intercept(inprocess: InProcess) -> Iterator[None]:
    """
    Let every client of httpx in this process that has no transport of its own reach `inprocess`.

    It answers for the hosts of the real API, on any port; requests to others go where they would.
    """
    send, send_async = httpx.HTTPTransport.handle_request, httpx.AsyncHTTPTransport.handle_async_request
    # To each transport its own: one that is async belongs to an event loop.
    ours = _Counterparts[httpx.HTTPTransport, FluxTransport](lambda: FluxTransport(inprocess))
    ours_async = _Counterparts[httpx.AsyncHTTPTransport, AsyncFluxTransport](lambda: AsyncFluxTransport(inprocess))

    def handle_request(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        if inprocess.serves(request.url.host):
            return ours.of(transport).handle_request(request)
        return send(transport, request)

    async def handle_async_request(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        if inprocess.serves(request.url.host):
            return await ours_async.of(transport).handle_async_request(request)
        return await send_async(transport, request)

    with (
        patch.object(httpx.HTTPTransport, "handle_request", handle_request),
        patch.object(httpx.AsyncHTTPTransport, "handle_async_request", handle_async_request),
    ):
        yield


class _Counterparts(Generic[_K, _V]):
    """One value for each object, for as long as that lives."""

    def __init__(self, make: Callable[[], _V]) -> None:
        self._make = make
        self._lock = Lock()
        self._values: WeakKeyDictionary[_K, _V] = WeakKeyDictionary()

    def of(self, key: _K) -> _V:
        with self._lock:
            if key not in self._values:
                self._values[key] = self._make()
            return self._values[key]


@cache
def _no_tls() -> ssl.SSLContext:
    # httpcore wants a context for https, and would read all certificates of the machine to make one.
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _core(request: httpx.Request) -> httpcore.Request:
    url = request.url
    return httpcore.Request(
        request.method,
        httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        headers=request.headers.raw,
        content=request.stream,
        extensions=request.extensions,
    )


def _httpx(answer: httpcore.Response, body: httpx.SyncByteStream | httpx.AsyncByteStream) -> httpx.Response:
    return httpx.Response(answer.status, headers=answer.headers, stream=body, extensions=answer.extensions)


@contextmanager
def _errors_of_httpx() -> Iterator[None]:
    # httpx names its errors as httpcore does.
    try:
        yield
    except (
        httpcore.NetworkError,
        httpcore.TimeoutException,
        httpcore.ProtocolError,
        httpcore.UnsupportedProtocol,
    ) as e:
        raise getattr(httpx, type(e).__name__)(str(e)) from e


class _Body(httpx.SyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        with _errors_of_httpx():
            yield from self._stream

    def close(self) -> None:
        # A response of httpx refers to itself: let go, or all our connections stay until the garbage collector comes.
        stream, self._stream = self._stream, _EMPTY
        stream.close()


class _AsyncBody(httpx.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _errors_of_httpx():
            async for part in self._stream:
                yield part

    async def aclose(self) -> None:
        stream, self._stream = self._stream, _EMPTY
        await stream.aclose()


class _Backend(httpcore.NetworkBackend):
    def __init__(self, inprocess: InProcess) -> None:
        self._inprocess = inprocess

    def connect_tcp(self, *_: object, **__: object) -> httpcore.NetworkStream:
        return _Stream(self._inprocess.connect())


class _AsyncBackend(httpcore.AsyncNetworkBackend):
    def __init__(self, inprocess: InProcess) -> None:
        self._inprocess = inprocess

    async def connect_tcp(self, *_: object, **__: object) -> httpcore.AsyncNetworkStream:
        return _AsyncStream(self._inprocess.connect())


class _Stream(httpcore.NetworkStream):
    def __init__(self, line: Line) -> None:
        self._line = line

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return self._line.receive(max_bytes, timeout)
        except TimeoutError as error:
            raise httpcore.ReadTimeout(error) from error
        except OSError as error:
            raise httpcore.ReadError(error) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002  it never takes long
        self._line.send(bytes(buffer))

    def close(self) -> None:
        self._line.close()

    def start_tls(self, *_: object, **__: object) -> httpcore.NetworkStream:
        return self

    def get_extra_info(self, info: str) -> object:
        return self._line.readable if info == "is_readable" else None


class _AsyncStream(httpcore.AsyncNetworkStream):
    def __init__(self, line: Line) -> None:
        self._line = line

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        # Without words, as httpcore's own are.
        try:
            if self._line.held:
                await anyio.to_thread.run_sync(self._line.hold, timeout, abandon_on_cancel=True)
            return self._line.receive(max_bytes, timeout)
        except TimeoutError as error:
            raise httpcore.ReadTimeout from error
        except OSError as error:
            raise httpcore.ReadError from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002  it never takes long
        self._line.feed(bytes(buffer))
        if self._line.slow:
            await anyio.to_thread.run_sync(self._line.answer)
        else:
            self._line.answer()

    async def aclose(self) -> None:
        self._line.close()

    async def start_tls(self, *_: object, **__: object) -> httpcore.AsyncNetworkStream:
        return self

    def get_extra_info(self, info: str) -> object:
        return self._line.readable if info == "is_readable" else None
