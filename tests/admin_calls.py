"""Calls to the control over HTTP, and what can be looked at there."""

from __future__ import annotations

from typing import Any

from support import Caller


def get(caller: Caller, what: str, **headers: str) -> Any:
    return caller.http.get(f"/_mock/{what}", headers={**caller.headers, **headers})


def post(caller: Caller, what: str, body: Any, **headers: str) -> Any:
    return caller.http.post(f"/_mock/{what}", json=body, headers={**caller.headers, **headers})


LOOKS = ("clock", "scenario", "jobs", "ledger", "journal", "hooks")
