"""What the control endpoints read and write: JSON bodies and query parameters checked, values turned into JSON."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson

from mock_server.control import TenantControl
from mock_server.errors import FluxmockError
from mock_server.exchange import shown
from mock_server.expectations import Amount, Expectation, differences
from mock_server.journal import ClockEntry, Entry, HookEntry, RequestEntry
from mock_server.model import Job
from mock_server.scenarios.rules import Scenario
from mock_server.verification import Unverified, verify_spend

_LONGEST_TEXT = 2000
_KINDS = {RequestEntry: "request", HookEntry: "hook", ClockEntry: "clock"}
_JOURNAL_PARAMETERS = ("endpoint", "path", "method", "status", "job_id", "since", "limit", "last", "field.NAME")
_CALLS = ("endpoint", "times", "at_least", "at_most", "status", "job_id", "fields")
_LONGEST_WAIT = 60
_LONGEST_NAME = 100


class Refused(FluxmockError):
    """A control request that cannot be carried out: an HTTP status, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


# What comes in


def read_body(data: bytes, known: Collection[str]) -> dict[str, Any]:
    """Return the JSON object in a body, none being an empty one, whose names are all `known`; raises Refused."""
    body = read_object(data)
    check_names(body, known)
    return body


def read_object(data: bytes) -> dict[str, Any]:
    """Return the JSON object in a body, none being an empty one; raises Refused."""
    try:
        body = orjson.loads(data or b"{}")
    except orjson.JSONDecodeError as error:
        raise Refused(400, f"expected a JSON object: {error}") from None
    if not isinstance(body, dict):
        raise Refused(400, f"expected a JSON object, got {shown(body)}")
    return body


def check_names(names: Iterable[str], known: Collection[str], advice: str = "") -> None:
    """Raise Refused unless all `names` are `known`; `advice` is for where an unknown one may belong."""
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            there_are = f"there are {', '.join(sorted(known))}" if known else "there are none"
            hint = f": did you mean {close[0]}?" if close else ""
            raise Refused(400, f"{shown(name)} is unknown, {there_are}{hint}{advice}")


def read_choice(body: Mapping[str, Any], name: str, choices: Collection[str]) -> str:
    """Return what `body` chooses for `name`; raises Refused."""
    if name not in body:
        ways = " or ".join(json.dumps({name: choice}) for choice in choices)
        raise Refused(400, f"expected {ways}, got {'no body' if not body else f'no {name!r} in the body'}")
    value = body[name]
    if not isinstance(value, str) or value not in choices:
        raise Refused(400, f"{name}: expected {' or '.join(choices)}, got {shown(value)}")
    return value


