"""libfaketime, where it is installed: a preloaded library that lets the clock of a process run faster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from contract_tests.clients.process.processes import UnusableCommand

_NAMES = ("libfaketimeMT.so.1", "libfaketime.so.1")
# The first is for programs with threads, as most clients are.

_PLACES = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib")


def faketime_variables(speed: float) -> dict[str, str]:
    """
    Return the environment in which a process lives `speed` times as fast.

    Raises:
        UnusableCommand: libfaketime is not installed.
    """
    library = next(_libraries(), None)
    if library is None:
        raise UnusableCommand(
            f"expected libfaketime in one of {', '.join(_PLACES)}, found none; install it (apt-get install "
            "libfaketime), or have the client read FLUXMOCK_SPEED"
        )
    preloaded = os.environ.get("LD_PRELOAD")
    return {
        "LD_PRELOAD": f"{library}:{preloaded}" if preloaded else str(library),
        "FAKETIME": f"+0 x{speed:g}",
        "FAKETIME_DONT_RESET": "1",
    }


def _libraries() -> Iterator[Path]:
    for name in _NAMES:
        for place in _PLACES:
            for folder in ("faketime", "*/faketime"):  # not deeper: /usr/lib is large
                yield from sorted(Path(place).glob(f"{folder}/{name}"))
