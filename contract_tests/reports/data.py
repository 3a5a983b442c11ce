"""json: for programs. `schemas/report.schema.json` describes it."""

from __future__ import annotations

import json
from typing import Any

from contract_tests.checker import Report
from contract_tests.exchanges import Place
from contract_tests.findings import RULES, Finding
from contract_tests.reports.frame import Context, fingerprint, verdict_of

VERSION = 1
"""Of the format. It changes when a program that reads it would have to."""


def render(report: Report, context: Context) -> str:
    """Return the report as JSON, in ASCII: whatever it is written or shown in, it says the same."""
    ordered = sorted(report.findings, key=_order)
    value = {
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
        "troubles": [{**_place(trouble.place), "why": trouble.why} for trouble in report.troubles],
    }
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


def _place(place: Place) -> dict[str, Any]:
    return {"file": place.file, "exchange": place.number, "line": place.line}
