"""Every command and snippet in the documentation runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import mock_server
from contract_tests import policy
from contract_tests.findings import RULES
from mock_server.scenarios.files import library, load_scenario, parse_scenario
from mock_server.serving import Server
from mock_server.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
PAGES = sorted((ROOT / "docs").glob("*.md"))
DOCS = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "examples/README.md", "benchmarks/README.md")),
    *PAGES,
]
COMMANDS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def test_the_readme_leads_with_two_commands() -> None:
    assert COMMANDS[0] == "python3 -m pip install . && python3 -m mock_server demo\n"
    assert COMMANDS[1] == 'python3 -m pip install -e ".[test]" && python3 -m pytest\n'


def test_ci_runs_the_test_command_of_the_readme() -> None:
    install, run = COMMANDS[1].strip().split(" && ")
    ci = (ROOT / ".ci" / "run").read_text("utf-8")
    assert f"{install.replace('install ', 'install --quiet ')} && {run}\n" in ci


def blocks(page: Path, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


def is_a_test(snippet: str) -> bool:
    return "def test_" in snippet or "@pytest.fixture(scope" in snippet


PROGRAMS = [
    snippet
    for page in (ROOT / "README.md", *PAGES)
    for snippet in blocks(page, "python")
    if not is_a_test(snippet)
]  # fmt: skip


@pytest.mark.parametrize("snippet", PROGRAMS, ids=lambda text: text.split("\n")[0])
def test_a_python_snippet_runs(snippet: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for expected in re.findall(r"print\(.*\)  # (.*)", snippet):
        assert expected in done.stdout


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.stem)
def test_the_tests_in_the_documentation_pass(page: Path, tmp_path: Path) -> None:
    snippets = [snippet for snippet in blocks(page, "python") if is_a_test(snippet)]
    if not snippets:
        assert page.stem != "pytest"
        return
    for number, snippet in enumerate(snippets):
        name = f"test_{number}.py" if "def test_" in snippet else "conftest.py"
        (tmp_path / name).write_text(snippet, "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "--strict-markers", "-W", "error", "-p", "no:asyncio"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{sum(snippet.count('def test_') for snippet in snippets)} passed" in done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_scenarios_in_the_documentation_can_be_played(page: Path) -> None:
    for block in blocks(page, "yaml"):
        if block.startswith("name:"):
            assert parse_scenario(block).rules


def test_the_page_on_scenarios_lists_all_that_are_ready_made() -> None:
    text = (ROOT / "docs" / "scenarios.md").read_text("utf-8")
    listed = re.findall(r"^\| `([a-z0-9-]+)` \| (.+) \|$", text.partition("## Ready-made")[2], re.MULTILINE)
    assert listed == [(name, load_scenario(path).story) for name, path in library().items()]


def write_recording(folder: Path) -> None:
    recorded = sorted((ROOT / "fixtures" / "exchanges" / "emulator" / "2026-03").glob("generate-*.json"))
    lines = [json.dumps(json.loads(path.read_text("utf-8"))["exchange"]) for path in recorded]
    assert lines
    (folder / "recording.jsonl").write_text("\n".join(lines) + "\n", "utf-8")


def test_the_commands_on_the_page_on_scenarios_work(tmp_path: Path) -> None:
    write_recording(tmp_path)
    (block,) = blocks(ROOT / "docs" / "scenarios.md", "sh")
    for line in block.strip().split("\n"):
        done = subprocess.run(
            line.split(), cwd=tmp_path, env={**os.environ, "PATH": PATH}, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr


def test_the_commands_on_the_page_on_checking_work(tmp_path: Path) -> None:
    write_recording(tmp_path)
    shutil.copy(ROOT / "tests" / "clients" / "samples.py", tmp_path / "shop.py")
    (block,) = blocks(ROOT / "docs" / "checking.md", "sh")
    for line in block.strip().split("\n"):
        done = subprocess.run(
            line.split(), cwd=tmp_path, env={**os.environ, "PATH": PATH}, capture_output=True, text=True, timeout=60
        )
        # From the old contract to the new one something breaks, which the exit code says.
        expected = 1 if line.startswith("fluxmock schemas diff") else 0
        assert done.returncode == expected, line + done.stdout + done.stderr


def test_the_commands_on_the_page_on_verifying_work(tmp_path: Path) -> None:
    plans, calls = blocks(ROOT / "docs" / "verify.md", "sh")
    with mock_server.serve(port=0, key="my-key", clock="auto", observer=None) as server:
        script = (
            (plans + calls)
            .replace("http://127.0.0.1:8787", server.url)
            .replace("--spend 2 --r", "--spend 2 --poll-interval 0 --r")
        )
        done = subprocess.run(
            ["sh", "-ec", script],
            cwd=tmp_path,
            env={**os.environ, "PATH": PATH},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert len(server.tenant("my-key").jobs) == 2
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("clean: ") == 3


def test_the_page_on_verifying_lists_all_rules_of_its_own() -> None:
    table = "\n".join(
        re.findall(r"^\| (`verify/.*?) \|", (ROOT / "docs" / "verify.md").read_text("utf-8"), re.MULTILINE)
    )
    assert sorted(re.findall("`(.+?)`", table)) == sorted(rule for rule in RULES if rule.startswith("verify/"))


def test_the_policy_on_the_page_on_checking_can_be_used(tmp_path: Path) -> None:
    (block,) = blocks(ROOT / "docs" / "checking.md", "toml")
    (tmp_path / "pyproject.toml").write_text(block, "utf-8")
    assert len(policy.load(tmp_path / "pyproject.toml").severities) == 2


def test_what_a_failing_test_shows_stands_in_the_documentation_as_it_is() -> None:
    message, lane = blocks(ROOT / "docs" / "pytest.md", "text")
    golden = (ROOT / "tests" / "plugin" / "test_swim_lane.py").read_text("utf-8")
    assert lane.strip("\n") in golden
    with mock_server.serve(port=0, clock="frozen", observer=None) as server:
        tenant = server.tenant("documentation")
        http = server.app.test_client()
        order = {"prompt": "a dog", "mode": "flux1-dev"}
        http.post("/flux/generate", json=order, headers={"TT-API-KEY": "documentation"})
        with pytest.raises(AssertionError) as caught:
            tenant.assert_called("generate", times=1, prompt="a cat")
    assert str(caught.value) == message.strip("\n")


def test_the_serve_command_serves(tmp_path: Path) -> None:
    (command,) = [block.strip() for block in COMMANDS if block.startswith("fluxmock serve")]
    ready = tmp_path / "ready"
    process = subprocess.Popen(
        [*command.split(), "--port", "0", "--ready-file", str(ready)], env={**os.environ, "PATH": PATH},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert "http://127.0.0.1:" in process.stdout.readline()
    finally:
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 0


def test_the_curl_commands_work(serve: Callable[..., Server]) -> None:
    if shutil.which("curl") is None:
        assert not os.environ.get("CI"), "CI has curl"
        pytest.skip("there is no curl")
    server = serve(progress="immediate")
    block, control = [block for block in COMMANDS if block.startswith("curl")]
    for line in control.replace("http://127.0.0.1:8787", server.url).strip().split("\n"):
        done = subprocess.run(["sh", "-c", line], cwd=ROOT, capture_output=True, text=True, timeout=30)
        assert done.stdout.startswith("{"), done.stderr
        assert '"error"' not in done.stdout
    lines = block.replace("\\\n", "").replace("http://127.0.0.1:8787", server.url).strip().split("\n")
    job_id = ""
    for line in lines:
        done = subprocess.run(
            ["sh", "-c", line.replace("JOB_ID", job_id)], cwd=ROOT, capture_output=True, text=True, timeout=30
        )
        assert re.search(r"^HTTP/1\.1 200", done.stdout, re.MULTILINE), done.stdout
        job_id = (re.search(r'"jobId":"([^"]+)"', done.stdout) or [""])[1]
    assert '"imageUrl"' in done.stdout


def test_every_option_in_the_tables_is_a_setting(tmp_path: Path) -> None:
    options = re.findall(r"`--([a-z-]+)(?: ([^`]+))?`", README)
    assert len(options) > 10
    for name, value in options:
        if name == "help" or (name, value) == ("product", "FILE"):
            continue
        if value:
            Settings.of(**{name.replace("-", "_"): value})
        else:
            assert name.replace("-", "_") in Settings.__dataclass_fields__


@pytest.mark.parametrize("path", [path for path in DOCS if path.exists()], ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text("utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def test_every_module_that_the_architecture_names_exists() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    tree = text.partition("```")[2].partition("```")[0]
    package = ROOT / "mock_server"
    named = set(re.findall(r"\b[a-z_]+\b", " ".join(re.findall(r"^  (\S.*?)(?:  |$)", tree, re.MULTILINE))))
    there = {path.stem for path in package.glob("*.py") if not path.stem.startswith("_")}
    there |= {path.name for path in package.iterdir() if (path / "__init__.py").exists()}
    assert there <= named
