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


_GIVEN = ("base_url", "api_key", "prompt")
_OPTIONS = ("mode", "image", "hook_url")
_EXPECTED = "a function (base_url, api_key, prompt, **options)"


class UnusableClient(TypeError):
    """What was given cannot be called as a client is; the text says what was expected."""


class Callee:
    """
    A client that is a function or a coroutine function of Python.

    Args:
        client: the function.

    Raises:
        UnusableClient: it does not take base_url, api_key and prompt, wants more than these and the options, or is a
            generator function.
    """

    def __init__(self, client: PythonClient) -> None:
        try:
            signature = inspect.signature(client)
        except (TypeError, ValueError):
            raise UnusableClient(f"expected {_EXPECTED}, got {client!r}") from None
        parameters = signature.parameters
        if _yields(client):
            raise UnusableClient(f"expected {_EXPECTED} that returns the image, got a generator function: it yields")
        self._takes_all = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
        self._names = frozenset(parameters)
        self._by_place = not self._takes_all and not self._names.issuperset(_GIVEN)
        self._client = client
        self._needs = frozenset(
            name for name, one in parameters.items() if one.default is one.empty and one.kind is not one.VAR_KEYWORD
        )
        options = dict.fromkeys(name for name in _OPTIONS if self.takes(name))
        try:
            if self._by_place:
                signature.bind(*_GIVEN, **options)
            else:
                signature.bind(**dict.fromkeys(_GIVEN), **options)
        except TypeError as error:
            takes = ", ".join(parameters) or "nothing"
            raise UnusableClient(f"expected {_EXPECTED}, got one that takes ({takes}): {error}") from None

    @property
    def is_async(self) -> bool:
        """Whether it is a coroutine function."""
        client = self._client
        return inspect.iscoroutinefunction(client) or inspect.iscoroutinefunction(getattr(client, "__call__", None))  # noqa: B004

    def takes(self, option: str) -> bool:
        """Whether it takes an option of that name."""
        return self._takes_all or option in self._names

    def needs(self, option: str) -> bool:
        """Whether it cannot be called without that option."""
        return option in self._needs

    def names(self, option: str) -> bool:
        """Whether it has a parameter of that name, so that it knows of the option."""
        return option in self._names

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


def _yields(client: PythonClient) -> bool:
    called = [client, getattr(client, "__call__", None)]  # noqa: B004 - a method, not whether it can be called
    return any(inspect.isgeneratorfunction(one) or inspect.isasyncgenfunction(one) for one in called)
