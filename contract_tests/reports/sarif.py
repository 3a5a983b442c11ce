"""sarif: SARIF 2.1.0, for code scanning."""

from __future__ import annotations

import json
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from contract_tests.checker import Report
from contract_tests.exchanges import Place
from contract_tests.findings import RULES, Confidence, Finding, Rule, Severity
from contract_tests.reports.frame import Context, Verdict, fingerprint, verdict_of
from contract_tests.reports.wording import example, headline, how_sure, where_in_body
from mock_server._version import __version__

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note", Severity.OFF: "none"}
_INDEXES = {rule: index for index, rule in enumerate(RULES)}
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def render(report: Report, context: Context) -> str:
    """Return the report as a SARIF log of one run, in ASCII."""
    verdict = verdict_of(report, context.fail_on)
    run = {
        "tool": {"driver": {"name": "fluxmock", "version": __version__, "rules": [_rule(it) for it in RULES.values()]}},
        "invocations": [
            {
                "executionSuccessful": verdict is not Verdict.NOTHING and not report.troubles,
                "exitCode": int(verdict),
                "toolExecutionNotifications": _notifications(report, context, verdict),
            }
        ],
        "results": [_result(finding) for finding in report.findings],
        "properties": {
            "title": context.title,
            "messages": report.messages,
            "jobs": report.jobs,
            "others": report.others,
            "contracts": {host: choice.version for host, choice in sorted(report.contracts.items())},
        },
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": f"In a recording, {rule.title}."},
        "help": {"text": f"What to do: {rule.advice}."},
        "defaultConfiguration": {"level": _LEVELS[rule.severity_at(Confidence.DOCUMENTED)]},
        "properties": {"breaking": rule.breaking},
    }


def _result(finding: Finding) -> dict[str, Any]:
    said = (
        f"{finding.endpoint} {where_in_body(finding)}: {finding.message}",
        f"e.g. {example(finding)}" if example(finding) else "",
        how_sure(finding.fact),
    )
    mark = fingerprint(finding)
    return {
        "ruleId": finding.rule,
        "ruleIndex": _INDEXES[finding.rule],
        "level": _LEVELS[finding.severity],
        "message": {"text": "; ".join(part for part in said if part)},
        "locations": [
            {
                "physicalLocation": _physical(finding.place),
                "logicalLocations": [{"fullyQualifiedName": finding.endpoint + finding.pointer, "kind": "property"}],
            }
        ],
        "occurrenceCount": finding.count,
        "fingerprints": {"fluxmock/v1": mark},
        # The only one that GitHub looks at; without it, it would hash a line of the recording.
        "partialFingerprints": {"primaryLocationLineHash": mark},
        "properties": {
            "count": finding.count,
            "breaking": finding.breaking,
            "confidence": finding.fact.confidence,
            "sources": list(finding.fact.sources),
            "fact": f"{finding.fact.file}#{finding.fact.pointer}" if finding.fact.file else "",
            "example": finding.example,
            "host": finding.host,
            "contract": finding.contract,
            "exchange": finding.place.number,
        },
    }


def _physical(place: Place) -> dict[str, Any]:
    region = {"region": {"startLine": place.line}} if place.line > 0 else {}
    return {"artifactLocation": {"uri": _uri(place.file)}, **region}


def _uri(file: str) -> str:
    path = PurePath(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())


def _notifications(report: Report, context: Context, verdict: Verdict) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if verdict is Verdict.NOTHING:
        found.append({"level": "error", "message": {"text": headline(report, context)}})
    for trouble in report.troubles:
        location = {"physicalLocation": _physical(trouble.place)}
        message = {"text": f"could not be read: {trouble.place}: {trouble.why}"}
        found.append({"level": "error", "message": message, "locations": [location]})
    return found
