"""Reads HAR 1.2, as browsers and proxies export it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from contract_tests.exchanges import Exchange, Part, Place, Recorded
from contract_tests.readers.contents import from_base64, get, headers_of, need, status_of
from contract_tests.readers.cutting import read_array
from contract_tests.readers.sources import Chunks

_UNKNOWN_SIZE = 1
# Browsers leave the content of files out. The contract wants a byte at least, and whoever sends a file has one.
_LEFT_OUT = "(binary)"
# What Chrome writes in place of a file, without its name and type.


def read(name: str, chunks: Chunks) -> Recorded:
    """Read the entries of all pages, in the order of the file `name`."""
    return read_array(name, chunks, ("log", "entries"), _entry)


def _entry(place: Place, entry: Any) -> Iterator[Exchange]:
    request = need(entry, "request", dict)
    response: dict[str, Any] = get(entry, "response", dict, {})
    headers = headers_of(request.get("headers"))
    post: dict[str, Any] = get(request, "postData", dict, {})
    if "content-type" not in headers and post.get("mimeType"):
        headers["content-type"] = get(post, "mimeType", str, "")
    body, parts = _sent(post, headers)
    status = status_of(response.get("status"))
    content: dict[str, Any] = get(response, "content", dict, {})
    text = get(content, "text", str, None) if status is not None else None
    elapsed = entry.get("time")
    yield Exchange(
        place=place,
        method=need(request, "method", str).upper(),
        url=need(request, "url", str),
        request_headers=headers,
        request_body=body,
        parts=parts,
        status=status,
        response_headers=headers_of(response.get("headers")),
        response_body=_bytes(text, content.get("encoding")),
        at=_instant(entry.get("startedDateTime")),
        elapsed=elapsed / 1000 if isinstance(elapsed, (int, float)) and elapsed >= 0 else None,
        error="" if status is not None else _error(entry, response),
    )


def _error(entry: dict[str, Any], response: dict[str, Any]) -> str:
    for said in (response.get("_error"), entry.get("_error"), response.get("statusText")):
        if isinstance(said, str) and said:
            return said
    return "no answer"


def _sent(post: dict[str, Any], headers: dict[str, str]) -> tuple[bytes | None, tuple[Part, ...] | None]:
    params: list[Any] = get(post, "params", list, [])
    if params and headers.get("content-type", "").lower().startswith("multipart/"):
        return None, tuple(_part(param) for param in params)
    text = get(post, "text", str, None)
    if params and not text:
        fields = [(need(param, "name", str), get(param, "value", str, "")) for param in params]
        return urlencode(fields).encode(), None
    return _bytes(text, post.get("encoding")), None


def _part(param: Any) -> Part:
    name, text = need(param, "name", str), get(param, "value", str, "")
    filename = get(param, "fileName", str, None)
    media = get(param, "contentType", str, "")
    if filename is None and text == _LEFT_OUT:
        return Part(name, None, size=_UNKNOWN_SIZE)
    if filename is None and (not media or media.lower().startswith("text/")):
        return Part(name, text)
    return Part(name, None, filename, media, len(text.encode("utf-8", "replace")) or _UNKNOWN_SIZE)


def _bytes(text: str | None, encoding: object) -> bytes | None:
    if text is None:
        return None
    return from_base64(text) if encoding == "base64" else text.encode("utf-8", "replace")


def _instant(text: object) -> float | None:
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
