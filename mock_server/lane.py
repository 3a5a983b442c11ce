"""The fast lane: the two hot routes answered before Flask's routing, by the same functions.

Without it the app gives the same bytes, only slower; a property test holds the two ways equal.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING

from mock_server.api import Api
from mock_server.bodies import JSON
from mock_server.exchange import Answer, Call
from mock_server.http.reader import BODY, CONNECTION, REFUSAL
from mock_server.http.wire import WIRE

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_PATHS = frozenset({"/flux/fetch", "/flux/generate"})
_LONG_BODY = 64 * 1024
_STATUS = (
    {code: f"{code} Unknown" for code in range(200, 600)}
    | {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
    | {499: "499 Queue Exhausted"}
)


def status_line(status: int) -> str:
    """Return the status with its phrase, as WSGI wants it."""
    return _STATUS[status]


def pass_on_wire(environ: WSGIEnvironment, answer: Answer) -> None:
    """Leave the server word of how an answer goes onto the wire; say in the answer if this server cannot do that."""
    if CONNECTION in environ:
        environ[WIRE] = answer.wire
    else:
        answer.lint += ("NOT PLAYED on the wire: only fluxmock's own server can do that (fluxmock serve, serve())",)


class FastLane:
    """
    A WSGI application in front of another.

    Args:
        app: gets what the lane does not take.
        api: answers what it takes.
        max_body: longer bodies are left to the app, which refuses them; so are those that take long to parse.
    """

    def __init__(self, app: WSGIApplication, api: Api, max_body: int) -> None:
        self._app = app
        self._api = api
        self._max_body = min(max_body, _LONG_BODY)

    def takes(self, environ: WSGIEnvironment) -> bool:
        """Whether a request is for the lane: quick to answer, so that a server may do it inline."""
        return (
            environ["PATH_INFO"] in _PATHS
            and environ["REQUEST_METHOD"] == "POST"
            and environ.get("CONTENT_TYPE") == JSON
            and environ.get("CONTENT_LENGTH", "").isdecimal()
            and int(environ["CONTENT_LENGTH"]) <= self._max_body
            and REFUSAL not in environ
        )

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer as WSGI applications do."""
        if not self.takes(environ):
            return self._app(environ, start_response)
        body = environ.get(BODY)
        if body is None:
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        answer = self._api.answer(Call.from_environ(environ, body))
        if answer.wire is not None:
            pass_on_wire(environ, answer)
        start_response(_STATUS[answer.status], answer.wire_headers())
        return [answer.body]
