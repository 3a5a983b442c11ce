"""The page on clients in any language: its programs run, and are judged as it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from contract_tests.clients.directives.base import ORIGINS
from contract_tests.clients.process.asking import VARIABLES
from contract_tests.clients.process.check import TIMEOUT, WORKERS
from contract_tests.clients.process.play import PACE

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "clients-any-language.md").read_text("utf-8")
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
CLIENT, COMMAND, WITH_DRIVER, WITH_EDITS, WITH_HOOKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
DRIVER, HOOKED = re.findall(r"```py\n(.*?)```", PAGE, re.DOTALL)


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command.split(), cwd=folder, env={**os.environ, "PATH": PATH}, capture_output=True, text=True, timeout=120
    )


def test_the_client_of_curls_is_found_out(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        assert not os.environ.get("CI"), "CI has curl"
        pytest.skip("there is no curl")
    (tmp_path / "client.sh").write_text(CLIENT, "utf-8")
    done = run(COMMAND, tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "C01" in done.stdout


def test_the_driver_passes(tmp_path: Path) -> None:
    (tmp_path / "driver.py").write_text(DRIVER, "utf-8")
    done = run(WITH_DRIVER, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_driver_that_does_no_edits_when_it_is_asked_to_exercises_nothing(tmp_path: Path) -> None:
    (tmp_path / "driver.py").write_text(DRIVER, "utf-8")
    done = run(WITH_EDITS, tmp_path)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "- C49 MUST   multipart is well formed (not exercised" in done.stdout


def test_the_receiver_that_believes_anybody_is_found_out(tmp_path: Path) -> None:
    (tmp_path / "hooked.py").write_text(HOOKED, "utf-8")
    done = run(WITH_HOOKS, tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "✗ C41 MUST   forged webhooks do nothing" in done.stdout
    assert ".fluxmock.test, as a forged webhook said" in " ".join(done.stdout.split())


def test_the_page_says_what_is_so() -> None:
    table = dict(re.findall(r"^\| `\{(\w+)\}` \| `(\w+)` \|", PAGE, re.MULTILINE))
    assert table == VARIABLES
    assert f"After {TIMEOUT:g} real seconds" in PAGE
    assert f"{WORKERS} clients run at once" in PAGE
    assert ORIGINS["api"] in PAGE
    assert ORIGINS["images"] in PAGE
    assert PACE == 20
    assert "a twentieth of the time" in PAGE
