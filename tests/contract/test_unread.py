"""What cannot be read is never green, and what is no call of this API is not taken for one."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from drift_corpus import API, Story, exchanges, story

import contract_tests
from contract_tests import checker as checking
from contract_tests.checker import Checker, Report
from contract_tests.command import check
from contract_tests.exchanges import Exchange, Place, Trouble
from contract_tests.findings import MOST_AT_A_PLACE, MOST_KINDS, NOTHING, Confidence, Note, Policy, Tally
from contract_tests.recording import as_line
from contract_tests.shapes import kind

PLACE = Place("r.jsonl", 1, 1)


def checked(*recorded: Exchange | Trouble, version: str | None = "2026-03") -> Report:
    checker = Checker(version)
    checker.feed(recorded)
    return checker.report()


def lines(told: Story | None = None) -> bytes:
    return b"".join(as_line(exchange) for exchange in exchanges(told or story()))


def fluxmock_check(*arguments: str | Path) -> Result:
    return CliRunner().invoke(check, list(map(str, arguments)))


# ------------------------------------------------------------------------------------------------- what is not green


def test_one_good_line_among_bad_ones_is_not_green_and_all_bad_ones_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(lines() + b"no JSON\n" * 5000)
    ended = fluxmock_check(path)
    assert ended.exit_code == 1
    assert ended.output.startswith("5,000 could not be read; what could: 6 messages, 1 job against contract 2026-03")
    assert contract_tests.check(path).unread == 5000
    assert "and 4,980 more" in ended.output


def har() -> str:
    fetch = {"method": "POST", "url": f"{API}/flux/fetch", "postData": {"text": json.dumps({"jobId": "x"})}}
    answer = {"status": 404, "content": {"text": json.dumps(story()["refused"]["response"])}}
    return json.dumps({"log": {"entries": [{"request": fetch, "response": answer}] * 10}})


@pytest.mark.parametrize("cut", ["r.har", "r.jsonl.gz"])
def test_half_a_recording_is_not_green_in_any_format(cut: str, tmp_path: Path) -> None:
    path = tmp_path / cut
    whole = har().encode() if cut == "r.har" else gzip.compress(lines() * 200)
    path.write_bytes(whole[: len(whole) // 2])
    for format_ in ("text", "json", "junit", "sarif", "markdown", "github", "html"):
        ended = fluxmock_check(path, "--format", format_, "--contract", "2026-03")
        assert ended.exit_code == 1, ended.output
        if format_ == "json":
            assert json.loads(ended.output)["verdict"] == "failed"
        elif format_ == "junit":
            assert "<testsuite name=" in ended.output
            assert ended.output.count('errors="1"') == 2
            assert '<error type="not-read" message="1 could not be read">' in ended.output
        elif format_ == "sarif":
            (invocation,) = json.loads(ended.output)["runs"][0]["invocations"]
            assert (invocation["executionSuccessful"], invocation["exitCode"]) == (False, 1)
            assert [it["level"] for it in invocation["toolExecutionNotifications"]] == ["error"]
        elif format_ == "github":
            told, *_, last = ended.output.splitlines()
            assert told.startswith("::error title=contract::1 could not be read")
            assert last.startswith("::error file=")
        else:
            assert "1 could not be read" in ended.output


def test_a_sarif_run_with_findings_was_successful(tmp_path: Path) -> None:
    told = story()
    told["running"]["response"] = b"<html>"
    path = tmp_path / "r.jsonl"
    path.write_bytes(lines(told))
    ended = fluxmock_check(path, "--format", "sarif")
    (invocation,) = json.loads(ended.output)["runs"][0]["invocations"]
    assert (invocation["executionSuccessful"], invocation["exitCode"], ended.exit_code) == (True, 1, 1)


@pytest.mark.parametrize("zeros", [1, 4096])
def test_what_was_written_before_the_power_failed_is_read(zeros: int, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(lines() + b"\0" * zeros)
    report = contract_tests.check(path)
    assert (report.messages, report.unread) == (6, 1)
    path = tmp_path / "r.har"
    path.write_bytes(har().encode()[:-100] + b"\0" * zeros)
    report = contract_tests.check(path, contract="2026-03")
    assert report.messages == 9
    assert report.unread == 1


def test_zeros_without_anything_before_them_are_binary(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes('{"kind": "exchange"}'.encode("utf-16-le"))
    ended = fluxmock_check(path)
    assert ended.exit_code == 2
    assert "binary data (the byte 0x00 at 1)" in ended.output


# ---------------------------------------------------------------------------------------------------- what is no call


@pytest.mark.parametrize("method", ["OPTIONS", "HEAD"])
@pytest.mark.parametrize("status", [200, 204])
def test_a_preflight_of_a_browser_is_no_call(method: str, status: int) -> None:
    asked = Exchange(PLACE, method, f"{API}/flux/generate", status=status, response_body=b"")
    report = checked(asked)
    assert (report.messages, report.others, report.findings) == (0, 1, ())


def image(url: str) -> Exchange:
    return Exchange(PLACE, "GET", url, status=200, response_body=b"RIFF")


def test_a_picture_of_another_site_is_no_message() -> None:
    report = checked(image("https://www.example.com/logo.webp"), version=None)
    assert (report.messages, report.others, report.contracts) == (0, 1, {})
    report = checked(image("https://www.example.com/logo.webp"), *exchanges(story()), version=None)
    assert list(report.contracts) == ["api.ttapi.io"]


def test_pictures_are_ours_where_the_contract_or_a_job_says_that_they_lie() -> None:
    told = story()
    told["done"]["response"]["data"]["imageUrl"] = "https://Pictures.example/2024-09-10/x.webp"
    report = checked(*exchanges(told), image("https://pictures.example/2024-09-10/x.webp"))
    assert (report.messages, report.others) == (7, 0)
    assert checked(image("https://cdnb.ttapi.io/2024-09-10/x.webp")).messages == 1


# ------------------------------------------------------------------------------------------------------- flat memory


def note(number: int, pointer: str = "", confidence: Confidence = Confidence.NONE) -> Note:
    fact = NOTHING._replace(confidence=confidence)
    return Note("type/changed", "fetch.response", pointer, f"expected string, got {number}", fact)


def test_so_many_new_names_are_counted_but_not_told_one_by_one() -> None:
    tally = Tally()
    for number in range(3 * MOST_KINDS):
        tally.note(note(number, f"/{number}", Confidence.ASSUMED), PLACE)
    tally.note(note(0, "/sure", Confidence.DOCUMENTED), PLACE)
    tally.note(note(5, "/5", Confidence.ASSUMED), PLACE)
    found = list(tally.findings(Policy()))
    assert sum(finding.count for finding in found) == 3 * MOST_KINDS + 2
    assert len(found) == MOST_KINDS + 2
    assert [(it.pointer, it.count, it.severity) for it in found[MOST_KINDS:]] == [
        ("", 2 * MOST_KINDS, "info"),
        ("", 1, "error"),
    ]
    assert next(it for it in found if it.pointer == "/5").count == 2


def test_so_many_values_at_one_place_are_one_finding() -> None:
    tally = Tally()
    for number in range(500):
        tally.note(note(number, "/status"), PLACE)
    tally.note(note(0, "/message"), PLACE)
    found = list(tally.findings(Policy()))
    assert len(found) == MOST_AT_A_PLACE + 2
    assert found[MOST_AT_A_PLACE].message == "more of it than are told one by one"
    assert (found[MOST_AT_A_PLACE].count, sum(it.count for it in found)) == (500 - MOST_AT_A_PLACE, 501)


def test_so_many_hosts_are_one_that_is_not_known() -> None:
    most = checking.MOST_HOSTS
    (refused, *_) = exchanges(story())
    calls = (refused.changed(url=f"https://h{number}.example/flux/generate") for number in range(most + 50))
    report = checked(*calls)
    assert len(report.contracts) == most + 1
    assert "" in report.contracts
    assert report.messages == most + 50


# ---------------------------------------------------------------------------------------------- which version it was


def test_a_version_that_is_behind_for_a_while_is_not_given_up() -> None:
    """A hundred messages of the one shape, then more of the other: the host is judged by all of them."""

    def calls(name: str, number: int) -> list[Exchange]:
        told = story()["submit"]
        body = {"status": "SUCCESS", "message": "", "data": {name: "fac30d6c-d12b-465c-a580-8b1b3ae726e3"}}
        call = Exchange(PLACE, "POST", f"{API}/flux/generate", request_body=json.dumps(told["request"]).encode(),
                        status=200, response_body=json.dumps(body).encode())  # fmt: skip
        return [call.changed(place=Place(f"{name}{at}", 1)) for at in range(number)]

    choice = checked(*calls("jobId", 100), *calls("job_id", 150), version=None).contracts["api.ttapi.io"]
    assert (choice.version, choice.because) == ("2026-03", "150 messages fit it alone")
    (only,) = checked(*calls("jobId", 1), version=None).contracts.values()
    assert (only.version, only.because) == ("2024-09", "1 message fits it alone")


def test_unknown_fields_inside_a_list_are_seen() -> None:
    image_ = {"filename": "a.png", "content_type": "image/png", "bytes": 5, "colour": "red"}
    order = {"prompt": "a cat", "mode": "flux1-dev", "image": [image_]}
    notes = kind("2026-03", "edits.request").unknown(order)
    assert [(note.rule, note.pointer) for note in notes] == [("field/unknown", "/image/0/colour")]


# ---------------------------------------------------------------------------------------------------------- coverage


@pytest.mark.parametrize("format_", ["text", "markdown", "html"])
def test_coverage_is_shown(format_: str, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(lines())
    ended = fluxmock_check(path, "--coverage", "--format", format_)
    assert ended.exit_code == 0
    assert "coverage of contract 2026-03" in ended.output.replace("&#45;", "-")
    assert "never" in ended.output
    assert "coverage of" not in fluxmock_check(path, "--format", format_).output


@pytest.mark.parametrize("format_", ["junit", "sarif", "github"])
def test_coverage_is_refused_where_it_cannot_be_shown(format_: str, tmp_path: Path) -> None:
    path: Any = tmp_path / "r.jsonl"
    path.write_bytes(lines())
    ended = fluxmock_check(path, "--coverage", "--format", format_)
    assert ended.exit_code == 2
    assert f"expected a format that can show it (text, json, markdown, html), got {format_}" in ended.output


def test_a_version_of_which_less_is_broken_fits_better_though_every_message_breaks_both() -> None:
    """Submissions told their versions apart, and all of them have drifted."""
    drifted = sample_of_submission("jobId"), sample_of_submission("job_id")
    told = []
    for answer in drifted:
        checker = Checker()
        checker.feed([answer])
        told += checker.report().contracts.values()
    assert [choice.version for choice in told] == ["2024-09", "2026-03"]
    assert {choice.because for choice in told} == {"the messages break less of it than of any other"}


def sample_of_submission(name: str) -> Exchange:
    """Return an accepted order whose answer has lost its `message`."""
    return Exchange(
        Place("x", 1),
        "POST",
        "https://h.example/flux/generate",
        request_body=json.dumps({"prompt": "a cat", "mode": "flux1-dev"}).encode(),
        status=200,
        response_body=json.dumps(
            {"status": "SUCCESS", "data": {name: "5f0c7f4e-3a55-4c9b-8c39-9d8f4d0f8b1a"}}
        ).encode(),
    )
