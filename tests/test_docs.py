"""Every command and snippet in the documentation runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mock_server.serving import Server
from mock_server.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
DOCS = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "examples/README.md", "benchmarks/README.md")]
COMMANDS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def test_the_readme_leads_with_two_commands() -> None:
    assert COMMANDS[0] == "python3 -m pip install . && python3 -m mock_server demo\n"
    assert COMMANDS[1] == 'python3 -m pip install -e ".[test]" && python3 -m pytest\n'


def test_ci_runs_the_test_command_of_the_readme() -> None:
    install, run = COMMANDS[1].strip().split(" && ")
    ci = (ROOT / ".ci" / "run").read_text("utf-8")
    assert f"{install.replace('install ', 'install --quiet ')} && {run}\n" in ci


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda text: text.split("\n")[0])
def test_a_python_snippet_runs(snippet: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for expected in re.findall(r"print\(.*\)  # (.*)", snippet):
        assert expected in done.stdout


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
