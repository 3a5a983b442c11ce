"""Finds the data folders `schemas/` and `fixtures/`: inside the wheel first, else in the checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

_HERE = Path(__file__).resolve().parent
_PLACES = (_HERE / "_packed", _HERE.parent)


def folder(name: str) -> Path:
    """
    Return the path of the data folder `name` ("schemas" or "fixtures").

    Raises:
        FileNotFoundError: the installation is incomplete.
    """
    for place in _PLACES:
        if (place / name).is_dir():
            return place / name
    raise FileNotFoundError(f"the data folder {name!r} is missing from this installation; reinstall fluxmock")


def load(name: str) -> Any:
    """Return the parsed JSON file `name`, a path below `schemas/` such as "2024-09/fetch.response.json"."""
    return orjson.loads((folder("schemas") / name).read_bytes())
