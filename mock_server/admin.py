"""The control endpoints under `/_mock/`: what `TenantControl` does in Python, over HTTP and as JSON.

Which tenant is meant is told by the TT-API-KEY of the request, as everywhere. They are for the machine they run on: a
client elsewhere, a Host that is not loopback (as in a DNS rebinding attack) or a foreign Origin (as from a page in a
browser) is refused, unless the admin token comes along.
"""

from __future__ import annotations

import dataclasses
import hmac
import json
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from flask import Blueprint, Response, request

from mock_server._version import __version__
from mock_server.clock import parse_clock
from mock_server.control import TenantControl
from mock_server.errors import FluxmockError, IllegalTransition, UnknownJob
from mock_server.exchange import host_of, mask
from mock_server.model import Account, Job
from mock_server.world import World

PREFIX = "/_mock"
TOKEN_HEADER = "X-Fluxmock-Token"  # noqa: S105 - the name of a header
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_LONGEST_TEXT = 2000


class _Refused(FluxmockError):
    """A control request that cannot be carried out: a status, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def admin_blueprint(world: World) -> Blueprint:
    """Return the control endpoints of `world`."""
    pages = Blueprint("admin", __name__, url_prefix=PREFIX)

    @pages.before_request
    def _guard() -> None:
        token = world.settings.admin_token
        if token is not None and hmac.compare_digest(request.headers.get(TOKEN_HEADER, ""), token):
            return
        host = host_of(request.environ)
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        origin = request.headers.get("Origin")
        client = request.environ.get("REMOTE_ADDR", "")
        here = client in {"", "::1"} or client.removeprefix("::ffff:").startswith("127.")
        if not here or name not in _LOOPBACK or (origin is not None and origin != f"http://{host}"):
            raise _Refused(
                403, f"control is for this machine: ask at 127.0.0.1, or send the --admin-token as {TOKEN_HEADER}"
            )

    @pages.errorhandler(FluxmockError)
    @pages.errorhandler(ValueError)
    def _failed(error: Exception) -> Response:
        return _json({"error": str(error)}, _status(error))

    def control() -> TenantControl:
        key = request.headers.get("TT-API-KEY", "")
        if not key.strip():
            raise _Refused(401, "expected the header TT-API-KEY: it says whose world is meant")
        return TenantControl(world, key)

    @pages.get("/health")
    def _health() -> Response:
        return _json({"status": "ok", "version": __version__, "contract": world.settings.contract})

    @pages.get("/tenants")
    def _tenants() -> Response:
        return _json(
            [
                {"key": mask(tenant.key), "now": tenant.clock.now(), "jobs": len(tenant.current_jobs())}
                for tenant in world.tenants()
            ]
        )

    @pages.get("/clock")
    def _clock() -> Response:
        return _json(_clock_as_data(control()))

    @pages.post("/clock")
    def _set_clock() -> Response:
        tenant = control()
        ((what, value),) = _body(one_of={"advance", "advance_to", "run_until_idle", "next_event", "mode"}).items()
        _CLOCK[what](tenant, value)
        return _json(_clock_as_data(tenant))

    @pages.get("/jobs")
    def _jobs() -> Response:
        tenant = control()
        return _json([_job_as_data(job) for job in tenant.jobs])

    @pages.post("/jobs/<job_id>")
    def _move_job(job_id: str) -> Response:
        jobs, body = control().jobs, _body()
        moves: dict[Any, Callable[[], Job]] = {
            "start": lambda: jobs.start(job_id),
            "finish": lambda: jobs.finish(job_id),
            "fail": lambda: jobs.fail(job_id, body.get("reason")),
        }
        if body.get("do") not in moves:
            raise _Refused(400, f'expected {{"do": "start"}}, "finish" or "fail", got {json.dumps(body)[:100]}')
        return _json(_job_as_data(moves[body["do"]]()))

    @pages.get("/ledger")
    def _ledger() -> Response:
        ledger = control().ledger
        balances = {account.value: ledger.balance(account) for account in Account}
        return _json({"balances": balances, "postings": list(ledger)})

    @pages.get("/journal")
    def _journal() -> Response:
        journal = control().journal
        return _json({"dropped": journal.dropped, "entries": list(journal)})

    @pages.get("/hooks")
    def _hooks() -> Response:
        return _json(list(control().hooks))

    @pages.post("/scenario")
    def _scenario() -> Response:
        body = _body()
        control().scenario(body["name"] if set(body) == {"name"} else body)
        return _json({"playing": body.get("name")})

    @pages.post("/reset")
    def _reset() -> Response:
        tenant = control()
        tenant.reset(**_body())
        return _json(_clock_as_data(tenant))

    return pages


def _status(error: Exception) -> int:
    if isinstance(error, UnknownJob):
        return 404
    if isinstance(error, IllegalTransition):
        return 409
    return error.status if isinstance(error, _Refused) else 400


def _advance_to(tenant: TenantControl, instant: Any) -> None:
    tenant.clock.advance_to(datetime.fromisoformat(instant) if isinstance(instant, str) else _number(instant))


def _mode(tenant: TenantControl, text: Any) -> None:
    spec = parse_clock(str(text))
    if spec.auto:
        tenant.clock.auto()
    else:
        tenant.clock.run(spec.rate)


_CLOCK: dict[str, Callable[[TenantControl, Any], object]] = {
    "advance": lambda tenant, value: tenant.clock.advance(_number(value)),
    "advance_to": _advance_to,
    "run_until_idle": lambda tenant, _: tenant.clock.run_until_idle(),
    "next_event": lambda tenant, _: tenant.clock.advance_to_next_event(),
    "mode": _mode,
}


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _Refused(400, f"expected a number of seconds, got {json.dumps(value)[:100]}")
    return float(value)


def _body(*, one_of: set[str] | None = None) -> dict[str, Any]:
    try:
        body = json.loads(request.get_data() or b"{}")
    except (ValueError, RecursionError) as error:
        raise _Refused(400, f"expected a JSON object: {error}") from None
    if not isinstance(body, dict):
        raise _Refused(400, f"expected a JSON object, got {json.dumps(body)[:100]}")
    if one_of is not None and (len(body) != 1 or not body.keys() <= one_of):
        raise _Refused(400, f"expected one of {', '.join(sorted(one_of))}, got {json.dumps(body)[:100]}")
    return body


def _clock_as_data(tenant: TenantControl) -> dict[str, Any]:
    return {"now": tenant.clock.now(), "today": tenant.clock.today().isoformat(), "rate": tenant.clock.rate,
            "auto": tenant.clock.is_auto}  # fmt: skip


def _job_as_data(job: Job) -> dict[str, Any]:
    data = dataclasses.asdict(dataclasses.replace(job, order=dataclasses.replace(job.order, upload=None)))
    del data["order"]["upload"]
    return data


def _json(value: Any, status: int = 200) -> Response:
    return Response(json.dumps(value, default=_plain, ensure_ascii=False) + "\n", status, mimetype="application/json")


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return value[:_LONGEST_TEXT].decode("utf-8", "replace")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    raise TypeError(f"cannot show {type(value).__name__} as JSON")
