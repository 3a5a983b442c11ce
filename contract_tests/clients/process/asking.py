"""What a command is asked to do, and in which ways it is told: its arguments, its environment, a line of JSON."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from contract_tests.clients.story import Ending

VARIABLES = {
    "base_url": "FLUXMOCK_BASE_URL",
    "api_key": "TT_API_KEY",
    "prompt": "FLUXMOCK_PROMPT",
    "mode": "FLUXMOCK_MODE",
    "hook_url": "FLUXMOCK_HOOK_URL",
    "image": "FLUXMOCK_IMAGE",
    "out": "FLUXMOCK_OUT",
}
"""Environment variables by the names of the placeholders that say the same."""

_PLACEHOLDER = re.compile(r"\{(" + "|".join(VARIABLES) + r")\}")
_LOOPBACK = ("127.0.0.1", "localhost")
_MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Wish:
    """
    One image that a command is to get; the fields are the placeholders of its arguments.

    Args:
        base_url: of the API, without a slash at the end.
        api_key: to send along.
        prompt: what the image is to show.
        mode: of the API.
        hook_url: where results are to be sent; "" for nowhere.
        image: path of a file to edit; "" generates.
        out: path of a file that the image may be written to.
    """

    base_url: str
    api_key: str
    prompt: str
    mode: str
    hook_url: str
    image: str
    out: str

    @property
    def fields(self) -> dict[str, str]:
        """The values by the names of the placeholders."""
        return asdict(self)

    def arguments(self, argv: Sequence[str]) -> list[str]:
        """Return `argv` with the placeholders filled in; other braces stay as they are."""
        fields = self.fields
        return [_PLACEHOLDER.sub(lambda found: fields[found[1]], word) for word in argv]

    def variables(self) -> dict[str, str]:
        """Return the same as environment variables; what is empty is not there."""
        return {VARIABLES[name]: value for name, value in self.fields.items() if value}


def placeholders(argv: Sequence[str]) -> frozenset[str]:
    """Return the names of the placeholders that occur in the arguments."""
    return frozenset(name for word in argv for name in _PLACEHOLDER.findall(word))


@dataclass(frozen=True, slots=True)
class Said:
    """
    How a command ended.

    Args:
        ending: RETURNED for an exit code of 0, FAILED for another, HUNG if it had to be ended.
        value: the URL or path of the image, or whatever was said in place of it; the image if nothing was said.
        error: why it failed.
        output: what it printed.
        image: the bytes of the image, if there is a file with it.
        trouble: what was wrong with the way in which it said so; "" for nothing.
    """

    ending: Ending
    value: object = None
    error: str = ""
    output: str = ""
    image: bytes | None = None
    trouble: str = ""


def environment(changes: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of this process with changes, in which no proxy stands before loopback."""
    variables = {name: value for name, value in os.environ.items() if name not in VARIABLES.values()}
    for name in ("NO_PROXY", "no_proxy"):
        there = variables.get(name)
        variables[name] = ",".join([*([there] if there else []), *_LOOPBACK])
    return {**variables, **changes}


def returned(told: str, out: Path, folder: Path, output: str) -> Said:
    """
    Return what a command said that reports success.

    Args:
        told: URL or path of the image, as it was said; "" for neither.
        out: where the image may have been written to.
        folder: where the command ran.
        output: what it printed.
    """
    image = _bytes(out) if out.is_file() and out.stat().st_size else None
    if image is None and told and "://" not in told:
        with suppress(OSError, ValueError):  # a text that is no path
            image = _bytes(folder / told)
    return Said(Ending.RETURNED, told or image, image=image, output=output)


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MOST_BYTES)
