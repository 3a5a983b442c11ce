"""Asks a client for images, one or several at the same time, and notes what came of each."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from contract_tests.clients.directives.base import ORIGINS
from contract_tests.clients.given import Callee, image_of
from contract_tests.clients.simulation.loops import MainThread
from contract_tests.clients.simulation.odd import printable, words_of
from contract_tests.clients.simulation.scheduler import Hangs
from contract_tests.clients.simulation.sockets import SimulatedScheduler
from contract_tests.clients.story import Ending, Intent, Outcome
from mock_server.drive.members import not_driven
from mock_server.drive.standins import start_driven

Wanted = tuple[Intent, Path | None]
"""What is wanted, and the file with the picture to edit."""


class Asking:
    """
    Asks a client in the current thread, which must be one of the simulation.

    Args:
        client: the client.
        scheduler: the simulation's.
        output: what is printed and logged meanwhile.
        wanted: what is wanted of it.
    """

    def __init__(
        self, client: Callee, scheduler: SimulatedScheduler, output: io.StringIO, wanted: Sequence[Wanted]
    ) -> None:
        self._client = client
        self._scheduler = scheduler
        self._output = output
        self._wanted = wanted
        self._ended: list[Outcome | None] = [None] * len(wanted)

    def outcomes(self) -> tuple[Outcome, ...]:
        """Return what came of each; what has not come to an end hangs."""
        return tuple(outcome or self._hung() for outcome in self._ended)

    def for_all(self, *, in_turn: bool = False) -> None:
        """
        Ask for all that is wanted, at the same time if it is more than one image and not to be had in turn.

        A function is called in a thread for each, a coroutine function in one event loop for all; in turn, each by
        itself.
        """
        if in_turn or len(self._wanted) == 1:
            for place in range(len(self._wanted)):
                self._ask(place)
            return
        with suppress(Hangs):
            if self._client.is_async:
                asyncio.run(self._in_one_loop())
            else:
                self._in_threads()

    def _ask(self, place: int) -> None:
        try:
            self._ended[place] = self._returned(self._client(ORIGINS["api"], *self._wanted[place]))
        except Hangs:
            self._ended[place] = self._hung()
        except BaseException as error:  # noqa: BLE001 - to raise is how a client reports failure, whatever it raises
            self._ended[place] = self._raised(error)

    async def _in_one_loop(self) -> None:
        async def ask(place: int) -> None:
            try:
                self._ended[place] = self._returned(await self._client.begun(ORIGINS["api"], *self._wanted[place]))
            except Hangs:
                raise
            except BaseException as error:  # noqa: BLE001 - as above
                self._ended[place] = self._raised(error)

        await asyncio.gather(*(ask(place) for place in range(len(self._wanted))))

    def _in_threads(self) -> None:
        threads = [
            MainThread(target=self._ask, args=(place,), name=f"intent-{place + 1}", daemon=True)
            for place in range(len(self._wanted))
        ]
        for thread in threads:
            start_driven(thread, self._scheduler)
        try:
            for thread in threads:
                thread.join()
        finally:
            with not_driven():
                self._scheduler.reap(threads)

    def _returned(self, value: object) -> Outcome:
        value = printable(value)
        return Outcome(Ending.RETURNED, self._now(), value, output=self._output.getvalue(), image=image_of(value))

    def _hung(self) -> Outcome:
        overran = self._scheduler.network.overran
        output = self._output.getvalue()
        return Outcome(Ending.HUNG, self._now(), error=self._scheduler.why, output=output, overran=overran)

    def _raised(self, error: BaseException) -> Outcome:
        ending = Ending.HUNG if self._scheduler.over or isinstance(error, RecursionError) else Ending.FAILED
        words, told = words_of(error)
        overran = ending is Ending.HUNG and self._scheduler.network.overran
        return Outcome(ending, self._now(), None, words, self._output.getvalue() + told, overran=overran)

    def _now(self) -> float:
        return self._scheduler.network.now()
