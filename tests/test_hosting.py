"""create_app() alone, under servers that are not ours."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import urllib.request
from io import BytesIO

import pytest
from PIL import Image
from support import PROMPT

ENV = {**os.environ, "FLUXMOCK_PROGRESS": "immediate"}


def run_a_job(url: str) -> tuple[int, int]:
    """Submit, fetch, download; return the size of the image."""
    headers = {"TT-API-KEY": "k", "Content-Type": "application/json"}

    def post(path: str, body: object) -> dict[str, dict[str, str]]:
        request = urllib.request.Request(url + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            result: dict[str, dict[str, str]] = json.load(answer)
            return result

    job_id = post("/flux/generate", PROMPT)["data"]["jobId"]
    data = post("/flux/fetch", {"jobId": job_id})["data"]
    with urllib.request.urlopen(data["imageUrl"], timeout=60) as answer, Image.open(BytesIO(answer.read())) as image:
        image.load()
        return image.size


def test_under_gunicorn() -> None:
    pytest.importorskip("gunicorn", reason="gunicorn runs on POSIX only")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        command = [sys.executable, "-m", "gunicorn", "mock_server:create_app()", "--bind", f"fd://{listener.fileno()}"]
        process = subprocess.Popen(
            [*command, "--threads", "2"], env=ENV, pass_fds=[listener.fileno()],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            assert run_a_job(f"http://127.0.0.1:{port}") == (1024, 1024)
        finally:
            process.terminate()
            process.wait(30)


def test_under_flask_run() -> None:
    command = [sys.executable, "-m", "flask", "--app", "mock_server:create_app", "run", "--port", "0"]
    with subprocess.Popen(command, env=ENV, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stderr is not None
            url = next(match[0] for line in process.stderr if (match := re.search(r"http://127\.0\.0\.1:\d+", line)))
            assert run_a_job(url) == (1024, 1024)
        finally:
            process.terminate()
            process.wait(30)
            process.stderr.read()
