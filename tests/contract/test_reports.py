"""Reports in every format: whatever a recording holds, they are well-formed, true to the findings and keep secrets."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from contract_tests.checker import Checker, Choice, Report
from contract_tests.coverage import HTTP, Covered, Spot
from contract_tests.exchanges import Exchange, Place, Trouble
from contract_tests.findings import NOTHING, RULES, Confidence, Fact, Finding, Policy, Severity
from contract_tests.observed import Observed, Presence
from contract_tests.reports import FORMATS, Context, Verdict, verdict_of
from contract_tests.reports.masking import shown
from contract_tests.times import Spread
from mock_server import resources

LOUD = [Severity.ERROR, Severity.WARNING, Severity.INFO]
DOCUMENTED = Fact("fetch.response.json", "/properties/data", ("S1", "S2"), Confidence.DOCUMENTED)

OBSERVED = Observed(
    (Presence("generate.request", "", "/size", 1, 3), Presence("fetch.response", "failed", "/data/mode", 0, 1)),
    (Spread("answer of fetch", 3, 0.012, 0.5, 12.25), Spread("end to webhook", 1, -2.0, -2.0, -2.0)),
)
SPOTS = (
    Spot("fetch", HTTP, "", "", {"200": 3, "400": 0}),
    Spot("fetch", "fetch.response", "failed", "/data", {"null": 1}),
)

# Free text of a recording: any character, and those that some format gives a meaning more often than by chance.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.text(
    "a|`\\<>&'\"%,:;@#*_[]()!\r\n\t\0\x1b\x85\u2028\u202e\ufffe-", max_size=20
)
places = st.builds(Place, texts, st.integers(0, 9), st.integers(0, 9))
facts = st.builds(
    Fact,
    st.sampled_from(["", "fetch.response.json"]),
    texts,
    st.lists(st.sampled_from(["S1", "S2"]), max_size=2, unique=True).map(tuple),
    st.sampled_from(list(Confidence)),
)
findings = st.builds(
    Finding,
    rule=st.sampled_from(sorted(RULES)),
    severity=st.sampled_from(LOUD),
    endpoint=st.sampled_from(["fetch.response", "generate.request", "callback.request"]),
    pointer=texts,
    message=texts,
    count=st.integers(1, 10**7),
    place=places,
    fact=facts,
    example=texts,
    breaking=st.booleans(),
    host=texts,
    contract=st.sampled_from(["2024-09", "2026-03"]),
)
reports = st.builds(
    Report,
    findings=st.lists(findings, max_size=4).map(tuple),
    messages=st.integers(0, 3),
    others=st.integers(0, 2),
    jobs=st.integers(0, 2),
    troubles=st.lists(st.builds(Trouble, places, texts), max_size=2).map(tuple),
    contracts=st.dictionaries(texts, st.builds(Choice, st.just("2026-03"), st.just("it fits best")), max_size=2),
    observed=st.dictionaries(texts, st.just(OBSERVED), max_size=2),
    coverage=st.none() | st.lists(st.builds(Covered, texts, st.just("2026-03"), st.just(SPOTS)), max_size=2).map(tuple),
)
contexts = st.builds(
    Context,
    title=texts,
    width=st.integers(0, 200),
    colour=st.booleans(),
    encoding=st.sampled_from(["utf-8", "ascii", "cp1252"]),
    fail_on=st.sampled_from(list(Severity)),
)


def finding(**changes: Any) -> Finding:
    usual = Finding(
        "type/changed", Severity.ERROR, "fetch.response", "/data/quota", "expected string, got integer", 3,
        Place("prod.jsonl", 17, 17), DOCUMENTED, "4", breaking=True, host="api.example", contract="2026-03",
    )  # fmt: skip
    return replace(usual, **changes)


def report(*found: Finding, **more: Any) -> Report:
    return Report(**{"findings": found, "messages": 9, "contracts": {"api.example": Choice("2026-03", "x")}, **more})


def test_the_formats_are_those_that_are_promised() -> None:
    assert list(FORMATS) == ["text", "json", "junit", "sarif", "markdown", "github", "html"]


@given(found=reports, context=contexts)
def test_every_format_can_be_written_in_the_encoding_that_was_asked_for(found: Report, context: Context) -> None:
    for render in FORMATS.values():
        text = render(found, context)
        assert text.encode(context.encoding)
        assert text.endswith("\n")


@given(found=reports, context=contexts)
def test_no_format_passes_on_a_control_character(found: Report, context: Context) -> None:
    for render in FORMATS.values():
        lines = render(found, replace(context, colour=False)).split("\n")
        assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("name", FORMATS)
def test_names_of_files_that_are_no_utf8_can_be_reported(name: str) -> None:
    place = Place("\udcff.har", 1)
    text = FORMATS[name](report(finding(place=place), troubles=(Trouble(place, "x"),)), Context(title="\udcff.har"))
    assert text.encode()
    assert "udcff" in text


# ---------------------------------------------------------------------------------------------------------- verdicts


@pytest.mark.parametrize(
    ("severity", "fail_on", "verdict"),
    [
        (Severity.ERROR, Severity.ERROR, Verdict.FAILED),
        (Severity.WARNING, Severity.ERROR, Verdict.CLEAN),
        (Severity.WARNING, Severity.WARNING, Verdict.FAILED),
        (Severity.INFO, Severity.INFO, Verdict.FAILED),
        (Severity.ERROR, Severity.OFF, Verdict.CLEAN),
    ],
)
def test_what_is_at_or_above_fail_on_fails(severity: Severity, fail_on: Severity, verdict: Verdict) -> None:
    assert verdict_of(report(finding(severity=severity)), fail_on) is verdict


@pytest.mark.parametrize("fail_on", list(Severity))
def test_a_check_of_nothing_is_never_clean(fail_on: Severity) -> None:
    assert verdict_of(Report(others=3), fail_on) == 3


# -------------------------------------------------------------------------------------------------------------- json


def json_of(found: Report, context: Context | None = None) -> Any:
    value = json.loads(FORMATS["json"](found, context or Context()))
    jsonschema.Draft202012Validator(resources.load("report.schema.json")).validate(value)
    return value


def test_the_schema_of_json_is_valid_and_describes_every_field() -> None:
    schema = resources.load("report.schema.json")
    jsonschema.Draft202012Validator.check_schema(schema)

    def fields(value: Any) -> list[dict[str, Any]]:
        inner = [it for child in value.values() if isinstance(child, dict) for it in fields(child)]
        return [*value.get("properties", {}).values(), *inner]

    assert len(fields(schema)) > 30
    assert all(field["description"] for field in fields(schema))


@given(found=reports, context=contexts)
def test_json_fits_its_schema(found: Report, context: Context) -> None:
    value = json_of(found, context)
    assert len(value["findings"]) == len(found.findings)
    assert value["verdict"] == verdict_of(found, context.fail_on).name.lower()


def test_json_says_all_that_is_known() -> None:
    trouble = Trouble(Place("prod.jsonl", 2, 2), "expected JSON, got <html>")
    value = json_of(report(finding(), jobs=2, others=1, troubles=(trouble,)), Context(title="prod.jsonl"))
    assert value == {
        "version": 1,
        "title": "prod.jsonl",
        "verdict": "failed",
        "fail_on": "error",
        "checked": {"messages": 9, "jobs": 2, "others": 1},
        "contracts": {"api.example": {"version": "2026-03", "because": "x", "alone": 0}},
        "findings": [
            {
                "rule": "type/changed",
                "severity": "error",
                "endpoint": "fetch.response",
                "pointer": "/data/quota",
                "message": "expected string, got integer",
                "count": 3,
                "breaking": True,
                "example": "4",
                "first": {"file": "prod.jsonl", "exchange": 17, "line": 17},
                "host": "api.example",
                "contract": {
                    "version": "2026-03",
                    "file": "fetch.response.json",
                    "pointer": "/properties/data",
                    "confidence": "documented",
                    "sources": ["S1", "S2"],
                },
                "advice": "check every use of it, and take both types",
                "fingerprint": value["findings"][0]["fingerprint"],
            }
        ],
        "observed": {},
        "troubles": [{"file": "prod.jsonl", "exchange": 2, "line": 2, "why": "expected JSON, got <html>"}],
    }


@given(found=st.lists(findings, min_size=2, max_size=4, unique_by=lambda it: it.message), data=st.data())
def test_json_has_the_same_order_whatever_the_order_of_hosts(found: list[Finding], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(found))
    assert json_of(report(*found)) == json_of(report(*shuffled))


def test_json_keeps_names_that_no_terminal_could_show() -> None:
    value = json_of(report(finding(pointer="/data/a\x1b\u202e", message="一\n")))
    assert (value["findings"][0]["pointer"], value["findings"][0]["message"]) == ("/data/a\x1b\u202e", "一\n")


def test_a_report_of_a_real_check_names_place_pointer_and_fact() -> None:
    checker = Checker("2026-03")
    checker.feed(
        [
            Exchange(
                Place("prod.jsonl", 1, 1),
                "POST",
                "https://api.example/flux/fetch",
                request_body=b'{"jobId":"a"}',
                status=200,
                response_body=b'{"status":"SUCCESS","message":"","jobId":"a","data":{"jobId":"a","surprise":1}}',
            )
        ]
    )
    value = json_of(checker.report())
    assert value["checked"] == {"messages": 1, "jobs": 1, "others": 0}
    assert value["contracts"]["api.example"]["because"] == "as you said"
    pointers = {(it["rule"], it["pointer"]) for it in value["findings"]}
    assert ("field/unknown", "/data/surprise") in pointers
    assert any(rule == "field/missing" for rule, _ in pointers)
    assert all(it["first"]["file"] == "prod.jsonl" for it in value["findings"])


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


# ---------------------------------------------------------------------------------------------------------- markdown


@given(found=reports, context=contexts)
def test_markdown_is_a_table_in_which_nothing_recorded_is_markup(found: Report, context: Context) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(FORMATS["markdown"](found, context))
    rows = [index for index, it in enumerate(tokens) if it.type == "tr_open"]
    assert len(rows) == (len(found.findings) + 1 if found.findings else 0)
    assert sum(it.type == "td_open" for it in tokens) == 6 * max(0, len(rows) - 1)
    blocks = {it.type.removesuffix("_open").removesuffix("_close") for it in tokens}
    assert blocks <= {
        "paragraph", "inline", "table", "thead", "tbody", "tr", "th", "td", "bullet_list", "list_item",
    }  # fmt: skip
    children = [child for it in tokens for child in it.children or []]
    assert {it.type for it in children} <= {"text", "code_inline", "html_inline", "strong_open", "strong_close"}
    assert {it.content for it in children if it.type == "html_inline"} <= {"<br>", "<code>", "</code>"}


def test_markdown_shows_pipes_and_backticks_as_they_are() -> None:
    text = FORMATS["markdown"](report(finding(message="got `a|b` @someone")), Context())
    assert "<code>got &#96;a&#124;b&#96; &#64;someone</code>" in text


def test_markdown_fits_into_a_comment() -> None:
    found = [finding(pointer=f"/{number}", message="|" * 200) for number in range(2_000)]
    troubles = tuple(Trouble(Place("a", 1), "|" * 5_000) for _ in range(500))
    text = FORMATS["markdown"](report(*found, troubles=troubles), Context())
    assert len(text) < 65_536
    assert "more | | |" in text
    assert text.endswith("- and 480 more\n")


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


# -------------------------------------------------------------------------------------------------------------- html


class _Page(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@given(found=reports, context=contexts)
def test_html_shows_what_was_recorded_and_takes_none_of_it_as_markup(found: Report, context: Context) -> None:
    page = _Page(FORMATS["html"](found, context))
    assert page.open == []
    assert set(page.tags) <= {
        "html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "ul", "li", "code", "table",
        "caption", "thead", "tbody", "tr", "th", "td", "br", "span",
    }  # fmt: skip
    assert page.attributes <= {"lang", "charset", "name", "content", "http-equiv", "class", "scope"}
    assert page.tags.count("td") == 5 * len(found.findings)
    shown_text = "\n".join(page.text)
    assert all(shown(it.why) in shown_text for it in found.troubles)


def test_html_needs_nothing_from_elsewhere() -> None:
    page = FORMATS["html"](report(finding()), Context())
    assert not re.search(r"\b(src|href)=|url\(|@import|<script", page)
    assert "default-src 'none'" in page
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


# ----------------------------------------------------------------------------------------------------------- secrets

SECRETS = [
    ("/data/imageUrl", '"https://joe:hunter2@img.example/a.webp?sig=hunter2#hunter2"', "https://img.example/a.webp"),
    ("/data/imageUrl", '"https://joe:hunter2…', "https://…"),
    ("/hookUrl", '"https://hooks.example/services/hunter2"', "https://hooks.example/…"),
    ("/hookUrl", '"https://joe:hun ter2@hooks.example"', "https://hooks.example"),
    ("/hookUrl", '"hooks.example/hunter2"', '"…"'),
    ("/data/apiKey", '"hunter2"', '"…"'),
    ("/data/session_id", '"hunter2"', '"…"'),
    ("/data", '{"userPass": "hunter2", "quota": "4"}', '"userPass": "…", "quota": "4"'),
    ("/hookUrl", '"https://hunter2hunter2.hooks.example/x"', "https://….hooks.example/…"),
    ("/data/tokens", '["hunter2"]', '"…"'),
    ("/data", '{"hookUrl": "https://hooks.example/hunter2", "quota": "4"}', '"https://hooks.example/…", "quota": "4"'),
    ("/data", '{"quota": "4", "api_key": "hunter2 hunter2 hunt…', '"quota": "4", "api_key": "…"'),
    (
        "/data",
        '{"a": {"API_KEYS_TOKENS": ["hunter2", {"b": "hunter2"}], "c": "hunter2"}}',
        '{"a": {"API_KEYS_TOKENS": "…"',
    ),
    ("/data", '{"hooks": [{"url": "https://hooks.example/hunter2"}, "hunter2"]}', "https://hooks.example/…"),
    ("/data", '{"see": "http://hunter2@a.example/b?hunter2"}', "http://a.example/b?…"),
]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("pointer", "example", "left"), SECRETS)
def test_no_format_gives_away_a_secret(name: str, pointer: str, example: str, left: str) -> None:
    found = report(
        finding(pointer=pointer, example=example, message=f"expected x, got {example}"),
        finding(pointer=pointer, example=example),
        troubles=(Trouble(Place("a", 1), "expected an answer from https://joe:hunter2@a.example/?hunter2"),),
    )
    text = FORMATS[name](found, Context(width=1000))
    assert "hunt" not in text
    assert "ter2" not in text
    if name == "text":
        assert left in text


@pytest.mark.parametrize("example", ['"4.5"', '{"mode": "flux1-dev", "prompt": "a monkey"}', "null", '"http"', "12"])
def test_other_examples_stay_as_they_are(example: str) -> None:
    assert json_of(report(finding(example=example)))["findings"][0]["example"] == example


def test_the_policy_decides_how_loud_a_report_is() -> None:
    exchange = Exchange(
        Place("a", 1), "POST", "https://api.example/flux/fetch", status=418, response_body=b"", request_body=b"{}"
    )
    for severity, verdict in ((Severity.ERROR, "failed"), (Severity.INFO, "clean")):
        checker = Checker("2026-03", Policy({"status/*": severity, "body/*": Severity.OFF}))
        checker.feed([exchange])
        assert json_of(checker.report())["verdict"] == verdict


def test_what_the_contract_says_nothing_about_is_not_called_documented() -> None:
    value = json_of(report(finding(fact=NOTHING)))
    assert value["findings"][0]["contract"]["confidence"] == "none"
