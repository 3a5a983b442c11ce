"""The benchmarks run, and say truthfully whether a target is met."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROW = re.compile(r"^\| (?P<name>[^|]+) \| (?P<value>[0-9.,e+]+) (?P<unit>\S+) \|(?P<rest>.+)\|$", re.MULTILINE)

needs_wrk = pytest.mark.skipif(
    shutil.which("wrk") is None and os.environ.get("CI") != "true",
    reason="the load generator wrk is not installed (apt-get install wrk)",
)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        pytest.param("http", {"fetches", "requests of job cycles", "whole jobs"}, marks=needs_wrk),
        ("start", {"start to first answer"}),
        ("memory", {"idle", "each of 2"}),
        ("cycle", {"life cycle through the tenant", "life cycle through the app's fast lane"}),
        ("hooks", {"27 hours of hook retries"}),
        (
            "delays",
            {"100 delayed answers at once: later than asked", "100 delayed answers at once: threads of the server"},
        ),
        ("checking", {"messages checked", "1 MB of HAR checked", "2 MB of HAR checked: memory at most"}),
        ("clients", {"usual jobs with requests", "usual jobs with urllib", "verdict on a client behind a driver"}),
        (
            "zoo",
            {
                "3 broken clients: found with the default profile",
                "scenarios until the fault of a broken client is seen",
            },
        ),
    ],
)
def test_a_benchmark_prints_its_figures_with_the_command_beside_each(name, figures):
    done = run(name, "--smoke")
    assert done.returncode == 0, done.stderr
    rows = [row for row in ROW.finditer(done.stdout) if row["name"].partition(",")[0] in figures]
    assert {row["name"].partition(",")[0] for row in rows} == figures
    for row in rows:
        assert float(row["value"].replace(",", "")) > 0, row[0]
        assert f"`python benchmarks {name}`" in row["rest"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("http", "parse the request"),
        ("start", "ms  flask"),
        ("memory", "Bytes a job"),
        ("cycle", "through_app:"),
        ("hooks", "function calls"),
        ("delays", "p99"),
        ("checking", "function calls"),
        ("clients", "function calls"),
        ("zoo", "function calls"),
        ("plugin", "100 passed"),
    ],
)
def test_a_profile_says_where_it_goes(name, words):
    done = run(name, "--smoke", "--profile")
    assert done.returncode == 0, done.stderr
    assert words in done.stdout


def test_an_unknown_benchmark_is_refused_with_the_names_there_are():
    done = run("htpp")
    assert done.returncode == 2
    assert (
        "expected benchmarks out of http, start, memory, cycle, hooks, delays, checking, clients, zoo, plugin, got htpp"
        in done.stderr
    )


def test_without_wrk_the_http_benchmark_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = run("http", "--smoke")
    assert done.returncode == 1
    assert "apt-get install wrk" in done.stderr


@pytest.fixture
def measure(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.delitem(sys.modules, "measure", raising=False)
    import measure

    return measure


def test_a_ratio_is_the_median_of_the_ratios_of_the_rounds(measure):
    """The ratio of the medians would be 30 / 20: it pairs values of different rounds."""
    figure = measure.Figure("speed", "/s", [10, 30, 90], "other", [20, 10, 30])
    assert "| 30 /s | 10 to 90 | 20 (other) | 3.00 |" in figure.row("command")


@pytest.mark.parametrize(
    ("at_least", "value", "verdict"),
    [(True, 100, "≥ 100: met"), (True, 99, "≥ 100: missed"), (False, 99, "< 100: met"), (False, 100, "< 100: missed")],
)
def test_a_target_is_met_on_the_right_side_of_its_limit(measure, at_least, value, verdict):
    assert measure.Target(100, at_least=at_least).verdict(value) == verdict


def test_contenders_take_turns_and_every_other_round_goes_backwards(measure):
    order: list[str] = []
    results = measure.take_turns(2, lambda: order.append("a") or 1, lambda: order.append("b") or 2)
    assert order == ["a", "b", "b", "a"]
    assert results == [[1, 1], [2, 2]]
