"""Reports to render: drawn with all that a recording may hold, or built from a finding."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
from hypothesis import strategies as st

from contract_tests.checker import Choice, Report
from contract_tests.coverage import HTTP, Covered, Spot
from contract_tests.exchanges import Place, Trouble
from contract_tests.findings import RULES, Confidence, Fact, Finding, Severity
from contract_tests.observed import Observed, Presence
from contract_tests.reports import FORMATS, Context
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


def json_of(found: Report, context: Context | None = None) -> Any:
    value = json.loads(FORMATS["json"](found, context or Context()))
    jsonschema.Draft202012Validator(resources.load("report.schema.json")).validate(value)
    return value
