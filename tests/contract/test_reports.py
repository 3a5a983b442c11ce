"""Reports in every format: whatever a recording holds, they are well-formed, true to the findings and keep secrets."""

from __future__ import annotations

from dataclasses import replace

import pytest
from drawn_reports import contexts, finding, json_of, report, reports
from hypothesis import given

from contract_tests.checker import Checker, Report
from contract_tests.exchanges import Exchange, Place, Trouble
from contract_tests.findings import NOTHING, Policy, Severity
from contract_tests.reports import FORMATS, Context, Verdict, verdict_of


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
