"""What every report is made for: the context, the verdict, and in which order findings are told."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from itertools import groupby

from contract_tests.checker import Report
from contract_tests.findings import Finding, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """
    Whom a report is for.

    Args:
        title: what was checked, such as the names of the files.
        width: columns that a line of text may take.
        colour: whether text may hold ANSI colours.
        encoding: what the report will be written in; what it cannot express is escaped.
        fail_on: the least severity that fails; OFF lets everything pass.
    """

    title: str = "recording"
    width: int = 80
    colour: bool = False
    encoding: str = "utf-8"
    fail_on: Severity = Severity.ERROR


class Verdict(IntEnum):
    """How a check ended; the number is the exit code."""

    CLEAN = 0
    FAILED = 1
    NOTHING = 3


def verdict_of(report: Report, fail_on: Severity) -> Verdict:
    """Return how a check ended. A check of nothing, or of a part of what was given, is never clean."""
    if report.messages == report.empty:
        return Verdict.NOTHING
    return Verdict.FAILED if report.troubles or failing(report, fail_on) else Verdict.CLEAN


def failing(report: Report, fail_on: Severity) -> list[Finding]:
    """Return the findings that make a check fail."""
    return [] if fail_on is Severity.OFF else report.at_least(fail_on)


Group = tuple[Severity, list[tuple[str, str, list[Finding]]]]
"""A severity, and below it endpoint, host and their findings."""


def grouped(findings: Iterable[Finding]) -> list[Group]:
    """Return findings by severity, the worst first, then by endpoint and host; inside, in the order they came."""
    ordered = sorted(findings, key=lambda it: (it.severity.rank, it.endpoint, it.host))
    return [
        (
            severity,
            [(*place, list(those)) for place, those in groupby(of_one, key=lambda it: (it.endpoint, it.host))],
        )
        for severity, of_one in groupby(ordered, key=lambda it: it.severity)
    ]


def fingerprint(finding: Finding) -> str:
    """Return what stays the same from run to run for the same finding, 16 hex digits."""
    # The port is left out, for an emulator has another one in every run.
    host = finding.host if finding.host.endswith("]") else finding.host.rpartition(":")[0] or finding.host
    parts = (finding.rule, finding.endpoint, finding.pointer, finding.message, host)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
