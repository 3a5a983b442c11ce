"""Everything that a user may set, once: the command line, the FLUXMOCK_* variables and Python all read this table.

A field's metadata holds `help` (for --help), `read` (text or value -> value, raising ValueError with what was expected)
and, where an option may be given several times, `many`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from mock_server.clock import ClockSpec, parse_clock
from mock_server.contract import versions
from mock_server.errors import SettingsError
from mock_server.hooks.rules import HookRules
from mock_server.model import Rules

PREFIX = "FLUXMOCK_"
_RICHEST = 10**12


class ProgressKind(StrEnum):
    """What moves a job on."""

    TIME = "time"
    POLLS = "polls"
    IMMEDIATE = "immediate"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class Progress:
    """What moves a job on; with POLLS, the fetch number `polls` is the first to see it finished."""

    kind: ProgressKind
    polls: int = 0


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `calls` in any `seconds` of the tenant's clock, then 429."""

    calls: int
    seconds: float


def _choice(*allowed: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value in allowed:
            return str(value)
        raise ValueError(f"expected {' or '.join(allowed)}, got {value!r}")

    return read


def _contract(value: object) -> str:
    return _choice(*versions())(value)


def _clock(value: object) -> ClockSpec:
    return value if isinstance(value, ClockSpec) else parse_clock(str(value))


def _amount(value: object) -> Decimal:
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or not 0 <= amount <= _RICHEST:
        raise ValueError(f"expected a number of quota units, 0 to {_RICHEST}, got {value!r}")
    return amount


def _whole(low: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        text = str(value)
        if isinstance(value, bool) or not re.fullmatch(r"-?[0-9]{1,18}", text) or int(text) < low:
            raise ValueError(f"expected a whole number, {low} or more, got {value!r}")
        return int(text)

    return read


def _seconds(value: object) -> float:
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 1e9:
        raise ValueError(f"expected seconds, more than 0, got {value!r}")
    return seconds


def _seconds_list(value: object) -> tuple[float, ...]:
    return tuple(_seconds(part) for part in _parts(value))


def _parts(value: object) -> list[object]:
    """Return the parts of a list that is written with commas, or given as several texts, or both."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    if isinstance(value, Iterable):
        return [part for item in value for part in (_parts(item) if isinstance(item, str) else [item])]
    return [value]


def _names(value: object) -> tuple[str, ...]:
    names = tuple(str(part) for part in _parts(value))
    if not all(names):
        raise ValueError("expected texts that are not empty, got an empty one: is the variable that holds it set?")
    return names


def _hook_hosts(value: object) -> tuple[str, ...]:
    return HookRules(_names(value)).allow


def _progress(value: object) -> Progress:
    if isinstance(value, Progress):
        return value
    kind, _, count = str(value).partition(":")
    if kind == "polls" and re.fullmatch(r"[1-9][0-9]{0,8}", count):
        return Progress(ProgressKind.POLLS, int(count))
    if kind in {"time", "immediate", "manual"} and not count:
        return Progress(ProgressKind(kind))
    raise ValueError(f"expected time, polls:N (N of 1 or more), immediate or manual, got {value!r}")


def _rate_limit(value: object) -> RateLimit | None:
    if value is None or isinstance(value, RateLimit):
        return value
    match = re.fullmatch(r"([1-9][0-9]{0,8})/([0-9.]{1,12})s?", str(value))
    if match is None:
        raise ValueError(f"expected CALLS/SECONDS such as 10/1s, got {value!r}")
    return RateLimit(int(match[1]), _seconds(match[2]))


def _flag(value: object) -> bool:
    text = str(value).lower()
    if text in {"1", "true", "yes", "on"}:
        return True
    if text in {"0", "false", "no", "off", ""}:
        return False
    raise ValueError(f"expected yes or no, got {value!r}")


def _origin(value: object) -> str | None:
    if value is None:
        return None
    text = str(value).rstrip("/")
    if not re.fullmatch(r"https?://[A-Za-z0-9._~:\[\]-]+", text):
        raise ValueError(f"expected an origin such as http://fluxmock:8787, got {value!r}")
    return text


def _text(value: object) -> str | None:
    if value is None or (isinstance(value, str) and value):
        return value
    raise ValueError(f"expected a text that is not empty, got {value!r}")


def _product(value: object) -> Path | Mapping[str, Any] | None:
    return value if value is None or isinstance(value, Mapping) else Path(str(value))


def _setting(
    default: object, read: Callable[[object], object], text: str, shown: str = "", *, many: bool = False
) -> Any:
    return field(default=default, metadata={"read": read, "help": text, "many": many, "default": shown})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How an emulated world behaves. Build it with `Settings.of(...)`, which also takes the words of the options."""

    contract: str = _setting("2024-09", _contract, "Version of the API's contract: 2024-09 or 2026-03.", "2024-09")
    key: tuple[str, ...] = _setting(
        (), _names, "Accept only this API key; may be repeated.", "any key that is not blank", many=True
    )
    clock: ClockSpec = _setting(
        ClockSpec(1.0, False, None),
        _clock,
        "real; xN, N times as fast; auto, where each fetch of an unfinished job moves to the next event; or frozen, "
        "where POST /_mock/clock moves it. @START sets the first instant.",
        "real",
    )
    seed: int = _setting(0, _whole(0), "Seed of job ids, durations and images.", "0")
    balance: Decimal = _setting(
        Decimal(10_000), _amount, "Quota units that every tenant starts with (100 = 1 USD).", "10000"
    )
    progress: Progress = _setting(
        Progress(ProgressKind.TIME),
        _progress,
        "What finishes a job: time; polls:N, the N-th fetch; immediate; or manual, where POST /_mock/jobs/ID does.",
        "time",
    )
    slots: int = _setting(10, _whole(1), "Jobs of one tenant that run at once; others wait in PENDING_QUEUE.", "10")
    queue: int = _setting(1000, _whole(1), "Unfinished jobs that a tenant may have; then 499.", "1000")
    refund: bool = _setting(False, _flag, "Give the quota of FAILED jobs back.", "no")
    data: str = _setting(
        "null",
        _choice("null", "object"),
        "`data` of a fetch without a result: null, or an object of what is known and nulls.",
        "null",
    )
    images: str = _setting(
        "drawn",
        _choice("drawn", "plain"),
        "Images as drawn from the prompt, or plain ones, which take no time.",
        "drawn",
    )
    rate_limit: RateLimit | None = _setting(None, _rate_limit, "Calls in a time, such as 10/1s; then 429.", "none")
    hook_allow: tuple[str, ...] = _setting(
        (),
        _hook_hosts,
        "Public host that hooks may go to (name, *.name or *); may be repeated.",
        "none, only loopback and private ones",
        many=True,
    )
    hook_retry: tuple[float, ...] = _setting(
        (), _seconds_list, "Seconds to wait before each retry of a hook, such as 5,60,300.", "no retry"
    )
    hook_timeout: float = _setting(10.0, _seconds, "Real seconds that a hook's receiver has to answer.", "10")
    journal: int = _setting(1000, _whole(0), "Journal entries kept for each tenant.", "1000")
    max_body: int = _setting(32 * 1024 * 1024, _whole(1), "Largest request body, in bytes; then 413.", "33554432")
    public_url: str | None = _setting(None, _origin, "Origin of image URLs.", "where the request was sent to")
    admin_token: str | None = _setting(
        None, _text, "Lets whoever sends it as X-Fluxmock-Token control the server from elsewhere.", "only from here"
    )
    scenario: str | None = _setting(
        None, _text, "File with a scenario, or the name of a ready-made one (fluxmock scenarios list).", "all goes well"
    )
    plain_prompts: bool = _setting(False, _flag, "[mock:...] in a prompt means nothing.", "no")
    product: Path | Mapping[str, Any] | None = _setting(
        None, _product, "JSON file with prices, durations or sizes, merged over the built-in ones.", "none"
    )

    @property
    def rules(self) -> Rules:
        """The part of the settings that the engine decides by."""
        timed = self.progress.kind is ProgressKind.TIME
        return Rules(timed, self.slots, self.queue, self.refund, self.hook_retry)

    @classmethod
    def of(cls, **values: object) -> Self:
        """
        Build settings from values or from the texts that the options take: `Settings.of(progress="polls:3")`.

        Raises:
            SettingsError: a name is unknown or a value unusable.
        """
        return cls()._with(values, lambda name: name)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Build settings from the FLUXMOCK_* variables in `environ`; raises SettingsError."""
        names = {field.name: PREFIX + field.name.upper() for field in dataclasses.fields(cls)}
        values = {name: environ[variable] for name, variable in names.items() if environ.get(variable)}
        return cls()._with(values, names.__getitem__)

    def replaced(self, **values: object) -> Self:
        """Return these settings with some changed; the same values and errors as `of`."""
        return self._with(values, lambda name: name)

    def _with(self, values: Mapping[str, object], label: Callable[[str], str]) -> Self:
        known = {field.name: field for field in dataclasses.fields(self)}
        read: dict[str, Any] = {}
        for name, value in values.items():
            if name not in known:
                raise SettingsError(f"{name}: no such setting; expected one of {', '.join(sorted(known))}")
            try:
                read[name] = known[name].metadata["read"](value)
            except ValueError as error:
                raise SettingsError(f"{label(name)}: {error}") from None
        return dataclasses.replace(self, **read)
