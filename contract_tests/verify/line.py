"""Performs calls, one connection each, and gives back what was said as exchanges."""

from __future__ import annotations

import time
from threading import Event, Thread
from urllib.parse import urljoin
from uuid import uuid4

import requests
from requests.auth import AuthBase

from contract_tests.exchanges import Endpoint, Exchange, Place
from contract_tests.secrets import SHORTEST
from contract_tests.verify.calls import Call, Key
from mock_server import __version__

MOST_BYTES = 64 * 1024 * 1024
"""What is read of an image; one of the largest size has a few MiB."""

MOST_BYTES_OF_ANSWER = 1024 * 1024
"""What is read of any other answer; those of the sources have less than a KiB."""

_PIECE = 64 * 1024
_NOWHERE = Place("", 0)


class _NoAuth(AuthBase):
    """Keeps requests from sending what a .netrc file says of the host; proxies of the environment are wanted."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class Line:
    """
    The way to an API. TLS is verified, and redirects are not followed.

    Args:
        base_url: of the API, without a slash at the end.
        key: given with calls that want it.
        timeout: seconds that a call may take, from connecting to the end of the answer.
    """

    def __init__(self, base_url: str, key: str, *, timeout: float = 60.0) -> None:
        self.base_url = base_url
        self._keys = {Key.GIVEN: key, Key.WRONG: f"fluxmock-no-such-key-{uuid4().hex}"}
        self._timeout = timeout

    def ask(self, call: Call) -> Exchange:
        """Make a call. Never raises for what the network does: that is in the exchange, whose place is for others."""
        request = requests.Request(call.method, f"{self.base_url}{call.path}", **call.arguments)
        if call.key in self._keys:
            request.headers = {**request.headers, "TT-API-KEY": self._keys[call.key]}
        return self._send(request, MOST_BYTES_OF_ANSWER)

    def image(self, url: str) -> Exchange:
        """Download an image, without any key: it may lie on anybody's host."""
        try:
            address = urljoin(f"{self.base_url}/", url)
        except ValueError as problem:
            return Exchange(_NOWHERE, "GET", error=_why(problem), endpoint=Endpoint.IMAGE)
        return self._send(requests.Request("GET", address), MOST_BYTES).changed(endpoint=Endpoint.IMAGE)

    def masked(self, text: str) -> str:
        """Return a text without the key."""
        key = self._keys[Key.GIVEN]
        return text.replace(key, "...") if len(key) >= SHORTEST else text

    def without_key(self, exchange: Exchange) -> Exchange:
        """Return an exchange whose answer does not name the key; a gateway may put it where we did not send it."""
        body = exchange.response_body
        return exchange.changed(
            response_headers={name: self.masked(value) for name, value in exchange.response_headers.items()},
            response_body=self.masked(body.decode("latin-1")).encode("latin-1") if body else body,
        )

    def _send(self, request: requests.Request, most_bytes: int) -> Exchange:
        talk = _Talk(request, self._timeout, most_bytes)
        began = time.perf_counter()
        talk.start()
        # requests bounds each pause of an answer, and not the answer: one byte a second may go on for ever. Nobody
        # waits for the rest of such a talk.
        over = talk.over.wait(self._timeout)
        exchange = talk.exchange if over else talk.exchange.changed(error=f"no whole answer in {self._timeout:g} s")
        return exchange.changed(elapsed=round(time.perf_counter() - began, 4))


class _Talk(Thread):
    """One call, in a thread of its own; `exchange` is what was said until now."""

    def __init__(self, request: requests.Request, timeout: float, most_bytes: int) -> None:
        super().__init__(name="fluxmock-verify", daemon=True)
        self.over = Event()
        self.exchange = Exchange(_NOWHERE, request.method or "", request.url or "", at=round(time.time(), 3))
        self._request = request
        self._timeout = timeout
        self._most_bytes = most_bytes

    def run(self) -> None:
        try:
            self._talk()
        except (requests.RequestException, OSError, ValueError) as problem:
            self.exchange = self.exchange.changed(error=_why(problem))
        finally:
            self.over.set()

    def _talk(self) -> None:
        request = self._request
        # A connection of its own for every call: one that the server has closed meanwhile would leave it open whether
        # an order arrived.
        request.headers = {
            "User-Agent": f"fluxmock/{__version__} (conformance run)", "Connection": "close", **request.headers
        }  # fmt: skip
        with requests.Session() as session:
            session.auth = _NoAuth()
            prepared = session.prepare_request(request)
            body = prepared.body.encode() if isinstance(prepared.body, str) else prepared.body
            self.exchange = self.exchange.changed(
                url=prepared.url or self.exchange.url,
                request_headers={name.lower(): str(value) for name, value in prepared.headers.items()},
                request_body=body or None,
            )
            settings = session.merge_environment_settings(self.exchange.url, {}, True, None, None)
            with session.send(prepared, timeout=self._timeout, allow_redirects=False, **settings) as answer:
                self.exchange = self.exchange.changed(
                    status=answer.status_code,
                    response_headers={name.lower(): value for name, value in answer.headers.items()},
                )
                content, error = _read(answer, self._most_bytes)
                self.exchange = self.exchange.changed(response_body=content, error=error)


def _read(answer: requests.Response, most_bytes: int) -> tuple[bytes, str]:
    """Return the body as far as it came, and what was wrong with it."""
    content = bytearray()
    try:
        for piece in answer.iter_content(_PIECE):
            content += piece
            if len(content) > most_bytes:
                return bytes(content[:most_bytes]), f"the body has more than {most_bytes} bytes"
    except (requests.RequestException, OSError) as problem:
        return bytes(content), f"the body broke off: {_why(problem)}"
    return bytes(content), ""


def _why(problem: BaseException) -> str:
    """Return the first cause: what requests and urllib3 say around it is long, and says less."""
    while (inner := problem.__cause__ or problem.__context__) is not None:
        problem = inner
    return f"{type(problem).__name__}: {problem}"
