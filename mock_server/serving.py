"""The whole emulator in a thread, for Python code and tests: `serve()`."""

from __future__ import annotations

import gc
import os
from types import TracebackType
from typing import Self

from mock_server.app import EmulatorApp, create_app
from mock_server.control import TenantControl
from mock_server.hooks.deliverer import Deliverer
from mock_server.http.reader import Limits
from mock_server.http.runner import BackgroundServer
from mock_server.journal import Journal, Observer, log_explained
from mock_server.settings import Settings
from mock_server.world import World


class Server:
    """
    A running emulator; `serve()` makes it, and leaving its `with` block stops it.

    Attributes:
        world: all its tenants.
        app: the Flask application that it serves.
    """

    def __init__(self, world: World, host: str, port: int) -> None:
        self._running = False
        self.world = world
        self.app: EmulatorApp = create_app(world=world)
        self._http = BackgroundServer(
            self.app, host=host, port=port, inline=self.app.lane.takes, limits=limits_of(world.settings)
        )

    @property
    def url(self) -> str:
        """The base URL to give to clients, without a slash at the end."""
        if not self._running:
            raise RuntimeError("the server is not running: use it in a with statement")
        return self._http.url

    def tenant(self, key: str, **changes: object) -> TenantControl:
        """
        Return the world behind an API key; with `changes` to the settings it is made anew, empty.

        Raises:
            SettingsError: a change is unusable.
        """
        if changes:
            self.world.reset(key, **changes)
        return TenantControl(self.world, key, self._http.url if self._running else "")

    @property
    def strays(self) -> Journal:
        """The requests that belong to no tenant: no key, or a wrong one."""
        return self.world.strays

    def __enter__(self) -> Self:
        self._http.start()
        self._running = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running = False
        self._http.stop()
        self.world.close()


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    deliverer: Deliverer | None = None,
    observer: Observer | None = log_explained,
    **settings: object,
) -> Server:
    """
    Return an emulator that runs while its `with` statement does.

        with mock_server.serve(port=0, clock="frozen") as server: ...

    Args:
        host: the address to bind.
        port: the port; 0 picks a free one.
        deliverer: sends hooks; a RecordingDeliverer keeps them instead.
        observer: told of every journal entry; by default it logs what was refused, and why.
        settings: as `Settings.of` takes them; FLUXMOCK_* variables count where nothing is said here.

    Raises:
        SettingsError: a setting is unusable.
        OSError: on entering: the address cannot be had.
    """
    world = World(Settings.from_env(os.environ).replaced(**settings), deliverer=deliverer, observer=observer)
    return Server(world, host, port)


def limits_of(settings: Settings) -> Limits:
    """Return the limits of the HTTP server that go with `settings`."""
    return Limits(body_bytes=settings.max_body)


def settle_memory() -> None:
    """Take what was imported out of the garbage collector's sight, and let it look again, but less often."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    gc.enable()
