"""Runs of `fluxmock verify` in this process, against the emulator or against one whose answers have drifted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from werkzeug.wrappers import Request, Response

import mock_server
from contract_tests.verify.command import verify
from mock_server.http.runner import BackgroundServer
from mock_server.serving import Server

KEY = "a-secret-key-0123456789"
Finding = tuple[str, str, str]
"""Severity, rule, endpoint."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    code: int
    said: str
    report: dict[str, Any]

    @property
    def findings(self) -> set[Finding]:
        return {(one["severity"], one["rule"], one["endpoint"]) for one in self.report["findings"]}

    @property
    def rules(self) -> set[str]:
        return {one["rule"] for one in self.report["findings"]}


def run(url: str, folder: Path, *more: str, key: str = KEY) -> Outcome:
    """Verify without waiting, and read the report."""
    output = folder / "report.json"
    options = ["--poll-interval", "0", "--format", "json", "--output", str(output)]
    done = CliRunner().invoke(verify, ["--base-url", url, "--key", key, *options, *more])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    report = json.loads(output.read_text("utf-8")) if output.exists() else {}
    return Outcome(done.exit_code, done.output, report)


@contextmanager
def emulator(**settings: Any) -> Iterator[Server]:
    """Run an emulator that knows one key, and whose time goes on with every fetch."""
    with mock_server.serve(**{"port": 0, "observer": None, "key": KEY, "clock": "auto", **settings}) as server:
        yield server


Drift = Callable[[Request, Callable[[], Response]], Response]
"""Answers a request; the function gives what the emulator answers, and lets it happen there."""


@contextmanager
def drifted(server: Server, drift: Drift) -> Iterator[str]:
    """Stand in front of an emulator, and change what it answers; yields the URL."""

    def app(environ: Any, start_response: Any) -> Any:
        request = Request(environ)
        data = request.get_data()

        def emulated() -> Response:
            environ["wsgi.input"] = BytesIO(data)
            return Response.from_app(server.app, environ)

        return drift(request, emulated)(environ, start_response)

    with BackgroundServer(app) as front:
        yield front.url
