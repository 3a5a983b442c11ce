"""What a row of the table of faults holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

CLIENTS = ("requests", "httpx", "aiohttp", "urllib", "fetch")


@dataclass(frozen=True)
class Seen:
    """
    What one client gets of a fault.

    Args:
        outcomes: as `fault_clients.outcome` words it, call by call with "; " between; several where it depends on the
            version of the client.
        requests: how many requests the server saw of it; None is one for each call.
        key: whether TT-API-KEY came along to another origin; None when no request came there.
    """

    outcomes: tuple[str, ...]
    requests: int | None = None
    key: bool | None = None


def seen(*outcomes: str, requests: int | None = None, key: bool | None = None) -> Seen:
    """Return what one client gets."""
    return Seen(outcomes, requests, key)


def by(
    requests: str | Seen, httpx: str | Seen, aiohttp: str | Seen, urllib: str | Seen, fetch: str | Seen
) -> dict[str, Seen]:
    """Return what each client gets."""
    found = (requests, httpx, aiohttp, urllib, fetch)
    return {name: got if isinstance(got, Seen) else seen(got) for name, got in zip(CLIENTS, found, strict=True)}


def all_get(outcome: str) -> dict[str, Seen]:
    """Return that every client gets the same."""
    return dict.fromkeys(CLIENTS, seen(outcome))


def on(target: str, calls: int | None = None, **then: Any) -> dict[str, Any]:
    """Return a rule of a scenario."""
    return {"on": target, **({} if calls is None else {"calls": calls}), "then": then}


@dataclass(frozen=True)
class Fault:
    """
    One fault.

    Args:
        name: what it is.
        rule: the rule of a scenario that plays it.
        seen: what each client gets.
        calls: what the client does on one session: "submit" and "fetch" are POSTs, "get" is a fetch by GET.
        charged: whether each submission that came made a job.
        timeout: the client's time limit, in seconds.
        progress: what moves jobs on, as in the settings of the emulator.
    """

    name: str
    rule: dict[str, Any]
    seen: dict[str, Seen]
    calls: tuple[str, ...] = ("submit",)
    charged: bool = True
    timeout: float = 120.0
    progress: str = "time"
