"""Every report says how often optional fields came, and how long answers and jobs took."""

from __future__ import annotations

import json
import random
from pathlib import Path
from statistics import median
from typing import Any

import jsonschema
import pytest
from drift_corpus import JOB, exchanges, story
from hypothesis import given
from hypothesis import strategies as st
from test_command import fluxmock

from contract_tests import jobs as jobs_module
from contract_tests.checker import Checker
from contract_tests.exchanges import Endpoint, Exchange, Place
from contract_tests.observed import Observed, Presence
from contract_tests.reports import FORMATS, Context
from contract_tests.times import Spread, Times
from mock_server import resources
from mock_server.contract import contract, versions

VERSION = "2026-03"
ORDERED_AT = 1_700_000_000.0


def observed(*recorded: Exchange, version: str = VERSION) -> Observed:
    checker = Checker(version)
    checker.feed(recorded)
    (seen,) = checker.report().observed.values()
    return seen


def timed(*moments: tuple[str, float], elapsed: float | None = None) -> list[Exchange]:
    """A job whose messages begin so many seconds after the first."""
    told = story()
    return [
        exchange.changed(at=ORDERED_AT + at, elapsed=elapsed)
        for name, at in moments
        for exchange in exchanges({name: told[name]})
    ]


def times(seen: Observed) -> dict[str, tuple[int, float]]:
    return {spread.what: (spread.seen, pytest.approx(spread.median)) for spread in seen.times}


# --------------------------------------------------------------------------------------------------- optional fields


def test_optional_fields_are_counted_where_they_could_have_been() -> None:
    def order(number: int, **fields: Any) -> Exchange:
        body = {"prompt": "a cat", "mode": "flux1-dev", **fields}
        answer = json.dumps(story()["submit"]["response"]).encode()
        url = "https://api.ttapi.io/flux/generate"
        return Exchange(
            Place("x", number), "POST", url, request_body=json.dumps(body).encode(), status=200, response_body=answer
        )

    refused = order(4, size="1x1").changed(status=400)
    seen = observed(order(1), order(2, size="1024x1024"), order(3, size="1024x1024", hookUrl=None), refused)
    assert seen.fields == (
        Presence("generate.request", "", "/aspect_ratio", 0, 3),
        Presence("generate.request", "", "/hookUrl", 1, 3),
        Presence("generate.request", "", "/size", 2, 3),
    )


def test_of_answers_each_shape_is_counted_by_itself() -> None:
    told = story()
    told["running"]["response"]["data"] = {"jobId": JOB, "mode": None}
    told["late"] = {
        "request": {"jobId": JOB},
        "status": 200,
        "response": {**told["done"]["response"], "status": "FAILED", "data": {"jobId": JOB}},
    }
    fields = {it[1:]: it for it in observed(*exchanges(told)).fields if it.message == "fetch.response"}
    assert ("not finished", "/data/mode", 1, 1) in fields
    assert ("not finished", "/data/size", 0, 1) in fields, "an answer without data has no place for it"
    assert ("failed", "/data/mode", 0, 1) in fields
    assert not any(shape == "finished" for shape, *_ in fields), "nothing is optional there"


@pytest.mark.parametrize("version", versions())
def test_every_optional_field_of_an_answer_is_where_it_is_looked_for(version: str) -> None:
    """Fields of a body and of its `data` are counted. Should the contract ever go deeper, counting must."""

    def optional(schema: Any, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
        found = {(*path, name) for name in schema.get("properties", {}) if name not in schema.get("required", ())}
        for name, inner in schema.get("properties", {}).items():
            found |= optional(inner, (*path, name))
        return found

    for name, schema in contract(version).schemas.items():
        for shape in (schema, *schema.get("$defs", {}).values()):
            for path in optional(shape):
                assert len(path) == 1 or (len(path) == 2 and path[0] == "data" and not name.endswith("t.request")), name


# --------------------------------------------------------------------------------------------------------------- times


def test_a_job_is_timed_from_answer_to_answer_and_a_hook_from_the_end() -> None:
    recorded = timed(
        ("submit", 0), ("pending", 1), ("running", 2), ("running", 3), ("done", 7), ("hook", 9), elapsed=0.5
    )
    seen = times(observed(*recorded))
    assert seen["answer of generate"] == (1, 0.5)
    assert seen["answer of fetch"] == (4, 0.5)
    assert seen["order to running"] == (1, 2)
    assert seen["running to end"] == (1, 5)
    assert seen["order to end"] == (1, 7)
    assert seen["end to webhook"] == (1, 1.5), "it came 9 s after the order was sent, and the end was known at 7.5 s"
    assert len(seen) == 6


def test_a_hook_that_came_first_came_a_negative_time_after_the_end() -> None:
    assert times(observed(*timed(("submit", 0), ("hook", 4), ("done", 6)))) == {
        "order to end": (1, 6), "end to webhook": (1, -2),
    }  # fmt: skip


def test_a_version_without_a_status_for_waiting_has_no_time_of_it() -> None:
    recorded = timed(("submit", 0), ("running", 2), ("done", 7))
    assert set(times(observed(*recorded))) == {"order to running", "running to end", "order to end"}
    assert set(times(observed(*recorded, version="2024-09"))) == {"order to end"}


def test_without_times_there_are_none() -> None:
    assert observed(*exchanges(story())).times == ()


def test_what_is_said_after_the_end_changes_no_time() -> None:
    recorded = timed(("submit", 0), ("done", 3), ("running", 5), ("done", 8))
    assert times(observed(*recorded)) == {"order to end": (1, 3)}


def test_jobs_that_are_let_go_have_been_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "MOST_JOBS", 3)

    def one(number: int) -> list[Exchange]:
        text = json.dumps(story()).replace(JOB, f"{number:08}{JOB[8:]}")
        told = {name: json.loads(text)[name] for name in ("submit", "done")}
        return [it.changed(at=ORDERED_AT + number + 4 * late) for late, it in enumerate(exchanges(told))]

    recorded = [exchange for number in range(50) for exchange in one(number)]
    assert times(observed(*recorded))["order to end"] == (50, 4)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300))
