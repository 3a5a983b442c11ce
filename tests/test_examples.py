"""The programs in examples/, run as their users run them: each in a process of its own, to the downloaded image."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

import mock_server
from mock_server.journal import Entry, Journal, RequestEntry
from mock_server.serving import Server

EXAMPLES = Path(__file__).parent.parent / "examples"
KEY = "key-of-the-examples"
PATIENCE = 120  # seconds; only a failing test waits that long
BOTH = ("2024-09", "2026-03")
INPUTS = ("小猫.png", "père.jpg")


@dataclass(frozen=True)
class Example:
    """
    A program in examples/.

    Args:
        size: width and height of the image that it asks for.
        contracts: the versions that it understands.
        inputs: how many image files it takes as arguments.
        uploads: the file names that it uploads, as they stand on the wire.
    """

    name: str
    size: tuple[int, int]
    contracts: tuple[str, ...] = BOTH
    inputs: int = 0
    uploads: tuple[str, ...] = ()


PROGRAMS = [
    Example("python_requests.py", (1024, 1024), contracts=("2024-09",)),
    Example("python_urllib.py", (1024, 1792)),
    Example("python_httpx.py", (1344, 768)),
    Example("python_aiohttp.py", (1216, 832), uploads=("%E5%B0%8F%E7%8C%AB.webp",)),
    Example("python_edits_requests.py", (1152, 896), inputs=1, uploads=INPUTS[:1]),
    Example("python_webhook.py", (768, 1344)),
    Example("node_axios.cjs", (1024, 1024), contracts=("2024-09",)),
    Example("node_fetch.mjs", (1536, 640), uploads=("chat à peindre.webp",)),
    Example("generate_and_fetch.sh", (832, 1216)),
    Example("edits.sh", (896, 1152), inputs=2, uploads=INPUTS),
]
A_TEST = "in_a_test.py"
every_program = pytest.mark.parametrize("example", PROGRAMS, ids=lambda example: example.name)

# What the vendor's page has its readers write, each to be found in the example made of it. Only the base URL and the
# spelling of the key differ, and how Prettier or Black would break lines.
VENDOR_CODE = {
    "python_requests.py": [
        'headers = {"TT-API-KEY": your_key}',
        'data = {"prompt": "a cute cat", "mode": "flux1-dev"}',
        "response = requests.post(endpoint, headers=headers, json=data)"
        "print(response.status_code)"
        "print(response.json())",
    ],
    "node_axios.cjs": [
        "const axios = require('axios');",
        "let config = {method: 'post', url: `${baseUrl}/flux/generate`, headers: {'TT-API-KEY': yourKey},"
        'data: {"prompt": "a cute cat", "mode": "flux1-dev"}};',
        "let config = {method: 'post', url: `${baseUrl}/flux/fetch`, headers: {'TT-API-KEY': yourKey},"
        'data: {"jobId": jobId}};',
        "axios(config).then(function (response) {console.log(JSON.stringify(response.status));",
        ".catch(function (error) {console.log(error);",
    ],
}


def missing(what: str) -> None:
    """Skip the test, which needs `what`; on CI, where all is there, fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must have {what}")
    pytest.skip(f"there is no {what}")


def command_for(name: str) -> list[str]:
    """Return the words that start a program; skips when its runtime is not there."""
    if name.endswith(".py"):
        return [sys.executable]
    runtime = "sh" if name.endswith(".sh") else "node"
    for tool in ("sh", "curl") if runtime == "sh" else ("node",):
        if shutil.which(tool) is None:
            missing(tool)
    if name == "node_axios.cjs":
        # As the example itself finds it: node_modules above it, or a folder in NODE_PATH.
        found = subprocess.run(["node", "-e", "require.resolve('axios')"], cwd=EXAMPLES, capture_output=True)
        if found.returncode:
            missing("axios (npm install --no-save --no-package-lock axios, or NODE_PATH)")
    return [runtime]


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment without what would reach into the program, with `more`."""
    private = ("FLUXMOCK_", "PYTEST_", "TT_API_KEY", "OUT", "POLL_SECONDS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(private)}
    return kept | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "PYTHONUTF8": "1"} | more


def run(example: Example, url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program in `folder`, where it also leaves its image, result.webp."""
    inputs = INPUTS[: example.inputs]
    for name in inputs:
        Image.new("RGB", (64, 48), "orange").save(folder / name)
    return subprocess.run(
        [*command_for(example.name), EXAMPLES / example.name, *inputs],
        cwd=folder,
        env=environment(FLUXMOCK_BASE_URL=url, TT_API_KEY=KEY, POLL_SECONDS="0", OUT=str(folder / "result.webp")),
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
    )


