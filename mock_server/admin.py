"""The control endpoints under `/_mock/`: what `TenantControl` does in Python, over HTTP and as JSON.

`schemas/admin.openapi.json` documents them. Which tenant is meant is told by the TT-API-KEY of the request, as
everywhere. They are for the machine they run on: a client elsewhere, a Host that is not loopback (as in a DNS rebinding
attack) or a foreign Origin (as from a page in a browser) is refused, unless the admin token comes along.

Who only looks makes no world: a key that never called has none, and is answered so. What goes wrong here stands in no
journal.
"""

from __future__ import annotations

import dataclasses
import difflib
import hmac
import re
from collections.abc import Callable, Collection
from functools import cache
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
    is_content_with_nothing,
    job_data,
    read_body,
    read_choice,
    read_expected,
    read_instant,
    read_object,
    read_scenario_name,
    read_seconds,
    read_true,
    read_wait,
    scenario_data,
    verified_data,
)
from mock_server.clock import parse_clock
from mock_server.control import TenantControl, calls_elsewhere
from mock_server.errors import ApiError, FluxmockError, IllegalTransition, NotDelivered, UnknownDelivery, UnknownJob
from mock_server.exchange import SENT_HOST, header_text, mask
from mock_server.journal import RequestEntry
from mock_server.model import Account, Job
from mock_server.settings import Settings
from mock_server.verification import Unverified
from mock_server.world import World

PREFIX = "/_mock"
TOKEN_HEADER = "X-Fluxmock-Token"  # noqa: S105 - the name of a header
OUT_OF_REACH = "fluxmock.no_control"
"""The environ key that is true where control is refused to all, whatever token comes along."""

_LOOPBACK = re.compile(r"(?:127\.0\.0\.1|localhost\.?|\[::1\])(?::([0-9]{1,5}))?", re.IGNORECASE)
_SETTINGS = frozenset(field.name for field in dataclasses.fields(Settings))
_SEE = f"see {PREFIX}/openapi.json"
_LONGEST_PATH = 100


def is_control(path: str) -> bool:
    """Whether a path belongs to the control endpoints, be there one or not."""
    return path == PREFIX or path.startswith(f"{PREFIX}/")


