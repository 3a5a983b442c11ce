"""The report for people: its first line says what to do, it fits the terminal, and it repeats no advice."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len

from contract_tests.checker import Choice, Report
from contract_tests.exchanges import Place, Trouble
from contract_tests.findings import RULES, Confidence, Fact, Finding, Severity
from contract_tests.reports import FORMATS, Context

DATA = Fact("fetch.response.json", "/oneOf/0/properties/data", ("S1", "S2"), Confidence.DOCUMENTED)
ASSUMED = Fact("fetch.response.json", "/oneOf/1/properties/message", (), Confidence.ASSUMED)
UNKNOWN = Fact("fetch.response.json", "/oneOf/0", (), Confidence.NONE)
SURE = {"api.ttapi.io": Choice("2026-03", "310 messages fit it alone", 310)}


def finding(rule: str, severity: Severity, pointer: str, message: str, count: int, **more: Any) -> Finding:
    usual = {"endpoint": "fetch.response", "place": Place("prod.har", 4), "fact": DATA, "example": ""}
    return Finding(
        rule=rule,
        severity=severity,
        pointer=pointer,
        message=message,
        count=count,
        breaking=RULES[rule].breaking,
        host=more.pop("host", "api.ttapi.io"),
        contract="2026-03",
        **(usual | more),
    )


MISSING = finding("field/missing", Severity.ERROR, "/data/imageUrl", "expected this field, got none", 1_312)
CHANGED = finding(
    "type/changed", Severity.ERROR, "/data/quota", "expected string, got integer", 3,
    place=Place("prod.jsonl", 17, 17), example="4",
)  # fmt: skip
REFUSED = finding(
    "request/refused", Severity.WARNING, "", "answered 400, although the contract allows it", 2,
    endpoint="generate.request",
)  # fmt: skip
NEWS = finding(
    "value/unknown", Severity.INFO, "/status", 'expected one of ON_QUEUE, SUCCESS, FAILED; got "PAUSED"', 5,
    fact=ASSUMED, example='"PAUSED"',
)  # fmt: skip
EXTRA = finding(
    "field/unknown", Severity.INFO, "/data/seed", "a field 'seed' of type integer", 40, fact=UNKNOWN, example="7"
)


def told(report: Report, **context: Any) -> str:
    return FORMATS["text"](report, Context(**{"title": "prod.har", **context}))


def first_line(*findings: Finding, **more: Any) -> str:
    context = {"fail_on": more.pop("fail_on", Severity.ERROR)}
    return told(Report(**{"findings": findings, "messages": 9, "jobs": 1, "contracts": SURE, **more}), **context).split(
        "\n"
    )[0]


def test_a_report_of_breaking_changes() -> None:
    report = Report(
        findings=(MISSING, CHANGED, replace(CHANGED, pointer="/data/size"), REFUSED, NEWS, EXTRA),
        messages=1_204,
        others=3,
        jobs=310,
        troubles=(Trouble(Place("more.har", 0), "expected JSON, got <html>"),),
        contracts=SURE,
    )
    assert (
        told(report)
        == """\
3 breaking changes in fetch.response: update the clients that rely on it; 1 could not be read

3 errors
  fetch.response
    ✗ field/missing /data/imageUrl ×1,312, first in prod.har, exchange 4
      expected this field, got none · documented in S1, S2
      → read it with a default, and cope without it
    ✗ type/changed /data/quota ×3, first in prod.jsonl:17
      expected string, got integer · e.g. 4 · documented in S1, S2
      → check every use of it, and take both types
    ✗ type/changed /data/size ×3, first in prod.jsonl:17
      expected string, got integer · e.g. 4 · documented in S1, S2

1 warning
  generate.request
    ! request/refused (all of it) ×2, first in prod.har, exchange 4
      answered 400, although the contract allows it · documented in S1, S2
      → read why, and send only what is taken

2 notes (info)
  fetch.response
    i value/unknown /status ×5, first in prod.har, exchange 4
      expected one of ON_QUEUE, SUCCESS, FAILED; got "PAUSED" · assumed: this is
      news
      → treat an unknown status as not final
    i field/unknown /data/seed ×40, first in prod.har, exchange 4
      a field 'seed' of type integer · e.g. 7 · the contract says nothing about
      it
      → ignore it, or take it over with --patch

1 could not be read
  more.har: expected JSON, got <html>

checked: 1,204 messages, 310 jobs against contract 2026-03 (detected: 310
  messages fit it alone)
"""
    )


def test_a_report_of_a_clean_check() -> None:
    report = Report(messages=1_204, jobs=310, contracts=SURE)
    assert told(report) == (
        "clean: 1,204 messages, 310 jobs fit contract 2026-03 (detected: 310 messages fit it alone)\n"
    )


def test_a_report_of_two_hosts_that_speak_different_versions() -> None:
    contracts = {
        "old.example": Choice("2024-09", "it fits best"),
        "api.ttapi.io": Choice("2026-03", "as you said"),
    }
    report = Report((EXTRA, replace(EXTRA, host="old.example")), 20, 0, 1, contracts=contracts)
    assert (
        told(report)
        == """\
