"""Servers to compare with, on the emulator's own HTTP server: a constant answer, and Flask without the fast lane.

`python benchmarks/yardstick.py constant|no-lane` with the options that `process.running` adds.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from mock_server.http.runner import run
from mock_server.serving import settle_memory

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from mock_server.http.server import HttpServer


def constant(body: bytes) -> WSGIApplication:
    """Return an application that answers everything with `body`, under the headers of a fetch."""
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]

    def app(_environ, start_response):  # type: ignore[no-untyped-def]
        start_response("200 OK", headers)
        return [body]

    return app


def flask_alone() -> WSGIApplication:
    """Return the emulator with every request on the way through Flask."""
    from mock_server.app import create_app
    from mock_server.settings import Settings
    from mock_server.world import World

    world = World(Settings.of(progress="immediate"), observer=None)  # as `serve --quiet` has it
    return create_app(world=world, fast_lane=False)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["constant", "no-lane"])
    parser.add_argument("--body", default="", help="what `constant` answers")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ready-file", type=Path, required=True)
    chosen = parser.parse_args()

    def ready(server: HttpServer) -> None:
        settle_memory()
        draft = chosen.ready_file.with_suffix(".draft")
        draft.write_text(json.dumps({"url": server.url, "pid": os.getpid()}), encoding="utf-8")
        draft.replace(chosen.ready_file)

    app = constant(chosen.body.encode()) if chosen.kind == "constant" else flask_alone()
    run(app, "127.0.0.1", chosen.port, inline=lambda _environ: True, on_ready=ready)


if __name__ == "__main__":
    main()