def admin_blueprint(world: World) -> Blueprint:
    """Return the control endpoints of `world`."""
    pages = Blueprint("admin", __name__, url_prefix=PREFIX)

    @pages.before_request
    def _guard() -> None:
        _check_caller(world)

    @pages.errorhandler(ApiError)
    def _refused(error: ApiError) -> Response:
        return control_error(world, error.status, error.explanation)

    @pages.errorhandler(FluxmockError)
    @pages.errorhandler(ValueError)
    def _failed(error: Exception) -> Response:
        return _json({"error": str(error)}, _status(error))

    def api_key() -> str:
        key = request.headers.get("TT-API-KEY", "")
        if not key.strip():
            raise Refused(401, "expected the header TT-API-KEY: it says whose world is meant")
        allowed = world.settings.key
        if allowed and key not in allowed:
            raise Refused(401, f"the TT-API-KEY that came is none of the {len(allowed)} allowed by --key")
        return key

    def found(key: str) -> TenantControl:
        if world.find(key, make=False) is None:
            raise Refused(404, _no_world(world, key))
        return TenantControl(world, key)

    # Of the server

    @pages.get("/", strict_slashes=False)
    def _index() -> Response:
        return _json(_lines())

    @pages.get("/health")
    def _health() -> Response:
        return _json({"status": "ok", "version": __version__, "contract": world.settings.contract})

    @pages.get("/ready")
    def _ready() -> Response:
        about = {"version": __version__, "contract": world.settings.contract, "tenants": len(world.tenants())}
        return _json({"ready": True, **about})

    @pages.get("/openapi.json")
    def _openapi() -> Response:
        return _json(_document())

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
        return _json(clock_data(found(api_key())))

    @pages.post("/clock")
    def _set_clock() -> Response:
        key, body = api_key(), read_body(request.get_data(), _MOVES)
        if len(body) != 1:
            raise Refused(400, f"expected one of {', '.join(_MOVES)}, got {' and '.join(body) or 'none'}")
        ((what, value),) = body.items()
        tenant = TenantControl(world, key)
        _unless_it_moves(lambda: _MOVES[what](tenant, value))
        return _json(clock_data(tenant))

    @pages.get("/jobs")
    def _jobs() -> Response:
        return _json([job_data(job) for job in found(api_key()).jobs])

    @pages.post("/jobs/<job_id>")
    def _move_job(job_id: str) -> Response:
        key, body = api_key(), read_body(request.get_data(), ("do", "reason"))
        moves: dict[str, Callable[[TenantControl], Job]] = {
            "start": lambda tenant: tenant.jobs.start(job_id),
            "finish": lambda tenant: tenant.jobs.finish(job_id),
            "fail": lambda tenant: tenant.jobs.fail(job_id, body.get("reason")),
        }
        move = read_choice(body, "do", moves)
        if "reason" in body and move != "fail":
            raise Refused(400, f"reason: expected with fail only, got it with {move}: leave it out")
        return _json(job_data(moves[move](found(key))))

    @pages.get("/ledger")
    def _ledger() -> Response:
        ledger = found(api_key()).ledger
        balances = {account.value: ledger.balance(account) for account in Account}
        return _json({"balances": balances, "postings": list(ledger)})

    @pages.get("/journal")
    def _journal() -> Response:
        journal = found(api_key()).journal
        chosen = chosen_entries(journal, request.args)
        return _json({"dropped": journal.dropped, "entries": [entry_data(entry) for entry in chosen]})

    @pages.post("/verify")
    def _verify() -> Response:
        key, (calls, quota) = api_key(), read_expected(request.get_data())
        content = is_content_with_nothing(calls, quota)
        if world.find(key, make=False) is not None:
            matching, failures = _verified(TenantControl(world, key), calls, quota)
        else:
            # Where others called, a key that did not is a mistake more often than it is meant.
            fine = content and not calls_elsewhere(world)
            matching, failures = (() if calls else None), [] if fine else [Unverified(_no_world(world, key))]
        return _json(verified_data(matching, failures), 417 if failures else 200)

    @pages.get("/hooks")
    def _hooks() -> Response:
        return _json(list(found(api_key()).hooks))

    @pages.post("/hooks/wait")
    def _wait() -> Response:
        key, (job_id, seconds) = api_key(), read_wait(request.get_data())
        hooks = found(key).hooks
        return _json(_unless_it_moves(lambda: hooks.wait_for_delivery(job_id, timeout=seconds)))

    @pages.post("/hooks/<hook_id>")
    def _replay(hook_id: str) -> Response:
        key, body = api_key(), read_body(request.get_data(), ("do",))
        read_choice(body, "do", ("replay",))
        hooks = found(key).hooks
        return _json(_unless_it_moves(lambda: hooks.replay(hook_id)))

    def playing(tenant: TenantControl) -> Response:
        return _json(scenario_data(world.tenant(tenant.api_key).director.scenario))

    @pages.get("/scenario")
    def _scenario() -> Response:
        return playing(found(api_key()))

    @pages.post("/scenario")
    def _set_scenario() -> Response:
        key, body = api_key(), read_object(request.get_data())
        tenant = TenantControl(world, key)
        tenant.scenario(read_scenario_name(body["name"]) if set(body) == {"name"} else body)
        return playing(tenant)

    @pages.post("/reset")
    def _reset() -> Response:
        key, body = api_key(), read_object(request.get_data())
        settable = _document()["components"]["schemas"]["Settings"]["properties"]
        for name in body.keys() & (_SETTINGS - settable.keys()):
            instead = f": play one with POST {PREFIX}/scenario" if name == "scenario" else ""
            raise Refused(400, f"{name}: one for all tenants, so it cannot be set for one of them{instead}")
        check_names(body, settable)
        tenant = TenantControl(world, key)
        tenant.reset(**body)
        return _json(clock_data(tenant))

    return pages


