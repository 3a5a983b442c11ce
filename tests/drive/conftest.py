"""A client in a module of its own, in every style of import, and time for busy threads."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from driving import STYLES, Write

from mock_server.drive import turns


@pytest.fixture(params=STYLES)
def style(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a client, given its source or its style, and return what imports it."""
    name = "driven_client"

    def write(style: str) -> Callable[[], ModuleType]:
        (tmp_path / f"{name}.py").write_text(STYLES.get(style, style))
        importlib.invalidate_caches()
        return lambda: importlib.import_module(name)

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    sys.modules.pop(name, None)
    yield write
    sys.modules.pop(name, None)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let busy threads have all the time that a loaded machine needs; where all come to rest none of it passes."""
    monkeypatch.setattr(turns, "GRACE", 60.0)
