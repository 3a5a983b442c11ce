"""The sentences that several formats share."""

from __future__ import annotations

from contract_tests.checker import Choice, Report
from contract_tests.findings import RULES, Confidence, Fact, Finding, Severity
from contract_tests.reports.frame import Context, Verdict, failing, verdict_of

NOUNS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note", Severity.OFF: "finding"}
"""What a finding is called, by its severity."""


def headline(report: Report, context: Context) -> str:
    """Return the shortest line that says what to do."""
    verdict = verdict_of(report, context.fail_on)
    if verdict is Verdict.NOTHING:
        return _nothing(report, context)
    if bad := failing(report, context.fail_on):
        return _failed(bad) + _unread(report)
    if report.troubles:
        return f"{report.unread:,} could not be read; what could: {amount(report)} against {contracts(report)}"
    if report.findings:
        those = [
            counted(len(of_one), NOUNS[severity])
            for severity in Severity
            if (of_one := [it for it in report.findings if it.severity is severity])
        ]
        return f"passed, with {listed(those)} to read: {amount(report)} against {contracts(report)}"
    return f"clean: {amount(report)} fit {contracts(report)}"


def amount(report: Report) -> str:
    """Return how much was checked."""
    return f"{counted(report.messages, 'message')}, {counted(report.jobs, 'job')}"


def contracts(report: Report) -> str:
    """Return which version of the contract it was; for one host also why."""
    versions = sorted({choice.version for choice in report.contracts.values()})
    if not versions:
        return "the contract"
    if len(report.contracts) == 1:
        return f"contract {chosen(next(iter(report.contracts.values())))}"
    return f"contract{'s' if len(versions) > 1 else ''} {listed(versions)}"


def chosen(choice: Choice) -> str:
    """Return a version of the contract, and why it is that one."""
    why = choice.because if choice.because == "as you said" else f"detected: {choice.because}"
    return f"{choice.version} ({why})"


def how_sure(fact: Fact) -> str:
    """Return how sure the contract was, and who said so; empty where it is not about the contract."""
    sources = f" in {', '.join(fact.sources)}" if fact.sources else ""
    match fact.confidence:
        case Confidence.NONE:
            return "the contract says nothing about it" if fact.file else ""
        case Confidence.ASSUMED:
            return "assumed: this is news"
        case confidence:
            return f"{confidence}{sources}"


def example(finding: Finding) -> str:
    """Return the example; empty where there is none, or the message has it already."""
    return "" if finding.example in finding.message else finding.example


def where_in_body(finding: Finding) -> str:
    """Return the JSON pointer, or words for the whole."""
    return finding.pointer or "(all of it)"


def counted(number: int, noun: str) -> str:
    """Return `1 job`, `1,204 jobs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(words: list[str]) -> str:
    """Return `a`, `a and b`, `a, b and c`."""
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def _nothing(report: Report, context: Context) -> str:
    if report.troubles and not report.others and not report.messages:
        first = report.troubles[0]
        return f"nothing was checked: nothing in {context.title} could be read: {first.place}: {first.why}"
    if report.messages:
        those = counted(report.messages, "message")
        return f"nothing was checked: {those} in {context.title}, and no bodies: record them with their contents"
    return f"nothing was checked: no exchange in {context.title} is about this API"


def _failed(findings: list[Finding]) -> str:
    breaking = [finding for finding in findings if finding.breaking and finding.severity is not Severity.INFO]
    those = breaking or findings
    severities = {finding.severity for finding in those}
    noun = "breaking change" if breaking else NOUNS[severities.pop()] if len(severities) == 1 else "finding"
    endpoints = list(dict.fromkeys(finding.endpoint for finding in those))
    place = listed(endpoints) if len(endpoints) <= 2 else f"{len(endpoints)} kinds of message"
    rules = {finding.rule for finding in those}
    if len(rules) == 1:
        to_do = RULES[rules.pop()].advice
    else:
        to_do = "update the clients that rely on it" if breaking else "read what came of each"
    return f"{counted(len(those), noun)} in {place}: {to_do}"


def _unread(report: Report) -> str:
    return f"; {report.unread:,} could not be read" if report.troubles else ""
