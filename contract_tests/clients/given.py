"""A client as it was given: something that can be called, with the options that it takes."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contract_tests.clients.story import Intent

PythonClient = Callable[..., Any]
"""`client(base_url, api_key, prompt, **options)`: returns bytes, a URL or a path, and raises to report failure.

Options are passed as it takes them: `mode`, `image` (path of a file to edit), `hook_url`."""


class UnusableClient(TypeError):
    """What was given cannot be called as a client is; the text says what was expected."""


class Callee:
    """
    A client that is a function or a coroutine function of Python.

    Args:
        client: the function.

    Raises:
        UnusableClient: it does not take base_url, api_key and prompt.
    """

    def __init__(self, client: PythonClient) -> None:
        try:
            parameters = inspect.signature(client).parameters
        except (TypeError, ValueError):
            raise UnusableClient(
                f"expected a function (base_url, api_key, prompt, **options), got {client!r}"
            ) from None
        kinds = {parameter.kind for parameter in parameters.values()}
        self._takes_all = inspect.Parameter.VAR_KEYWORD in kinds
        self._names = frozenset(parameters)
        missing = (
            [] if self._takes_all else [name for name in ("base_url", "api_key", "prompt") if name not in parameters]
        )
        if missing and len(parameters) < 3:
            raise UnusableClient(
                f"expected a function (base_url, api_key, prompt, **options), got one that takes "
                f"({', '.join(parameters) or 'nothing'})"
            )
        self._by_place = bool(missing)
        self._client = client

    @property
    def is_async(self) -> bool:
        """Whether it is a coroutine function."""
        client = self._client
        return inspect.iscoroutinefunction(client) or inspect.iscoroutinefunction(getattr(client, "__call__", None))  # noqa: B004

    def takes(self, option: str) -> bool:
        """Whether it takes an option of that name."""
        return self._takes_all or option in self._names

    def __call__(self, base_url: str, intent: Intent, image: Path | None) -> object:
        """Call it, and return what it returns, or what its coroutine does; what it raises goes through."""
        made = self.begun(base_url, intent, image)
        return asyncio.run(made) if inspect.iscoroutine(made) else made

    def begun(self, base_url: str, intent: Intent, image: Path | None) -> Any:
        """Call it, and return what it returns: of a coroutine function the coroutine."""
        options = {"mode": intent.mode, "image": None if image is None else str(image), "hook_url": intent.hook_url}
        taken = {name: value for name, value in options.items() if value is not None and self.takes(name)}
        if self._by_place:
            return self._client(base_url, intent.api_key, intent.prompt, **taken)
        return self._client(base_url=base_url, api_key=intent.api_key, prompt=intent.prompt, **taken)


def image_of(value: object) -> bytes | None:
    """Return the bytes of the image that a client returned, or in the file whose path it returned; None for neither."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if not isinstance(value, str | Path):
        return None
    try:
        return Path(value).read_bytes()
    except (OSError, ValueError):  # a URL, say
        return None
