"""Jobs are followed through a recording whatever order it was written in, and in memory that stays flat."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contract_tests import jobs
from contract_tests.checker import Checker, Report
from contract_tests.exchanges import Endpoint, Exchange, Part, Place

API = "https://api.ttapi.io"
JOB = "fac30d6c-d12b-465c-a580-8b1b3ae726e3"
IMAGE = "https://cdnb.ttapi.io/2024-09-10/9rk3gmw3m6sxm4r75my02r48jizyli1l.webp"
ORDER = {"prompt": "a cat", "mode": "flux1-dev"}


def ordered(
    job_id: str = JOB, *, file: str = "r", at: float | None = None, status: int = 200, endpoint: str = "generate"
) -> Exchange:
    answer = {"status": "SUCCESS", "message": "", "data": {"job_id": job_id}}
    sent: dict[str, Any] = {"request_body": json.dumps(ORDER).encode()}
    if endpoint == "edits":
        fields = (Part(name, text) for name, text in ORDER.items())
        sent = {"parts": (*fields, Part("image", None, "a.png", "image/png", 9))}
    return Exchange(
        Place(file, 1), "POST", f"{API}/flux/{endpoint}", **sent, status=status,
        response_body=json.dumps(answer).encode(), at=at, elapsed=None if at is None else 0.1,
    )  # fmt: skip


def fetched(
    state: str, *, file: str = "r", at: float | None = None, elapsed: float = 0.1, quota: str = "1", image: str = IMAGE
) -> Exchange:
    data = {"mode": "flux-dev", "jobId": JOB, "prompt": "a cat", "quota": quota, "size": "1024x1024",
            "imageUrl": image, "hookUrl": None} if state == "SUCCESS" else None  # fmt: skip
    body = {"status": state, "message": "", "jobId": JOB, "data": data}
    return Exchange(
        Place(file, 2), "POST", f"{API}/flux/fetch", request_body=json.dumps({"jobId": JOB}).encode(),
        status=200, response_body=json.dumps(body).encode(), at=at, elapsed=None if at is None else elapsed,
    )  # fmt: skip


def checked(*recorded: Exchange) -> Report:
    checker = Checker("2026-03")
    checker.feed(recorded)
    return checker.report()


def rules(*recorded: Exchange) -> list[str]:
    return [finding.rule for finding in checked(*recorded).findings]


def test_a_slow_answer_that_was_overtaken_is_no_way_back() -> None:
    slow = fetched("ON_QUEUE", at=10.0, elapsed=5.0)
    assert rules(ordered(at=9.0), fetched("SUCCESS", at=11.0), slow) == []
    begun_after_the_end = fetched("ON_QUEUE", at=11.2, elapsed=5.0)
    assert rules(ordered(at=9.0), fetched("SUCCESS", at=11.0), begun_after_the_end) == ["job/order"]


def test_an_answer_counts_as_late_only_when_the_slow_one_before_it_had_come() -> None:
    slow, quick = fetched("SUCCESS", at=10.0, elapsed=5.0), fetched("ON_QUEUE", at=12.0)
    assert rules(slow, quick) == []
    assert rules(slow, quick.changed(at=15.5)) == ["job/order"]


def test_files_that_are_read_in_another_order_than_they_were_recorded_are_no_way_back() -> None:
    ended = [ordered(file="a", at=1.0), fetched("SUCCESS", file="a", at=20.0)]
    assert rules(*ended, fetched("ON_QUEUE", file="b", at=5.0)) == []
    assert rules(*ended, fetched("ON_QUEUE", file="b", at=25.0)) == ["job/order"]
    assert rules(fetched("SUCCESS", file="a"), fetched("ON_QUEUE", file="b")) == []
    assert rules(fetched("SUCCESS", file="a"), fetched("ON_QUEUE", file="a")) == ["job/order"]


def test_a_job_whose_order_was_answered_201_is_followed() -> None:
    report = checked(ordered(status=201), fetched("ON_QUEUE"))
    assert {finding.rule for finding in report.findings} == {"status/unknown", "job/unfinished"}
    assert report.jobs == 1


def test_the_same_order_recorded_twice_is_one_and_two_orders_with_one_id_are_told() -> None:
    assert rules(ordered(file="a"), ordered(file="b")) == []
    assert rules(ordered(file="a", at=1.0), ordered(file="b", at=1.0)) == []
    assert rules(ordered(file="a", at=1.0), ordered(file="b", at=2.0)) == ["job/reused"]
    assert checked(ordered(at=1.0), fetched("SUCCESS", at=2.0), ordered(at=3.0), fetched("ON_QUEUE", at=4.0)).jobs == 2


def test_an_empty_id_is_an_id() -> None:
    assert rules(ordered("", at=1.0), ordered("", at=2.0)) == ["value/constraint", "job/reused"]
    assert checked(ordered("", at=1.0)).jobs == 1


def test_two_final_fetches_have_the_same_image() -> None:
    assert rules(ordered(), fetched("SUCCESS"), fetched("SUCCESS")) == []
    (finding,) = checked(ordered(), fetched("SUCCESS"), fetched("SUCCESS", image=IMAGE.replace("9rk", "8rk"))).findings
    assert (finding.rule, finding.pointer, finding.severity) == ("job/result", "/data/imageUrl", "warning")


@pytest.mark.parametrize(
    ("endpoint", "severity", "sure"), [("generate", "error", "documented"), ("edits", "info", "assumed")]
)
def test_the_price_of_an_edit_is_only_assumed(endpoint: str, severity: str, sure: str) -> None:
    (finding,) = checked(ordered(endpoint=endpoint), fetched("SUCCESS", quota="2")).findings
    assert (finding.rule, finding.severity, finding.fact.confidence) == ("job/price", severity, sure)
    assert bool(finding.fact.sources) == (endpoint == "generate")


def test_bodies_of_jobs_that_were_let_go_are_not_counted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what they held still on the account, every job after them would be let go at once."""
    monkeypatch.setattr(jobs, "MOST_BYTES", 3 * len(json.dumps(ORDER)))
    book = Checker("2026-03")
    ids = [f"00000000-0000-4000-8000-{number:012}" for number in range(20)]
    book.feed(ordered(job_id) for job_id in ids)
    ((_, host),) = book._hosts.items()
    assert [job_id in host.jobs for job_id in ids[-3:]] == [True, True, True]
    assert [job_id in host.jobs for job_id in ids[:16]] == [False] * 16


