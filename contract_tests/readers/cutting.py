"""Cuts the elements out of an array in a JSON document of any size, holding no more than one of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson

from contract_tests.exchanges import Exchange, Place, Trouble
from contract_tests.readers.contents import Misfit
from contract_tests.readers.sources import LIMIT, Broken, Chunks

_LEVELS = 6
# How deep a value may be nested to be cut by one match: a HAR entry has four levels.


def _nested() -> str:
    """
    Return a pattern of what is between two brackets.

    All its repetitions are possessive: what does not match is given up at once, and no input makes it slow.
    """
    string = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
    inner = rf'(?:[^"{{}}\[\]]++|{string})*+'
    for _ in range(_LEVELS - 1):
        inner = rf'(?:[^"{{}}\[\]]++|{string}|[\[{{]{inner}[\]}}])*+'
    return inner


_BLANK = re.compile(rb"[ \t\r\n]*+")
_SCALAR = re.compile(rb'[^ \t\r\n,:"{}\[\]]*+')
_VALUE = re.compile(rf'[\[{{]{_nested()}[\]}}]|"[^"\\]*+(?:\\.[^"\\]*+)*+"'.encode(), re.DOTALL)
_OUTSIDE = re.compile(rb'[^"{}\[\]]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"{}\[\]]*+)*+', re.DOTALL)
_INSIDE = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_BEGINNING = re.compile(rb'[ \t\r\n]*+,[ \t\r\n]*+\{[ \t\r\n]*+"[^"\\]*+"')
# What is between an object in an array and the next, and the first name in that.
_TIMES_LONGER = 4
# How much longer than the last an object may be to be guessed.
_LONGEST_PAUSE = 63
# Elements that are not guessed after many wrong guesses.
_QUOTE, _BACKSLASH, _COMMA, _END = ord('"'), ord("\\"), ord(","), -1
OBJECT, ARRAY = ord("{"), ord("[")


class Cutter:
    """
    Walks through a JSON document from its beginning to its end.

    It looks at brackets and strings only; whether a value is JSON is seen when it is loaded.

    Args:
        chunks: of the document.

    Attributes:
        found: how many arrays were found that were looked for.
    """

    def __init__(self, chunks: Chunks) -> None:
        self.found = 0
        self._chunks = chunks
        self._buffer = b""
        self._at = 0
        self._gone = 0
        self._between = b""
        self._size = 0
        self._pause = self._left = 0

    def peek(self) -> int:
        """Return the next byte that is not blank; -1 at the end."""
        while True:
            found = _BLANK.match(self._buffer, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if not self._more():
                return _END

    def take(self, expected: bytes, what: str) -> int:
        """Step over the next byte, and return it; raises Broken unless it is one of `expected`."""
        got = self.peek()
        if got == _END or got not in expected:
            raise self.broken(what)
        self._at += 1
        return got

    def names(self) -> Iterator[str]:
        """Walk through an object. The caller takes the value of each name before it asks for the next."""
        self.take(b"{", "an object")
        if self.peek() == ord("}"):
            self._at += 1
            return
        while True:
            if self.peek() != _QUOTE:
                raise self.broken("a name in quotes")
            name = self.value()
            self.take(b":", "a colon")
            try:
                yield str(orjson.loads(name or b'""'))
            except orjson.JSONDecodeError:
                raise self.broken("a name in quotes before it") from None
            if self.take(b",}", "a comma or the end of the object") != _COMMA:
                return

    def items(self) -> Iterator[None]:
        """Walk through an array. The caller takes each value before it asks for the next."""
        self.take(b"[", "an array")
        if self.peek() == ord("]"):
            self._at += 1
            return
        while True:
            yield None
            if self.take(b",]", "a comma or the end of the array") != _COMMA:
                return

    def array_at(self, path: tuple[str, ...]) -> Iterator[None]:
        """Walk through the array at `path`, skipping all else in the object."""
        for name in self.names():
            first = self.peek()
            if name == path[0] and len(path) > 1 and first == OBJECT:
                yield from self.array_at(path[1:])
            elif path == (name,) and first == ARRAY:
                self.found += 1
                yield from self.items()
            else:
                self.value(limit=0)

    def value(self, limit: int = LIMIT) -> bytes | None:
        """Return the next value whole; None when it is longer than `limit`; raises Broken where there is none."""
        first = self.peek()
        if first != _END and first in b'{["':
            found = _VALUE.match(self._buffer, self._at)
            if found is None:
                return self._long_value(limit)
            self._at = found.end()
            return found.group()
        return self._scalar(limit)

    def guess(self) -> bytes | None:
        """
        Return what the next value is, if it ends as the last object of the array did: before one of the same kind.

        Looking for that takes a tenth of the time of walking through it. If it can be loaded, it is the value, for an
        object is whole at its last bracket, neither before nor behind it; then call `accept`, else `refuse`.
        """
        if self._left:
            self._left -= 1
            return None
        if not self._between or self.peek() != OBJECT:
            return None
        end = self._buffer.find(self._between, self._at, self._at + _TIMES_LONGER * self._size)
        return self._buffer[self._at : end + 1] if end >= 0 else None

    def accept(self, guessed: bytes) -> None:
        """Step over what was guessed."""
        self._at += len(guessed)
        self._size = len(guessed)
        self._pause = 0

    def refuse(self) -> None:
        """Guess less often: the objects of this array seem to be of several kinds."""
        self._pause = self._left = min(2 * self._pause + 1, _LONGEST_PAUSE)

    def learn(self, value: bytes | None) -> None:
        """Look how the object ends that was stepped over last."""
        found = _BEGINNING.match(self._buffer, self._at)
        self._between = b"}" + found.group() if found and value else b""
        self._size = len(value or b"")

    def broken(self, expected: str) -> Broken:
        """Return the error that something else stands here."""
        got = self.peek()
        at = self._gone + self._at
        if got == _END:
            return Broken(f"it ends too early: expected {expected} at byte {at}")
        return Broken(f"expected {expected} at byte {at}, got the byte 0x{got:02x}")

    def _scalar(self, limit: int) -> bytes | None:
        pieces: list[bytes] = []
        size = 0
        while True:
            found = _SCALAR.match(self._buffer, self._at)
            piece = found.group() if found else b""
            self._at += len(piece)
            size += len(piece)
            if size <= limit:
                pieces.append(piece)
            if self._at < len(self._buffer) or not self._more():
                break
        if not size:
            raise self.broken("a value")
        return b"".join(pieces) if size <= limit else None

    def _long_value(self, limit: int) -> bytes | None:
        """Return a value that the buffer has in part, or that is nested deep; it is looked at once, byte by byte."""
        pieces: list[bytes] = []
        size = depth = 0
        in_string = False
        while True:
            start = at = self._at
            buffer, end, done = self._buffer, len(self._buffer), False
            while at < end and not done:
                found = (_INSIDE if in_string else _OUTSIDE).match(buffer, at)
                at = found.end() if found else at
                if at == end or (in_string and buffer[at] == _BACKSLASH):
                    break  # a backslash at the end is looked at again, with what it escapes
                char = buffer[at]
                at += 1
                if char == _QUOTE:
                    in_string = not in_string
                else:
                    depth += 1 if char in b"{[" else -1
                done = depth == 0 and not in_string
            size += at - start
            if size <= limit:
                pieces.append(buffer[start:at])
            else:
                pieces.clear()
            self._at = at
            if done:
                return b"".join(pieces) if size <= limit else None
            if not self._more():
                self._at = len(self._buffer)  # which may have half an escape
                raise self.broken("the end of a string" if in_string else "the end of a value")

    def _more(self) -> bool:
        chunk = next(self._chunks, b"")
        self._gone += self._at
        self._buffer = self._buffer[self._at :] + chunk if chunk else self._buffer[self._at :]
        self._at = 0
        return bool(chunk)


def read_array(
    name: str,
    chunks: Chunks,
    path: tuple[str, ...],
    convert: Callable[[Place, Any], Iterable[Exchange | Trouble]],
) -> Iterator[Exchange | Trouble]:
    """
    Read a JSON document whose exchanges are the elements of an array.

    Args:
        name: of the file, for places.
        chunks: of the document.
        path: names that lead to the array.
        convert: returns what one element is; raises Misfit when it has another shape.
    """
    cutter = Cutter(chunks)
    number = 0
    try:
        for _ in cutter.array_at(path):
            number += 1
            place = Place(name, number)
            try:
                loaded, value = _next(cutter)
                if loaded:
                    yield from convert(place, value)
                else:
                    yield Trouble(place, f"it is longer than {LIMIT >> 20} MiB, and was left out")
            except orjson.JSONDecodeError as error:
                yield Trouble(place, f"expected JSON: {error}")
            except Misfit as error:
                yield Trouble(place, str(error))
        if cutter.peek() != _END:
            raise cutter.broken("the end of the document")
    except Broken as error:
        yield Trouble(Place(name, number), f"the rest cannot be read: {error}")
    else:
        if not cutter.found:
            yield Trouble(Place(name, 0), f"expected an array {'.'.join(path)}, found none")


def _next(cutter: Cutter) -> tuple[bool, Any]:
    """Return whether the next element could be loaded, and what it is."""
    guessed = cutter.guess()
    if guessed is not None:
        try:
            value = orjson.loads(guessed)
        except orjson.JSONDecodeError:
            cutter.refuse()
        else:
            cutter.accept(guessed)
            return True, value
    data = cutter.value()
    cutter.learn(data)
    return (False, None) if data is None else (True, orjson.loads(data))
