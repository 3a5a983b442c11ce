"""Reports for services that build and test: JUnit, SARIF and annotations of GitHub."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree as ET

from drawn_reports import contexts, finding, json_of, report, reports
from hypothesis import given

from contract_tests.checker import Report
from contract_tests.exchanges import Place
from contract_tests.findings import RULES, Finding, Severity
from contract_tests.reports import FORMATS, Context, Verdict, verdict_of
from contract_tests.reports.masking import shown

# ------------------------------------------------------------------------------------------------------------- junit


def junit_of(found: Report, context: Context) -> ET.Element:
    return ET.fromstring(FORMATS["junit"](found, context))  # noqa: S314 - we wrote it


@given(found=reports, context=contexts)
def test_junit_is_xml_with_a_case_for_each_rule_at_each_endpoint(found: Report, context: Context) -> None:
    root = junit_of(found, context)
    cases = [(it.get("classname"), it.get("name")) for it in root.iter("testcase") if it.get("classname") != "fluxmock"]
    assert sorted(cases) == sorted({(it.endpoint, it.rule) for it in found.findings})
    verdict = verdict_of(found, context.fail_on)
    if verdict is Verdict.NOTHING:
        assert root.get("errors") == str(1 + bool(found.troubles))
    else:
        assert root.get("errors") == str(int(bool(found.troubles)))
        assert (root.get("errors") != "0" or root.get("failures") != "0") == (verdict is Verdict.FAILED)
    assert root.get("tests") == str(len(list(root.iter("testcase"))))
    told = shown("".join(root.itertext()).replace("\n", ""))
    assert all(shown(it.why) in told for it in found.troubles)


def test_junit_of_a_clean_check_has_one_case_that_passes() -> None:
    root = junit_of(report(), Context())
    assert [(it.get("name"), list(it)) for it in root.iter("testcase")] == [("contract", [])]


def test_junit_of_a_check_of_nothing_is_an_error_that_says_so() -> None:
    root = junit_of(Report(others=2), Context(title="a.har"))
    assert [it.get("message") for it in root.iter("error")] == [
        "nothing was checked: no exchange in a.har is about this API"
    ]


def test_junit_fails_by_fail_on_and_tells_the_rest_as_output() -> None:
    found = report(finding(), finding(pointer="/data/x", severity=Severity.INFO))
    case = next(junit_of(found, Context()).iter("testcase"))
    assert "/data/quota: expected string, got integer" in (case.findtext("failure") or "")
    assert "/data/x" not in (case.findtext("failure") or "")
    assert "/data/x" in (case.findtext("system-out") or "")
    assert case.find("failure").get("message").endswith("in 1 place: check every use of it, and take both types")  # type: ignore[union-attr]


# ------------------------------------------------------------------------------------------------------------- sarif


def sarif_of(found: Report, context: Context | None = None) -> Any:
    """Return the run of a log, after checking what SARIF 2.1.0 requires of the parts that we use."""
    log = json.loads(FORMATS["sarif"](found, context or Context()))
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-schema-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"]
    ids = [rule["id"] for rule in driver["rules"]]
    assert len(set(ids)) == len(ids)
    for rule in driver["rules"]:
        assert rule["shortDescription"]["text"]
        assert rule["fullDescription"]["text"]
        assert rule["help"]["text"]
        assert rule["defaultConfiguration"]["level"] in {"none", "note", "warning", "error"}
    (invocation,) = run["invocations"]
    assert isinstance(invocation["executionSuccessful"], bool)
    for notification in invocation["toolExecutionNotifications"]:
        assert notification["message"]["text"]
        assert notification["level"] in {"none", "note", "warning", "error"}
        check_locations(notification.get("locations", []))
    for result in run["results"]:
        assert ids[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in {"none", "note", "warning", "error"}
        assert result["message"]["text"]
        assert result["occurrenceCount"] >= 1
        assert len(result["locations"]) == 1
        check_locations(result["locations"])
        assert all(isinstance(it, str) for it in result["fingerprints"].values())
        assert set(result["partialFingerprints"]) == {"primaryLocationLineHash"}
    return run


def check_locations(locations: list[Any]) -> None:
    for location in locations:
        physical = location["physicalLocation"]
        assert re.fullmatch(r"[A-Za-z0-9._~!$&'()*+,;=:@/%-]+", physical["artifactLocation"]["uri"])
        assert physical.get("region", {"startLine": 1})["startLine"] >= 1
        assert all(it["fullyQualifiedName"] for it in location.get("logicalLocations", []))


@given(found=reports, context=contexts)
def test_sarif_has_what_the_standard_requires(found: Report, context: Context) -> None:
    run = sarif_of(found, context)
    assert [it["ruleId"] for it in run["results"]] == [it.rule for it in found.findings]
    assert run["invocations"][0]["exitCode"] == verdict_of(found, context.fail_on)


def test_sarif_says_where_how_often_and_how_sure() -> None:
    (result,) = sarif_of(report(finding(place=Place("a dir/pröd:1.jsonl", 3, 17))))["results"]
    physical = result["locations"][0]["physicalLocation"]
    assert unquote(physical["artifactLocation"]["uri"]) == "a dir/pröd:1.jsonl"
    assert physical["region"] == {"startLine": 17}
    assert (result["level"], result["occurrenceCount"]) == ("error", 3)
    assert result["properties"].items() >= {"count": 3, "confidence": "documented", "sources": ["S1", "S2"]}.items()
    assert result["message"]["text"] == (
        "fetch.response /data/quota: expected string, got integer; e.g. 4; documented in S1, S2"
    )


def test_sarif_has_no_region_where_there_is_no_line() -> None:
    (result,) = sarif_of(report(finding(place=Place("prod.har", 4))))["results"]
    assert "region" not in result["locations"][0]["physicalLocation"]


def test_the_rules_of_sarif_say_what_to_do() -> None:
    rules = {rule["id"]: rule for rule in sarif_of(report())["tool"]["driver"]["rules"]}
    assert set(rules) == set(RULES)
    assert rules["type/changed"]["help"]["text"] == "What to do: check every use of it, and take both types."


def test_a_fingerprint_depends_on_what_was_found_and_on_nothing_else() -> None:
    def mark(it: Finding) -> str:
        return json_of(report(it))["findings"][0]["fingerprint"]

    same = finding(count=9, example="5", place=Place("other.har", 1), severity=Severity.INFO, host="api.ttapi.io:8443")
    others = [
        finding(rule="value/unknown"),
        finding(endpoint="callback.request"),
        finding(pointer="/data"),
        finding(message="expected string, got null"),
        finding(host="else.example"),
        finding(host="[::1]"),
    ]
    assert mark(same) == mark(finding(host="api.ttapi.io"))
    assert len({mark(it) for it in [finding(host="api.ttapi.io"), *others]}) == 7
    (result,) = sarif_of(report(finding()))["results"]
    assert result["fingerprints"] == {"fluxmock/v1": mark(finding())}


def test_sarif_of_a_check_of_nothing_did_not_succeed() -> None:
    (invocation,) = sarif_of(Report())["invocations"]
    assert (invocation["executionSuccessful"], invocation["exitCode"]) == (False, 3)


# ------------------------------------------------------------------------------------------------------------ github

COMMAND = re.compile(r"::(error|warning|notice) ((?:[a-z]+=[^:,]*)(?:,[a-z]+=[^:,]*)*)::(.*)")


def annotations(text: str) -> list[tuple[str, dict[str, str], str]]:
    """Read workflow commands as the runner does."""

    def decoded(value: str) -> str:
        for code, char in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
            value = value.replace(code, char)
        return value

    found = []
    for line in text.splitlines():
        match = COMMAND.fullmatch(line)
        assert match, line
        values = dict(pair.split("=", 1) for pair in match[2].split(","))
        found.append((match[1], {name: decoded(value) for name, value in values.items()}, decoded(match[3])))
    return found


@given(found=reports, context=contexts)
def test_github_has_one_command_a_line(found: Report, context: Context) -> None:
    read = annotations(FORMATS["github"](found, replace(context, encoding="utf-8")))
    assert len(read) == 1 + len(found.findings) + len(found.troubles)
    for (command, values, _), it in zip(read[1:], found.findings, strict=False):
        assert command == {"error": "error", "warning": "warning", "info": "notice"}[it.severity]
        assert values["title"] == it.rule
        assert values.get("line") == (str(it.place.line) if it.place.line and "file" in values else None)


def test_github_annotations_lead_to_the_line() -> None:
    read = annotations(FORMATS["github"](report(finding(place=Place("a,b:c%25.jsonl", 1, 17))), Context()))
    assert read == [
        (
            "error",
            {"title": "contract"},
            "1 breaking change in fetch.response: check every use of it, and take both types",
        ),
        (
            "error",
            {"file": "a,b:c%25.jsonl", "line": "17", "title": "type/changed"},
            "fetch.response /data/quota: expected string, got integer\ne.g. 4\ndocumented in S1, S2\n"
            "3 times, first in a,b:c%25.jsonl:17\ncheck every use of it, and take both types",
        ),
    ]


def test_github_annotations_of_standard_input_name_no_file() -> None:
    read = annotations(FORMATS["github"](report(finding(place=Place("-", 1, 17))), Context()))
    assert set(read[1][1]) == {"title"}


def test_github_notices_a_clean_check_and_fails_one_of_nothing() -> None:
    assert [it[0] for it in annotations(FORMATS["github"](report(), Context()))] == ["notice"]
    assert [it[0] for it in annotations(FORMATS["github"](Report(), Context()))] == ["error"]
