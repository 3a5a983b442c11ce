"""Reads request bodies: strict JSON, and the two kinds of form. Whatever is wrong becomes an ApiError with words."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson

from mock_server.errors import ApiError

_MAX_FIELDS = 200
_MAX_FIELD_BYTES = 1024 * 1024
MAX_TEXT_BYTES = 1024 * 1024
"""What a body without files may have; more is no prompt, and would be kept in memory."""

_MAX_DEPTH = 100
_TOO_DEEP = f"the JSON is nested more than {_MAX_DEPTH} levels deep: flatten it"

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file in a multipart body; `filename` is decoded, whichever of the three ways the client wrote it."""

    name: str
    filename: str
    content_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Form:
    """Fields and files of a form. Of a field that comes twice the last counts, and `repeated` names it."""

    fields: dict[str, Any]
    files: tuple[FilePart, ...] = ()
    repeated: tuple[str, ...] = ()


def media_type(content_type: str) -> str:
    """Return the bare media type, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def read_json(body: bytes) -> dict[str, Any]:
    """
    Return the JSON object in `body`.

    Raises:
        ApiError: 400: not UTF-8, no JSON by RFC 8259 (so no NaN), nested too deep, no object, or a name twice.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ApiError(400, _json_trouble(body, error)) from None
    if not isinstance(value, dict):
        again = ": it was encoded twice" if isinstance(value, str) and value.lstrip()[:1] == "{" else ""
        raise ApiError(400, f'expected a JSON object like {{"prompt": "..."}}, got {_kind(value)}{again}')
    if body.count(b"[") + body.count(b"{") > _MAX_DEPTH and _deeper_than(_MAX_DEPTH, value):
        raise ApiError(400, _TOO_DEEP)
    # Every name has a colon. More colons than names (as in a URL) call for the slow, exact look.
    if body.count(b":") > len(value):
        twice = _repeated_name(body)
        if twice is not None:
            raise ApiError(400, f"the JSON object has the name {twice!r} more than once: keep one of them")
    return value


def _json_trouble(body: bytes, error: orjson.JSONDecodeError) -> str:
    if not body.strip():
        return "expected a JSON object in the body, got an empty body"
    if body.startswith(b"\xef\xbb\xbf"):
        return "the body starts with a byte order mark: send UTF-8 without BOM"
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as trouble:
        byte = f"byte {trouble.start} (0x{body[trouble.start]:02x})"
        return f"expected JSON in UTF-8: {byte} is not; encode the body as UTF-8"
    if "depth limit" in error.msg:
        return _TOO_DEEP
    if "NaN" in text or "Infinity" in text:
        return f"NaN and Infinity are no JSON: send null or leave the field out ({error.msg})"
    return f"expected JSON, got something else at line {error.lineno}, column {error.colno}: {error.msg}"


def _deeper_than(limit: int, value: Any) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for item in level
            if isinstance(item, (dict, list))
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return any(isinstance(item, (dict, list)) for item in level)


def _kind(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")


class _Twice(Exception):
    pass


def _repeated_name(body: bytes) -> str | None:
    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for name, value in pairs:
            if name in seen:
                raise _Twice(name)
            seen[name] = value
        return seen

    try:
        json.loads(body, object_pairs_hook=build)
    except _Twice as twice:
        return str(twice)
    except (RecursionError, ValueError):
        return None
    return None


def read_urlencoded(text: bytes, where: str = "form") -> Form:
    """Return the fields of an urlencoded form or query; raises ApiError 400 when it is not UTF-8 or too large."""
    try:
        pairs = parse_qsl(text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except UnicodeDecodeError:
        raise ApiError(400, f"expected the {where} urlencoded in UTF-8, got other bytes") from None
    except ValueError as error:
        raise ApiError(400, f"expected an urlencoded {where} of at most {_MAX_FIELDS} fields: {error}") from None
    return _form(pairs)


def _form(pairs: list[tuple[str, str]], files: tuple[FilePart, ...] = ()) -> Form:
    fields = dict(pairs)
    names = [name for name, _ in pairs]
    repeated = tuple(name for name in fields if names.count(name) > 1) if len(names) > len(fields) else ()
    return Form(fields, files, repeated)


def read_multipart(content_type: str, body: bytes) -> Form:
    """
    Return the fields and files of a multipart form.

    Raises:
        ApiError: 400: no boundary, or a body that does not follow it.
    """
    # Werkzeug's parser takes 20 ms to import and only forms need it.
    from werkzeug.exceptions import RequestEntityTooLarge
    from werkzeug.formparser import MultiPartParser
    from werkzeug.http import parse_options_header

    boundary = parse_options_header(content_type)[1].get("boundary", "")
    if not boundary:
        raise ApiError(
            400,
            "the Content-Type multipart/form-data has no boundary: do not set that header by hand, "
            "let the HTTP library write it",
        )
    parser = MultiPartParser(
        stream_factory=lambda *_args, **_kwargs: BytesIO(),
        max_form_memory_size=_MAX_FIELD_BYTES,
        max_form_parts=_MAX_FIELDS,
    )
    try:
        form, uploads = parser.parse(BytesIO(body), boundary.encode("ascii"), len(body))
    except RequestEntityTooLarge:
        raise ApiError(
            413,
            f"expected at most {_MAX_FIELDS} parts, and {_MAX_FIELD_BYTES} bytes in fields that are no files",
        ) from None
    except ValueError as error:
        raise ApiError(400, f"expected a multipart body with the boundary of its Content-Type: {error}") from None
    files = tuple(
        FilePart(name, _filename(upload.filename or ""), upload.mimetype or "", upload.stream.read())
        for name, upload in uploads.items(multi=True)
    )
    return _form(list(form.items(multi=True)), files)


def _filename(name: str) -> str:
    # aiohttp percent-encodes the whole name; raw UTF-8 and filename*= were decoded by the parser.
    try:
        return unquote(name, errors="strict") if "%" in name else name
    except UnicodeDecodeError:
        return name
