"""What all formats have in common: values of the right type, headers, bodies in base64 or compressed."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from contract_tests.readers.sources import LIMIT, Broken, unzstd

_T = TypeVar("_T")
_D = TypeVar("_D")
_WORDS = {dict: "an object", list: "an array", str: "a text", bool: "true or false", bytes: "bytes", type(None): "null"}


class Misfit(ValueError):
    """A recorded exchange has another shape than its format; the text never shows what was recorded."""


class Packed(ValueError):
    """A body cannot be decompressed; the text says why."""


def kind_of(value: object) -> str:
    """Return what a value is, in words, without the value."""
    return _WORDS.get(type(value), "a number")


def get(holder: Mapping[str, Any], name: str, kind: type[_T], default: _D) -> _T | _D:
    """Return a field of a recorded object, or `default` when it is missing or null; raises Misfit for other types."""
    value = holder.get(name)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise Misfit(f"{name}: expected {_WORDS.get(kind, 'a number')}, got {kind_of(value)}")
    return value


def need(holder: object, name: str, kind: type[_T]) -> _T:
    """Return a field that must be there; raises Misfit."""
    if not isinstance(holder, dict):
        raise Misfit(f"expected an object with {name}, got {kind_of(holder)}")
    if holder.get(name) is None:
        raise Misfit(f"{name}: expected {_WORDS.get(kind, 'a number')}, got none")
    value: _T = get(holder, name, kind, holder[name])
    return value


def status_of(value: object) -> int | None:
    """Return an HTTP status; None when there was no answer; raises Misfit."""
    if value is None or value == 0:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Misfit(f"status: expected a number, got {kind_of(value)}")
    return value


def headers_of(value: object) -> dict[str, str]:
    """
    Return headers, their names in lower case and repeated ones joined.

    Args:
        value: a list of objects with name and value, or an object of texts or of lists of texts.

    Raises:
        Misfit: it is neither.
    """
    if value is None:
        return {}
    if not isinstance(value, (list, dict)):
        raise Misfit(f"headers: expected an array or an object, got {kind_of(value)}")
    try:
        pairs = list(value.items()) if isinstance(value, dict) else [(item["name"], item["value"]) for item in value]
        headers = {name.lower(): said for name, said in pairs}
        if len(headers) == len(pairs) and set(map(type, headers.values())) <= {str}:
            return headers
        return _joined(pairs)
    except (KeyError, TypeError, AttributeError):
        raise Misfit("headers: expected names and texts, got something else") from None


def _joined(pairs: Iterable[tuple[str, Any]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, said in pairs:
        lower = name.lower()
        text = said if isinstance(said, str) else ", ".join(map(_text, said if isinstance(said, list) else [said]))
        headers[lower] = f"{headers[lower]}, {text}" if lower in headers else text
    return headers


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, (list, dict)):
        raise TypeError
    return value if isinstance(value, str) else str(value)


def from_base64(text: str) -> bytes:
    """Return what `text` stands for; raises Misfit."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Misfit("expected a body in base64, got something else") from None


def unpacked(body: bytes | None, headers: Mapping[str, str]) -> bytes | None:
    """
    Return a body without its Content-Encoding, which some recorders keep and others undo.

    Raises:
        Packed: it is damaged, or of a kind that needs a package that is not there.
    """
    for coding in reversed(headers.get("content-encoding", "").lower().split(",")):
        if body:
            body = _UNPACKERS.get(coding.strip(), _as_is)(body)
    return body


def _as_is(body: bytes) -> bytes:
    return body


def _inflated(body: bytes, *kinds: int) -> bytes:
    for kind in kinds:
        inflater = zlib.decompressobj(kind)
        try:
            data = inflater.decompress(body, LIMIT)
        except zlib.error:
            continue
        if not inflater.eof:
            raise Packed(f"its compressed body ends too early, or is longer than {LIMIT >> 20} MiB")
        return data
    raise Packed("its compressed body is damaged")


def _gunzip(body: bytes) -> bytes:
    return _inflated(body, zlib.MAX_WBITS + 16) if body.startswith(b"\x1f\x8b") else body


def _deflate(body: bytes) -> bytes:
    # Servers send it with and without the header of zlib. JSON begins like neither.
    return body if body[:1] in b'{["' else _inflated(body, zlib.MAX_WBITS, -zlib.MAX_WBITS)


def _zstd(body: bytes) -> bytes:
    if not body.startswith(b"\x28\xb5\x2f\xfd"):
        return body
    pieces = bytearray()
    try:
        for piece in unzstd([body]):
            pieces += piece
            if len(pieces) > LIMIT:
                raise Packed(f"its compressed body is longer than {LIMIT >> 20} MiB")
    except ImportError:
        raise Packed("its body is compressed with zstd: pip install zstandard") from None
    except Broken as error:
        raise Packed(f"its compressed body cannot be unpacked: {error}") from None
    return bytes(pieces)


def _brotli(body: bytes) -> bytes:
    try:
        body.decode()
    except UnicodeDecodeError:
        raise Packed("its body is compressed with br: record it decompressed (decode_compressed_response)") from None
    return body


_UNPACKERS = {"gzip": _gunzip, "x-gzip": _gunzip, "deflate": _deflate, "zstd": _zstd, "br": _brotli}
