"""Reports in JSON: they fit their schema, say all that is known, and have one order."""

from __future__ import annotations

from typing import Any

import jsonschema
from drawn_reports import contexts, finding, findings, json_of, report, reports
from hypothesis import given
from hypothesis import strategies as st

from contract_tests.checker import Checker, Report
from contract_tests.exchanges import Exchange, Place, Trouble
from contract_tests.findings import Finding
from contract_tests.reports import Context, verdict_of
from mock_server import resources


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
