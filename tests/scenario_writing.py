"""Scenarios as texts and files, and one call on a socket, for tests of what they do."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from support import KEY, Caller

from mock_server.model import Order
from mock_server.serving import Server

Emulate = Callable[..., Caller]
ORDER = Order("generate", "a cute Cat", "flux1-dev", "1024x1024", None, "http://localhost")


def scenario(*rules: dict[str, Any], **more: Any) -> str:
    return json.dumps({"name": "under-test", "rules": rules, **more})


def written(tmp_path: Path, *rules: dict[str, Any], **more: Any) -> str:
    path = tmp_path / "scenario.json"
    path.write_text(scenario(*rules, **more))
    return str(path)


def raw(server: Server, path: str, body: object, *, connections: int = 1) -> bytes:
    """POST on a new connection; return every byte that comes until it ends. A reset raises."""
    url, data = urlsplit(server.url), json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nTT-API-KEY: {KEY}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    )
    received = b""
    with socket.create_connection((url.hostname, url.port), timeout=20) as connection:
        connection.sendall(head.encode() + data)
        while chunk := connection.recv(65536):
            received += chunk
    return received
