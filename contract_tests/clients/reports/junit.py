"""junit: XML for build servers. One test case for each property."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from contract_tests.clients.lanes import timeline
from contract_tests.clients.properties.base import Level
from contract_tests.clients.reports.frame import Context, again, ordered
from contract_tests.clients.reports.wording import amount, billed, headline, scenario_line, state, why_not
from contract_tests.clients.verdict import Exit, PropertyResult, Result, Verdict
from contract_tests.reports.junit import as_text
from contract_tests.reports.masking import encodable, shown


def render(verdict: Verdict, context: Context) -> str:
    """Return the verdict as JUnit XML. Only a MUST fails; what else is broken is the output of its case."""
    suite = ET.Element("testsuite", name=context.client)
    for result in ordered(verdict):
        _case(suite, result, verdict, context)
    if verdict.exit_code is Exit.UNKNOWN:
        case = ET.SubElement(suite, "testcase", classname="fluxmock", name="something is known of the client")
        kind = "unknown" if verdict.requests else "never-called"
        ET.SubElement(case, "error", type=kind, message=headline(verdict, context))
    ET.SubElement(suite, "system-out").text = amount(verdict, context)
    return as_text(suite)


def _case(suite: ET.Element, result: PropertyResult, verdict: Verdict, context: Context) -> None:
    one = result.property
    case = ET.SubElement(suite, "testcase", classname=f"fluxmock.{one.level}", name=f"{one.id} {one.title}")
    if result.result is Result.NOT_EXERCISED:
        ET.SubElement(case, "skipped", message=f"{state(result)}: {why_not(result, verdict)}")
    elif result.result is not Result.PASS:
        text = "\n".join(_told(result, context))
        if result.result is Result.FAIL and one.level is Level.MUST:
            ET.SubElement(case, "failure", type=one.id, message=encodable(shown(result.why))).text = text
        else:
            ET.SubElement(case, "system-out").text = f"{one.level}, {state(result)}\n{text}"


def _told(result: PropertyResult, context: Context) -> list[str]:
    lines = [
        encodable(shown(result.why)),
        billed(result.bills),
        f"scenario: {scenario_line(result)}",
        f"fix: {result.property.fix}",
        f"again: {again(result, context)}" if again(result, context) else "",
        timeline(result.story) if result.story is not None else "",
    ]
    return [line for line in lines if line]