def test_few_times_are_told_exactly(seconds: list[float]) -> None:
    kept = Times()
    for one in seconds:
        kept.add(one)
    assert kept.spread("x") == Spread("x", len(seconds), min(seconds), median(seconds), max(seconds))


def test_of_many_times_the_median_is_near_and_the_same_in_every_run() -> None:
    luck = random.Random(7)
    seconds = [luck.uniform(0, 1) for _ in range(50_000)]
    # Slow at first, and fast later: a sample that favoured either would be far off.
    seconds.sort(reverse=True)
    spreads = []
    for _ in range(2):
        kept = Times()
        for one in seconds:
            kept.add(one)
        spreads.append(kept.spread("x"))
    first, second = spreads
    assert first == second
    assert first is not None
    assert (first.seen, first.least, first.greatest) == (50_000, min(seconds), max(seconds))
    assert first.median == pytest.approx(0.5, abs=0.08)


def test_nothing_is_told_of_nothing() -> None:
    assert Times().spread("x") is None


@given(
    at=st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63),
    status=st.none() | st.integers(0, 999),
    body=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda it: st.lists(it) | st.dictionaries(st.sampled_from(["status", "data", "jobId", "x"]), it),
    ),
    endpoint=st.sampled_from(Endpoint),
)
def test_whatever_was_recorded_can_be_reported(at: Any, status: int | None, body: Any, endpoint: Endpoint) -> None:
    exchange = Exchange(
        Place("x", 1), "POST", request_body=json.dumps(body).encode(), status=status,
        response_body=json.dumps(body).encode(), at=at, elapsed=at, endpoint=endpoint,
    )  # fmt: skip
    checker = Checker()
    checker.feed([exchange, *timed(("submit", 0), ("done", 1)), exchange])
    report = checker.report()
    for presence in (field for seen in report.observed.values() for field in seen.fields):
        assert 0 <= presence.seen <= presence.of
    for render in FORMATS.values():
        assert render(report, Context())
    jsonschema.validate(json.loads(FORMATS["json"](report, Context())), resources.load("report.schema.json"))


# ------------------------------------------------------------------------------------------------------------- reports


def test_reports_for_people_and_for_programs_say_it(tmp_path: Path) -> None:
    recording = tmp_path / "recording.jsonl"
    moments = (("submit", 0.0), ("pending", 1.0), ("running", 2.0), ("done", 7.0))
    with recording.open("w", encoding="utf-8") as file:
        for exchange in timed(*moments, elapsed=0.012):
            line = {
                "version": 1, "kind": "exchange", "at": exchange.at, "elapsed": exchange.elapsed,
                "request": {"method": "POST", "url": exchange.url, "body": (exchange.request_body or b"").decode()},
                "response": {"status": 200, "body": (exchange.response_body or b"").decode()},
            }  # fmt: skip
            file.write(json.dumps(line) + "\n")
    text = fluxmock("check", recording)
    said = " ".join(text.stdout.split())
    assert text.stdout.startswith("clean: ")
    assert "seen beside that optional in generate.request: 1 of 1 /hookUrl /size; 0 of 1 /aspect_ratio" in said
    assert "answer of fetch 12 ms (12 ms to 12 ms) ×3" in said
    assert "order to end 7.0 s (7.0 s to 7.0 s) ×1" in said
    report = json.loads(fluxmock("check", recording, "--format", "json").stdout)
    jsonschema.validate(report, resources.load("report.schema.json"))
    seen = report["observed"]["api.ttapi.io"]
    assert {"message": "generate.request", "shape": "", "pointer": "/size", "seen": 1, "of": 1} in seen["fields"]
    assert {"what": "order to end", "seen": 1, "min": 7.0, "median": 7.0, "max": 7.0} in seen["times"]
