"""What tests say about their world, in markers and variables: read, checked, and refused in plain words."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import pytest

from mock_server.control import TenantControl
from mock_server.errors import SettingsError
from mock_server.settings import Settings

OURS = frozenset({"env", "allow_real_host", "scenario", "drive"})
"""What a marker says to the plugin, not to the world."""

_SWITCHES = ("allow_real_host", "drive")
_OWN_KEY = "key: every test has an API key of its own; send flux.api_key"
_OF_ALL = frozenset({"hook_allow", "hook_timeout", "max_body", "admin_token"})
_SETTINGS = frozenset(field.name for field in dataclasses.fields(Settings))
SETTINGS_OF_A_TEST = OURS | (_SETTINGS - _OF_ALL - {"key"})
"""What a marker can say."""

_OF_SERVE = _SETTINGS | {"host", "port", "deliverer", "observer"}
_BRACES = re.compile(r"\{\{|\}\}|\{[^{}]*\}?|\}")


def chosen_by(item: pytest.Item) -> dict[str, Any]:
    """
    Return what the markers on a test, its class and its module say together; the closest counts.

    What cannot be used fails the test, in words that name its file and line.
    """
    where = place_of(item)
    chosen: dict[str, Any] = {}
    env: dict[str, object] = {}
    for marker in reversed(list(item.iter_markers("fluxmock"))):
        if marker.args:
            refuse(f"{where}: expected settings by name, as in clock='frozen', got {marker.args[0]!r}")
        named = marker.kwargs.get("env", {})
        if not isinstance(named, Mapping):
            refuse(f"{where}: env: expected variables as in env={{'MY_API_URL': '{{url}}'}}, got {named!r}")
        chosen |= marker.kwargs
        env |= named
    for name in sorted(chosen):
        _check_name(where, name)
    for name in _SWITCHES:
        if not isinstance(chosen.get(name, False), bool):
            refuse(f"{where}: {name}: expected True or False, got {chosen[name]!r}")
    return {**chosen, "env": env}


def _check_name(where: str, name: str) -> None:
    if name == "key":
        refuse(f"{where}: {_OWN_KEY}")
    if name in _OF_ALL:
        refuse(f"{where}: {name}: one for all tests, so set it in the fixture flux_settings")
    if name not in SETTINGS_OF_A_TEST:
        refuse(f"{where}: {_unknown(name, SETTINGS_OF_A_TEST)}")


def check_settings(settings: Mapping[str, object]) -> None:
    """Fail the test if the fixture flux_settings names what does not exist, or what each test has of its own."""
    if "key" in settings:
        refuse(f"flux_settings: {_OWN_KEY}")
    for name in sorted(settings.keys() - _OF_SERVE):
        refuse(f"flux_settings: {_unknown(name, _OF_SERVE - {'key'})}")


def _unknown(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}? E" if close else "e"
    return f"{name}: no such setting; {hint}xpected one of {', '.join(sorted(known))}"


def place_of(item: pytest.Item) -> str:
    """Return the words that begin what is said about the marker of a test: its file and line, and the marker."""
    path, line, _ = item.location
    return f"{path}{'' if line is None else f':{line + 1}'}: @pytest.mark.fluxmock"


def refuse(problem: str) -> NoReturn:
    """Fail the test that runs, without a traceback."""
    __tracebackhide__ = True
    # Raised so, it has no context: what went wrong is told once.
    raise pytest.fail.Exception(problem, pytrace=False) from None


@contextmanager
def in_plain_words(where: str) -> Iterator[None]:
    """Make of a SettingsError a failure without a traceback, which says that the mistake is in `where`."""
    try:
        yield
    except SettingsError as error:
        refuse(f"{where}: {error}")


def variables(lines: Iterable[str], more: Mapping[str, object], control: TenantControl, where: str) -> dict[str, str]:
    """
    Return the environment variables for a test, with {url} and {api_key} filled in.

    Args:
        lines: of the ini option, as NAME=VALUE.
        more: those of the marker, by name; these count where both name one.
        control: the test's world.
        where: words for the marker.
    """
    filled: dict[str, str] = {}
    for line in lines:
        name, equals, value = (part.strip() for part in line.partition("="))
        if not name or not equals:
            refuse(f"fluxmock_env: expected a line such as MY_API_URL={{url}}, got {line!r}")
        filled[name] = _filled(value, control, f"fluxmock_env: {name}")
    return filled | {name: _filled(str(value), control, f"{where}: env: {name}") for name, value in more.items()}


def _filled(text: str, control: TenantControl, where: str) -> str:
    values = {"{url}": control.url, "{api_key}": control.api_key, "{{": "{", "}}": "}"}

    def value(found: re.Match[str]) -> str:
        if found[0] not in values:
            refuse(f"{where}: expected {{url}} or {{api_key}}, got {found[0]}; for a brace write it twice")
        return values[found[0]]

    return _BRACES.sub(value, text)
