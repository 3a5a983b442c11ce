"""The page that mends a naive client step by step: each step breaks what the page says, and no more."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract_tests import check_client
from contract_tests.clients.properties.base import Level

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "first-client.md").read_text("utf-8")
STEPS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
HEADS = re.findall(r"^```text\n(.*?)\n```", PAGE, re.DOTALL | re.MULTILINE)


def client(step: int) -> Callable[..., Any]:
    """Return the client of a step; the last one shows only what is different from the one before."""
    code = STEPS[step] if "def generate" in STEPS[step] else STEPS[step - 1] + STEPS[step]
    names: dict[str, Any] = {"__name__": f"step_{step}"}
    exec(compile(code, f"step {step} of the page", "exec"), names)  # noqa: S102 - it is our own page
    return names["generate"]


def test_the_page_has_a_verdict_for_each_step_and_begins_small() -> None:
    assert len(STEPS) == len(HEADS) >= 4
    assert len(STEPS[0].splitlines()) <= 25


@pytest.mark.parametrize("step", range(len(STEPS)))
def test_a_step_breaks_what_the_page_says(step: int) -> None:
    failures = check_client(client(step)).failures()
    heads = [
        f"{'✗' if one.property.level is Level.MUST else '!'} {one.property.id} {one.property.level:<6} {one.property.title}"
        for one in failures
    ]
    assert "\n".join(heads) == HEADS[step].replace("(nothing)", "")
