"""json: for programs. `schemas/verdict.schema.json` describes it."""

from __future__ import annotations

import json
from typing import Any

from contract_tests.clients.lanes import timeline
from contract_tests.clients.met import by_kind
from contract_tests.clients.reports.frame import Context, again, ordered
from contract_tests.clients.verdict import PropertyResult, Verdict

VERSION = 1
"""Of the format. It changes when a program that reads it would have to."""

_OF_WORKS = ("result", "why", "fix", "again", "timeline")


def render(verdict: Verdict, context: Context) -> str:
    """Return the verdict as JSON, in ASCII: whatever it is written or shown in, it says the same."""
    value = {
        "version": VERSION,
        "client": context.client,
        "verdict": verdict.exit_code.name.lower() if verdict.requests else "never_called",
        "exit_code": int(verdict.exit_code),
        "contract": context.contract,
        "seed": context.seed,
        "played": {"scenarios": verdict.examples, "replays": verdict.replays, "calls": verdict.requests},
        "works": None if verdict.works is None else _works(verdict.works, context),
        "properties": [_property(result, context) for result in ordered(verdict) if result is not verdict.works],
        "met": {kind: found for kind, found in by_kind(verdict.met).items() if found},
    }
    return json.dumps(value, indent=2) + "\n"


def _works(result: PropertyResult, context: Context) -> dict[str, Any]:
    return {name: told for name, told in _property(result, context).items() if name in _OF_WORKS}


def _property(result: PropertyResult, context: Context) -> dict[str, Any]:
    one, broken = result.property, result.story is not None
    saved = context.saved.get(one.id)
    return {
        "id": one.id,
        "result": result.result,
        "level": one.level,
        "title": one.title,
        "why": result.why,
        "bills": result.bills,
        "fix": one.fix,
        "scenario": dict(result.scenario) if broken else None,
        "directives": list(result.directives),
        "file": None if saved is None else str(saved),
        "again": again(result, context) if broken else "",
        "example": result.example,
        "seen": {"times": result.seen[0], "of": result.seen[1]},
        "passes": result.passes,
        "timeline": timeline(result.story) if result.story is not None else "",
    }
