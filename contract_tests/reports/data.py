"""json: for programs. `schemas/report.schema.json` describes it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from contract_tests.checker import Report
from contract_tests.coverage import Covered, Spot, percent, share
from contract_tests.exchanges import Place
from contract_tests.findings import RULES, Effect, Finding
from contract_tests.observed import Observed
from contract_tests.reports.frame import Context, fingerprint, verdict_of

_DIGITS = 4
# Of seconds: clocks since the epoch are no finer.
VERSION = 1
"""Of the format. It changes when a program that reads it would have to."""


def render(report: Report, context: Context) -> str:
    """Return the report as JSON, in ASCII: whatever it is written or shown in, it says the same."""
    ordered = sorted(report.findings, key=_order)
    value: dict[str, Any] = {
        "version": VERSION,
        "title": context.title,
        "verdict": verdict_of(report, context.fail_on).name.lower(),
        "fail_on": context.fail_on,
        "checked": {"messages": report.messages, "jobs": report.jobs, "others": report.others},
        "contracts": {
            host: {"version": choice.version, "because": choice.because, "alone": choice.alone}
            for host, choice in sorted(report.contracts.items())
        },
        "findings": [_finding(finding) for finding in ordered],
        "observed": {host: _observed(seen) for host, seen in sorted(report.observed.items())},
        "troubles": [{**_place(trouble.place), "why": trouble.why} for trouble in report.troubles],
    }
    if report.coverage is not None:
        value["coverage"] = [_covered(covered) for covered in report.coverage]
    if report.effects is not None:
        value["client"] = [_effect(effect) for effect in report.effects]
    return json.dumps(value, indent=2) + "\n"


def _order(finding: Finding) -> tuple[Any, ...]:
    place = (finding.rule, finding.endpoint, finding.pointer, finding.message, finding.host, finding.contract)
    return (finding.severity.rank, -finding.count, *place, finding.place)


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "severity": finding.severity,
        "endpoint": finding.endpoint,
        "pointer": finding.pointer,
        "message": finding.message,
        "count": finding.count,
        "breaking": finding.breaking,
        "example": finding.example or None,
        "first": _place(finding.place),
        "host": finding.host,
        "contract": {
            "version": finding.contract,
            "file": finding.fact.file,
            "pointer": finding.fact.pointer,
            "confidence": finding.fact.confidence,
            "sources": list(finding.fact.sources),
        },
        "advice": RULES[finding.rule].advice,
        "fingerprint": fingerprint(finding),
    }


def _effect(effect: Effect) -> dict[str, Any]:
    return {"fingerprint": fingerprint(effect.finding), "breaking": effect.breaking, "why": effect.why}


def _observed(seen: Observed) -> dict[str, Any]:
    return {
        "fields": [field._asdict() for field in seen.fields],
        "times": [
            {
                "what": spread.what,
                "seen": spread.seen,
                "min": round(spread.least, _DIGITS),
                "median": round(spread.median, _DIGITS),
                "max": round(spread.greatest, _DIGITS),
            }
            for spread in seen.times
        ],
    }


def _covered(covered: Covered) -> dict[str, Any]:
    return {
        "host": covered.host,
        "contract": covered.version,
        **_share(covered.spots),
        "endpoints": [
            {"endpoint": endpoint, **_share(spots), "places": [_spot(spot) for spot in spots]}
            for endpoint, spots in covered.endpoints()
        ],
    }


def _share(spots: Sequence[Spot]) -> dict[str, int]:
    exercised, branches = share(spots)
    return {"branches": branches, "exercised": exercised, "percent": percent(exercised, branches)}


def _spot(spot: Spot) -> dict[str, Any]:
    return {
        "about": spot.about,
        "shape": spot.shape,
        "pointer": spot.pointer,
        "exercised": {branch: times for branch, times in spot.branches.items() if times},
        "never": [branch for branch, times in spot.branches.items() if not times],
    }


def _place(place: Place) -> dict[str, Any]:
    return {"file": place.file, "exchange": place.number, "line": place.line}
