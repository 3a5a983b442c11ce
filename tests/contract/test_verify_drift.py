"""`fluxmock verify` finds every kind of drift that an emulator can play, and a clean emulator clean."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from verify_runs import KEY, Finding, drifted, emulator, run
from werkzeug.wrappers import Request, Response

from mock_server import resources
from mock_server.contract import versions
from mock_server.scenarios.files import library, load_scenario

SCENARIOS = {path.stem: path for path in sorted((resources.folder("fixtures") / "scenarios" / "drift").glob("*.yaml"))}
NO_JSON = ("error", "body/not-json")

FOUND: dict[str, set[Finding]] = {
    "another-image-host": {
        ("warning", "job/image-host", "fetch.response"),
        ("error", "verify/image", "fetch.response"),
    },
    "another-mode-name": {("error", "job/echo", "fetch.response")},
    "another-price": {("error", "job/price", "fetch.response"), ("error", "verify/charged", "fetch.response")},
    "another-prompt": {("error", "job/echo", "fetch.response")},
    "another-size": {("info", "verify/image", "fetch.response")},
    "another-size-format": {
        ("error", "value/constraint", "fetch.response"),
        ("info", "verify/image", "fetch.response"),
    },
    "fetch-answers-203": {
        ("error", "status/unknown", "fetch.response"),
        ("error", "verify/status", "fetch.response"),
        ("error", "verify/fetch-form", "fetch.request"),
    },
    "fetch-by-get-refused": {
        ("warning", "request/refused", "fetch.request"),
        ("error", "verify/fetch-form", "fetch.request"),
    },
    "fetch-redirected": {
        ("error", "status/unknown", "fetch.response"),
        ("error", "verify/status", "fetch.response"),
        ("warning", "verify/unfinished", "fetch.response"),
    },
    "fetch-with-html": {("error", "body/not-json", "fetch.response")},
    "image-gone": {("error", "job/image-gone", "fetch.response")},
    "image-is-html": {("error", "verify/image", "fetch.response")},
    "job-fails": {("warning", "verify/job-failed", "fetch.response")},
    "lower-case-status": {("error", "value/unknown", "fetch.response")},
    "new-field": {("info", "field/unknown", "generate.response"), ("info", "field/unknown", "edits.response")},
    "new-status": {("error", "value/unknown", "fetch.response")},
    "no-image-url": {("error", "field/missing", "fetch.response")},
    "no-job-id-in-fetches": {("error", "field/missing", "fetch.response")},
    "no-quota": {
        ("error", "field/missing", "fetch.response"),
        ("warning", "verify/charge-unknown", "fetch.response"),
    },
    "order-answered-202": {
        ("error", "status/unknown", "generate.response"),
        ("error", "status/unknown", "edits.response"),
        ("error", "verify/status", "generate.response"),
        ("error", "verify/status", "edits.response"),
    },
    "order-answered-418": {
        ("error", "status/unknown", "generate.response"),
        ("warning", "verify/refused", "generate.response"),
    },
    "order-answered-502": {
        ("error", "status/unknown", "generate.response"),
        ("error", "body/not-json", "error.response"),
        ("warning", "verify/refused", "generate.response"),
    },
    "order-failed-with-200": {
        ("error", "value/unknown", "generate.response"),
        ("error", "type/changed", "generate.response"),
        ("warning", "verify/charge-unknown", "generate.response"),
    },
    "order-not-answered": {("error", "verify/no-answer", "generate.response")},
    "quota-is-a-number": {("error", "type/changed", "fetch.response")},
    "renamed-job-id": {
        ("error", "field/missing", "generate.response"),
        ("info", "field/unknown", "generate.response"),
        ("warning", "verify/charge-unknown", "generate.response"),
    },
    "success-undone": {("error", "job/order", "fetch.response"), ("error", "verify/fetch-form", "fetch.request")},
}
AT_ONCE: dict[str, set[Finding]] = {
    "hook-differs": {("error", "job/hook", "callback.request")},
    "hook-not-json": {("error", "body/not-json", "callback.request")},
    "job-never-ends": {
        ("info", "job/unfinished", "fetch.response"),
        ("warning", "verify/unfinished", "fetch.response"),
    },
    "no-hook": {("warning", "verify/hook", "callback.request")},
}
"""Found where jobs end at once, so that a run without patience can tell what never comes from what is slow."""

STOPPED = {
    "another-price", "fetch-redirected", "job-fails", "job-never-ends", "no-quota", "order-answered-418",
    "order-answered-502", "order-failed-with-200", "order-not-answered", "renamed-job-id",
}  # fmt: skip
"""After these nothing more is ordered, and that is an error by itself."""


def test_every_drift_scenario_has_its_expectation_and_is_no_ready_made_one() -> None:
    assert FOUND.keys() | AT_ONCE.keys() == SCENARIOS.keys()
    assert not SCENARIOS.keys() & library().keys()
    for name, path in SCENARIOS.items():
        assert load_scenario(path).name == name


@pytest.mark.parametrize("version", versions())
@pytest.mark.parametrize("spend", ["0", "1", "2", "20"])
def test_a_clean_emulator_is_found_clean(version: str, spend: str, tmp_path: Path) -> None:
    with emulator(contract=version) as server:
        hook = ["--hook-listen", "127.0.0.1:0"] if spend != "0" else []
        outcome = run(server.url, tmp_path, "--spend", spend, *hook)
        spent = server.tenant(KEY).ledger.spent
    assert (outcome.code, outcome.report["findings"]) == (0, [])
    assert outcome.report["checked"]["jobs"] == spent == min(int(spend), 2)
    (choice,) = outcome.report["contracts"].values()
    assert spend == "0" or choice["version"] == version


@pytest.mark.parametrize("version", versions())
@pytest.mark.parametrize("name", FOUND)
def test_drift_is_found_by_spending(name: str, version: str, tmp_path: Path) -> None:
    with emulator(contract=version, scenario=str(SCENARIOS[name])) as server:
        outcome = run(server.url, tmp_path, "--spend", "2", "--contract", version)
        jobs = len(server.tenant(KEY).jobs)
    stopped = {("error", "verify/stopped", "generate.response")} if name in STOPPED else set()
    assert outcome.findings == FOUND[name] | stopped
    assert outcome.code == (1 if any(severity == "error" for severity, _, _ in outcome.findings) else 0)
    assert jobs <= 1 if name in STOPPED else jobs == 2


@pytest.mark.parametrize("name", AT_ONCE)
def test_drift_is_found_without_patience(name: str, tmp_path: Path) -> None:
    patience = ["--patience", "0"] if name in {"no-hook", "job-never-ends"} else []
    with emulator(clock="real", progress="immediate", scenario=str(SCENARIOS[name])) as server:
        outcome = run(server.url, tmp_path, "--spend", "1", "--hook-listen", "127.0.0.1:0", *patience)
    stopped = {("error", "verify/stopped", "generate.response")} if name in STOPPED else set()
    assert outcome.findings == AT_ONCE[name] | stopped


@pytest.mark.parametrize("name", SCENARIOS)
def test_drift_of_what_costs_is_not_met_without_spending(name: str, tmp_path: Path) -> None:
    with emulator(scenario=str(SCENARIOS[name])) as server:
        outcome = run(server.url, tmp_path)
        assert not server.tenant(KEY).jobs
    assert (outcome.code, outcome.findings) == (0, set())


# Drift of refusals, which no scenario changes

Change = Callable[[Request, Callable[[], Response]], Response]


def body_of(answer: Response) -> dict[str, object]:
    value: dict[str, object] = json.loads(answer.get_data())
    return value


def with_body(answer: Response, body: object) -> Response:
    answer.set_data(json.dumps(body))
    return answer


def in_errors(change: Callable[[dict[str, object]], object]) -> Change:
    """Change the body of every refusal."""

    def drift(request: Request, emulated: Callable[[], Response]) -> Response:
        answer = emulated()
        if answer.status_code < 400:
            return answer
        body = body_of(answer)
        change(body)
        return with_body(answer, body)

    return drift


def another_status(old: int, new: int) -> Change:
    def drift(request: Request, emulated: Callable[[], Response]) -> Response:
        answer = emulated()
        if answer.status_code == old:
            answer.status_code = new
        return answer

    return drift


def when(matches: Callable[[Request], bool], answer: Callable[[], Response]) -> Change:
    return lambda request, emulated: answer() if matches(request) else emulated()


def refusal(status: int) -> Response:
    return Response(
        json.dumps({"status": "FAILED", "message": "no", "data": None}), status, mimetype="application/json"
    )


def acceptance() -> Response:
    body = {"status": "SUCCESS", "message": "success", "data": {"jobId": str(uuid4())}}
    return Response(json.dumps(body), mimetype="application/json")


def a_job() -> Response:
    body = {"status": "ON_QUEUE", "message": "", "jobId": str(uuid4()), "data": None}
    return Response(json.dumps(body), mimetype="application/json")


def html(request: Request, emulated: Callable[[], Response]) -> Response:
    answer = emulated()
    return answer if answer.status_code < 400 else Response("<html></html>", answer.status_code)


def is_order_without(name: str) -> Callable[[Request], bool]:
    def matches(request: Request) -> bool:
        order = request.get_json(silent=True) if request.path == "/flux/generate" else None
        return isinstance(order, dict) and name not in order and request.headers.get("TT-API-KEY") == KEY

    return matches


FREE: dict[str, tuple[Change, set[Finding]]] = {
    "errors have another status": (
        in_errors(lambda body: body.update(status="ERROR")),
        {("error", "value/unknown", "error.response")},
    ),
    "errors have no message": (
        in_errors(lambda body: body.pop("message")),
        {("error", "field/missing", "error.response")},
    ),
    "errors have an object as data": (
        in_errors(lambda body: body.update(data={})),
        {("error", "type/changed", "error.response")},
    ),
    "errors have a new field": (
        in_errors(lambda body: body.update(code=7)),
        {("info", "field/unknown", "error.response")},
    ),
    "errors have other words": (
        in_errors(lambda body: body.update(message="no")),
        {("info", "message/changed", "error.response")},
    ),
    "errors are HTML": (html, {("error", "body/not-json", "error.response")}),
    "bad parameters are 422": (
        another_status(400, 422),
        {
            ("error", "status/unknown", "fetch.response"),
            ("error", "status/unknown", "generate.response"),
            ("error", "status/unknown", "edits.response"),
            ("error", "verify/status", "fetch.response"),
            ("error", "verify/status", "generate.response"),
            ("info", "verify/status", "generate.response"),
            ("error", "verify/status", "edits.response"),
        },
    ),
    "bad keys are 403": (
        another_status(401, 403),
        {
            ("error", "status/unknown", "fetch.response"),
            ("error", "status/unknown", "generate.response"),
            ("error", "status/unknown", "edits.response"),
            ("info", "verify/status", "fetch.response"),
            ("info", "verify/status", "generate.response"),
            ("info", "verify/status", "edits.response"),
        },
    ),
    "an unknown path is 400": (
        when(lambda request: "no-such" in request.path, lambda: refusal(400)),
        {("error", "verify/status", "error.response")},
    ),
    "an unknown job is 400": (
        another_status(404, 400),
        {
            ("info", "verify/status", "fetch.response"),
            ("error", "verify/status", "error.response"),
            ("warning", "request/refused", "fetch.request"),
            ("info", "message/changed", "error.response"),
        },
    ),
    "a job that does not exist is on the queue": (
        when(lambda request: request.path == "/flux/fetch" and "jobId" in (request.get_json(silent=True) or ()), a_job),
        {
            ("error", "verify/unknown-job", "fetch.response"),
            ("error", "verify/key-accepted", "fetch.response"),
            ("warning", "job/ids", "fetch.response"),
            ("info", "job/unfinished", "fetch.response"),
        },
    ),
    "fetching by GET is gone": (
        when(lambda request: request.method == "GET", lambda: refusal(405)),
        {("error", "verify/fetch-form", "fetch.request"), ("info", "message/changed", "error.response")},
    ),
    "fetching by a form is gone": (
        when(lambda request: request.path == "/flux/fetch" and bool(request.form), lambda: refusal(415)),
        {("error", "verify/fetch-form", "fetch.request"), ("info", "message/changed", "error.response")},
    ),
    "a server error at a missing field": (
        when(is_order_without("prompt"), lambda: refusal(500)),
        {("error", "verify/status", "generate.response"), ("info", "message/changed", "error.response")},
    ),
    "an order without a prompt is accepted": (
        when(is_order_without("prompt"), acceptance),
        {
            ("error", "verify/accepted", "generate.response"),
            ("error", "verify/stopped", "generate.response"),
            ("info", "request/accepted", "generate.request"),
        },
    ),
    "an order without a key is accepted": (
        when(lambda request: "generate" in request.path and "TT-API-KEY" not in request.headers, acceptance),
        {
            ("error", "verify/key-accepted", "generate.response"),
            ("error", "verify/stopped", "generate.response"),
            ("info", "request/accepted", "generate.request"),
        },
    ),
    "the key is refused": (
        when(lambda request: True, lambda: refusal(401)),
        {
            ("error", "verify/key-refused", "fetch.response"),
            ("error", "verify/stopped", "fetch.response"),
            ("info", "message/changed", "error.response"),
        },
    ),
}


@pytest.mark.parametrize("name", FREE)
def test_drift_of_refusals_is_found_free_of_charge(name: str, tmp_path: Path) -> None:
    drift, found = FREE[name]
    with emulator() as server, drifted(server, drift) as url:
        outcome = run(url, tmp_path, "--contract", "2024-09")
        assert not server.tenant(KEY).jobs
    assert outcome.findings == found


def test_a_server_that_takes_any_key_is_news_and_no_error(tmp_path: Path) -> None:
    """Which of two faults is answered first is not documented."""
    with emulator(key=()) as server:
        outcome = run(server.url, tmp_path, "--spend", "2")
    assert (outcome.code, outcome.rules) == (0, {"verify/status"})
    assert {severity for severity, _, _ in outcome.findings} == {"info"}


def test_a_job_that_is_told_to_any_key_is_an_error(tmp_path: Path) -> None:
    def one_for_all(request: Request, emulated: Callable[[], Response]) -> Response:
        request.environ["HTTP_TT_API_KEY"] = KEY
        return emulated()

    with emulator() as server, drifted(server, one_for_all) as url:
        outcome = run(url, tmp_path, "--spend", "1")
    assert ("error", "verify/key-accepted", "fetch.response") in outcome.findings


@pytest.mark.parametrize(("name", "counted"), [("generate-no-prompt", 1), ("generate-no-mode", 8)])
def test_an_acceptance_that_must_not_be_ends_the_run(name: str, counted: int, tmp_path: Path) -> None:
    """What it may have cost is counted, and no order is made any more."""
    lacking = name.rpartition("-")[2]

    def matches(request: Request) -> bool:
        return is_order_without(lacking)(request) and len(request.get_json()) == 1

    with emulator() as server, drifted(server, when(matches, acceptance)) as url:
        outcome = run(url, tmp_path, "--spend", "8")
        assert not server.tenant(KEY).jobs
    (finding,) = (one for one in outcome.report["findings"] if one["rule"] == "verify/accepted")
    assert finding["severity"] == "error"
    assert finding["message"].startswith(name)
    assert "may have been charged" in finding["message"]
    assert outcome.code == 1
    assert f"{counted} of 8 quota units spent" in outcome.said


def test_what_was_spent_is_told_even_where_nothing_may_be(tmp_path: Path) -> None:
    """An empty order could be of any mode, so that it counts as the dearest."""

    def nothing(request: Request) -> bool:
        return request.path == "/flux/generate" and request.get_data() == b"{}"

    with emulator() as server, drifted(server, when(nothing, acceptance)) as url:
        outcome = run(url, tmp_path)
    assert outcome.code == 1
    assert "8 of 0 quota units spent" in outcome.said
