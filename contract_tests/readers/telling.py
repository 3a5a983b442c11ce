"""Tells from its beginning in which format a recording is."""

from __future__ import annotations

import re
from enum import Enum, auto

from contract_tests.readers.cutting import ARRAY, OBJECT, Cutter
from contract_tests.readers.sources import Broken

HEAD = 64 * 1024
"""Bytes of the beginning that are looked at."""

EXPECTED = "HAR, a VCR.py cassette, JSON Lines, or a journal of fluxmock"

_CASSETTE = re.compile(rb"^(?:interactions|version)[ \t]*:", re.MULTILINE)
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_KNOWN = (b"\x89PNG", "a PNG image"), (b"RIFF", "an image or sound"), (b"PK\x03\x04", "a zip archive"), (
    b"SQLite", "an SQLite database",
), (b"%PDF", "a PDF"), (b"\xff\xd8\xff", "a JPEG image"), (b"BZh", "bzip2 data"), (b"\xfd7zXZ", "xz data")  # fmt: skip
_LINES = (".jsonl", ".ndjson")


class Format(Enum):
    """What recordings are written in."""

    HAR = auto()
    VCR_JSON = auto()
    VCR_YAML = auto()
    LINES = auto()
    JOURNAL = auto()
    SAMPLE = auto()
    BODY = auto()


def tell(head: bytes, ending: str, *, bodies: bool) -> Format | str:
    """
    Return the format of a recording, or in words what came instead of one.

    Args:
        head: its beginning; all of it, if it is short.
        ending: of its name, such as `.har`; counts only where the content does not tell.
        bodies: whether it may be a body.
    """
    if not head.strip():
        # A recorder that had nothing to record leaves such lines; who reads them tells that nothing was checked.
        return Format.LINES if ending in _LINES else "nothing: it is empty"
    binary = _binary(head)
    if binary:
        return binary
    text = head.lstrip()
    found = _BINARY.search(text)
    if found:
        # A file that was not written to its end, as when power fails, may end in zeros: what is before them counts.
        before = _format_of(text[: found.start()])
        return before or f"binary data (the byte 0x{found.group()[0]:02x} at {head.index(found.group())})"
    if not text.startswith(b"{"):
        if _CASSETTE.search(head):
            return Format.VCR_YAML
        if ending in _LINES:
            return Format.LINES
        if bodies:
            return Format.BODY
        return "JSON that is no object" if text[:1] in b'["' else "text that is none of these"
    told, several = _looked_at(text)
    if told is not None:
        return told
    if several or ending in _LINES:
        return Format.LINES
    if ending == ".har":
        return Format.HAR
    if bodies:
        return Format.BODY
    return "a JSON object that is none of these; if it is a body, say of which endpoint (--endpoint fetch)"


def _format_of(text: bytes) -> Format | None:
    if not text.startswith(b"{"):
        return Format.VCR_YAML if _CASSETTE.search(text) else None
    return _looked_at(text)[0]


def _looked_at(head: bytes) -> tuple[Format | None, bool]:
    """Return the format that the names in the first object tell, and whether other objects follow it."""
    cutter = Cutter(iter([head]))
    names = set()
    try:
        for name in cutter.names():
            first = cutter.peek()
            if name == "log" and first == OBJECT:
                return Format.HAR, False
            if name == "interactions" and first == ARRAY:
                return Format.VCR_JSON, False
            if name == "entries" and first == ARRAY:
                return Format.JOURNAL, False
            if name == "exchange" and first == OBJECT:
                return Format.SAMPLE, False
            names.add(name)
            cutter.value(limit=0)
    except Broken:
        return Format.LINES if {"kind", "request"} & names else None, False
    return Format.LINES if {"kind", "request"} & names else None, cutter.peek() == OBJECT


def _binary(head: bytes) -> str:
    if head.startswith(_UTF16):
        return "UTF-16: save it as UTF-8"
    for start, words in _KNOWN:
        if head.startswith(start):
            return f"binary data ({words})"
    return ""
