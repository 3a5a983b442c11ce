"""What may happen to webhooks: order, number, trouble on their way, and what others send."""

from __future__ import annotations

from typing import Any

from contract_tests.clients.directives.base import Directive, Family, rule
from contract_tests.clients.directives.forgeries import AGAIN

RESEND = {"hook_retry": [5, 20]}
"""Settings with which a webhook that was not taken is sent again, so many seconds later."""

_CUT = 40
# Bytes: the JSON ends in the middle.

_SLOW = 20.0
# Seconds: more than a sender of webhooks waits, and less than clients wait for what they asked for.


def odd_hooks() -> list[Directive]:
    """Return webhooks that come early, late, or in an order that nobody promised."""
    stale = {"set": {"/status": "ON_QUEUE", "/message": None, "/data": None}}
    at_once = {"on": "job", "then": {"queue_seconds": 0, "run_seconds": 0}}
    ways: dict[str, tuple[Any, ...]] = {
        "before the submit answer": (rule("hook", None, when="before the submit answer"),),
        "while the submit answer is on its way": (at_once,),
        "SUCCESS, then ON_QUEUE": (rule("hook", 2, **stale), rule("hook", None, copies=2)),
        "ON_QUEUE, then SUCCESS": (rule("hook", 1, copies=2, **stale),),
        "a minute late": (rule("hook", None, delay=60),),
    }
    return [Directive(f"hook: {what}", Family.ODD_HOOK, rules) for what, rules in ways.items()]


def racing_hooks() -> list[Directive]:
    """Return webhooks that come while a fetch tells the same."""
    ways = {"with": 0.0, "20 ms after": 0.02, "50 ms after": 0.05}
    return [
        Directive(
            f"hook: {when} the final fetch",
            Family.RACING_HOOK,
            (rule("hook", None, when="after the final fetch", delay=delay),),
        )
        for when, delay in ways.items()
    ]


def repeated_hooks() -> list[Directive]:
    """Return webhooks that come more than once, at the same instant and later."""
    return [
        Directive("hook: twice at once", Family.REPEATED_HOOK, (rule("hook", None, copies=2),)),
        Directive("hook: again after a while", Family.REPEATED_HOOK, forged=(AGAIN,)),
        Directive(
            "hook: twice at once, in other bytes",
            Family.REPEATED_HOOK,
            (rule("hook", 2, coding="pretty"), rule("hook", None, copies=2)),
        ),
    ]


def lost_hooks() -> list[Directive]:
    """Return webhooks that never come, or that nobody can read."""
    ways: dict[str, dict[str, Any]] = {
        "never comes": {"drop": True},
        "cut off": {"body_bytes": _CUT},
        "no body": {"body_bytes": 0},
        "as text/plain": {"content_type": "text/plain"},
        "without a type": {"content_type": ""},
    }
    return [Directive(f"hook: {what}", Family.LOST_HOOK, (rule("hook", None, **then),)) for what, then in ways.items()]


def resent_hooks() -> list[Directive]:
    """Return webhooks that a receiver cannot take, and that are then sent again."""
    ways: dict[str, tuple[Any, ...]] = {
        "cut off, and sent again": (rule("hook", 1, body_bytes=_CUT),),
        "before the submit answer, and again if refused": (rule("hook", None, when="before the submit answer"),),
        "again if refused, and the image is a 500 once": (rule("image", 1, status=500),),
    }
    return [
        Directive(f"hook: {what}", Family.RESENT_HOOK, rules, settings=RESEND, harmless="500" not in what)
        for what, rules in ways.items()
    ]


def slow_work() -> list[Directive]:
    """Return slow answers to all that a webhook may set off."""
    return [
        Directive(f"{on}: {_SLOW:g} s late", Family.SLOW_WORK, (rule(on, None, delay=_SLOW),), harmless=False)
        for on in ("image", "fetch")
    ]


def forged_hooks() -> list[Directive]:
    """Return webhooks that somebody else sends, while a job is under way and when it has ended."""
    kinds = {
        "about jobs of others": ("unknown job", "other key's job"),
        "with images elsewhere": (
            "unknown job, image elsewhere",
            "this job, image elsewhere",
            "this job, image at the metadata service",
        ),
        "that are no JSON": (
            "a form in place of JSON",
            "wrong content type",
            "no content type",
            "invalid JSON",
            "not UTF-8",
            "no body",
        ),
        "of odd JSON": ("a list", "null", "nothing but {}", "data is a list", "the job id is an object", "1 MB body"),
    }
    return [Directive(f"forged hooks: {what}", Family.FORGED_HOOK, forged=names) for what, names in kinds.items()]
