"""Plays scenarios to clients that are processes, several at once, and tells the story of each."""

from __future__ import annotations

import json
import queue
import re
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from contract_tests.clients.directives.base import Directive, Family, scenario_of
from contract_tests.clients.intents import intents_for
from contract_tests.clients.process.asking import Wish
from contract_tests.clients.process.capture import Capture, note_entry
from contract_tests.clients.process.processes import Stop, Stopped
from contract_tests.clients.process.programs import Client
from contract_tests.clients.process.servers import Loop, Servers
from contract_tests.clients.process.webhooks import Address, Mail, Messenger
from contract_tests.clients.story import Intent, Outcome, Request, Story
from contract_tests.exchanges import Endpoint
from mock_server.app import create_app
from mock_server.clock import EPOCH
from mock_server.control import TenantControl
from mock_server.model import Account, Job
from mock_server.scenarios.rules import read_scenario
from mock_server.settings import Settings
from mock_server.tenant import Tenant
from mock_server.world import World

_T = TypeVar("_T")
Directives = tuple[Directive, ...]
_Wanted = tuple[Client, Intent, Path, str]
"""Who is asked for what, in which folder, and the base URL of the API."""

PACE = 20.0
"""Seconds of a job in one of the client: the default job takes half a second, and a slow one is seen by a few polls."""

_KEY = "TT-API-KEY"
_OF_A_PLAY = re.compile(r"fm-[0-9a-f]{28}")
_AHEAD = 3
_PATIENCE = 2.0
_GLANCE = 0.01
# Seconds that the emulator gets for answers that it works on, and between two looks.

_HEARING = 0.5
# Seconds that the main thread waits at a time.

_QUIET = 120.0
# Seconds of the jobs for which receivers are watched after the client has ended, as in a simulation.


@dataclass(frozen=True, slots=True)
class Stage:
    """
    How scenarios are played.

    Args:
        contract: version of the contract that the API speaks.
        seed: of all that scenarios leave open.
        speed: seconds of the client's in a real one.
        pace: seconds of the emulated jobs in a real one: their times are as the scenario has them, but pass faster.
        edits: whether the client can be asked to edit a picture. One that then orders nothing without one only edits,
            and is given one each time.
        tells_mode: whether the client is told the mode for sure: what is in its environment it need not look at.
        offers_hooks: whether the client is told a hook URL.
        hook_url: where its receiver listens; with "" a canary is told, and nothing is sent there.
        hook_seconds: how long a receiver may take to answer, in the client's seconds.
        workers: how many clients run at once.
        most_requests: after so many in one scenario a client is ended.
    """

    contract: str
    seed: int = 0
    speed: float = 1.0
    pace: float = PACE
    edits: bool = False
    tells_mode: bool = False
    offers_hooks: bool = False
    hook_url: str = ""
    hook_seconds: float = 5.0
    workers: int = 16
    most_requests: int = 1500


