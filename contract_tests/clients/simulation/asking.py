"""Asks a client for images, one or several at the same time, and notes what came of each."""

from __future__ import annotations

import asyncio
import io
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from contract_tests.clients.directives.base import ORIGINS
from contract_tests.clients.given import Callee, image_of
from contract_tests.clients.simulation.scheduler import Hangs
from contract_tests.clients.simulation.sockets import SimulatedScheduler
from contract_tests.clients.story import Ending, Intent, Outcome
from mock_server.drive.standins import start_driven
from mock_server.drive.turns import not_driven

Wanted = tuple[Intent, Path | None]
"""What is wanted, and the file with the picture to edit."""

_LAST_SECONDS = 5.0
# Real seconds that threads of a client have to end, once they have been told to.


class Asking:
    """
    Asks a client in the current thread, which must be one of the simulation.

    Args:
        client: the client.
        scheduler: the simulation's.
        output: what is printed and logged meanwhile.
    """

    def __init__(self, client: Callee, scheduler: SimulatedScheduler, output: io.StringIO) -> None:
        self._client = client
        self._scheduler = scheduler
        self._output = output

    def for_all(self, wanted: Sequence[Wanted]) -> tuple[Outcome, ...]:
        """
        Ask for all that is wanted, at the same time if it is more than one image.

        A function is called in a thread for each, a coroutine function in one event loop for all.
        """
        if len(wanted) == 1:
            return (self._for_one(*wanted[0]),)
        ended: list[Outcome | None] = [None] * len(wanted)
        with suppress(Hangs):
            if self._client.is_async:
                asyncio.run(self._in_one_loop(wanted, ended))
            else:
                self._in_threads(wanted, ended)
        return tuple(outcome or self._hung() for outcome in ended)

    def _for_one(self, intent: Intent, file: Path | None) -> Outcome:
        try:
            return self._returned(self._client(ORIGINS["api"], intent, file))
        except Hangs:
            return self._hung()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - to raise is how a client reports failure
            return self._raised(error)

    async def _in_one_loop(self, wanted: Sequence[Wanted], ended: list[Outcome | None]) -> None:
        async def ask(place: int, intent: Intent, file: Path | None) -> None:
            try:
                ended[place] = self._returned(await self._client.begun(ORIGINS["api"], intent, file))
            except Hangs:
                raise
            except (Exception, SystemExit) as error:  # noqa: BLE001 - as above
                ended[place] = self._raised(error)

        await asyncio.gather(*(ask(place, *one) for place, one in enumerate(wanted)))

    def _in_threads(self, wanted: Sequence[Wanted], ended: list[Outcome | None]) -> None:
        def ask(place: int) -> None:
            ended[place] = self._for_one(*wanted[place])

        threads = [
            threading.Thread(target=ask, args=(place,), name=f"intent-{place + 1}", daemon=True)
            for place in range(len(wanted))
        ]
        for thread in threads:
            start_driven(thread, self._scheduler)
        try:
            for thread in threads:
                thread.join()
        finally:
            with not_driven():
                for thread in threads:
                    thread.join(_LAST_SECONDS)

    def _returned(self, value: object) -> Outcome:
        return Outcome(Ending.RETURNED, self._now(), value, output=self._output.getvalue(), image=image_of(value))

    def _hung(self) -> Outcome:
        return Outcome(Ending.HUNG, self._now(), error=self._scheduler.why, output=self._output.getvalue())

    def _raised(self, error: BaseException) -> Outcome:
        ending = Ending.HUNG if self._scheduler.over else Ending.FAILED
        told = "".join(traceback.format_exception(error))
        return Outcome(ending, self._now(), None, _words(error), self._output.getvalue() + told)

    def _now(self) -> float:
        return self._scheduler.network.now()


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
