"""`check_client(client)`: a verdict on a client of Python, in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from contract_tests.clients.directives.base import ORIGINS, Directive
from contract_tests.clients.explore import Explorer
from contract_tests.clients.given import Callee, PythonClient
from contract_tests.clients.intents import intents_for
from contract_tests.clients.properties.base import Policy, Property, explorable, known, named, properties
from contract_tests.clients.simulation.run import Simulation
from contract_tests.clients.story import Intent, Story
from contract_tests.clients.verdict import Verdict, verdict_of
from mock_server.contract import versions
from mock_server.hooks.apps import App

PROFILES = {"quick": 40, "default": 250, "deep": 2500}
"""Examples of each profile."""


@dataclass(frozen=True)
class Plan:
    """
    What to look for, and how long.

    Args:
        examples: scenarios to play at most.
        seed: of all that is drawn.
        contract: version of the contract that the API speaks.
        only: ids of properties; () is all that can be judged by what is declared.
        skip: ids of properties to leave out.
        policy: what is declared about the client.
        play: what the server does in the one scenario that is played, beside that in which all goes well; () explores.
    """

    examples: int = PROFILES["default"]
    seed: int = 0
    contract: str = versions()[0]
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    policy: Policy = Policy()
    play: tuple[Directive, ...] = ()

    def chosen(self) -> list[Property]:
        """
        Return the properties to judge.

        Raises:
            ValueError: there is none of an id, it is not judged, what it is judged by is not declared, or none is left.
        """
        only, skipped = named(self.only), known(self.skip)
        chosen = [one for one in only or properties().values() if one not in skipped]
        if not chosen:
            raise ValueError("expected a property to look for, got none: all of them are to be skipped")
        for one in chosen if only else ():
            if not one.on(self.policy):
                raise ValueError(
                    f"{one.id} ({one.title}): expected {one.declaration} to be declared, got nothing to judge by; it "
                    "belongs in [tool.fluxmock.client] of pyproject.toml, in a file that --policy names, or in "
                    f"Plan(policy=Policy({one.declaration}=...))"
                )
        return [one for one in chosen if one.on(self.policy)]


def check_client(
    client: PythonClient,
    *,
    plan: Plan | None = None,
    receiver: App | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Verdict:
    """
    Find out what a client of the API does wrong, without a port and without waiting.

    Args:
        client: `client(base_url, api_key, prompt, **options)`, a function or a coroutine function that returns the
            bytes of an image, its URL or its path, and raises to report failure.
        plan: what to look for, and how long.
        receiver: the client's receiver of webhooks, a WSGI or ASGI application.
        progress: told after each scenario how many there have been, of how many.

    Raises:
        UnusableClient: it cannot be called so.
        ValueError: the plan names a property that cannot be judged; see `Plan.chosen`.
    """
    plan = plan or Plan()
    edits = Callee(client).takes("image")
    with playing(client, plan, receiver) as play:
        explorer = Explorer(
            play,
            explorable(plan.chosen(), hooks=receiver is not None, edits=edits),
            plan.policy,
            seed=plan.seed,
            progress=lambda done: progress(done, plan.examples) if progress else None,
            unending=play.hurry,
        )
        return verdict_of(explorer.run(plan.examples, plan.play))


@contextmanager
def playing(client: PythonClient, plan: Plan, receiver: App | None = None) -> Iterator[Player]:
    """Return what plays scenarios to a client; the arguments and errors are those of `check_client`."""
    callee = Callee(client)
    hook_url = f"{ORIGINS['hooks']}/hook" if receiver is not None else None
    edits, mode = callee.takes("image"), callee.names("mode")
    with Simulation(
        callee, contract=plan.contract, receiver=receiver, seed=plan.seed, seconds=plan.policy.patience
    ) as simulation:
        wanted = partial(
            intents_for, seed=plan.seed, hook_url=hook_url, edits=edits, draws=not callee.needs("image"), mode=mode
        )
        yield Player(simulation, wanted)


class Player:
    """
    Plays scenarios to a client.

    Args:
        simulation: where it lives.
        wanted: returns what is wanted of it, by what happens to it.
    """

    def __init__(self, simulation: Simulation, wanted: Callable[[tuple[Directive, ...]], Sequence[Intent]]) -> None:
        self._simulation = simulation
        self._wanted = wanted
        self.hurry = simulation.hurry

    def __call__(self, directives: tuple[Directive, ...]) -> Story:
        """Let the client live through what `directives` say."""
        return self._simulation.play(directives, *self._wanted(directives))
