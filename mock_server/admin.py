"""The control endpoints under `/_mock/`: what `TenantControl` does in Python, over HTTP and as JSON.

`schemas/admin.openapi.json` documents them. Which tenant is meant is told by the TT-API-KEY of the request, as
everywhere. They are for the machine they run on: a client elsewhere, a Host that is not loopback (as in a DNS rebinding
attack) or a foreign Origin (as from a page in a browser) is refused, unless the admin token comes along.
"""

from __future__ import annotations

import dataclasses
import hmac
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, request

from mock_server import resources
from mock_server._version import __version__
from mock_server.admin_data import (
    Refused,
    as_json,
    check_names,
    chosen_entries,
    clock_data,
    entry_data,
    failure_data,
    job_data,
    read_body,
    read_choice,
    read_instant,
    read_object,
    read_seconds,
    read_true,
    scenario_data,
)
from mock_server.clock import parse_clock
from mock_server.control import TenantControl
from mock_server.errors import FluxmockError, IllegalTransition, UnknownDelivery, UnknownJob
from mock_server.exchange import host_of, mask
from mock_server.model import Account, Job
from mock_server.settings import Settings
from mock_server.verification import Unverified
from mock_server.world import World

PREFIX = "/_mock"
TOKEN_HEADER = "X-Fluxmock-Token"  # noqa: S105 - the name of a header
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_SETTINGS = frozenset(field.name for field in dataclasses.fields(Settings)) - {"key", "admin_token"}
_EXPECTED = ("endpoint", "times", "at_least", "at_most", "status", "job_id", "fields")


def admin_blueprint(world: World) -> Blueprint:
    """Return the control endpoints of `world`."""
    pages = Blueprint("admin", __name__, url_prefix=PREFIX)

    @pages.before_request
    def _guard() -> None:
        token = world.settings.admin_token
        if token is not None and hmac.compare_digest(_token(), token.encode()):
            return
        host = host_of(request.environ)
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        origin = request.headers.get("Origin")
        client = request.environ.get("REMOTE_ADDR", "")
        here = client in {"", "::1"} or client.removeprefix("::ffff:").startswith("127.")
        if not here or name not in _LOOPBACK or (origin is not None and origin != f"http://{host}"):
            raise Refused(
                403, f"control is for this machine: ask at 127.0.0.1, or send the --admin-token as {TOKEN_HEADER}"
            )

    @pages.errorhandler(FluxmockError)
    @pages.errorhandler(ValueError)
    def _failed(error: Exception) -> Response:
        return _json({"error": str(error)}, _status(error))

    def control() -> TenantControl:
        key = request.headers.get("TT-API-KEY", "")
        if not key.strip():
            raise Refused(401, "expected the header TT-API-KEY: it says whose world is meant")
        return TenantControl(world, key)

    # Of the server

    @pages.get("/health")
    def _health() -> Response:
        return _json({"status": "ok", "version": __version__, "contract": world.settings.contract})

    @pages.get("/ready")
    def _ready() -> Response:
        about = {"version": __version__, "contract": world.settings.contract, "tenants": len(world.tenants())}
        return _json({"ready": True, **about})

    @pages.get("/openapi.json")
    def _openapi() -> Response:
        return _json(resources.load("admin.openapi.json"))

    @pages.get("/tenants")
    def _tenants() -> Response:
        return _json(
            [
                {"key": mask(tenant.key), "now": tenant.clock.now(), "jobs": len(tenant.current_jobs())}
                for tenant in world.tenants()
            ]
        )

    @pages.post("/tenants/reset")
    def _forget_all() -> Response:
        read_body(request.get_data(), ())
        forgotten = len(world.tenants())
        world.forget_all()
        return _json({"forgotten": forgotten})

    # Of one tenant

    @pages.get("/clock")
    def _clock() -> Response:
        return _json(clock_data(control()))

    @pages.post("/clock")
    def _set_clock() -> Response:
        tenant, body = control(), read_body(request.get_data(), _MOVES)
        if len(body) != 1:
            raise Refused(400, f"expected one of {', '.join(_MOVES)}, got {' and '.join(body) or 'none'}")
        ((what, value),) = body.items()
        _unless_it_moves(lambda: _MOVES[what](tenant, value))
        return _json(clock_data(tenant))

    @pages.get("/jobs")
    def _jobs() -> Response:
        return _json([job_data(job) for job in control().jobs])

    @pages.post("/jobs/<job_id>")
    def _move_job(job_id: str) -> Response:
        jobs, body = control().jobs, read_body(request.get_data(), ("do", "reason"))
        moves: dict[str, Callable[[], Job]] = {
            "start": lambda: jobs.start(job_id),
            "finish": lambda: jobs.finish(job_id),
            "fail": lambda: jobs.fail(job_id, body.get("reason")),
        }
        move = read_choice(body, "do", moves)
        if "reason" in body and move != "fail":
            raise Refused(400, f"reason: expected with fail only, got it with {move}: leave it out")
        return _json(job_data(moves[move]()))

    @pages.get("/ledger")
    def _ledger() -> Response:
        ledger = control().ledger
        balances = {account.value: ledger.balance(account) for account in Account}
        return _json({"balances": balances, "postings": list(ledger)})

    @pages.get("/journal")
    def _journal() -> Response:
        journal = control().journal
        chosen = chosen_entries(journal, request.args)
        return _json({"dropped": journal.dropped, "entries": [entry_data(entry) for entry in chosen]})

    @pages.post("/verify")
    def _verify() -> Response:
        tenant, body = control(), read_body(request.get_data(), (*_EXPECTED, "max_spend"))
        quota = body.pop("max_spend", None)
        if not body and quota is None:
            raise Refused(400, "expected what is to be verified, an endpoint or max_spend, got neither")
        if body and "endpoint" not in body:
            raise Refused(400, f"endpoint: expected one for {', '.join(body)} to be about; null is any")
        if not isinstance(body.get("fields", {}), dict):
            raise Refused(400, "fields: expected an object of names and values")
        try:
            matched = len(tenant.assert_called(**body)) if body else None
            if quota is not None:
                tenant.assert_max_spend(quota)
        except Unverified as failure:
            return _json(failure_data(failure), 417)
        return _json({"verified": True, "matched": matched})

    @pages.get("/hooks")
    def _hooks() -> Response:
        return _json(list(control().hooks))

    @pages.post("/hooks/<hook_id>")
    def _replay(hook_id: str) -> Response:
        hooks, body = control().hooks, read_body(request.get_data(), ("do",))
        read_choice(body, "do", ("replay",))
        return _json(_unless_it_moves(lambda: hooks.replay(hook_id)))

    def playing(tenant: TenantControl) -> Response:
        return _json(scenario_data(world.tenant(tenant.api_key).director.scenario))

    @pages.get("/scenario")
    def _scenario() -> Response:
        return playing(control())

    @pages.post("/scenario")
    def _set_scenario() -> Response:
        tenant, body = control(), read_object(request.get_data())
        tenant.scenario(str(body["name"]) if set(body) == {"name"} else body)
        return playing(tenant)

    @pages.post("/reset")
    def _reset() -> Response:
        tenant, body = control(), read_object(request.get_data())
        check_names(body, _SETTINGS)
        tenant.reset(**body)
        return _json(clock_data(tenant))

    return pages


