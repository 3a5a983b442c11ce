"""Calls noted in a journal as if they had come, and the tenant of a caller."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from support import Caller

from mock_server.control import TenantControl
from mock_server.exchange import Answer, Call
from mock_server.http.wire import Wire
from mock_server.journal import Journal, RequestEntry
from mock_server.serving import Server

Emulate = Callable[..., Caller]
Serve = Callable[..., Server]
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


def note(journal: Journal, body: bytes = b"", *, wire: Wire | None = None, **call: Any) -> RequestEntry:
    """Note a call in a journal, and return its entry."""
    given_ = {"method": "POST", "path": "/flux/generate", "query": "", "content_type": JSON, "connection": 1, **call}
    status = given_.pop("status", 200)
    journal.note_request(0.0, Call(headers={}, body=body, origin="", **given_), Answer(status, b"{}", wire=wire))
    entry = journal[-1]
    assert isinstance(entry, RequestEntry)
    return entry


def entry_of(body: Any, **call: Any) -> RequestEntry:
    return note(Journal("", 10), body if isinstance(body, bytes) else json.dumps(body).encode(), **call)


def steered(caller: Caller) -> TenantControl:
    return TenantControl(caller.app.world, caller.key)
