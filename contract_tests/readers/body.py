"""Reads one body that was saved by itself, for an endpoint that somebody names."""

from __future__ import annotations

import orjson

from contract_tests.exchanges import Endpoint, Exchange, Place, Recorded, Trouble
from contract_tests.readers.sources import LIMIT, Broken, Chunks


def read(name: str, chunks: Chunks, endpoint: Endpoint) -> Recorded:
    """Read a file that is one body: of a webhook's request, of a refusal, or of an answer of another `endpoint`."""
    pieces: list[bytes] = []
    size = 0
    try:
        for chunk in chunks:
            pieces.append(chunk)
            size += len(chunk)
            if size > LIMIT:
                yield Trouble(Place(name, 1), f"the body is longer than {LIMIT >> 20} MiB")
                return
    except Broken as error:
        yield Trouble(Place(name, 1), f"it cannot be read: {error}")
        return
    body = b"".join(pieces).strip()
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        yield Trouble(Place(name, 1), f"expected a body of JSON: {error}")
        return
    yield exchange_of(Place(name, 1), body, endpoint)


def exchange_of(place: Place, body: bytes, endpoint: Endpoint) -> Exchange:
    """Return a body as an exchange of which nothing else is known; an answer of a call counts as one of success."""
    if endpoint is Endpoint.CALLBACK:
        return Exchange(place, "POST", request_body=body, endpoint=endpoint)
    status = None if endpoint is Endpoint.ERROR else 200
    return Exchange(place, "POST", status=status, response_body=body, endpoint=endpoint)
