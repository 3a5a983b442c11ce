"""The pytest plugin: a fresh world for each test, the real API out of reach, a swim-lane where a test fails.

pytest loads it in every run of every project that has fluxmock installed, so whatever takes long to import is imported
by the fixtures.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator
from contextlib import ExitStack, nullcontext
from typing import Any

import pytest

from mock_server.errors import SettingsError
from mock_server.testing.fixtures import (
    CASE,
    flux,
    flux_httpx,
    flux_requests,
    flux_server,
    flux_settings,
    options_of,
    running,
)
from mock_server.testing.real_host import (
    BlockedCalls,
    FluxmockWarning,
    RealHostBlocked,
    blocked_calls,
    guard_late,
    real_host,
    shorten,
)

__all__ = ["flux", "flux_httpx", "flux_requests", "flux_server", "flux_settings"]  # pytest finds them here

_MARKER = (
    "fluxmock(env={}, allow_real_host=False, scenario=None, drive=False, **settings): how fluxmock behaves in a test: "
    "variables to set ({url} and {api_key} are filled in), whether the real host may be called, a scenario to play, "
    "whether the test lives on the clock of its world (flux.clock.drive), and settings such as "
    'clock="frozen" or balance=5; on a function, class or module, and the closest counts'
)

_PHASES = {"setup": "setup of the test", "call": "test", "teardown": "teardown of the test", None: "test"}
_NARROWEST, _WIDEST, _WIDTH_UNKNOWN = 60, 160, 100

_ENCODING = pytest.StashKey[str]()
_WIDTH = pytest.StashKey[int]()
_BLOCKED = pytest.StashKey[bool]()
_CALLS = pytest.StashKey[BlockedCalls]()
_CALLS_TOLD = pytest.StashKey[int]()


# Options


def _again(item: pytest.Item) -> list[str]:
    """Return the arguments with which pytest runs `item` again as it ran now, but for the seed."""
    config, (path, colons, name) = item.config, item.nodeid.partition("::")
    if config.rootpath != config.invocation_params.dir:
        path = os.path.relpath(config.rootpath / path, config.invocation_params.dir)
    arguments = [f"{path}{colons}{name}"]
    contract = config.getoption("fluxmock_contract")
    if contract is not None:
        arguments += ["--fluxmock-contract", contract]
    if config.getoption("fluxmock_allow_real_host"):
        arguments.append("--fluxmock-allow-real-host")
    shuffled = config.getoption("randomly_seed", None)
    if isinstance(shuffled, int):
        arguments.append(f"--randomly-seed={shuffled}")
    return arguments


# Hooks of pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("fluxmock")
    group.addoption(
        "--fluxmock-contract",
        metavar="VERSION",
        help="Version of the API's contract that fluxmock emulates, where no marker names one.",
    )
    group.addoption(
        "--fluxmock-seed",
        type=int,
        metavar="N",
        help="Seed of fluxmock's job ids, durations and images, where no marker names one; 0 by default.",
    )
    group.addoption(
        "--fluxmock-allow-real-host",
        action="store_true",
        help="Let tests call the real ttapi.io, which spends quota. By default fluxmock blocks it.",
    )
    parser.addini(
        "fluxmock_env",
        type="linelist",
        help="Variables that the fixture flux sets, one NAME=VALUE a line; {url} and {api_key} are filled in.",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Block the real host before the first code of the user runs."""
    _close_gates(early_config, allowed=early_config.known_args_namespace.fluxmock_allow_real_host)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, check the options, and note what the terminal can show."""
    _close_gates(config, allowed=config.getoption("fluxmock_allow_real_host"))
    config.addinivalue_line("markers", _MARKER)
    worker = getattr(config, "workerinput", {})
    config.stash[_ENCODING] = worker.get("fluxmock_encoding") or getattr(sys.stdout, "encoding", None) or "utf-8"
    columns = worker.get("fluxmock_width") or shutil.get_terminal_size((_WIDTH_UNKNOWN, 0)).columns
    config.stash[_WIDTH] = min(max(columns, _NARROWEST), _WIDEST)
    options = options_of(config)
    if options:
        from mock_server.settings import Settings

        try:
            Settings.of(**options)
        except SettingsError as error:
            raise pytest.UsageError(f"--fluxmock-{error}") from None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist, which has no terminal, what that of the session can show."""
    node.workerinput["fluxmock_encoding"] = node.config.stash[_ENCODING]
    node.workerinput["fluxmock_width"] = node.config.stash[_WIDTH]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let a test call the real host if it is marked so, and forget its story in the end."""
    guard_late()
    allowed = [
        mark.kwargs["allow_real_host"] for mark in item.iter_markers("fluxmock") if "allow_real_host" in mark.kwargs
    ]
    gates = real_host(blocked=not allowed[0]) if allowed else nullcontext()
    with gates, blocked_calls() as calls, running(item.config):
        item.stash[_CALLS], item.stash[_CALLS_TOLD] = calls, 0
        try:
            return (yield)
        finally:
            if CASE in item.stash:
                del item.stash[CASE]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a marker with settings that do not exist, even where nothing reads it."""
    if item.get_closest_marker("fluxmock") is not None:
        from mock_server.testing.marker import chosen_by

        chosen_by(item)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[object]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Warn of calls to the real host that nothing failed for, and add the swim-lane to the report of a failure."""
    blocked = call.excinfo is not None and call.excinfo.errisinstance(RealHostBlocked)
    if call.excinfo is not None and blocked and not item.config.getoption("fulltrace", default=False):
        shorten(call.excinfo.tb)
    report = yield
    _tell_of_blocked(item, report)
    case = item.stash.get(CASE, None)
    if case is not None and report.failed:
        width, encoding = item.config.stash[_WIDTH], item.config.stash[_ENCODING]
        try:
            story = case.story(_again(item), item.stash.get(_CALLS, None), width=width, encoding=encoding)
        except Exception as error:  # noqa: BLE001 - the report of the user's failure must not be lost over ours
            story = f"fluxmock could not tell what happened, which is a fault of its own: {error!r}"
        report.sections.append(("fluxmock", story))
    return report


def _tell_of_blocked(item: pytest.Item, report: pytest.TestReport) -> None:
    calls = item.stash.get(_CALLS, None)
    if calls is None or item.stash[_CALLS_TOLD] == calls.hosts.total():
        return
    item.stash[_CALLS_TOLD] = calls.hosts.total()
    if not report.passed:
        return
    warning = FluxmockWarning(
        f"fluxmock blocked {calls}, and the {_PHASES[report.when]} passed all the same: somebody caught "
        f"RealHostBlocked. Use flux.url as base URL, or the fixture flux_requests or flux_httpx; if it is meant, mark "
        f"the test @pytest.mark.filterwarnings('ignore::{FluxmockWarning.__module__}.{FluxmockWarning.__name__}')"
    )
    try:
        item.warn(warning)
    except FluxmockWarning:
        # Warnings are errors here. The phase is over, so nothing but its report can fail any more.
        report.outcome, report.longrepr = "failed", str(warning)


def _close_gates(config: pytest.Config, *, allowed: bool) -> None:
    if _BLOCKED in config.stash:
        return
    config.stash[_BLOCKED] = not allowed
    gates = ExitStack()
    gates.enter_context(real_host(blocked=not allowed))
    config.add_cleanup(gates.close)