def read_seconds(value: Any) -> float:
    """Return a number of seconds; raises Refused."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise Refused(400, f"expected a number of seconds, got {shown(value)}")
    return float(value)


def read_instant(value: Any) -> float | datetime:
    """Return an instant, written as seconds since the Unix epoch or as ISO 8601; raises Refused."""
    if not isinstance(value, str):
        return read_seconds(value)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = datetime.min
    if moment.tzinfo is None:
        raise Refused(400, f"expected an instant such as 2025-01-01T00:00:00Z, with its offset, got {shown(value)}")
    return moment


def read_true(value: Any) -> None:
    """Raise Refused unless `value` is true."""
    if value is not True:
        raise Refused(400, f"expected true, got {shown(value)}: leave it out if it is not to happen")


def read_wait(data: bytes) -> tuple[str | None, float]:
    """Return the job whose webhook a body asks to wait for, None being any, and for how long; raises Refused."""
    body = read_body(data, ("job_id", "timeout"))
    job_id = body.get("job_id")
    if job_id is not None and not isinstance(job_id, str):
        raise Refused(400, f"job_id: expected the id of a job, or null for any, got {shown(job_id)}")
    seconds = read_seconds(body.get("timeout", 5))
    if not 0 <= seconds <= _LONGEST_WAIT:
        raise Refused(400, f"timeout: expected 0 to {_LONGEST_WAIT} s, got {seconds:g}: to wait longer, ask again")
    return job_id, seconds


def read_scenario_name(name: Any) -> str:
    """Return the name of a ready-made scenario, and of nothing else; raises Refused."""
    # YAML takes 15 ms to import, and most worlds need none.
    from mock_server.scenarios.files import library

    ready = library()
    if not isinstance(name, str) or name not in ready:
        close = difflib.get_close_matches(str(name)[:_LONGEST_NAME], ready, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(ready)};"
        why = f"name: expected that of a ready-made scenario, got {shown(name)}; {hint}"
        raise Refused(400, f"{why} to play one from a file, send the scenario itself")
    return name


def read_expected(data: bytes) -> tuple[dict[str, Any], Any]:
    """
    Return what a body asks to be verified: arguments of `assert_called`, and the most that may be spent.

    Neither of them is looked at here; {} and None are what is not asked for.

    Raises:
        Refused: a name is unknown, or a part is missing.
    """
    body = read_object(data)
    advice = '; a field of the request: put it under fields, as in {"endpoint": "generate", "fields": {"prompt": "x"}}'
    check_names(body, (*_CALLS, "max_spend"), advice)
    quota = body.pop("max_spend", None)
    if not body and quota is None:
        raise Refused(400, "expected what is to be verified, an endpoint or max_spend, got neither")
    if body and "endpoint" not in body:
        raise Refused(400, f"endpoint: expected one for {', '.join(body)} to be about; null is any")
    if not isinstance(body.get("fields", {}), dict):
        raise Refused(400, "fields: expected an object of names and values")
    return body, quota


def is_content_with_nothing(calls: Mapping[str, Any], quota: Any) -> bool:
    """Whether what `read_expected` returned holds where nothing ever came; ValueError if it makes no sense."""
    if quota is not None:
        verify_spend(quota, (), (), ())
    particulars = {name: calls[name] for name in ("endpoint", "status", "job_id", "fields") if name in calls}
    Expectation(**particulars)
    return not calls or 0 in Amount.of(calls.get("times"), calls.get("at_least"), calls.get("at_most"))


def chosen_entries(entries: Iterable[Entry], query: Mapping[str, str]) -> list[Entry]:
    """
    Return the journal entries that a query asks for, oldest first.

    Args:
        entries: all of them.
        query: what the entries are to be like; `since` is the number after which they begin, `limit` is how many of
            these, from the oldest on, and `last` how many of the newest.

    Raises:
        Refused: a parameter is unknown, or no number where one is needed.
        ValueError: there is no such endpoint.
    """
    plain = {name: value for name, value in query.items() if not name.startswith("field.")}
    check_names(plain, _JOURNAL_PARAMETERS)
    since, limit, last, status = (_whole(plain, name) for name in ("since", "limit", "last", "status"))
    if limit is not None and last is not None:
        raise Refused(400, "last: expected it without limit, got both: limit=N are the oldest N, last=N the newest")
    method = plain.get("method")
    fields = {name.removeprefix("field."): _Text(value) for name, value in query.items() if name not in plain}
    wanted = [
        # To an Expectation a method is a pattern; what comes from elsewhere is none.
        Expectation(plain.get("endpoint"), method and re.escape(method), status, plain.get("job_id"), fields),
        Expectation(_path(plain.get("path"))),
    ]
    calls_only = len(plain.keys() - {"since", "limit", "last"}) > 0 or bool(fields)
    chosen = [
        entry
        for entry in entries
        if entry.number > (since or 0)
        and (
            all(not differences(entry, expectation) for expectation in wanted)
            if isinstance(entry, RequestEntry)
            else not calls_only
        )
    ]
    return chosen[:limit] if last is None else chosen[len(chosen) - min(last, len(chosen)) :]


class _Text:
    """Accepts what reads like the text of a query parameter, be it a text or not."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __call__(self, value: Any) -> bool:
        return self._text == (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _path(text: str | None) -> str | None:
    if text is not None and not text.startswith("/"):
        raise Refused(400, f"path: expected a path such as /flux/fetch, got {shown(text)}")
    return text


def _whole(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise Refused(400, f"{name}: expected a whole number, 0 or more, got {shown(text)}")
    return int(text)


# What goes out


def as_json(value: Any) -> bytes:
    """Return `value` as a JSON document; long bodies that clients sent are cut."""
    text = json.dumps(value, default=_plain, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace")  # which is how JSON, too, writes half a surrogate pair


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return value[:_LONGEST_TEXT].decode("utf-8", "replace")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    raise TypeError(f"cannot show {type(value).__name__} as JSON")


def entry_data(entry: Entry) -> dict[str, Any]:
    """Return a journal entry with its kind."""
    return {"kind": _KINDS[type(entry)], **_plain(entry)}


def clock_data(tenant: TenantControl) -> dict[str, Any]:
    """Return how the clock of a tenant stands and runs."""
    clock = tenant.clock
    return {
        "now": clock.now(), "today": clock.today().isoformat(), "rate": clock.rate, "auto": clock.is_auto,
        "next_event_at": clock.next_event_at(),
    }  # fmt: skip


def job_data(job: Job) -> dict[str, Any]:
    """Return a job without the file that was uploaded for it."""
    data = dataclasses.asdict(dataclasses.replace(job, order=dataclasses.replace(job.order, upload=None)))
    del data["order"]["upload"]
    return data


def scenario_data(scenario: Scenario) -> dict[str, Any]:
    """Return which scenario it is."""
    return {"name": scenario.name, "story": scenario.story, "rules": len(scenario.rules)}


def verified_data(matching: Sequence[RequestEntry] | None, failures: Sequence[Unverified] = ()) -> dict[str, Any]:
    """
    Return what came of verifying.

    Args:
        matching: the calls that are as expected; None when none were asked for.
        failures: why it could not be verified; none when it could.
    """
    numbers = None if matching is None else [entry.number for entry in matching]
    matched = None if numbers is None else len(numbers)
    data: dict[str, Any] = {"verified": not failures, "matched": matched, "matching": numbers}
    if failures:
        nearest = [miss for failure in failures for miss in failure.nearest]
        data["error"] = "\n".join(map(str, failures))
        data["nearest"] = [{"number": miss.entry.number, "differences": miss.differences} for miss in nearest]
    return data
