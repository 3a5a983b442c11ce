"""Plays one scenario after another to a client, and tells the story of each."""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from contract_tests.clients.directives.base import ORIGINS, Directive, Family, scenario_of
from contract_tests.clients.given import Callee
from contract_tests.clients.simulation import confined, loops, luck, sockets, trust
from contract_tests.clients.simulation.asking import Asking
from contract_tests.clients.simulation.hooks import HookSender
from contract_tests.clients.simulation.network import Network, Origin, Sent, no_app
from contract_tests.clients.simulation.output import Output, captured
from contract_tests.clients.simulation.scheduler import Hangs
from contract_tests.clients.simulation.sockets import SimulatedScheduler
from contract_tests.clients.simulation.timeline import Timeline
from contract_tests.clients.simulation.watching import STUCK_SECONDS, watch
from contract_tests.clients.story import Connection, HookCall, Intent, Outcome, Request, Story
from contract_tests.clients.telling import request_of
from mock_server.app import create_app
from mock_server.control import TenantControl
from mock_server.drive.members import Rest, here
from mock_server.drive.places import STAND_INS, StandIns
from mock_server.drive.standins import check_interpreter
from mock_server.hooks.apps import App
from mock_server.http.wire import wire_words
from mock_server.journal import RequestEntry
from mock_server.model import Account
from mock_server.scenarios.rules import read_scenario
from mock_server.settings import Settings
from mock_server.tenant import Tenant
from mock_server.world import World

_NETWORK_STAND_INS = StandIns((*sockets.PAIRS, *luck.PAIRS, *trust.PAIRS, *confined.PAIRS), loops.FIXED, {})

_HURRY_SECONDS, _HURRY_REQUESTS = 300.0, 300


