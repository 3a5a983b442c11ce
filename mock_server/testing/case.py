"""One test's stay on the emulator: its world, and the story of that."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

from mock_server.control import TenantControl
from mock_server.errors import SettingsError
from mock_server.exchange import mask
from mock_server.model import Account
from mock_server.scenarios.rules import Scenario
from mock_server.serving import Server
from mock_server.tenant import Tenant
from mock_server.testing import timeline
from mock_server.testing.marker import OURS
from mock_server.testing.real_host import BlockedCalls


class Case:
    """
    One test's stay on the emulator.

    Attributes:
        server: the emulator.
    """

    def __init__(self, server: Server, key: str) -> None:
        self.server = server
        self._key = key
        self._tenant: Tenant | None = None
        self._strays = server.strays.written
        self._others = {tenant.key: (tenant, tenant.journal.written) for tenant in server.world.tenants()}

    def make(self, chosen: Mapping[str, Any]) -> TenantControl:
        """
        Make the test's world.

        Args:
            chosen: what `marker.chosen_by` returned. The settings of a scenario count where nothing else is said.

        Raises:
            SettingsError: a setting or the scenario cannot be used.
        """
        settings = {name: value for name, value in chosen.items() if name not in OURS}
        scenario = _scenario(chosen.get("scenario"))
        self.server.world.reset(self._key, **{**(scenario.settings if scenario else {}), **settings})
        control = self.server.tenant(self._key)
        if scenario is not None:
            control.scenario(scenario)
        return control

    def close(self) -> None:
        """
        Forget the test's world; what it shows when it fails is kept.

        Those of other keys stay, for a fixture of a module or the session may have asked for one of them in this test.
        """
        self._tenant = self.server.world.tenant(self._key)
        self.server.world.forget(self._key)

    def story(self, again: list[str], blocked: BlockedCalls | None, *, width: int, encoding: str) -> str:
        """
        Return what happened, and how to see it again.

        Args:
            again: arguments with which pytest runs the test again, but for the seed.
            blocked: what was kept from the real host.
            width: columns of where it will be shown.
            encoding: of where it will be shown.
        """
        tenant = self._tenant or self.server.world.tenant(self._key)
        jobs, store, settings = tenant.current_jobs(), tenant.store, tenant.settings
        lane = timeline.render(
            jobs,
            tenant.journal,
            store.postings[0].at,
            deliveries=tuple(store.deliveries.values()),
            timed=settings.rules.timed,
            width=width,
            encoding=encoding,
        )
        spent, reserved = store.balances[Account.SPENT], store.balances[Account.RESERVED]
        words = (
            f"seed {settings.seed}, contract {settings.contract}, clock {tenant.clock.pace}, key {mask(self._key)}, "
            f"spent {spent:f}{f', reserved {reserved:f}' if reserved else ''} of {settings.balance:f} quota units"
        )
        if tenant.journal.dropped:
            words += f"; the oldest {tenant.journal.dropped} entries of the journal are gone"
        footer = [*self._elsewhere(), f"blocked: {blocked}" if blocked and blocked.hosts else "", words]
        command = shlex.join(["pytest", *again, "--fluxmock-seed", str(settings.seed)])
        told = [timeline.in_encoding(line, encoding) for line in footer if line]
        return "\n".join([lane, "", *told, f"again: {command}"])

    def _elsewhere(self) -> Iterator[str]:
        """Tell of the calls in this test that did not reach its world."""
        missed = self.server.strays.written - self._strays
        if missed:
            last = self.server.strays.requests[-1]
            yield f"without a key, or off the API: {_calls(missed)}; the last: {last.explanation or last.path}"
        for tenant in self.server.world.tenants():
            count = 0 if tenant.key == self._key else self._called(tenant)
            if count:
                yield (
                    f"with another key, so not in this world: {_calls(count)}, key {mask(tenant.key)}; "
                    f"send flux.api_key, which is also in TT_API_KEY"
                )

    def _called(self, tenant: Tenant) -> int:
        """Return how many calls came to `tenant` since the test began."""
        known, written = self._others.get(tenant.key, (tenant, 0))
        before = written if known is tenant else 0  # made anew, it counts from 1 again
        return sum(entry.number > before for entry in tenant.journal.requests)


def _scenario(source: object) -> Scenario | None:
    if source is None:
        return None
    # YAML takes 15 ms to import, and most tests play no scenario.
    from mock_server.scenarios.files import find_scenario, parse_scenario

    if not isinstance(source, Mapping):
        try:
            return find_scenario(str(source))
        except SettingsError as error:
            raise SettingsError(f"scenario: {error}") from None
    try:
        text = json.dumps(source)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"scenario: expected data that JSON can hold: {error}") from None
    return parse_scenario(text)


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{count} calls"


def key_of(nodeid: str) -> str:
    """
    Return the API key of a test. Job ids and images come from it, so it must be the same in every run.

    Of the path only the file's name counts: the rest depends on where pytest was started.
    """
    path, colons, name = nodeid.partition("::")
    text = f"{path.rpartition('/')[2]}{colons}{name}"
    return f"flux-{blake2b(text.encode('utf-8', 'surrogateescape'), digest_size=6).hexdigest()}"