def downloaded(status: int, *, file: str = "r", at: float | None = None) -> Exchange:
    return Exchange(Place(file, 3), "GET", IMAGE, status=status, at=at, elapsed=None if at is None else 0.1)


@pytest.mark.parametrize("hooked", [False, True], ids=["fetched", "told by its webhook"])
@pytest.mark.parametrize(
    ("days", "found"), [(0.0, ["error"]), (29.0, ["error"]), (31.0, [])], ids=["at once", "in time", "too late"]
)
def test_an_image_must_be_there_for_a_month_after_its_job(days: float, found: list[str], hooked: bool) -> None:
    done = fetched("SUCCESS", at=2.0)
    if hooked:
        body = {"request_body": done.response_body, "response_body": None, "endpoint": Endpoint.CALLBACK}
        done = done.changed(url="https://client.example/hook", **body)
    findings = checked(ordered(at=1.0), done, downloaded(404, at=3.0 + days * 86400)).findings
    assert [finding.severity.value for finding in findings] == found
    assert {(one.rule, one.pointer, one.fact.pointer) for one in findings} <= {
        ("job/image-gone", "/data/imageUrl", "/image_days")
    }


def test_an_image_of_which_nobody_knows_how_old_it_is_may_have_expired() -> None:
    for recorded in ([fetched("SUCCESS", file="a"), downloaded(404, file="b")], [ordered(), downloaded(403)]):
        (finding,) = checked(*recorded).findings
        assert (finding.rule, finding.severity.value, finding.fact.confidence) == ("job/image-gone", "info", "assumed")


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_download_that_may_go_well_another_time_is_a_warning(status: int) -> None:
    (finding,) = checked(ordered(), fetched("SUCCESS"), downloaded(status)).findings
    assert (finding.rule, finding.severity.value) == ("job/image-failed", "warning")
    assert finding.message.endswith(f"got status {status}")


def test_an_image_is_that_of_the_host_whose_job_says_so() -> None:
    elsewhere = "https://other.example"
    first = ordered().changed(url=f"{elsewhere}/flux/generate")
    report = checked(first, ordered(), fetched("SUCCESS"), downloaded(404))
    assert [(one.rule, one.host) for one in report.findings] == [("job/image-gone", "api.ttapi.io")]


def test_the_image_of_a_job_that_was_let_go_is_forgotten_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MOST_JOBS", 1)
    another = ordered("00000000-0000-4000-8000-000000000001")
    assert [one.severity.value for one in checked(fetched("SUCCESS"), another, downloaded(404)).findings] == ["info"]