class Simulation:
    """
    Plays scenarios to a client in this process, in virtual time.

    Args:
        client: the client.
        contract: version of the contract that the API speaks.
        receiver: the client's receiver of webhooks, a WSGI or ASGI application.
        seed: of all that the scenarios leave open.
        seconds: how long a client may live, in virtual seconds.
        quiet_seconds: how long is listened after it has ended, in virtual seconds.
        most_requests: after so many a client is taken to be one that does not stop.
        stuck_seconds: real seconds in which a client may do nothing that can be seen; then it is given up.
    """

    def __init__(
        self,
        client: Callee,
        *,
        contract: str,
        receiver: App | None = None,
        seed: int = 0,
        seconds: float = 7200.0,
        quiet_seconds: float = 120.0,
        most_requests: int = 3000,
        stuck_seconds: float = STUCK_SECONDS,
    ) -> None:
        check_interpreter()
        self._client = client
        self._contract = contract
        self._seconds = seconds
        self._quiet_seconds = quiet_seconds
        self._most_requests = most_requests
        self._stuck_seconds = stuck_seconds
        self._hooks = HookSender(receiver)
        settings = Settings.of(
            contract=contract, clock="frozen", seed=seed, hook_allow="*", images="plain", journal=most_requests + 10
        )
        self._world = World(settings, deliverer=self._hooks, observer=None, ticking=False)
        self._app = create_app(world=self._world)
        self._lived: Counter[str] = Counter()
        self._files = tempfile.TemporaryDirectory(prefix="fluxmock-")

    def __enter__(self) -> Self:
        STAND_INS.put()
        _NETWORK_STAND_INS.put()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _NETWORK_STAND_INS.take_back()
        STAND_INS.take_back()
        self._world.close()
        self._files.cleanup()

    def hurry(self) -> None:
        """Give the client less time from now on: it does not end by itself, so there is nothing to wait for."""
        self._seconds = min(self._seconds, _HURRY_SECONDS)
        self._most_requests = min(self._most_requests, _HURRY_REQUESTS)

    def play(self, directives: Sequence[Directive], *intents: Intent) -> Story:
        """
        Let the client live through what `directives` say.

        Args:
            directives: what the server does.
            intents: what is wanted of the client, all at the same time and with the same key.

        Returns:
            What happened; equal calls give equal stories, byte for byte. Of the same Simulation they do but for the key
            and the ids of jobs, for the client, or what is outside of it such as its receiver, may remember those.

        Raises:
            UnusableClient: it does what cannot be simulated, or keeps busy for ever in code that nobody can end.
        """
        scenario = scenario_of(directives)
        mark = intents[0].api_key
        before = self._lived[mark]
        self._lived[mark] += 1
        key = f"{mark}{before:04x}" if before else mark
        intents = tuple(replace(intent, api_key=key) for intent in intents)
        tenant = self._world.reset(key, **scenario.get("settings", {}))
        if before:
            tenant.source = luck.OtherIds(tenant.settings.seed, mark, before, tenant.source.tag)
        TenantControl(self._world, key).scenario(read_scenario(scenario))
        timeline = Timeline(tenant)
        scheduler = SimulatedScheduler(timeline, self._seconds)
        network = Network(
            timeline,
            self._origins(),
            tenant.journal,
            most=self._most_requests,
            overrun=lambda: scheduler.stop(f"it had sent {self._most_requests} requests and went on"),
        )
        scheduler.network = network
        forged = [name for directive in directives for name in directive.forged]
        url = intents[0].hook_url if self._client.takes("hook_url") else None
        self._hooks.attend(scheduler, tenant, forged=forged, url=url)
        in_turn = any(directive.family is Family.IN_TURN for directive in directives)
        with luck.repeated(scheduler, mark):
            outcomes = self._run(scheduler, intents, in_turn=in_turn)
        story = self._story(directives, intents, outcomes, tenant, network)
        self._world.forget(key)
        return story

    def _origins(self) -> tuple[Origin, ...]:
        apps = {"api": self._app, "images": self._app}
        return tuple(
            Origin(
                url.removeprefix("http://"), 80, apps.get(role, no_app), ORIGINS["images"] if role == "api" else None
            )
            for role, url in ORIGINS.items()
        )

    def _run(self, scheduler: SimulatedScheduler, intents: Sequence[Intent], *, in_turn: bool) -> tuple[Outcome, ...]:
        wanted = [(intent, self._file(number, intent)) for number, intent in enumerate(intents, start=1)]
        output = Output()
        asking = Asking(self._client, scheduler, output, wanted)
        # The client has a thread of its own, for one that lets nobody end it can be left there.
        thread = loops.MainThread(target=self._live, args=(scheduler, asking, in_turn), name="client", daemon=True)
        with captured(output):
            try:
                thread.start()
                watch(scheduler, self._stuck_seconds)
            finally:
                scheduler.stop("the story is told")
                scheduler.network.close()
                with _silenced(logging.getLogger("concurrent.futures")):  # it tells of workers that are ended
                    scheduler.reap()
            return asking.outcomes()

    def _live(self, scheduler: SimulatedScheduler, asking: Asking, in_turn: bool) -> None:
        """Let the client live, in the thread that is called so, and watch what it leaves behind."""
        member = here.member = scheduler.enrol()
        try:
            asking.for_all(in_turn=in_turn)
            if not scheduler.over:
                # Threads that the client left behind, and webhooks that are late.
                with suppress(Hangs):
                    scheduler.rest(Rest(member, scheduler.deadline(self._quiet_seconds)))
        except Hangs:
            pass  # it was given up
        except BaseException as error:  # noqa: BLE001 - ours, for what the client raises is told
            scheduler.trouble = error
        finally:
            scheduler.network.close()
            scheduler.stop("the story is told")
            here.member = None
            scheduler.dismiss(member)
            scheduler.released.set()

    def _file(self, number: int, intent: Intent) -> Path | None:
        """Return the file with the picture that is to be edited."""
        if intent.image is None:
            return None
        folder = Path(self._files.name, str(number))
        folder.mkdir(exist_ok=True)
        file = folder / intent.filename
        file.write_bytes(intent.image)
        return file

    def _story(
        self,
        directives: Sequence[Directive],
        intents: Sequence[Intent],
        outcomes: Sequence[Outcome],
        tenant: Tenant,
        network: Network,
    ) -> Story:
        store = tenant.store
        start = network.timeline.start
        entries = {entry.number: entry for entry in tenant.journal.requests}
        return Story(
            directives=tuple(directives),
            contract=self._contract,
            intents=intents,
            outcomes=outcomes,
            requests=tuple(_told(sent, entries) for sent in network.sent),
            connections=tuple(
                Connection(link.number, link.origin, link.opened_at, link.closed_at, link.refused)
                for link in network.links
            ),
            hooks=tuple(
                HookCall(
                    number,
                    call.delivery.job_id,
                    call.delivery.body,
                    call.delivery.content_type,
                    round(call.at - start, 3),
                    None if call.answered_at is None else round(call.answered_at - start, 3),
                    None if call.receipt is None else call.receipt.status,
                    None if call.receipt is None else call.receipt.error,
                    call.forged,
                )
                for number, call in enumerate(self._hooks.calls, start=1)
            ),
            jobs=tenant.current_jobs(),
            spent=store.balances[Account.SPENT] + store.balances[Account.RESERVED],
            quiet_from=max(outcome.at for outcome in outcomes),
            watched_until=network.now(),
            origins=ORIGINS,
        )


def _told(sent: Sent, entries: Mapping[int, RequestEntry]) -> Request:
    return request_of(
        number=sent.number,
        at=sent.at,
        origin=sent.origin,
        connection=sent.connection,
        raw=sent.raw,
        environ=sent.environ,
        body=sent.body,
        response=sent.response,
        fault=wire_words(sent.wire),
        whole=sent.whole,
        answered_at=sent.answered_at,
        entry=None if sent.entry is None else entries.get(sent.entry),
    )


@contextmanager
def _silenced(logger: logging.Logger) -> Iterator[None]:
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
