"""What a server may do to a client, one thing at a time: rules of a scenario under a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Rules = tuple[Mapping[str, Any], ...]

ORIGINS: Mapping[str, str] = {
    "api": "http://api.fluxmock.test",
    "images": "http://images.fluxmock.test",
    "hooks": "http://hooks.fluxmock.test",
    "elsewhere": "http://elsewhere.fluxmock.test",
    "loopback": "http://127.0.0.1",
    "metadata": "http://169.254.169.254",
}
"""The servers of a simulation, by their role.

The last three have no business with the client: a stranger, its own machine, and where clouds hand out credentials.
"""


class Family(StrEnum):
    """What a directive tries."""

    AMBIGUOUS_SUBMIT = "ambiguous submit"
    """The job was accepted and charged, and the answer got lost."""
    REJECTED_SUBMIT = "rejected submit"
    BUSY_SUBMIT = "busy submit"
    """Refused for now: 429 or 503, not accepted."""
    FAILED_JOB = "failed job"
    SLOW_JOB = "slow job"
    ENDLESS_JOB = "endless job"
    UNKNOWN_STATUS = "unknown status"
    LATE_VISIBILITY = "late visibility"
    FLAKY_FETCH = "flaky fetch"
    BROKEN_FETCH = "broken fetch"
    """Every fetch fails."""
    BUSY_FETCH = "busy fetch"
    ODD_WAIT = "odd Retry-After"
    REGRESSING_STATUS = "regressing status"
    STALLED = "stalled"
    """An answer that does not come, or not to its end."""
    DRIPPING = "dripping"
    UNKNOWN_FIELDS = "unknown fields"
    NULL_DATA = "null data"
    ODD_MESSAGE = "odd message"
    PARTIAL_DATA = "partial data"
    NO_IMAGE = "no image"
    BODY_FORM = "body form"
    NUMBER_FORM = "number form"
    NO_JSON = "no JSON"
    CLOSED_CONNECTION = "closed connection"
    BROKEN_IMAGE = "broken image"
    EXPIRING_IMAGE = "expiring image"
    REDIRECT = "redirect"
    ODD_HOOK = "odd hook"
    """A webhook that comes early, late, or out of order."""
    RACING_HOOK = "racing hook"
    """A webhook that comes while a fetch tells the same."""
    REPEATED_HOOK = "repeated hook"
    LOST_HOOK = "lost hook"
    RESENT_HOOK = "resent hook"
    """A webhook that is sent again if it was not taken."""
    SLOW_WORK = "slow work"
    """Slow answers to what a webhook sets off."""
    FORGED_HOOK = "forged hook"
    ODD_PROMPT = "odd prompt"
    DRIFT = "drift"
    """What a check has found; not in the menu."""
    UPLOAD = "upload"
    BUSY_UPLOAD = "busy upload"
    """An upload that is refused for now."""
    PARALLEL = "parallel"
    """Several images are wanted at the same time."""
    IN_TURN = "in turn"
    """Several images are wanted one after another."""
    OTHER = "other"
    """What somebody wrote: no property knows what it tries."""


@dataclass(frozen=True)
class Directive:
    """
    One thing that the server does, or that is asked of the client.

    Args:
        name: for people, as "submit: reset after accept".
        family: what it tries.
        rules: of a scenario, as `schemas/scenario.schema.json` has them.
        settings: of the tenant.
        prompt: asked for in place of the usual one.
        filename: of a picture that is to be edited, if the client does edits; None wants one drawn.
        at_once: how many images are wanted, at the same time but for `Family.IN_TURN`.
        forged: names of webhooks that do not come from the API, see `directives.forgeries`.
        harmless: whether a client that does all right still gets its image.
    """

    name: str
    family: Family
    rules: Rules = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    prompt: str | None = None
    filename: str | None = None
    at_once: int = 1
    forged: tuple[str, ...] = ()
    harmless: bool = True


def scenario_of(directives: Sequence[Directive], name: str = "all-goes-well") -> dict[str, Any]:
    """
    Return the scenario that `directives` make together; of two about the same call the first counts.

    Args:
        directives: any number; none is a scenario in which all goes well.
        name: of the scenario: lower case, words joined by hyphens.
    """
    settings = {name: value for directive in directives for name, value in directive.settings.items()}
    story = "; ".join(directive.name for directive in directives)
    return {
        "name": name,
        **({"story": story} if story else {}),
        **({"settings": settings} if settings else {}),
        "rules": [dict(rule) for directive in directives for rule in directive.rules],
    }


def rule(on: str, calls: object = None, **then: Any) -> Mapping[str, Any]:
    """
    Return a rule of a scenario.

    Args:
        on: what it is about, as "submit" or "fetch".
        calls: which calls; None for all.
        then: what happens.
    """
    return {"on": on, **({} if calls is None else {"calls": calls}), "then": then}


HTML = "<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"
AS_HTML = {"Content-Type": "text/html"}


def lost_answers() -> dict[str, dict[str, Any]]:
    """Return the ways in which an answer gets lost although its request was carried out."""
    return {
        "reset": {"wire": {"silent": True, "end": "reset"}},
        "closed": {"wire": {"silent": True, "end": "close"}},
        "no answer": {"wire": {"silent": True, "end": "keep"}},
        "502 with HTML": {"status": 502, "headers": AS_HTML, "body": HTML},
        "504": {"status": 504},
        "truncated JSON": {"wire": {"body_bytes": 20, "end": "close"}},
        "200 with HTML": {"headers": AS_HTML, "body": HTML},
    }
