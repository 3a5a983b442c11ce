"""Runs of clients in processes of their own: the programs, and how they are played and judged."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from contract_tests.clients.check import Plan
from contract_tests.clients.directives.base import Directive
from contract_tests.clients.directives.menu import plain
from contract_tests.clients.process.play import Player, Stage
from contract_tests.clients.process.programs import Program
from contract_tests.clients.properties.base import Policy
from contract_tests.clients.story import Story

COMMANDS = Path(__file__).parent / "commands"
PYTHON = [sys.executable, "-S", str(COMMANDS / "generate.py"), "{base_url}", "{api_key}", "{prompt}"]
DRIVER = [sys.executable, "-S", str(COMMANDS / "driver.py")]
BRISK = {"PAUSE": "0.05"}
LOST = ("submit: closed after accept", "submit: reset after accept")


def plan(*only: str, examples: int = 3, policy: Policy | None = None) -> Plan:
    return Plan(only=only, examples=examples, policy=policy or Policy())


def named(*names: str) -> list[Directive]:
    by_name = {directive.name: directive for directive in plain()}
    return [by_name[name] for name in names]


def play(argv: Sequence[str], *directives: Directive, seconds: float = 20.0, **stage: object) -> Story:
    """Play one scenario to a program."""
    how = replace(Stage(contract="2024-09", workers=2), **stage)  # type: ignore[arg-type]
    with Player(lambda: Program(argv, {"FLUXMOCK_SPEED": f"{how.speed:g}"}, seconds), how) as player:
        return player.play(directives)


def needed(program: str) -> str:
    """Return the path of a program, or skip the test."""
    path = shutil.which(program)
    if path is None:
        assert not os.environ.get("CI"), f"CI has {program}"
        pytest.skip(f"there is no {program}")
    return path