class Player:
    """
    Plays scenarios, while its `with` block runs.

    Args:
        make: makes a client, for one call at a time.
        stage: how.
        stop: set when all clients are to end at once.

    Attributes:
        troubles: what was wrong with the way in which clients said how they had ended.
        strays: requests that came too late, with the key of an earlier scenario; they are in no story.
    """

    def __init__(self, make: Callable[[], Client], stage: Stage, stop: threading.Event | None = None) -> None:
        self._make = make
        self._stage = stage
        self._loop = Loop()
        self._clients: list[Client] = []
        self._idle: queue.LifoQueue[Client] = queue.LifoQueue()
        self._lock = threading.Lock()
        self._plays: Counter[str] = Counter()
        self._draws: bool | None = None  # whether it can be asked for a picture without one to edit; not known yet
        self._pools: list[ThreadPoolExecutor] = []
        self._stop = stop or threading.Event()
        self.troubles: list[str] = []
        self.strays = 0

    def __enter__(self) -> Self:
        stage = self._stage
        settings = Settings.of(
            contract=stage.contract,
            clock=f"x{stage.pace:g}@2024-09-10T00:00:00Z",
            seed=stage.seed,
            images="plain",
            journal=10,
        )
        self._messenger = Messenger(self._loop.later)
        self._world = World(settings, deliverer=self._messenger, observer=note_entry)
        self._app = create_app(world=self._world)
        self._loop.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._stop.set()
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)
        for client in self._clients:
            client.close()
        self._loop.__exit__(kind, error, trace)
        self._world.close()

    def play_many(self, scenarios: Iterable[Directives]) -> Iterator[Story]:
        """Play scenarios, several at once; yields their stories in their order."""
        # Long before a story is asked for it is played, lest a single slow client make all others wait. Each call has
        # threads of its own, for to see a failure again must not wait for scenarios that nobody has asked for yet.
        ahead = _AHEAD * self._stage.workers
        threads = ThreadPoolExecutor(self._stage.workers, thread_name_prefix="fluxmock-client")
        self._pools.append(threads)
        try:
            under_way: deque[Future[Story]] = deque()
            for directives in scenarios:
                under_way.append(threads.submit(self.play, directives))
                if len(under_way) >= ahead:
                    yield _result(under_way.popleft())
            while under_way:
                yield _result(under_way.popleft())
        except BaseException:  # such as Ctrl-C: nobody wants to wait for clients that hang
            self._stop.set()
            raise
        finally:
            threads.shutdown(cancel_futures=True)
            self._pools.remove(threads)

    def play(self, directives: Sequence[Directive]) -> Story:
        """
        Let a client live through what `directives` say, in real time; several of them, if several images are wanted.

        Raises:
            UnusableCommand: the client cannot be run.
            Stopped: all clients are to end.
        """
        story = self._play(directives)
        if self._draws is None:
            self._draws = not self._stage.edits or _draws(story)
            if not self._draws:
                story = self._play(directives)
                self._draws = not story.requests
        return story

    def _play(self, directives: Sequence[Directive]) -> Story:
        if self._stop.is_set():
            raise Stopped
        stage, stop = self._stage, Stop(self._stop)
        with ExitStack() as stack:
            capture = Capture(speed=stage.speed, pace=stage.pace, most=stage.most_requests, overrun=stop.set)
            place = stack.enter_context(tempfile.TemporaryDirectory(prefix="fluxmock-", ignore_cleanup_errors=True))
            servers = stack.enter_context(Servers(self._loop, self._app, capture))
            intents = self._intents(directives, servers)
            tenant = self._stage_scenario(directives, intents[0].api_key, servers)
            stack.callback(self._world.forget, intents[0].api_key)
            address = Address(servers.urls["hooks"], stage.hook_url, servers.instead)
            forged = [name for directive in directives for name in directive.forged]
            mail = stack.enter_context(self._messenger.attending(tenant, capture, address, forged))
            in_turn = any(directive.family is Family.IN_TURN for directive in directives)
            clients = [stack.enter_context(self._lent()) for _ in intents[: 1 if in_turn else None]]
            clients *= len(intents) if in_turn else 1
            began = tenant.clock.now()
            capture.begin()
            wanted = [
                (client, intent, _folder(place, number), servers.urls["api"])
                for number, (client, intent) in enumerate(zip(clients, intents, strict=True), start=1)
            ]
            outcomes = self._ask(wanted, capture, stop, in_turn=in_turn)
            quiet_from = max(outcome.at for outcome in outcomes)
            self._listen(max(client.quiet_seconds for client in clients), capture, mail, stop)
            for client in clients:
                client.tidy()
            watched_until = capture.now()
            if self._stop.is_set():
                raise Stopped
            jobs = tenant.current_jobs()
            spent = tenant.store.balances[Account.SPENT] + tenant.store.balances[Account.RESERVED]
        requests = self._own(capture.requests(), intents[0].api_key)
        return Story(
            directives=tuple(directives),
            contract=stage.contract,
            intents=intents,
            outcomes=outcomes,
            requests=requests,
            connections=capture.connections(),
            hooks=mail.calls(
                alive_at=max((one.at for one in requests), default=0.0),
                ended_at=quiet_from,
                hook_seconds=stage.hook_seconds,
            ),
            jobs=tuple(self._on_the_clients_clock(job, began) for job in jobs),
            spent=spent,
            quiet_from=quiet_from,
            watched_until=watched_until,
            origins=servers.urls,
        )

    @contextmanager
    def _lent(self) -> Iterator[Client]:
        """Lend a client that has nothing to do."""
        try:
            client = self._idle.get_nowait()
        except queue.Empty:
            client = self._make()
            self._clients.append(client)
        try:
            yield client
        finally:
            client.tidy()
            self._idle.put(client)

    def _intents(self, directives: Sequence[Directive], servers: Servers) -> tuple[Intent, ...]:
        stage = self._stage
        hook_url = (stage.hook_url or f"{servers.urls['hooks']}/hook") if stage.offers_hooks else None
        draws = self._draws is not False
        intents = intents_for(
            directives, stage.seed, hook_url=hook_url, edits=stage.edits, draws=draws, mode=stage.tells_mode
        )
        # The same scenario may be played several times at once; each has a key, and so a world, of its own. What else
        # is played does not count, so that the same seed gives the same keys, and jobs of the same names.
        with self._lock:
            self._plays[intents[0].api_key] += 1
            key = f"{intents[0].api_key}{self._plays[intents[0].api_key]:04x}"
        return tuple(replace(intent, api_key=key) for intent in intents)

    def _stage_scenario(self, directives: Sequence[Directive], key: str, servers: Servers) -> Tenant:
        scenario = json.loads(servers.instead(json.dumps(scenario_of(directives))))
        tenant = self._world.reset(key, **scenario.get("settings", {}))
        TenantControl(self._world, key).scenario(read_scenario(scenario))
        return tenant

    def _ask(
        self, wanted: Sequence[_Wanted], capture: Capture, stop: Stop, *, in_turn: bool = False
    ) -> tuple[Outcome, ...]:
        """Ask for all that is wanted, at the same time unless in turn."""

        def ask(one: _Wanted) -> Outcome:
            client, intent, folder, base_url = one
            said = client.call(_wish(intent, base_url, folder), folder, stop)
            if said.trouble:
                self.troubles.append(said.trouble)
            return Outcome(said.ending, capture.now(), said.value, said.error, said.output, said.image)

        if in_turn or len(wanted) == 1:
            return tuple(map(ask, wanted))
        with ThreadPoolExecutor(len(wanted)) as threads:
            try:
                return tuple(map(_result, [threads.submit(ask, one) for one in wanted]))
            except BaseException:  # such as Ctrl-C, and the block waits for the others
                stop.set()
                raise

    def _own(self, requests: tuple[Request, ...], key: str) -> tuple[Request, ...]:
        """Return the requests but for those that another scenario's client sent to a port that was once its own."""
        # That client need not be one of this run's: where a run was killed, its clients may still be there.
        own = tuple(
            one for one in requests if one.header(_KEY) == key or not _OF_A_PLAY.fullmatch(one.header(_KEY) or "")
        )
        self.strays += len(requests) - len(own)
        return own

    def _listen(self, seconds: float, capture: Capture, mail: Mail, stop: Stop) -> None:
        """Listen to what the client has left behind, until receivers have got it all and the emulator has answered."""
        time.sleep(seconds)
        stage = self._stage
        patience = stage.hook_seconds / stage.speed + _GLANCE
        _await_end_of(lambda: mail.more_to_come(patience), _QUIET / stage.pace + patience, stop)
        _await_end_of(capture.answer_pending, _PATIENCE, Stop(self._stop))

    def _on_the_clients_clock(self, job: Job, began: float) -> Job:
        scale = self._stage.speed / self._stage.pace

        def moved(instant: float) -> float:
            return EPOCH + (instant - began) * scale

        return replace(
            job,
            submitted_at=moved(job.submitted_at),
            started_at=None if job.started_at is None else moved(job.started_at),
            finished_at=None if job.finished_at is None else moved(job.finished_at),
        )


def _result(future: Future[_T]) -> _T:
    """Return what a thread returns."""
    while not wait([future], _HEARING).done:
        pass  # a signal that comes just before a wait begins is heard only after it
    return future.result()


def _await_end_of(condition: Callable[[], bool], seconds: float, stop: Stop) -> None:
    """Wait while a condition holds, at most so many real seconds."""
    until = time.monotonic() + seconds
    while condition() and time.monotonic() < until:
        if stop.wait(_GLANCE):
            return


def _draws(story: Story) -> bool:
    """Whether a client that was given no picture to edit ordered one, or tried to."""
    return bool(story.jobs) or any(request.endpoint is Endpoint.GENERATE for request in story.requests)


def _folder(place: str, number: int) -> Path:
    folder = Path(place, str(number))
    folder.mkdir()
    return folder


def _wish(intent: Intent, base_url: str, folder: Path) -> Wish:
    image = ""
    if intent.image is not None:
        path = folder / intent.filename
        path.write_bytes(intent.image)
        image = str(path)
    return Wish(
        base_url=base_url,
        api_key=intent.api_key,
        prompt=intent.prompt,
        mode=intent.mode,
        hook_url=intent.hook_url or "",
        image=image,
        out=str(folder / "image.out"),
    )
