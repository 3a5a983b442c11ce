"""For code that uses requests: `intercept()`, a `responses.RequestsMock` that answers for the real API.

Only the connections are ours. Adapters, their retries and urllib3 above them are the client's own.
"""

from __future__ import annotations

import io
import re
from threading import Lock
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from mock_server.adapters.inprocess import InProcess, Line

try:
    import requests  # noqa: F401  named first, so that it is what an error names
    import responses
    from requests import PreparedRequest, Response
    from requests.adapters import HTTPAdapter
    from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
    from urllib3.connection import HTTPConnection, HTTPSConnection
except ImportError as _error:
    raise ImportError(
        f"expected the packages requests and responses, found no {_error.name}: pip install requests responses"
    ) from _error

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_EVERYTHING = re.compile("")


def intercept(inprocess: InProcess) -> FluxMock:
    """
    Return what, used in a `with` statement, lets all of requests in this process reach `inprocess`.

        with intercept(InProcess(server.app, "my-test")) as mock: ...

    It answers for the hosts of the real API, on any port, and lets requests to others pass. Stubs added to it come
    first, for any host. Its `calls` are those to stubs and to the emulator.
    """
    return FluxMock(inprocess)


class FluxMock(responses.RequestsMock):
    """A RequestsMock in front of `inprocess`. A reset takes its stubs and calls away, not the emulator."""

    def __init__(self, inprocess: InProcess) -> None:
        # An object of its own, for one that refers to itself stays until the garbage collector comes: in a run of many
        # tests that would be a fifth of all work.
        self._way = _Way(inprocess)
        super().__init__(assert_all_requests_are_fired=False, real_adapter_send=self._way.send)  # type: ignore[arg-type]
        self.add_passthru(_EVERYTHING)
        self._way.calls = self.calls

    def reset(self) -> None:
        """Take stubs and calls away."""
        super().reset()
        self.add_passthru(_EVERYTHING)

    def start(self) -> None:
        """Begin to intercept. Another RequestsMock that is active already gets what goes to other hosts."""
        if self._patcher is None:
            self._way.outside = HTTPAdapter.send
            # As responses does it, but for finding the class by its name, which takes longer than all else here.
            self._patcher = patch.object(HTTPAdapter, "send", self.unbound_on_send())
            self._patcher.start()


class _Way:
    """
    What becomes of a request that no stub answers: it goes to `inprocess`, or to where it would without us.

    Attributes:
        outside: how it would go without us.
        calls: those that went to `inprocess` are added to it.
    """

    def __init__(self, inprocess: InProcess) -> None:
        self.outside = HTTPAdapter.send
        self.calls = responses.CallList()
        self._inprocess = inprocess
        self._lock = Lock()
        self._pools: WeakKeyDictionary[HTTPAdapter, dict[tuple[str, str, int], HTTPConnectionPool]]
        self._pools = WeakKeyDictionary()

    def send(self, adapter: HTTPAdapter, request: PreparedRequest, **how: Any) -> Response:
        """Send one request, as `HTTPAdapter.send` does."""
        url = urlsplit(request.url or "")
        if not self._inprocess.serves(url.hostname):
            return self.outside(adapter, request, **how)
        port = url.port or (443 if url.scheme == "https" else 80)
        pool = self._pool(adapter, url.scheme, url.hostname or "", port)
        try:
            # The one reference to the true `send` that is safe: it was taken before anybody could replace it.
            response: Response = responses._real_send(_Seat(adapter, pool), request, **how)  # type: ignore[arg-type]
        except BaseException as error:
            self.calls.add(request, error)
            raise
        self.calls.add(request, response)  # type: ignore[arg-type]
        return response

    def _pool(self, adapter: HTTPAdapter, scheme: str, host: str, port: int) -> HTTPConnectionPool:
        with self._lock:
            pools = self._pools.setdefault(adapter, {})
            pool = pools.get((scheme, host, port))
            if pool is None:
                kind = HTTPSConnectionPool if scheme == "https" else HTTPConnectionPool
                pool = kind(host, port, maxsize=0, inprocess=self._inprocess)  # 0 is no limit, and nothing made ahead
                pool.ConnectionCls = _Https if scheme == "https" else _Http
                pools[scheme, host, port] = pool
            return pool


class _Seat:
    """A user's adapter, as it is but for the connections that it gets: no proxy, no certificates."""

    def __init__(self, adapter: HTTPAdapter, pool: HTTPConnectionPool) -> None:
        self._adapter = adapter
        self._pool = pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    def get_connection_with_tls_context(self, *_: object, **__: object) -> HTTPConnectionPool:
        return self._pool

    get_connection = get_connection_with_tls_context  # its name before requests 2.32

    def cert_verify(self, *_: object, **__: object) -> None:
        pass


class _Http(HTTPConnection):
    def __init__(self, *args: Any, inprocess: InProcess, **how: Any) -> None:
        super().__init__(*args, **how)
        self._inprocess = inprocess

    def connect(self) -> None:
        self.sock = _Socket(self._inprocess.connect())

    @property
    def is_connected(self) -> bool:
        return isinstance(self.sock, _Socket) and not self.sock.line.readable


class _Https(HTTPSConnection):
    def __init__(self, *args: Any, inprocess: InProcess, **how: Any) -> None:
        super().__init__(*args, **how)
        self._inprocess = inprocess

    def connect(self) -> None:
        self.sock = _Socket(self._inprocess.connect())
        self.is_verified = True

    @property
    def is_connected(self) -> bool:
        return isinstance(self.sock, _Socket) and not self.sock.line.readable


class _Socket:
    """What `http.client` and urllib3 use of a socket."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.timeout: float | None = None

    def settimeout(self, seconds: float | None) -> None:
        self.timeout = seconds

    def sendall(self, data: bytes) -> None:
        self.line.send(bytes(data))

    def makefile(self, *_: object) -> io.BufferedReader:
        return io.BufferedReader(_Incoming(self))

    def shutdown(self, _how: int) -> None:
        self.line.close()

    def close(self) -> None:
        """Send no more. To be read goes on: `http.client` closes its socket before a file that it has made of it."""
        self.line.finish()


class _Incoming(io.RawIOBase):
    def __init__(self, socket: _Socket) -> None:
        self._socket = socket

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        data = self._socket.line.receive(len(view), self._socket.timeout)
        view[: len(data)] = data
        return len(data)
