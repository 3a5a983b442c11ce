"""Every command and snippet on the page on testing a client runs, and what it shows is what is shown."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from contract_tests.clients.check import PROFILES, Plan
from contract_tests.clients.declared import load
from contract_tests.clients.properties.base import Level, Policy, unjudged

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "clients.md").read_text("utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (client,) = blocks("python")
    (tmp_path / "client.py").write_text(client, "utf-8")
    return tmp_path


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("FLUXMOCK_", "PYTEST_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        words,
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=240,
        env={**inherited, "PATH": path, "PYTHONIOENCODING": "utf-8"},
    )


def test_the_card_on_the_page_is_what_the_command_before_it_shows(folder: Path) -> None:
    done = run(folder, *blocks("sh")[0].split())
    assert done.returncode == 1
    assert done.stdout.partition("\n\nplayed: ")[0] == blocks("text")[0].rstrip("\n")


def test_the_commands_on_the_page_work(folder: Path) -> None:
    lines = blocks("sh")[1].strip().split("\n")
    codes = [run(folder, *line.split()).returncode for line in lines]
    assert codes == [1, 1, 1, 1, 0, 1, 0]
    assert (folder / "verdict.html").read_text("utf-8").startswith("<!doctype html>")
    assert sorted(path.suffix for path in (folder / "regression").iterdir()) == [".py", ".yaml"]


def test_the_class_on_the_page_is_collected_and_fails_where_the_client_does(folder: Path) -> None:
    (folder / "test_my_client.py").write_text(blocks("py")[0], "utf-8")
    quiet = ("-p", "no:cacheprovider", "-p", "no:asyncio", "-W", "error", "-rfs")
    done = run(folder, sys.executable, "-m", "pytest", *quiet, "-k", "calls or C08 or C30")
    assert done.returncode == 1
    assert "FAILED test_my_client.py::TestMyClient::test_C08_" in done.stdout
    assert "the plan skips it" in done.stdout
    assert "1 failed, 1 passed, 1 skipped" in done.stdout


def test_the_code_on_the_page_runs(folder: Path) -> None:
    done = run(folder, sys.executable, "-c", blocks("py")[1])
    assert done.stdout.split("\n")[0].startswith("fail it fetched the job "), done.stderr
    assert done.stdout.split("\n")[1].startswith("pass ")


def test_what_is_declared_on_the_page_can_be_declared(tmp_path: Path) -> None:
    (block,) = blocks("toml")
    (tmp_path / "pyproject.toml").write_text(block, "utf-8")
    assert load(tmp_path / "pyproject.toml") == Policy(**tomllib.loads(block)["tool"]["fluxmock"]["client"])


def usual(value: object) -> str:
    if value is None or value == "":
        return "none"
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"


def test_the_page_lists_all_that_can_be_declared_and_what_is_usual() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| (\S+) \|", PAGE, re.MULTILINE)
    assert dict(rows) == {field.name: usual(field.default) for field in dataclasses.fields(Policy)}


def test_the_page_says_how_many_properties_a_profile_looks_for() -> None:
    chosen, declared = Plan().chosen(), Plan(policy=Policy(max_in_flight=1)).chosen()
    must, should = (sum(one.level is level for one in chosen) for level in (Level.MUST, Level.SHOULD))
    text = " ".join(PAGE.split())
    quick, usual_, deep = PROFILES.values()
    assert f"plays {quick} scenarios (`quick`), {usual_} (`default`) or {deep:,} (`deep`)" in text
    assert f"the same {len(chosen)} properties: {must} MUST and {should} SHOULD;" in text
    assert must + should == len(chosen)
    assert f"one POLICY makes it {len(declared)} where its value is declared" in text
    assert {one.id for one in declared} - {one.id for one in chosen} == {"C07"}


def test_the_page_says_what_is_not_judged_and_why() -> None:
    text = " ".join(PAGE.split())
    assert re.findall(r"- (C\d\d), ", text) == list(unjudged())
    for one in unjudged().values():
        assert f"- {one.id}, {one.title}: {one.reason}." in text


def test_what_the_readme_says_of_clients_works(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    samples = Path(__file__).with_name("samples.py").read_text("utf-8")
    (tmp_path / "my_module.py").write_text(f"{samples}\n\ngenerate = good\n", "utf-8")
    (command,) = re.findall(r"^fluxmock test-client .*$", readme, re.MULTILINE)
    done = run(tmp_path, *command.split())
    assert done.returncode == 0, done.stdout + done.stderr
    (tests,) = re.findall(r"^```py\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    (tmp_path / "test_mine.py").write_text(tests, "utf-8")
    done = run(tmp_path, sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", "test_mine.py")
    assert done.returncode == 0, done.stdout + done.stderr
