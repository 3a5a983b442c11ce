"""`fluxmock verify` spends what it was told and no more, whatever is answered to its orders."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner
from verify_commands import DRIFT, UNKNOWN
from verify_runs import KEY, drifted, emulator, run
from werkzeug.wrappers import Request, Response

from contract_tests.verify import calls
from contract_tests.verify.command import verify
from contract_tests.verify.line import Line
from contract_tests.verify.plan import Order, Plan, Refusal, make_plan
from contract_tests.verify.run import Manners, Run
from mock_server.contract import versions


def answer_of(body: object, status: int = 200) -> Response:
    return Response(json.dumps(body), status, mimetype="application/json")


def only_verify(folder: Path) -> Path:
    """Write a policy that has only what a run finds by itself."""
    path = folder / "rules.toml"
    path.write_text("\n".join(f'"{name}/*" = "off"' for name in ("job", "value", "type", "field")), "utf-8")
    return path


# What it may cost


@pytest.mark.parametrize("version", [None, *versions()])
@pytest.mark.parametrize("spend", ["0", "0.5", "1", "1.5", "2", "7.99", "8", "1000"])
def test_a_plan_never_costs_more_than_may_be_spent(spend: str, version: str | None) -> None:
    plan = make_plan(Decimal(spend), version, UNKNOWN)
    left = plan.spend
    for step in plan.steps:
        assert step.at_most <= left
        left -= step.price if isinstance(step, Order) else 0
    assert left == plan.spend - plan.price
    assert all(step.at_most > left for step in plan.left_out)


def test_what_is_free_has_no_complete_order_in_it() -> None:
    """A gateway that adds a key of its own must not be able to turn it into a charge."""
    for step in make_plan(Decimal(0), None, UNKNOWN).steps:
        assert isinstance(step, Refusal)
        if "fetch" not in step.call.path:
            sent = step.call.arguments.get("json") or step.call.arguments.get("files") or {}
            assert "prompt" not in sent


def test_an_image_is_ordered_in_the_cheapest_mode_before_an_edit() -> None:
    orders = [step for step in make_plan(Decimal(2), "2024-09", UNKNOWN).steps if isinstance(step, Order)]
    assert [(order.name, order.fields["mode"], order.price) for order in orders] == [
        ("generate", "flux1-dev", 1),
        ("edits", "flux1-dev", 1),
    ]
    assert [order.fact.confidence for order in orders] == ["documented", "assumed"]


def test_a_plan_is_printed_without_a_connection_and_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TT_API_KEY", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        done = CliRunner().invoke(verify, ["--base-url", url, "--plan", "--spend", "1"])
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert done.exit_code == 0
    assert "1 of 1 quota units" in done.output
    assert "flux1-dev: 1 (documented)" in done.output
    assert done.output.index("generate-no-prompt") < done.output.index("charged;") < done.output.index("left out")
    assert done.output.endswith("total: 1 quota units (0.01 USD)\n")


def test_a_plan_is_no_report() -> None:
    done = CliRunner().invoke(verify, ["--base-url", "http://127.0.0.1:9", "--plan", "--format", "json"])
    assert done.exit_code == 2
    assert "expected neither --format nor --output" in done.output


def test_a_part_of_a_quota_unit_buys_nothing(tmp_path: Path) -> None:
    with emulator() as server:
        assert run(server.url, tmp_path, "--spend", "0.99").code == 0
        assert not server.tenant(KEY).jobs


@pytest.mark.parametrize("name", ["order-answered-502", "order-not-answered"])
def test_an_order_that_may_have_been_accepted_counts_and_is_not_made_again(name: str, tmp_path: Path) -> None:
    with emulator(scenario=str(DRIFT / f"{name}.yaml")) as server:
        outcome = run(server.url, tmp_path, "--spend", "20")
        assert len(server.tenant(KEY).jobs) == 1
    assert "1 of 20 quota units spent" in outcome.said


def test_an_order_that_was_refused_costs_nothing(tmp_path: Path) -> None:
    with emulator(balance="0") as server:
        outcome = run(server.url, tmp_path, "--spend", "20")
    assert "0 of 20 quota units spent" in outcome.said
    assert outcome.code == 1, "a run that could not do what was planned is not green"
    assert outcome.findings == {
        ("warning", "verify/refused", "generate.response"),
        ("error", "verify/stopped", "generate.response"),
    }


ACCEPTED_IN_ANOTHER_WAY = {
    "502": lambda: Response("bad gateway", 502),
    "a 400 that is no refusal": lambda: Response("bad request", 400),
    "a 400 with a job": lambda: answer_of({"status": "FAILED", "message": "", "data": {"taskId": "7"}}, 400),
    "200 cut in mid-JSON": lambda: Response('{"status": "SUCC', mimetype="application/json"),
    "202 and nothing": lambda: Response(status=202),
    "200 with HTML": lambda: Response("<html></html>"),
    "another name of the id": lambda: answer_of({"status": "OK", "data": {"taskId": "7"}}),
    "an id that is a number": lambda: answer_of({"status": "OK", "data": {"id": 12345}}),
}


@pytest.mark.parametrize(("order", "field", "spend"), [("edits", "image", 2), ("generate", "mode", 20)])
@pytest.mark.parametrize("kind", ACCEPTED_IN_ANOTHER_WAY)
def test_an_order_that_was_not_clearly_refused_counts_and_ends_the_run(
    kind: str, order: str, field: str, spend: int, tmp_path: Path
) -> None:
    charged: list[str] = []

    def lenient(request: Request, emulated: Callable[[], Response]) -> Response:
        sent = request.get_data(as_text=True)
        if request.path == f"/flux/{order}" and calls.PROMPT in sent and f'"{field}"' not in sent:
            charged.append(order)
            return ACCEPTED_IN_ANOTHER_WAY[kind]()
        return emulated()

    with emulator() as server, drifted(server, lenient) as url:
        outcome = run(url, tmp_path, "--spend", str(spend))
        assert not server.tenant(KEY).jobs
    assert charged == [order]
    assert outcome.code == 1
    assert f"{1 if order == 'edits' else 8} of {spend} quota units spent" in outcome.said


def test_a_free_order_that_is_answered_with_an_unknown_success_ends_the_run(tmp_path: Path) -> None:
    """An API that makes images without a prompt would make one for each of the free calls."""
    orders: list[str] = []

    def promptless(request: Request, emulated: Callable[[], Response]) -> Response:
        if request.path in {"/flux/generate", "/flux/edits"}:
            orders.append(request.path)
            return answer_of({"status": "OK", "data": {"taskId": "7"}})
        return emulated()

    with emulator() as server, drifted(server, promptless) as url:
        outcome = run(url, tmp_path)
    assert (len(orders), outcome.code) == (1, 1)
    assert {"verify/key-accepted", "verify/stopped"} <= outcome.rules


def test_what_is_left_counts_and_not_what_there_was() -> None:
    whole = make_plan(Decimal(2), None, UNKNOWN)
    plan = Plan(whole.steps, (), Decimal(1))
    with emulator() as server:
        made = Run(Line(server.url, KEY), manners=Manners(interval=0))
        report = made(plan)
        assert len(server.tenant(KEY).jobs) == 1
    assert [finding.rule for finding in report.findings] == ["verify/stopped"]
    assert made.stopped == "it could cost 1 quota units, 0 is left"


@pytest.mark.parametrize("quota", ["1e99999999", "9e999999999999", "1e-99999999", "1" * 5000])
def test_a_price_that_is_no_sensible_number_is_not_known(quota: str, tmp_path: Path) -> None:
    def dear(request: Request, emulated: Callable[[], Response]) -> Response:
        answer = emulated()
        if request.path == "/flux/fetch" and (data := answer.get_json()["data"]):
            answer.set_data(json.dumps(answer.get_json() | {"data": data | {"quota": quota}}))
        return answer

    with emulator() as server, drifted(server, dear) as url:
        outcome = run(url, tmp_path, "--spend", "1", "--policy", str(only_verify(tmp_path)))
    assert {"verify/charge-unknown", "verify/stopped"} <= outcome.rules
    assert "1 of 1 quota units spent" in outcome.said