def control_error(world: World, status: int, words: str, methods: Collection[str] = ()) -> Response:
    """
    Answer a request below `/_mock` that came to no endpoint, or failed before or in one; it is written to no journal.

    Args:
        world: guards these paths, whatever is there.
        status: of the answer; 404 and 405 are worded here.
        words: what was wrong.
        methods: those that the path takes.
    """
    try:
        _check_caller(world)
    except Refused as refusal:
        return _json({"error": str(refusal)}, refusal.status)
    came = header_text(request.path)[:_LONGEST_PATH]
    if status == 404 or not _is_there(request.path):
        status, methods = 404, ()
        words = f"there is no {came}; {_meant(came)} {_SEE}"
    elif status == 405:
        takes = " or ".join(method for method in ("GET", "POST") if method in methods)
        words = f"{came} takes {takes}, got {header_text(request.method)}; {_SEE}"
    response = _json({"error": words}, status)
    if methods:
        response.headers["Allow"] = ", ".join(sorted(methods))
    return response


def _is_there(path: str) -> bool:
    # To Flask a name with .webp is an image, here as everywhere.
    known = (re.sub(r"{\w+}", "[^/]+", template) for template in _document()["paths"])
    return any(re.fullmatch(PREFIX + template, path) for template in known)


def _meant(came: str) -> str:
    paths = [path.removeprefix("/") for path in _document()["paths"] if path != "/"]
    close = difflib.get_close_matches(came.removeprefix(PREFIX).strip("/").lower(), paths, n=1)
    if close:
        return f"did you mean {PREFIX}/{close[0]}?"
    return f"there are {', '.join(f'{PREFIX}/{path}' for path in paths)};"


def _check_caller(world: World) -> None:
    environ = request.environ
    if environ.get(OUT_OF_REACH):
        raise Refused(403, "there is no control in-process: steer the tenant in Python, or ask over a socket")
    token = world.settings.admin_token
    if token is not None and hmac.compare_digest(_token(), token.encode()):
        return
    host = environ.get(SENT_HOST, environ.get("HTTP_HOST"))
    origin = request.headers.get("Origin")
    client = environ.get("REMOTE_ADDR", "")
    here = client in {"", "::1"} or client.removeprefix("::ffff:").startswith("127.")
    if not here or not _is_loopback(host) or (origin is not None and origin != f"http://{host}"):
        raise Refused(
            403, f"control is for this machine: ask at 127.0.0.1, or send the --admin-token as {TOKEN_HEADER}"
        )


def _is_loopback(host: str | None) -> bool:
    """Whether a Host, as it was written, names this machine; none at all is that of an old client, not of a browser."""
    if host is None:
        return True
    match = _LOOPBACK.fullmatch(host)
    return match is not None and int(match[1] or 0) < 65536


@cache
def _document() -> Any:
    return resources.load("admin.openapi.json")


def _lines() -> dict[str, str]:
    return {
        f"{method.upper()} {PREFIX}{path}": operation["summary"]
        for path, item in _document()["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    }


def _no_world(world: World, key: str) -> str:
    lines = [f"no call ever came with the key {mask(key)}", *(calls_elsewhere(world) or ["no other key called either"])]
    return "; ".join(lines) + f"; POST {PREFIX}/reset makes a world for it before it calls"


def _verified(
    tenant: TenantControl, calls: dict[str, Any], quota: Any
) -> tuple[tuple[RequestEntry, ...] | None, list[Unverified]]:
    """Return the calls that are as expected, and what is not so; None when no calls were asked for."""
    matching, failures = None, []
    if calls:
        try:
            matching = tuple(tenant.assert_called(**calls))
        except Unverified as failure:
            matching = failure.matching
            failures.append(failure)
    if quota is not None:
        try:
            tenant.assert_max_spend(quota)
        except Unverified as failure:
            failures.append(failure)
    return matching, failures


def _token() -> bytes:
    return request.headers.get(TOKEN_HEADER, "").encode("latin-1", "replace")


def _status(error: Exception) -> int:
    if isinstance(error, (UnknownJob, UnknownDelivery)):
        return 404
    if isinstance(error, IllegalTransition):
        return 409
    if isinstance(error, NotDelivered):
        return 417
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
