"""The fixtures of the pytest plugin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import pytest

if TYPE_CHECKING:
    from responses import RequestsMock

    from mock_server.adapters.for_httpx import AsyncFluxTransport, FluxTransport
    from mock_server.adapters.inprocess import InProcess
    from mock_server.control import TenantControl
    from mock_server.serving import Server
    from mock_server.testing.case import Case

_DEFAULTS: Mapping[str, object] = {"clock": "auto"}
_ENV = ("FLUXMOCK_BASE_URL={url}", "TT_API_KEY={api_key}")

CASE: pytest.StashKey[Case] = pytest.StashKey()
"""Where a test has its stay on the emulator."""


class FluxHttpx(NamedTuple):
    """What `flux_httpx` gives: transports that lead to the test's own world, for clients that take one."""

    transport: FluxTransport
    async_transport: AsyncFluxTransport


# Runs of pytest may be nested in one process: whose test runs is the last. Fixtures look here and do not ask for
# `request`, for pytest takes longer to make that than a test's world takes.
_configs: list[pytest.Config] = []
_cases: WeakKeyDictionary[TenantControl, Case] = WeakKeyDictionary()


@contextmanager
def running(config: pytest.Config) -> Iterator[None]:
    """Let fixtures be those of a run, until the `with` block is left."""
    _configs.append(config)
    try:
        yield
    finally:
        _configs.pop()


@pytest.fixture(scope="session")
def flux_settings() -> dict[str, object]:
    """
    Settings for all tests of a run, as `mock_server.serve` takes them. Override it in a conftest.py.

    What an override does not name stays as it is here: the clock is "auto".
    """
    return dict(_DEFAULTS)


@pytest.fixture(scope="session")
def flux_server(flux_settings: Mapping[str, object]) -> Iterator[Server]:
    """Run one emulator for the session, or for each worker of pytest-xdist."""
    from mock_server.serving import serve
    from mock_server.testing.marker import check_settings, in_plain_words

    check_settings(flux_settings)
    # Every key is let in, whatever FLUXMOCK_KEY says: each test has one of its own. And nothing is logged, for a
    # test that looks at the log wants to see what its client wrote.
    told = {**_DEFAULTS, **flux_settings, **options_of(_configs[-1])}
    settings: dict[str, Any] = {"observer": None, **told, "key": ()}
    with ExitStack() as stack:
        with in_plain_words("flux_settings"):
            server = stack.enter_context(serve(**settings))
        yield server


@pytest.fixture
def flux(request: pytest.FixtureRequest, flux_server: Server) -> Iterator[TenantControl]:
    """Give the test a fresh world on the emulator: url, api_key, clock, jobs, ledger, spent, hooks, journal."""
    from mock_server.testing.case import Case, key_of
    from mock_server.testing.marker import chosen_by, in_plain_words, place_of, variables

    case, where = Case(flux_server, key_of(request.node.nodeid)), place_of(request.node)
    chosen = chosen_by(request.node)
    with in_plain_words(where):
        control = case.make(chosen)
    lines = [*_ENV, *request.config.getini("fluxmock_env")]
    told = variables(lines, chosen["env"], control, where)
    request.node.stash[CASE] = _cases[control] = case
    with _patch(request) as patch, control.clock.drive() if chosen.get("drive") else nullcontext():
        for name, value in told.items():
            patch.setenv(name, value)
        yield control
    case.close()


@pytest.fixture
def flux_requests(flux: TenantControl) -> Iterator[RequestsMock]:
    """Lead what `requests` sends to https://api.ttapi.io into the test's own world, without a socket."""
    from mock_server.adapters.for_requests import intercept

    with intercept(_inside(flux)) as mock:
        yield mock


@pytest.fixture
def flux_httpx(flux: TenantControl) -> Iterator[FluxHttpx]:
    """Lead what `httpx` sends to https://api.ttapi.io into the test's own world, without a socket."""
    from mock_server.adapters.for_httpx import AsyncFluxTransport, FluxTransport, intercept

    way = _inside(flux)
    with intercept(way), FluxTransport(way) as transport:
        yield FluxHttpx(transport, AsyncFluxTransport(way))


def _inside(flux: TenantControl) -> InProcess:
    from mock_server.adapters.inprocess import InProcess

    case = next((case for control, case in _cases.items() if control is flux), None)
    if case is None:
        pytest.fail(
            "expected fluxmock's own fixture flux below flux_requests and flux_httpx, got another", pytrace=False
        )
    return InProcess(case.server.app, flux.api_key)


def options_of(config: pytest.Config) -> dict[str, object]:
    """Return the settings that the command line names."""
    options = {name: config.getoption(f"fluxmock_{name}") for name in ("contract", "seed")}
    return {name: value for name, value in options.items() if value is not None}


def _patch(request: pytest.FixtureRequest) -> AbstractContextManager[pytest.MonkeyPatch]:
    """Return the test's own monkeypatch if it has one, which may undo later than we do; else another one."""
    if "monkeypatch" in request.fixturenames:
        return nullcontext(request.getfixturevalue("monkeypatch"))
    return pytest.MonkeyPatch.context()
