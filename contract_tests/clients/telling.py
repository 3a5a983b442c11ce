"""From bytes on a connection to the requests of a story."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import orjson

from contract_tests.clients.story import Request
from contract_tests.exchanges import target_of
from mock_server.http.wsgi import Response
from mock_server.journal import RequestEntry

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment


def request_of(
    *,
    number: int,
    at: float,
    origin: str,
    connection: int,
    raw: bytes,
    environ: WSGIEnvironment,
    body: bytes,
    response: Response,
    fault: str,
    whole: bool,
    answered_at: float | None,
    entry: RequestEntry | None,
) -> Request:
    """
    Return the request of a story; the arguments are as those of `Request`.

    Args:
        number: of the request.
        at: when it had arrived.
        origin: where it was sent to.
        connection: number of its connection.
        raw: all its bytes.
        environ: the same as WSGI has it.
        body: its body.
        response: the answer.
        fault: what was done to that on the wire.
        whole: whether all of it was sent.
        answered_at: when.
        entry: what the emulator wrote in the tenant's journal; None for other origins, and without the right key.
    """
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    status, answer_headers = _head(response.head)
    return Request(
        number=number,
        at=at,
        origin=origin,
        endpoint=target_of(origin + path).endpoint,
        method=environ["REQUEST_METHOD"],
        path=path,
        query=query,
        headers=_headers(raw),
        body=body,
        fields=_fields(environ, body, query, entry),
        connection=connection,
        raw=raw,
        status=status,
        answer_headers=answer_headers,
        answer=response.body,
        fault=fault,
        twisted=bool(fault) or (entry is not None and entry.twisted),
        whole=whole,
        answered_at=answered_at,
        job_id=None if entry is None else entry.job_id,
    )


def _headers(raw: bytes) -> tuple[tuple[str, str], ...]:
    head = raw.lstrip(b"\r\n").partition(b"\r\n\r\n")[0].decode("latin-1")
    pairs = (line.partition(":") for line in head.split("\r\n")[1:])
    return tuple((name.strip(), value.strip()) for name, colon, value in pairs if colon)


def _head(head: bytes) -> tuple[int, Mapping[str, str]]:
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return int(first.split(" ", 2)[1]), {name.lower(): value.strip() for name, _, value in pairs}


def _fields(environ: WSGIEnvironment, body: bytes, query: str, entry: RequestEntry | None) -> Mapping[str, Any]:
    fields: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True))
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if entry is not None and entry.fields is not None:
        fields |= entry.fields
    elif kind == "application/x-www-form-urlencoded":
        fields |= dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    elif body:
        try:
            read = orjson.loads(body)
        except ValueError:
            read = None
        fields |= read if isinstance(read, dict) else {}
    return fields