@pytest.mark.parametrize(
    ("example", "contract"),
    [
        pytest.param(example, contract, id=f"{example.name}-{contract}")
        for example in PROGRAMS
        for contract in example.contracts
    ],
)
def test_every_program_ends_with_its_image(
    example: Example, contract: str, serve: Callable[..., Server], tmp_path: Path
) -> None:
    server = serve(clock="auto", contract=contract)

    done = run(example, server.url, tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == str(tmp_path / "result.webp")
    with Image.open(tmp_path / "result.webp") as image:
        image.load()
        assert (image.format, image.size) == ("WEBP", example.size)
    requests = server.tenant(KEY).journal.requests
    assert [entry.explanation for entry in requests if entry.explanation or entry.lint] == []
    assert list(server.strays) == []
    # The journal keeps the body as it came: file names are seen here before they are decoded.
    body = b"".join(entry.request_body for entry in requests if entry.path == "/flux/edits")
    assert tuple(re.findall(r'name="image"; filename="([^"]*)"', body.decode("utf-8", "replace"))) == example.uploads


@pytest.mark.parametrize(
    "example",
    [example for example in PROGRAMS if example.name != "python_webhook.py"],
    ids=lambda example: example.name,
)
def test_a_program_asks_again_while_its_job_runs(
    example: Example, serve: Callable[..., Server], tmp_path: Path
) -> None:
    server = serve(progress="polls:3", clock="frozen")

    done = run(example, server.url, tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    tenant = server.tenant(KEY)
    fetches = [entry.job_id for entry in tenant.journal.requests if entry.path == "/flux/fetch"]
    assert fetches == [job.id for job in tenant.jobs for _ in range(3)]


def test_the_webhook_program_never_fetches(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(clock="auto")

    run(next(example for example in PROGRAMS if example.name == "python_webhook.py"), server.url, tmp_path)

    paths = [entry.path for entry in server.tenant(KEY).journal.requests]
    assert paths[0] == "/flux/generate"
    assert "/flux/fetch" not in paths


@every_program
def test_a_failed_job_fails_the_program(example: Example, tmp_path: Path) -> None:
    def fail(_: Journal, entry: Entry) -> None:
        # Before the answer to the submission leaves, so that no fetch can come first.
        if isinstance(entry, RequestEntry) and entry.job_id and entry.path in {"/flux/generate", "/flux/edits"}:
            server.tenant(KEY).jobs.fail(entry.job_id, "prompt violation")

    with mock_server.serve(port=0, clock="frozen", observer=fail) as server:
        done = run(example, server.url, tmp_path)

    assert done.returncode == 1
    assert "prompt violation" in done.stdout + done.stderr
    assert not (tmp_path / "result.webp").exists()


@every_program
def test_a_refused_key_fails_the_program(example: Example, serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(key="another-key")

    done = run(example, server.url, tmp_path)

    assert done.returncode != 0
    assert "401" in done.stdout + done.stderr
    assert [entry.status for entry in server.strays.requests] == [401]
    assert not (tmp_path / "result.webp").exists()


def test_the_example_of_a_test_passes(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / A_TEST, tmp_path)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:asyncio", "-W", "error", A_TEST],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b\d+ passed in", done.stdout), done.stdout


@pytest.mark.parametrize("name", VENDOR_CODE)
def test_the_vendors_own_code_stands_in_the_example(name: str) -> None:
    def squeezed(code: str) -> str:
        return re.sub(r"\s", "", code).replace(",}", "}")

    example = squeezed((EXAMPLES / name).read_text("utf-8"))

    assert [code for code in VENDOR_CODE[name] if squeezed(code) not in example] == []


def test_every_example_is_tested_and_in_the_readme() -> None:
    files = {path.name for path in EXAMPLES.iterdir() if path.is_file()} - {"README.md"}
    rows = re.findall(r"^\| `([^`]+)` \|", (EXAMPLES / "README.md").read_text("utf-8"), re.MULTILINE)

    assert sorted(rows) == sorted(files)
    assert {example.name for example in PROGRAMS} | {A_TEST} == files
