"""github: annotations, as the log of a GitHub Actions step gives them."""

from __future__ import annotations

from contract_tests.checker import Report
from contract_tests.exchanges import Place
from contract_tests.findings import RULES, Severity
from contract_tests.reports.frame import Context, Verdict, verdict_of
from contract_tests.reports.text import fitted
from contract_tests.reports.wording import counted, example, headline, how_sure, where_in_body

_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice", Severity.OFF: "debug"}


def render(report: Report, context: Context) -> str:
    """
    Return one workflow command a line: the headline, the findings, the troubles.

    Every line is a command, because inside one GitHub looks for no other.
    """
    verdict = verdict_of(report, context.fail_on)
    lines = [_line("notice" if verdict is Verdict.CLEAN else "error", None, "contract", headline(report, context))]
    for finding in report.findings:
        said = (
            f"{finding.endpoint} {where_in_body(finding)}: {finding.message}",
            f"e.g. {example(finding)}" if example(finding) else "",
            how_sure(finding.fact),
            f"{counted(finding.count, 'time')}, first in {finding.place}",
            RULES[finding.rule].advice,
        )
        text = "\n".join(part for part in said if part)
        lines.append(_line(_COMMANDS[finding.severity], finding.place, finding.rule, text))
    lines += [
        _line("error", trouble.place, "could not be read", f"{trouble.place}: {trouble.why}")
        for trouble in report.troubles
    ]
    return fitted("\n".join(lines) + "\n", context.encoding)


def _line(command: str, place: Place | None, title: str, text: str) -> str:
    values = {"title": title}
    if place is not None and place.file not in {"", "-"}:
        values = {"file": place.file} | ({"line": str(place.line)} if place.line > 0 else {}) | values
    properties = ",".join(f"{name}={_property(value)}" for name, value in values.items())
    return f"::{command} {properties}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
