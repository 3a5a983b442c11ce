"""Clients of the zoo that are commands: Node's fetch, axios, and curl in sh. They run on real sockets."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "programs"
_MARKS = {".sh": "# ", ".mjs": "// ", ".cjs": "// "}


@dataclass(frozen=True)
class Program:
    """
    One command of the zoo.

    Args:
        file: its name in `programs`.
        stack: the HTTP library.
        about: the property that it breaks; "" for a good one.
        beside: properties whose scenarios show it, where it has none of its own.
    """

    file: str
    stack: str
    about: str = ""
    beside: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """Where it is."""
        return FOLDER / self.file

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


PROGRAMS = (
    Program("good.mjs", "Node fetch"),
    Program("good.sh", "curl"),
    Program("axios-retry.cjs", "axios", "C01"),
    Program("curl-retry.sh", "curl", "C01"),
    Program("fetch-retry.mjs", "Node fetch", "C01"),
    Program("sed-id.sh", "curl", "C13", ("C02",)),
    Program("undefined-id.mjs", "Node fetch", "C14"),
    Program("axios-no-catch.cjs", "axios", "C16"),
    Program("follows.mjs", "Node fetch", "C43"),
    Program("no-quotes.sh", "curl", "C51"),
    Program("axios-text.cjs", "axios", "C53"),
)
