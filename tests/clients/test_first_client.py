"""The page that mends a naive client step by step: each step breaks what the page says, and no more."""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mock_server
from contract_tests import check_client
from contract_tests.clients.properties.base import Level
from mock_server.adapters.for_requests import intercept
from mock_server.adapters.inprocess import InProcess

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "first-client.md").read_text("utf-8")
STEPS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
HEADS = re.findall(r"^```text\n(.*?)\n```", PAGE, re.DOTALL | re.MULTILINE)


def client(step: int) -> Callable[..., Any]:
    """Return the client of a step; the last one shows only what is different from the one before."""
    code = STEPS[step] if "def generate" in STEPS[step] else STEPS[step - 1] + STEPS[step]
    names: dict[str, Any] = {"__name__": f"step_{step}"}
    exec(compile(code, f"step {step} of the page", "exec"), names)  # noqa: S102 - it is our own page
    return names["generate"]


def test_the_page_has_a_verdict_for_each_step_and_begins_with_as_many_lines_as_it_says() -> None:
    assert len(STEPS) == len(HEADS) >= 4
    lines = sum(bool(line.strip()) for line in STEPS[0].split("\n"))
    assert f": {lines} lines, and " in PAGE
    assert lines == 25


def test_the_naive_client_saves_a_cat_as_long_as_all_goes_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (words,) = re.findall(r'`python (client\.py) "(a cat[^"]*)"`', PAGE)
    (tmp_path / "client.py").write_text(STEPS[0], "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [*words])
    monkeypatch.setenv("TT_API_KEY", "a-key")
    with mock_server.serve(progress="immediate") as server, intercept(InProcess(server.app, "a-key")):
        runpy.run_path("client.py", run_name="__main__")
        assert [job.order.prompt for job in server.tenant("a-key").jobs] == [words[1]]
    assert (tmp_path / "1.webp").read_bytes()[:4] == b"RIFF"
    assert capsys.readouterr().out == f"{words[1]}: 1.webp\n"


@pytest.mark.parametrize("step", range(len(STEPS)))
def test_a_step_breaks_what_the_page_says(step: int) -> None:
    failures = check_client(client(step)).failures()
    heads = [
        f"{'✗' if one.property.level is Level.MUST else '!'} {one.property.id} {one.property.level:<6} {one.property.title}"
        for one in failures
    ]
    assert "\n".join(heads) == HEADS[step].replace("(nothing)", "")
    if len(failures) == 1:  # of the last one the page tells what the card does
        (last,) = failures
        assert f"`{'; '.join(last.directives)}`" in PAGE
        assert last.why in " ".join(PAGE.split())
