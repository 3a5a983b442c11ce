"""Reads multipart/form-data by the letter of RFC 7578 and RFC 2046, and says what is wrong with it.

The emulator reads forms kindly, as servers do. What only a kind reader understands, another server does not.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105
_QUOTED = r'"(?:[^"\\\r\n]|\\.)*"'
_PARAMETER = re.compile(rf"[ \t]*;[ \t]*({_TOKEN})=({_QUOTED}|{_TOKEN})", re.DOTALL)
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_PAIR = re.compile(r"\\(.)", re.DOTALL)
_HARMLESS_CODINGS = frozenset({"", "7bit", "8bit", "binary"})


class Malformed(ValueError):
    """A body that breaks the rules; the text says which."""


@dataclass(frozen=True, slots=True)
class Part:
    """
    One part.

    Args:
        name: of the field.
        filename: as it stands in the header, without the quotes around it; None if there is none.
        extended: whether there is a `filename*`, which RFC 7578 forbids.
        content_type: of the part; "" if it has none.
        data: its content.
    """

    name: str
    filename: str | None
    extended: bool
    content_type: str
    data: bytes = field(repr=False)


def read_strictly(content_type: str, body: bytes) -> list[Part]:
    """Return the parts of a form; raises Malformed with what is wrong."""
    kind, parameters = _value_and_parameters(content_type, "Content-Type")
    if kind.lower() != "multipart/form-data":
        raise Malformed(f"the Content-Type is {kind or 'missing'}, and not multipart/form-data")
    boundary = _unquoted(parameters.get("boundary", ""))
    if not boundary:
        raise Malformed("the Content-Type has no boundary")
    if _BOUNDARY.fullmatch(boundary) is None:
        raise Malformed(f"the boundary {boundary[:80]!r} has characters, or a length, that RFC 2046 does not allow")
    return [_part(raw) for raw in _split(b"--" + boundary.encode("ascii"), body)]


def _split(delimiter: bytes, body: bytes) -> Iterator[bytes]:
    first, *others = (b"\r\n" + body.removeprefix(b"\r\n")).split(b"\r\n" + delimiter)
    if first:
        raise Malformed("the body does not begin with its boundary")
    if not others or not others[-1].startswith(b"--"):
        raise Malformed("the last boundary, with two hyphens at its end, is missing")
    if others[-1][2:].strip(b" \t\r\n"):
        raise Malformed("something stands after the last boundary")
    for raw in others[:-1]:
        line, found, part = raw.partition(b"\r\n")
        if not found or line.strip(b" \t"):
            raise Malformed("a boundary is not followed by the end of its line")
        yield part


def _part(raw: bytes) -> Part:
    # A part without headers begins with the empty line that ends them.
    head, found, data = (b"\r\n" + raw).partition(b"\r\n\r\n")
    if not found:
        raise Malformed("a part has no empty line between its headers and its content")
    headers: dict[str, str] = {}
    for line in head.removeprefix(b"\r\n").split(b"\r\n") if head else []:
        name, colon, value = line.decode("utf-8", "surrogateescape").partition(":")
        if not colon or re.fullmatch(_TOKEN, name) is None or re.search(r"[\r\n\0]", value):
            raise Malformed(f"{line[:60]!r} is no header of a part")
        if name.lower() in headers:
            raise Malformed(f"a part has the header {name} twice")
        headers[name.lower()] = value.strip(" \t")
    disposition, parameters = _value_and_parameters(headers.get("content-disposition", ""), "Content-Disposition")
    if disposition.lower() != "form-data" or "name" not in parameters:
        raise Malformed("a part has no Content-Disposition of form-data with a name")
    coding = headers.get("content-transfer-encoding", "").lower()
    if coding not in _HARMLESS_CODINGS:
        raise Malformed(f"a part has the Content-Transfer-Encoding {coding}, which servers do not undo (RFC 7578, 4.7)")
    kind = headers.get("content-type", "")
    if kind and re.fullmatch(rf"{_TOKEN}/{_TOKEN}", _value_and_parameters(kind, "Content-Type")[0]) is None:
        raise Malformed(f"a part has the Content-Type {kind[:60]!r}, which is none")
    filename = parameters.get("filename")
    return Part(
        name=_unquoted(parameters["name"]),
        filename=None if filename is None else filename.removeprefix('"').removesuffix('"'),
        extended="filename*" in parameters,
        content_type=kind,
        data=data,
    )


def _value_and_parameters(text: str, header: str) -> tuple[str, dict[str, str]]:
    value, semicolon, rest = text.partition(";")
    rest, parameters = semicolon + rest, dict[str, str]()
    while rest.strip(" \t;"):
        found = _PARAMETER.match(rest)
        if found is None:
            raise Malformed(f"the {header} {text[:120]!r} cannot be read from {rest[:40]!r} on")
        name, rest = found[1].lower(), rest[found.end() :]
        if name in parameters:
            raise Malformed(f"the {header} has the parameter {name} twice")
        parameters[name] = found[2]
    return value.strip(" \t"), parameters


def _unquoted(text: str) -> str:
    return _PAIR.sub(r"\1", text[1:-1]) if text.startswith('"') else text


def means(written: str, name: str) -> bool:
    """
    Return whether a `filename`, as it is written in a header, stands for `name`.

    Clients write what is not ASCII as UTF-8, or percent-encode all of it; quotes come as a pair with a backslash, or
    as %22. A path before the name does not count.
    """
    ways = {written, _PAIR.sub(r"\1", written), unquote(written)}
    return any(_tidy(way) == _tidy(name) for way in ways)


def _tidy(name: str) -> str:
    return unicodedata.normalize("NFC", name.rpartition("/")[2])
