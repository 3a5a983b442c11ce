"""Takes the webhook of the job that a conformance run orders."""

from __future__ import annotations

import time
from collections.abc import Iterable
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Self
from uuid import uuid4

from contract_tests.exchanges import Endpoint, Exchange, Place
from mock_server.http.runner import BackgroundServer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Receiver:
    """
    A server for one webhook, from entering the context to leaving it.

    Args:
        host: address to listen on.
        port: 0 picks a free one.
        public_url: where the outside reaches it; None: at the address itself.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, public_url: str | None = None) -> None:
        self._server = BackgroundServer(self._take, host=host, port=port, workers=2)
        self._public_url = public_url
        self._path = f"/{uuid4().hex}"  # who does not know it cannot send us anything
        self._arrived: SimpleQueue[Exchange] = SimpleQueue()

    @property
    def url(self) -> str:
        """What to give as hookUrl."""
        return (self._public_url or self._server.url).rstrip("/") + self._path

    def wait(self, seconds: float) -> Exchange | None:
        """Return the first webhook that came, or None if there is none within so many seconds."""
        try:
            return self._arrived.get(timeout=seconds)
        except Empty:
            return None

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._server.stop()

    def _take(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if not environ["PATH_INFO"].endswith(self._path):
            start_response("404 Not Found", [("Content-Length", "0")])
            return [b""]
        self._arrived.put(
            Exchange(
                place=Place("", 0),
                method=environ["REQUEST_METHOD"],
                url=self.url,
                request_headers={"content-type": environ.get("CONTENT_TYPE", "")},
                request_body=body,
                status=204,
                at=round(time.time(), 3),
                endpoint=Endpoint.CALLBACK,
            )
        )
        start_response("204 No Content", [])
        return [b""]
