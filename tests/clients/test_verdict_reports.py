"""Reports of a verdict: each tells the same, none believes what a client says, and all show how a failure went."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import needing_clients
import pytest
import samples
from rich.cells import cell_len

from contract_tests.clients.check import Plan, check_client
from contract_tests.clients.lanes import timeline
from contract_tests.clients.met import Kind, by_kind
from contract_tests.clients.properties.base import Level
from contract_tests.clients.reports import FORMATS, Context
from contract_tests.clients.verdict import Exit, Result, Verdict
from mock_server import resources
from mock_server.scenarios.files import parse_scenario

IDS = ("C01", "C02", "C05", "C08", "C18", "C30", "C49")
COMMAND = ("fluxmock", "test-client", "samples.py:naive")
HOSTILE = "it said <script>alert(1)</script> | `rm` \x1b[31m\r\n&amp; \ud800 done"


def context(**more: Any) -> Context:
    return Context(**{"client": "samples.py:naive", "contract": "2024-09", "command": COMMAND, **more})


@pytest.fixture(scope="module")
def naive() -> Verdict:
    return check_client(samples.naive, plan=Plan(examples=45, only=IDS))


@pytest.fixture(scope="module")
def good() -> Verdict:
    return check_client(samples.good, plan=Plan(examples=15, only=("C02", "C08", "C18")))


@pytest.fixture(scope="module")
def mute() -> Verdict:
    return check_client(samples.never_calls, plan=Plan(examples=2, only=("C02",)))


@pytest.fixture(scope="module")
def hostile(naive: Verdict) -> Verdict:
    results = (dataclasses.replace(one, why=HOSTILE) if one.result is Result.FAIL else one for one in naive.results)
    return dataclasses.replace(naive, results=tuple(results))


def told(verdict: Verdict, format_: str, **more: Any) -> str:
    return FORMATS[format_](verdict, context(**more))


# -------------------------------------------------------------------------------------------------------------- text


def test_a_card_begins_with_what_is_wrong_and_what_it_costs(naive: Verdict) -> None:
    first, blank, worst, *_ = told(naive, "text", width=200).split("\n")
    assert first.startswith("samples.py:naive failed: 4 MUST and 1 SHOULD do not hold, and it bills ")
    assert first.endswith("times for one image")
    assert blank == ""
    assert worst == "✗ C01 MUST   no double submit after an ambiguous outcome"


def test_a_failure_says_what_happened_what_it_costs_how_to_mend_it_and_how_to_see_it_again(naive: Verdict) -> None:
    result = naive["C01"]
    part = told(naive, "text", width=500).split("\n\n")[1].split("\n")
    assert [re.split(r"\s{2,}", line.strip())[0] for line in part[1:]] == [
        "client",
        "money",
        "scenario",
        "fix",
        "again",
    ]
    text = "\n".join(part)
    assert result.why in text
    assert f"bills {result.bills} times for one image" in text
    assert "; ".join(result.directives) in text
    assert result.property.fix in text
    assert "fluxmock test-client samples.py:naive --property C01" in text


def test_a_card_has_a_line_for_each_property_with_mark_id_level_and_title(naive: Verdict) -> None:
    lines = told(naive, "text", width=200).split("\n")
    marks = {}
    for result in naive.results:
        (line,) = [line for line in lines if re.match(rf". {result.property.id} +{result.property.level} ", line)]
        assert result.property.title in line
        marks[result.property.id] = line[0]
    assert marks == {"C01": "✗", "C02": "✗", "C05": "✓", "C08": "✗", "C18": "✗", "C30": "!", "C49": "-"}


def test_a_property_that_was_not_exercised_says_what_it_needs(naive: Verdict) -> None:
    assert "C49 MUST   multipart is well formed (not exercised: needs a client that takes a file" in told(
        naive, "text", width=200
    )


def why_not(verdict: Verdict, id_: str) -> str:
    """Return why a property was not exercised, in the words of every report."""
    words = str(re.search(rf"- {id_} .*\(not exercised: (.*)\)", told(verdict, "text", width=500))[1])  # type: ignore[index]
    assert f"not exercised | {words} |" in told(verdict, "markdown")
    assert f"{words}</td></tr>" in told(verdict, "html")
    (case,) = [case for case in junit_of(verdict).iter("testcase") if str(case.get("name")).startswith(id_)]
    assert case.find("skipped").get("message") == f"not exercised: {words}"  # type: ignore[union-attr]
    return words


def test_of_a_client_that_has_what_a_property_needs_it_is_not_said_that_it_has_not() -> None:
    edits = check_client(needing_clients.edits, plan=Plan(examples=20, only=("C46", "C49", "C50", "C52")))
    assert edits["C49"].result is Result.PASS
    assert why_not(edits, "C52") == "it sent no file a second time"
    assert why_not(edits, "C50") == "it sent no name of a file that is hard to write"
    assert why_not(edits, "C46") == "needs a client that downloads the image"


def test_of_a_single_property_it_is_not_said_that_a_client_lacks_what_it_was_given() -> None:
    edits = check_client(needing_clients.edits, plan=Plan(examples=5, only=("C52",)))
    assert why_not(edits, "C52") == "it sent no file a second time"
    generates = check_client(samples.good, plan=Plan(examples=5, only=("C52",)))
    assert why_not(generates, "C52") == "needs a client that takes a file to edit"


def test_that_no_scenario_was_about_a_property_is_told() -> None:
    downloads = check_client(needing_clients.downloads, plan=Plan(examples=1, only=("C46", "C47")))
    assert downloads["C47"].result is Result.PASS
    assert why_not(downloads, "C46") == "no scenario that tries it was played"
    played = check_client(needing_clients.downloads, plan=Plan(examples=3, only=("C46", "C47")))
    assert played["C46"].result is Result.PASS


def test_a_client_that_takes_webhooks_and_never_fetches_is_told_what_did_not_happen() -> None:
    plan = Plan(examples=8, only=("C35", "C39"))
    verdict = check_client(needing_clients.waits_for_hooks, plan=plan, receiver=samples.receiver)
    assert verdict["C35"].result is Result.PASS
    assert why_not(verdict, "C39") == "no fetch told the end of a job when a webhook did"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_card_fits_the_terminal(naive: Verdict, width: int) -> None:
    lines = told(naive, "text", width=width, timelines=None).split("\n")
    assert max(cell_len(line) for line in lines if not line.startswith("      again")) <= width


def test_a_card_has_colours_only_when_asked(naive: Verdict) -> None:
    plain = told(naive, "text")
    coloured = told(naive, "text", colour=True)
    assert "\x1b" not in plain
    assert "\x1b[31m✗\x1b[0m" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_a_card_can_be_written_where_there_is_only_ascii(naive: Verdict) -> None:
    told(naive, "text", encoding="ascii", timelines=None).encode("ascii")


def test_a_card_shows_how_the_first_failure_went_or_how_all_did(naive: Verdict) -> None:
    assert re.findall(r"^(C..), as it went", told(naive, "text"), re.MULTILINE) == ["C01"]
    all_ = re.findall(r"^(C..), as it went", told(naive, "text", timelines=None), re.MULTILINE)
    assert all_ == [one.property.id for one in naive.failures(Level.MUST)] + ["C30"]


def test_a_card_of_a_client_that_never_called_says_so(mute: Verdict) -> None:
    assert told(mute, "text").startswith("samples.py:naive never called the API, so nothing is known")


def test_a_card_of_a_good_client_is_short(good: Verdict) -> None:
    text = told(good, "text")
    assert text.startswith("samples.py:naive passed: 3 properties held\n")
    assert "as it went" not in text


def test_an_unstable_failure_is_no_failure_and_says_how_often_it_was_seen(naive: Verdict) -> None:
    unstable = dataclasses.replace(naive["C02"], result=Result.UNSTABLE, seen=(1, 3))
    verdict = Verdict((unstable,), 1, 3, 5)
    text = told(verdict, "text")
    assert verdict.exit_code is Exit.UNKNOWN
    assert text.startswith("samples.py:naive: nothing is known: the property that was looked for was not\n")
    held = Verdict((unstable, naive["C05"]), 1, 3, 5)
    assert held.exit_code is Exit.OK
    assert told(held, "text").startswith("samples.py:naive passed: 1 property held; 1 failure not seen every time\n")
    assert "~ C02 MUST   no resubmit on definite rejection (unstable 1/3)" in text
    assert "seen      1 of 3 times" in text


# -------------------------------------------------------------------------------------------------------------- json


def json_of(verdict: Verdict, **more: Any) -> Any:
    value = json.loads(told(verdict, "json", **more))
    jsonschema.Draft202012Validator(resources.load("verdict.schema.json")).validate(value)
    return value


def test_the_schema_of_a_verdict_is_valid_and_describes_every_field() -> None:
    schema = resources.load("verdict.schema.json")
    jsonschema.Draft202012Validator.check_schema(schema)

    def fields(value: Any) -> list[dict[str, Any]]:
        inner = [it for child in value.values() if isinstance(child, dict) for it in fields(child)]
        named = value.get("properties", {}) if isinstance(value.get("type"), str) else {}
        return [*named.values(), *inner]

    assert len(fields(schema)) > 25
    assert all(field["description"] for field in fields(schema))


def test_json_says_what_is_known_of_each_property(naive: Verdict) -> None:
    value = json_of(naive)
    assert (value["verdict"], value["exit_code"]) == ("failed", 1)
    by_id = {one["id"]: one for one in value["properties"]}
    assert next(iter(by_id)) == "C01"
    assert {id_: one["result"] for id_, one in by_id.items()} == {
        one.property.id: one.result.value for one in naive.results
    }
    assert by_id["C01"]["bills"] == naive["C01"].bills > 1
    assert by_id["C01"]["directives"] == list(naive["C01"].directives)
    assert "POST /flux/generate" in by_id["C01"]["timeline"]
    assert by_id["C05"]["scenario"] is None


def test_the_scenario_in_json_can_be_played(naive: Verdict) -> None:
    failed = [one for one in json_of(naive)["properties"] if one["result"] == "fail"]
    assert failed
    for one in failed:
        assert parse_scenario(json.dumps(one["scenario"])).name.startswith(one["id"].lower())


def test_json_of_a_client_that_never_called_is_no_pass(mute: Verdict) -> None:
    assert (json_of(mute)["verdict"], json_of(mute)["exit_code"]) == ("never_called", 3)


def test_json_fits_its_schema_whatever_a_client_said(hostile: Verdict, good: Verdict) -> None:
    assert json_of(hostile)["properties"][0]["why"] == HOSTILE
    assert json_of(good)["verdict"] == "ok"


# ------------------------------------------------------------------------------------------------------------- junit


def junit_of(verdict: Verdict) -> ET.Element:
    return ET.fromstring(told(verdict, "junit"))  # noqa: S314 - we wrote it


def test_junit_has_a_case_for_each_property_and_only_a_must_fails(naive: Verdict) -> None:
    root = junit_of(naive)
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == (str(len(IDS)), "4", "0")
    assert len(root.findall(".//skipped")) == 1
    (should,) = [case for case in root.iter("testcase") if str(case.get("name")).startswith("C30")]
    assert should.find("failure") is None
    assert "SHOULD, fail" in str(should.findtext("system-out"))


def test_junit_of_a_client_that_never_called_has_an_error(mute: Verdict) -> None:
    assert junit_of(mute).get("errors") == "1"


def test_junit_is_xml_whatever_a_client_said(hostile: Verdict) -> None:
    assert "<script>" in str(junit_of(hostile).find(".//failure").get("message"))  # type: ignore[union-attr]


# ---------------------------------------------------------------------------------------------------------- markdown


def test_markdown_is_a_table_whatever_a_client_said(hostile: Verdict) -> None:
    text = told(hostile, "markdown")
    rows = [line for line in text.split("\n") if line.startswith("| C")]
    assert len(rows) == len(IDS)
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 5 for row in rows)
    assert "<script>" not in text
    assert "\x1b" not in text


def test_markdown_shows_how_a_failure_went(naive: Verdict) -> None:
    text = told(naive, "markdown")
    assert "<summary>C01: how it went</summary>" in text
    assert "    " + timeline(naive["C01"].story).split("\n")[0] in text  # type: ignore[arg-type]


# -------------------------------------------------------------------------------------------------------------- html


class Page(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.cells: dict[str, str] = {}
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def test_html_needs_nothing_from_elsewhere_and_takes_nothing_of_a_client_as_markup(hostile: Verdict) -> None:
    page = Page(told(hostile, "html"))
    assert "<script>alert(1)</script>" in page.text
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert {name for name, _ in page.attributes} & {"src", "onclick", "onerror"} == set()
    assert all(value.startswith("#") for name, value in page.attributes if name == "href" and value)


def test_html_has_a_swim_lane_of_each_failure(naive: Verdict) -> None:
    html = told(naive, "html")
    sections = re.split(r'<section id="(C..)">', html)
    lanes = dict(zip(sections[1::2], sections[2::2], strict=True))
    assert lanes.keys() == {"C01", "C02", "C08", "C18", "C30"}
    assert '<th scope="col">clock</th><th scope="col">client</th>' in lanes["C01"]
    assert '<th scope="col">job 1</th>' in lanes["C01"]
    assert re.search(r'<td class="clock">\+0.000 s</td><td class="">POST /flux/generate', lanes["C01"])
    assert re.search(r'<td class="FAILED">FAILED', lanes["C18"])


# --------------------------------------------------------------------------------------------- timelines and what was met


def test_a_timeline_tells_calls_jobs_and_the_end_in_order(naive: Verdict) -> None:
    story = naive["C18"].story
    assert story is not None
    lines = timeline(story, width=120).split("\n")
    assert [part.strip() for part in lines[0].split("│")] == ["clock", "client", "job 1"]
    text = "\n".join(lines)
    words = ["POST /flux/generate → 200", "ON_QUEUE", "FAILED", "job 1 failed: prompt violation", "it returned"]
    places = [text.index(word) for word in words]
    assert places == sorted(places)


def test_a_timeline_shows_webhooks() -> None:
    verdict = check_client(samples.takes_hooks, plan=Plan(examples=1, only=("C08",)), receiver=samples.receiver)
    assert by_kind(verdict.met)[Kind.HOOK] == {
        "after the answer to the submission": 1,
        "before the final fetch": 1,
    }
    broken = check_client(samples.takes_hooks, plan=Plan(examples=40, only=("C16",)), receiver=samples.receiver)
    story = broken["C16"].story
    assert story is not None
    assert "hook of job 1 → 204" in timeline(story, width=120)


def test_what_a_client_met_is_counted_by_kind(naive: Verdict) -> None:
    met = by_kind(naive.met)
    assert {"200", "403"} <= met[Kind.STATUS].keys()
    assert {"'SUCCESS'", "'FAILED'", "'ON_QUEUE'"} <= met[Kind.TOLD].keys()
    assert "fetch /data" in met[Kind.NULL]
    assert "no answer at all" in met[Kind.FAULT]
    assert "job: fails" in met[Kind.DIRECTIVE]
    assert met[Kind.HOOK] == {}
    assert "HTTP statuses: 200 ×" in told(naive, "text")


def test_every_report_is_the_same_when_it_is_made_again(naive: Verdict) -> None:
    again = check_client(samples.naive, plan=Plan(examples=45, only=IDS))
    for name, render in FORMATS.items():
        assert render(again, context()) == render(naive, context()), name