def _token() -> bytes:
    return request.headers.get(TOKEN_HEADER, "").encode("latin-1", "replace")


def _status(error: Exception) -> int:
    if isinstance(error, (UnknownJob, UnknownDelivery)):
        return 404
    if isinstance(error, IllegalTransition):
        return 409
    return error.status if isinstance(error, Refused) else 400


def _unless_it_moves(act: Callable[[], Any]) -> Any:
    """Do what moves the clock; raises Refused when it is on the move, and waits for the hook that asks for this."""
    try:
        return act()
    except RuntimeError as error:
        raise Refused(409, str(error)) from None


def _set_mode(tenant: TenantControl, text: Any) -> None:
    if "@" in str(text):
        raise Refused(400, f"mode: expected it without a start, got {text!r}: advance_to moves the clock")
    spec = parse_clock(str(text))
    if spec.auto:
        tenant.clock.auto()
    else:
        tenant.clock.run(spec.rate)


def _run_until_idle(tenant: TenantControl, value: Any) -> None:
    read_true(value)
    tenant.clock.run_until_idle()


def _next_event(tenant: TenantControl, value: Any) -> None:
    read_true(value)
    tenant.clock.advance_to_next_event()


_MOVES: dict[str, Callable[[TenantControl, Any], object]] = {
    "advance": lambda tenant, value: tenant.clock.advance(read_seconds(value)),
    "advance_to": lambda tenant, value: tenant.clock.advance_to(read_instant(value)),
    "run_until_idle": _run_until_idle,
    "next_event": _next_event,
    "mode": _set_mode,
}


def _json(value: Any, status: int = 200) -> Response:
    return Response(as_json(value), status, mimetype="application/json")
