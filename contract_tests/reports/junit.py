"""junit: XML for build servers. One test case for each rule at each endpoint."""

from __future__ import annotations

from itertools import groupby
from xml.etree import ElementTree as ET

from contract_tests.checker import Report
from contract_tests.findings import RULES, Finding
from contract_tests.reports.frame import Context, Verdict, failing, verdict_of
from contract_tests.reports.wording import amount, contracts, counted, example, headline, how_sure, where_in_body


def render(report: Report, context: Context) -> str:
    """Return the report as JUnit XML. Cases fail by `fail_on`; what is less bad is the output of a case that passes."""
    suite = ET.Element("testsuite", name=context.title)
    ordered = sorted(report.findings, key=lambda it: (it.endpoint, it.rule))
    bad = set(failing(report, context.fail_on))
    for (endpoint, rule), found in groupby(ordered, key=lambda it: (it.endpoint, it.rule)):
        _case(suite, endpoint, rule, list(found), bad)
    verdict = verdict_of(report, context.fail_on)
    if verdict is Verdict.NOTHING:
        case = ET.SubElement(suite, "testcase", classname="fluxmock", name="contract")
        ET.SubElement(case, "error", type="nothing-checked", message=headline(report, context))
    elif not report.findings:
        ET.SubElement(suite, "testcase", classname="fluxmock", name="contract")
    if report.troubles:
        case = ET.SubElement(suite, "testcase", classname="fluxmock", name="reading")
        error = ET.SubElement(case, "error", type="not-read", message=f"{report.unread:,} could not be read")
        error.text = "\n".join(f"{trouble.place}: {trouble.why}" for trouble in report.troubles)
    if report.findings:
        ET.SubElement(suite, "system-out").text = f"{amount(report)} against {contracts(report)}"
    return as_text(suite)


def as_text(suite: ET.Element) -> str:
    """Return a document of one suite, with its cases counted."""
    suites = ET.Element("testsuites")
    for element in (suites, suite):
        element.set("tests", str(len(suite.findall("testcase"))))
        element.set("failures", str(len(suite.findall("testcase/failure"))))
        element.set("errors", str(len(suite.findall("testcase/error"))))
    suites.append(suite)
    ET.indent(suites)
    text = ET.tostring(suites, encoding="unicode")
    # Whatever it is written in, character references keep it true.
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text.encode("ascii", "xmlcharrefreplace").decode()}\n'


def _case(suite: ET.Element, endpoint: str, rule: str, found: list[Finding], bad: set[Finding]) -> None:
    case = ET.SubElement(suite, "testcase", classname=endpoint, name=rule)
    if failed := [finding for finding in found if finding in bad]:
        message = f"{RULES[rule].title}, in {counted(len(failed), 'place')}: {RULES[rule].advice}"
        ET.SubElement(case, "failure", type=rule, message=message).text = _told(failed)
    if passed := [finding for finding in found if finding not in bad]:
        ET.SubElement(case, "system-out").text = _told(passed)


def _told(findings: list[Finding]) -> str:
    lines = []
    for finding in findings:
        said = (
            f"{where_in_body(finding)}: {finding.message}",
            f"e.g. {example(finding)}" if example(finding) else "",
            how_sure(finding.fact),
            f"{finding.severity}, {counted(finding.count, 'time')}, first in {finding.place}",
            finding.host,
        )
        lines.append("; ".join(part for part in said if part))
    return "\n".join(lines)