passed, with 2 notes to read: 20 messages, 1 job against contracts 2024-09 and 2026-03

2 notes (info)
  fetch.response at api.ttapi.io
    i field/unknown /data/seed ×40, first in prod.har, exchange 4
      a field 'seed' of type integer · e.g. 7 · the contract says nothing about
      it
      → ignore it, or take it over with --patch
  fetch.response at old.example
    i field/unknown /data/seed ×40, first in prod.har, exchange 4
      a field 'seed' of type integer · e.g. 7 · the contract says nothing about
      it

checked: 20 messages, 1 job against contracts 2024-09 and 2026-03
  api.ttapi.io: 2026-03 (as you said)
  old.example: 2024-09 (detected: it fits best)
"""
    )


@pytest.mark.parametrize(
    ("findings", "more", "line"),
    [
        ((MISSING,), {}, "1 breaking change in fetch.response: read it with a default, and cope without it"),
        (
            (MISSING, REFUSED),
            {"fail_on": Severity.WARNING},
            "2 breaking changes in fetch.response and generate.request: update the clients that rely on it",
        ),
        (
            (MISSING, REFUSED, replace(MISSING, endpoint="error.response")),
            {"fail_on": Severity.INFO},
            "3 breaking changes in 3 kinds of message: update the clients that rely on it",
        ),
        ((NEWS,), {"fail_on": Severity.INFO}, "1 note in fetch.response: treat an unknown status as not final"),
        ((NEWS, EXTRA), {"fail_on": Severity.INFO}, "2 notes in fetch.response: read what came of each"),
        (
            (replace(EXTRA, severity=Severity.ERROR), replace(EXTRA, severity=Severity.WARNING)),
            {"fail_on": Severity.WARNING},
            "2 findings in fetch.response: ignore it, or take it over with --patch",
        ),
        (
            (REFUSED, NEWS),
            {},
            "passed, with 1 warning and 1 note to read: 9 messages, 1 job against contract 2026-03 "
            "(detected: 310 messages fit it alone)",
        ),
        ((), {"messages": 0, "others": 7}, "nothing was checked: no exchange in prod.har is about this API"),
        ((), {"messages": 0}, "nothing was checked: no exchange in prod.har is about this API"),
        (
            (),
            {"messages": 0, "troubles": (Trouble(Place("prod.har", 0), "expected JSON, got <html>"),)},
            "nothing was checked: nothing in prod.har could be read: prod.har: expected JSON, got <html>",
        ),
        (
            (),
            {"troubles": (Trouble(Place("prod.har", 0), "x"),), "contracts": {}},
            "1 could not be read; what could: 9 messages, 1 job against the contract",
        ),
    ],
)
def test_the_first_line_says_what_to_do(findings: tuple[Finding, ...], more: dict[str, Any], line: str) -> None:
    assert first_line(*findings, **more) == line


@pytest.mark.parametrize("width", [40, 80, 200])
def test_lines_fit_the_width_whatever_the_script(width: int) -> None:
    wide = replace(
        EXTRA,
        pointer="/data/" + "名" * 90,
        message="expected what was ordered, " * 5,
        example='"' + "一只戴着红色围巾的猫" * 10 + '"',
        place=Place("a/" * 80 + "x.har", 2),
    )
    report = Report((wide,), 1, troubles=(Trouble(Place("y" * 300, 0), "z" * 300),), contracts=SURE)
    lines = told(report, width=width).split("\n")
    assert all(cell_len(line) <= width for line in lines[1:])
    assert "".join(lines).replace(" ", "").count("猫") == 10


def test_colours_are_only_added() -> None:
    report = Report((MISSING, REFUSED, NEWS), 3, contracts=SURE)
    coloured, plain = told(report, colour=True), told(report)
    assert "\x1b[31m✗\x1b[0m" in coloured
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_a_terminal_that_lacks_our_signs_gets_plainer_ones() -> None:
    lines = told(Report((replace(MISSING, message="got é"),), 3, contracts=SURE), encoding="ascii").split("\n")
    assert lines[4:7] == [
        "    x field/missing /data/imageUrl x1,312, first in prod.har, exchange 4",
        "      got \\xe9 - documented in S1, S2",
        "      > read it with a default, and cope without it",
    ]


def test_only_the_first_troubles_are_told() -> None:
    troubles = tuple(Trouble(Place("a.har", number), "no") for number in range(1, 31))
    lines = told(Report((), 3, troubles=troubles, contracts=SURE)).split("\n")
    assert "  a.har, exchange 20: no" in lines
    assert "  and 10 more" in lines
    assert "  a.har, exchange 21: no" not in lines
