"""What the pytest plugin needs once a test uses it: what its markers say, its world, and the story of that."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any, NoReturn

import pytest

from mock_server.control import TenantControl
from mock_server.errors import SettingsError
from mock_server.exchange import mask
from mock_server.model import Account
from mock_server.scenarios.rules import Scenario
from mock_server.serving import Server
from mock_server.settings import Settings
from mock_server.tenant import Tenant
from mock_server.testing import timeline

_OURS = frozenset({"env", "allow_real_host", "scenario"})


class Case:
    """One test's stay on the emulator."""

    def __init__(self, server: Server, key: str) -> None:
        self._server = server
        self._key = key
        self._tenant: Tenant | None = None
        self._foreign: list[Tenant] = []
        self._strays = server.strays.written
        self._others = {tenant.key for tenant in server.world.tenants()}

    def make(self, chosen: Mapping[str, Any]) -> TenantControl:
        """
        Make the test's world.

        Args:
            chosen: what `chosen_by` returned. The settings of a scenario count where nothing else is said.

        Raises:
            SettingsError: a setting or the scenario cannot be used.
        """
        settings = {name: value for name, value in chosen.items() if name not in _OURS}
        scenario = _scenario(chosen.get("scenario"))
        self._server.world.reset(self._key, **{**(scenario.settings if scenario else {}), **settings})
        control = self._server.tenant(self._key)
        if scenario is not None:
            control.scenario(scenario)
        return control

    def close(self) -> None:
        """Forget the test's world, and those of other keys that it used; what it shows when it fails is kept."""
        world = self._server.world
        self._tenant = world.tenant(self._key)
        world.forget(self._key)
        self._foreign = self._foreigners()
        for tenant in self._foreign:
            world.forget(tenant.key)

    def story(self, again: list[str], encoding: str) -> str:
        """Return what happened, and how to see it `again`."""
        tenant = self._tenant or self._server.world.tenant(self._key)
        jobs, store, settings = tenant.current_jobs(), tenant.store, tenant.settings
        lane = timeline.render(jobs, tenant.journal, store.postings[0].at, encoding=encoding)
        spent = store.balances[Account.SPENT]
        words = (
            f"seed {settings.seed}, contract {settings.contract}, clock {_pace(tenant)}, key {mask(self._key)}, "
            f"spent {spent:f} of {settings.balance:f} quota units"
        )
        if tenant.journal.dropped:
            words += f"; the oldest {tenant.journal.dropped} entries of the journal are gone"
        command = shlex.join(["pytest", *again, "--fluxmock-seed", str(settings.seed)])
        return "\n".join([lane, "", *self._elsewhere(), timeline.in_encoding(words, encoding), f"again: {command}"])

    def _elsewhere(self) -> Iterator[str]:
        """Tell of the calls in this test that did not reach its world."""
        missed = self._server.strays.written - self._strays
        if missed:
            last = self._server.strays.requests[-1]
            yield f"without a key, or off the API: {_calls(missed)}; the last: {last.explanation or last.path}"
        for tenant in self._foreigners() if self._tenant is None else self._foreign:
            yield (
                f"with another key, so not in this world: {_calls(tenant.journal.written)}, key {mask(tenant.key)}; "
                f"send flux.api_key, which is also in TT_API_KEY"
            )

    def _foreigners(self) -> list[Tenant]:
        return [
            tenant
            for tenant in self._server.world.tenants()
            if tenant.key != self._key and tenant.key not in self._others
        ]


def _scenario(source: object) -> Scenario | None:
    if source is None:
        return None
    # YAML takes 15 ms to import, and most tests play no scenario.
    from mock_server.scenarios.files import find_scenario, parse_scenario

    return parse_scenario(json.dumps(source)) if isinstance(source, Mapping) else find_scenario(str(source))


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{count} calls"


def _pace(tenant: Tenant) -> str:
    clock = tenant.clock
    return "auto" if clock.auto else "frozen" if clock.rate == 0 else "real" if clock.rate == 1 else f"x{clock.rate:g}"


def chosen_by(node: pytest.Item) -> dict[str, Any]:
    """Return what the markers on a test, its class and its module say together; the closest counts."""
    chosen: dict[str, Any] = {}
    env: dict[str, object] = {}
    for marker in reversed(list(node.iter_markers("fluxmock"))):
        if marker.args:
            _refuse(f"expected settings by name, as in clock='frozen', got {marker.args[0]!r}")
        named = marker.kwargs.get("env", {})
        if not isinstance(named, Mapping):
            _refuse(f"env: expected variables as in env={{'MY_API_URL': '{{url}}'}}, got {named!r}")
        chosen |= marker.kwargs
        env |= named
    return {**chosen, "env": env}


def check_names(chosen: Mapping[str, object]) -> None:
    """Fail the test that chose a setting which does not exist."""
    known = _OURS | {field.name for field in dataclasses.fields(Settings)}
    for name in sorted(chosen.keys() - known):
        _refuse(f"{name}: no such setting; expected one of {', '.join(sorted(known))}")


def _refuse(problem: str) -> NoReturn:
    pytest.fail(f"@pytest.mark.fluxmock: {problem}", pytrace=False)


@contextmanager
def in_plain_words(where: str) -> Iterator[None]:
    """Make of a SettingsError a failure without a traceback, which says that the mistake is in `where`."""
    try:
        yield
    except SettingsError as error:
        pytest.fail(f"{where}: {error}", pytrace=False)


def variables(lines: Iterable[str], more: Mapping[str, object], control: TenantControl) -> dict[str, str]:
    """
    Return the environment variables for a test, with {url} and {api_key} filled in.

    Args:
        lines: as NAME=VALUE.
        more: by name; these count where both name one.
        control: the test's world.
    """
    named: dict[str, object] = {}
    for line in lines:
        name, equals, value = (part.strip() for part in line.partition("="))
        if not name or not equals:
            pytest.fail(f"fluxmock_env: expected a line such as MY_API_URL={{url}}, got {line!r}", pytrace=False)
        named[name] = value
    named |= more
    return {
        name: str(value).replace("{url}", control.url).replace("{api_key}", control.api_key)
        for name, value in named.items()
    }


def key_of(nodeid: str) -> str:
    """
    Return the API key of a test. Job ids and images come from it, so it must be the same in every run.

    Of the path only the file's name counts: the rest depends on where pytest was started.
    """
    path, colons, name = nodeid.partition("::")
    text = f"{path.rpartition('/')[2]}{colons}{name}"
    return f"flux-{blake2b(text.encode('utf-8', 'surrogateescape'), digest_size=6).hexdigest()}"
