"""Performs calls, one connection each, and gives back what was said as exchanges."""

from __future__ import annotations

import itertools
import time
from urllib.parse import urljoin
from uuid import uuid4

import requests
from requests.auth import AuthBase

from contract_tests.exchanges import Endpoint, Exchange, Place
from contract_tests.recording import SHORTEST
from contract_tests.verify.calls import Call, Key
from mock_server import __version__

MOST_BYTES = 64 * 1024 * 1024
"""What is read of an answer; an image of the largest size has a few MiB."""

_PIECE = 64 * 1024


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
        recording: name of the file that exchanges are said to be in.
        timeout: seconds that connecting, any pause in an answer, and an answer as a whole may take.
    """

    def __init__(self, base_url: str, key: str, *, recording: str = "verify", timeout: float = 60.0) -> None:
        self.base_url = base_url
        self._keys = {Key.GIVEN: key, Key.WRONG: f"fluxmock-no-such-key-{uuid4().hex}"}
        self._recording = recording
        self._timeout = timeout
        self._numbers = itertools.count(1)

    def ask(self, call: Call) -> Exchange:
        """Make a call. Never raises for what the network does: that is in the exchange."""
        request = requests.Request(call.method, f"{self.base_url}{call.path}", **call.arguments)
        if call.key in self._keys:
            request.headers = {**request.headers, "TT-API-KEY": self._keys[call.key]}
        return self._send(request)

    def image(self, url: str) -> Exchange:
        """Download an image, without any key: it may lie on anybody's host."""
        return self._send(requests.Request("GET", urljoin(f"{self.base_url}/", url)))._replace(endpoint=Endpoint.IMAGE)

    def masked(self, text: str) -> str:
        """Return a text without the key."""
        key = self._keys[Key.GIVEN]
        return text.replace(key, "...") if len(key) >= SHORTEST else text

    def without_key(self, exchange: Exchange) -> Exchange:
        """Return an exchange whose answer does not name the key; a gateway may put it where we did not send it."""
        body = exchange.response_body
        return exchange._replace(
            response_headers={name: self.masked(value) for name, value in exchange.response_headers.items()},
            response_body=self.masked(body.decode("latin-1")).encode("latin-1") if body else body,
        )

    def place(self) -> Place:
        """Return the place of the next exchange."""
        return Place(self._recording, next(self._numbers))

    def _send(self, request: requests.Request) -> Exchange:
        exchange = Exchange(self.place(), request.method or "", request.url or "", at=round(time.time(), 3))
        began = time.perf_counter()
        # A connection of its own for every call: one that the server has closed meanwhile would leave it open whether
        # an order arrived.
        request.headers = {
            "User-Agent": f"fluxmock/{__version__} (conformance run)", "Connection": "close", **request.headers
        }  # fmt: skip
        try:
            with requests.Session() as session:
                session.auth = _NoAuth()
                prepared = session.prepare_request(request)
                body = prepared.body.encode() if isinstance(prepared.body, str) else prepared.body
                exchange = exchange._replace(
                    url=prepared.url or exchange.url,
                    request_headers={name.lower(): str(value) for name, value in prepared.headers.items()},
                    request_body=body or None,
                )
                settings = session.merge_environment_settings(exchange.url, {}, True, None, None)
                with session.send(prepared, timeout=self._timeout, allow_redirects=False, **settings) as answer:
                    exchange = exchange._replace(
                        status=answer.status_code,
                        response_headers={name.lower(): value for name, value in answer.headers.items()},
                    )
                    content, error = _read(answer, began + self._timeout)
                    exchange = exchange._replace(response_body=content, error=error)
        except (requests.RequestException, OSError, ValueError) as problem:
            exchange = exchange._replace(error=_why(problem))
        return exchange._replace(elapsed=round(time.perf_counter() - began, 4))


def _read(answer: requests.Response, until: float) -> tuple[bytes, str]:
    """Return the body as far as it came, and what was wrong with it."""
    content = bytearray()
    try:
        for piece in answer.iter_content(_PIECE):
            content += piece
            if len(content) > MOST_BYTES:
                return bytes(content[:MOST_BYTES]), f"the body has more than {MOST_BYTES} bytes"
            if time.perf_counter() > until:
                return bytes(content), "the answer took too long"
    except (requests.RequestException, OSError) as problem:
        return bytes(content), f"the body broke off: {_why(problem)}"
    return bytes(content), ""


def _why(problem: BaseException) -> str:
    """Return the first cause: what requests and urllib3 say around it is long, and says less."""
    while (inner := problem.__cause__ or problem.__context__) is not None:
        problem = inner
    return f"{type(problem).__name__}: {problem}"
