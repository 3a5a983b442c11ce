"""Clients of the zoo that are commands: Node's fetch, axios, and curl in sh. They run on real sockets."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "programs"
SPEED, TIMEOUT, WORKERS = 5.0, 45.0, 32
"""Seconds of a program's in a real one; real seconds after which it is ended, long after its three minutes; how many at
once, for they sleep nearly all the time."""

_MARKS = {".sh": "# ", ".mjs": "// ", ".cjs": "// "}


@dataclass(frozen=True)
class Program:
    """
    One command of the zoo.

    Args:
        name: of its file in `programs`.
        stack: the HTTP library.
        about: the property that it breaks; "" for a good one.
        also: other properties that must hold and that its fault breaks as well, each with the reason.
        beside: properties whose scenarios show it, where it has none of its own.
    """

    name: str
    stack: str
    about: str = ""
    also: Mapping[str, str] = field(default_factory=dict)
    beside: tuple[str, ...] = ()

    @property
    def breaks(self) -> frozenset[str]:
        """The properties that it really breaks."""
        return frozenset({self.about, *self.also} - {""})

    @property
    def path(self) -> Path:
        """Where it is."""
        return FOLDER / self.name

    @property
    def argv(self) -> list[str]:
        """The command."""
        return ["sh" if self.path.suffix == ".sh" else "node", str(self.path)]

    @property
    def story(self) -> str:
        """What it does, or does wrong, in one line: the first of the file."""
        return self.path.read_text("utf-8").splitlines()[0].removeprefix(_MARKS[self.path.suffix])

    def missing(self) -> str:
        """Return what it needs and is not there; "" for nothing."""
        wanted = {"sh": ("sh", "curl", "jq"), "node": ("node",)}[self.argv[0]]
        without = next((name for name in wanted if shutil.which(name) is None), "")
        axios = any((folder / "node_modules" / "axios").is_dir() for folder in self.path.parents)
        return without or ("axios" if self.stack == "axios" and not axios else "")


_BILLED = "each order is paid for"
PROGRAMS = (
    Program("good.mjs", "Node fetch"),
    Program("good.sh", "curl"),
    Program("axios-retry.cjs", "axios", "C01", {"C06": _BILLED}),
    Program(
        "curl-retry.sh",
        "curl",
        "C01",
        {"C06": _BILLED, "C14": "curl prints what every attempt was answered, and no id is read of that"},
    ),
    Program("fetch-retry.mjs", "Node fetch", "C01", {"C06": _BILLED}),
    Program(
        "sed-id.sh",
        "curl",
        "C13",
        {"C14": "of an empty answer nothing is left", "C31": "sed knows one way of writing JSON"},
        beside=("C02",),
    ),
    Program("undefined-id.mjs", "Node fetch", "C14"),
    Program("axios-no-catch.cjs", "axios", "C16"),
    Program("follows.mjs", "Node fetch", "C43", {"C48": "a redirect that is followed takes the key along"}),
    Program("no-quotes.sh", "curl", "C51"),
    Program("axios-text.cjs", "axios", "C53"),
)
