"""What a client raises or returns, in words, although it may refuse to be put into words."""

from __future__ import annotations

import traceback
from pathlib import Path

_PLAIN = frozenset({type(None), bool, int, float, str, bytes, type(Path())})


class Unprintable:
    """Stands for an object whose `repr` or `str` raises."""

    def __init__(self, value: object) -> None:
        self._kind = type(value).__name__

    def __repr__(self) -> str:
        return f"<{self._kind} that cannot be printed>"


def printable(value: object) -> object:
    """Return `value`, or what stands for it if it cannot be printed."""
    if type(value) in _PLAIN:
        return value
    try:
        repr(value), str(value)
    except BaseException:  # noqa: BLE001 - it is the client's, so it may raise anything
        return Unprintable(value)
    return value


def words_of(error: BaseException) -> tuple[str, str]:
    """Return what an exception says, and the whole of its traceback."""
    kind = type(error).__name__
    try:
        said = str(error)
    except BaseException:  # noqa: BLE001 - as above
        said = "(its text cannot be printed)"
    try:
        told = "".join(traceback.format_exception(error))
    except BaseException:  # noqa: BLE001 - as above
        told = "".join(["Traceback (most recent call last):\n", *traceback.format_tb(error.__traceback__), kind, "\n"])
    return (f"{kind}: {said}" if said else kind), told
