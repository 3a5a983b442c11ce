"""`check_command(argv)`: a verdict on a client in any language, in one call."""

from __future__ import annotations

import logging
import math
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from contract_tests.clients.check import Plan
from contract_tests.clients.explore import Exploration, Explorer, Finding
from contract_tests.clients.process.asking import placeholders
from contract_tests.clients.process.endings import careful
from contract_tests.clients.process.fast import faketime_variables
from contract_tests.clients.process.naming import printable, told, told_verdict
from contract_tests.clients.process.play import PACE, Player, Stage
from contract_tests.clients.process.processes import UnusableCommand
from contract_tests.clients.process.programs import Client, Driver, Program
from contract_tests.clients.properties.base import explorable
from contract_tests.clients.story import Ending, Story
from contract_tests.clients.verdict import Verdict, verdict_of
from mock_server.hooks.rules import parse_hook_url

TIMEOUT = 20.0
WORKERS = 16
"""Clients that run at once by default: many more than cores, for they mostly sleep."""

_CONFIRM = 3
_FASTEST = 1e6
_SHOWN = 2000
_log = logging.getLogger("fluxmock.clients")


def check_command(
    argv: Sequence[str],
    *,
    plan: Plan | None = None,
    driver: bool = False,
    timeout: float = TIMEOUT,
    workers: int = WORKERS,
    speed: float = 1.0,
    faketime: bool = False,
    hook_url: str | None = None,
    edits: bool | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    stop: threading.Event | None = None,
) -> Verdict:
    """
    Find out what a client of the API does wrong that is a command, over real sockets and in real time.

    Jobs take a twentieth of the time that the scenario says; all that a client feels, such as late answers and
    Retry-After, is as long as the scenario says on the clock that the client lives on.

    Args:
        argv: the command; `{base_url}`, `{api_key}`, `{prompt}`, `{mode}`, `{hook_url}`, `{image}` and `{out}` are
            filled in, and are in its environment as well.
        plan: what to look for, and how long.
        driver: the command stays, and takes a line of JSON for each call.
        timeout: real seconds after which a client is ended. What it would have done then is not known, so that no
            property is judged by it, unless the deadline of the plan's policy was over.
        workers: how many clients run at once.
        speed: the client's seconds in a real one. The environment variable FLUXMOCK_SPEED tells it to the client,
            which has to divide its pauses and time limits by it.
        faketime: have libfaketime speed the client's clock up, so that it need not know.
        hook_url: where the client's receiver of webhooks listens. Without it a URL is told to clients with
            `{hook_url}` among the arguments; nothing is sent there. A client that names a receiver of its own when it
            submits gets its webhooks there.
        edits: whether the client can be asked to edit a picture; by default, if `{image}` is in its arguments.
        env: more environment variables for it.
        cwd: where it runs; by default an empty temporary folder. Files that are named in `argv` are found from here
            all the same.
        progress: told after each scenario how many there have been, of how many.
        stop: ends all clients at once when somebody sets it.

    Raises:
        Stopped: `stop` was set.
        UnusableCommand: it cannot be run, or a driver does not keep to the protocol; or there is no libfaketime.
        ValueError: an argument is unusable, or the plan names a property that there is not.
    """
    plan = plan or Plan()
    running = Running(argv, driver, timeout, workers, speed, faketime, hook_url, edits, env or {}, cwd, stop)
    properties = plan.chosen()
    with playing_command(running, plan) as (player, stage):
        story = player.play(())
        if player.troubles:
            raise UnusableCommand(player.troubles[0])
        if not story.requests:
            _tell_never_called(argv, story)
            return verdict_of(Exploration({one.id: Finding(one) for one in properties}))
        explorer = Explorer(
            player.play,
            [careful(one) for one in explorable(properties, hooks=_takes_hooks(story), edits=stage.edits)],
            plan.policy,
            seed=plan.seed,
            confirm=_CONFIRM,
            progress=lambda done: progress(done, plan.examples) if progress else None,
            play_many=player.play_many,
        )
        return told_verdict(verdict_of(explorer.run(plan.examples, plan.play)))


@dataclass(frozen=True)
class Running:
    """
    How a command is run: the arguments of `check_command`, which says what they mean, and one more.

    Args:
        root: the folder from which files that are named in `argv` are found; the current one by default.
    """

    argv: Sequence[str]
    driver: bool = False
    timeout: float = TIMEOUT
    workers: int = WORKERS
    speed: float = 1.0
    faketime: bool = False
    hook_url: str | None = None
    edits: bool | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    stop: threading.Event | None = None
    root: Path | None = None


@contextmanager
def playing_command(running: Running, plan: Plan) -> Iterator[tuple[Player, Stage]]:
    """Return what plays scenarios to a command, and where; the errors are those of `check_command`."""
    if not running.argv:
        raise ValueError("expected a command, got none; give the program and its arguments")
    for name, value in (("timeout", running.timeout), ("workers", running.workers), ("speed", running.speed)):
        if not 0 < value < math.inf:
            raise ValueError(f"expected {name} above 0, got {value}")
    if running.hook_url is not None:
        try:
            parse_hook_url(running.hook_url)
        except ValueError as problem:
            raise ValueError(f"expected the URL of a receiver, got {running.hook_url!r}: {problem}") from None
    mentioned = placeholders(running.argv)
    variables = {"FLUXMOCK_SPEED": f"{1.0 if running.faketime else running.speed:g}", **running.env}
    if running.faketime:
        variables |= faketime_variables(running.speed)
    root = (running.root or Path()).absolute()
    found = [_found(word, root) if place or not shutil.which(word) else word for place, word in enumerate(running.argv)]
    make: Callable[[], Client] = partial(
        Driver if running.driver else Program, found, variables, running.timeout, running.cwd
    )
    make()  # an unusable one is to be told here, and not in a thread
    stage = Stage(
        contract=plan.contract,
        seed=plan.seed,
        speed=running.speed,
        pace=min(PACE * running.speed, _FASTEST),
        edits="image" in mentioned if running.edits is None else running.edits,
        tells_mode="mode" in mentioned,
        offers_hooks=running.hook_url is not None or "hook_url" in mentioned,
        hook_url=running.hook_url or "",
        hook_seconds=plan.policy.hook_seconds,
        workers=running.workers,
    )
    with Player(make, stage, running.stop) as player:
        yield player, stage


def _found(word: str, root: Path) -> str:
    """Return the path of a file that an argument names from `root`, or the argument."""
    path = root / word
    return str(path) if os.path.isfile(path) else word  # noqa: PTH113 - Path raises at what is too long for a name


def _takes_hooks(story: Story) -> bool:
    """Whether webhooks are of the client's business: it was told where to have them sent, or knows that by itself."""
    return story.intent.hook_url is not None or any(job.order.hook_url for job in story.jobs)


def _tell_never_called(argv: Sequence[str], story: Story) -> None:
    outcome = told(story).outcome
    ended = {
        Ending.RETURNED: "it said that it has the image",
        Ending.FAILED: f"it reported failure ({printable(outcome.error)})",
        Ending.HUNG: outcome.error,
    }
    printed = printable(outcome.output.strip())
    _log.warning(
        "%s never called the API, whose address is {base_url} in its arguments and FLUXMOCK_BASE_URL in its "
        "environment: %s, and printed %s",
        argv[0],
        ended[outcome.ending],
        f"this:\n{printed[-_SHOWN:]}" if printed else "nothing",
    )
