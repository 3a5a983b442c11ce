"""Reads the emulator's journal, as `GET /_mock/journal` gives it: one document, or entry by entry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from contract_tests.exchanges import Endpoint, Exchange, Part, Place, Recorded
from contract_tests.readers.contents import Misfit, get, headers_of, kind_of, need, status_of
from contract_tests.readers.cutting import read_array
from contract_tests.readers.sources import Chunks
from mock_server.bodies import MULTIPART, media_type

_CUT = 2000
# Bytes of a body that the journal shows at the most.


def read(name: str, chunks: Chunks) -> Recorded:
    """Read the whole document."""
    return read_array(name, chunks, ("entries",), entry_of)


def is_entry(value: dict[str, Any]) -> bool:
    """Whether `value` is an entry of a journal, and not a line of a recording."""
    return "number" in value and value.get("kind") in {"request", "hook", "clock"}


def entry_of(place: Place, entry: Any) -> Iterator[Exchange]:
    """Return what an entry is: an exchange, or nothing for one about the clock; raises Misfit."""
    kind = need(entry, "kind", str)
    if kind == "request":
        yield _request(place, entry)
    elif kind == "hook":
        yield _hook(place, entry)
    elif kind != "clock":
        raise Misfit("kind: expected request, hook or clock, got another text")


def _request(place: Place, entry: dict[str, Any]) -> Exchange:
    headers = headers_of(entry.get("headers"))
    path, query = need(entry, "path", str), get(entry, "query", str, "")
    parts = None
    body = _whole(get(entry, "request_body", str, ""), get(entry, "request_size", int, None))
    if media_type(headers.get("content-type", "")) == MULTIPART:
        parts, body = _parts(entry), None
    return Exchange(
        place=place,
        method=need(entry, "method", str),
        url=f"http://{headers.get('host', '')}{path}{'?' if query else ''}{query}",
        request_headers=headers,
        request_body=body,
        parts=parts,
        status=status_of(entry.get("status")),
        response_body=_whole(get(entry, "response_body", str, "")),
        at=_number(entry, "at"),
    )


def _hook(place: Place, entry: dict[str, Any]) -> Exchange:
    delivery, attempt = need(entry, "delivery", dict), need(entry, "attempt", dict)
    receipt = need(attempt, "receipt", dict)
    return Exchange(
        place=place,
        method="POST",
        url=need(delivery, "url", str),
        request_headers={"content-type": get(delivery, "content_type", str, "")},
        request_body=_whole(get(delivery, "body", str, "")),
        status=status_of(receipt.get("status")),
        at=_number(entry, "at"),
        elapsed=_number(receipt, "elapsed"),
        error=get(receipt, "error", str, ""),
        endpoint=Endpoint.CALLBACK,
    )


def _whole(text: str, size: int | None = None) -> bytes | None:
    """Return a body; None when not all of it is there, or when it was no text."""
    body = text.encode("utf-8", "replace")
    if len(body) == size or (size is None and len(body) < _CUT and "\ufffd" not in text):
        return body
    return None


def _parts(entry: dict[str, Any]) -> tuple[Part, ...] | None:
    fields: dict[str, Any] | None = get(entry, "fields", dict, None)
    if fields is None:
        return None
    uploads: list[Any] = get(entry, "uploads", list, [])
    files = (
        Part(
            need(upload, "field", str),
            None,
            get(upload, "filename", str, ""),
            get(upload, "content_type", str, ""),
            need(upload, "size", int),
        )
        for upload in uploads
    )
    return (*(Part(name, need(fields, name, str)) for name in fields), *files)


def _number(holder: dict[str, Any], name: str) -> float | None:
    value = holder.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise Misfit(f"{name}: expected a number, got {kind_of(value)}")
    return value
