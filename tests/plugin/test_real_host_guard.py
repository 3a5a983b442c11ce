"""The guard of the real host: which hosts it stops, what it says, how blocks nest and end, and who hears of them."""

from __future__ import annotations

import os
import socket

import pytest
from inner_runs import run, run_apart, write

from mock_server.testing.real_host import RealHostBlocked, is_real, real_host

pytest_plugins = ["pytester"]

MEANT = "ignore::mock_server.testing.real_host.FluxmockWarning"
meant = pytest.mark.filterwarnings(MEANT)


@meant
@pytest.mark.parametrize("way", ["connect", "connect_ex"])
def test_a_socket_does_not_connect_by_name(way: str) -> None:
    with socket.socket() as unconnected, pytest.raises(RealHostBlocked):
        getattr(unconnected, way)(("api.ttapi.io", 443))
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as connected:
        assert not getattr(connected, way)(listener.getsockname())


@pytest.mark.parametrize(
    ("before", "during"),
    [
        (None, "ttapi.io,.ttapi.io"),
        ("a.example, b.example", "a.example,b.example,ttapi.io,.ttapi.io"),
        ("ttapi.io,a.example", "a.example,ttapi.io,.ttapi.io"),
        ("*", "*"),
    ],
)
def test_the_users_own_exceptions_from_a_proxy_stay(
    monkeypatch: pytest.MonkeyPatch, before: str | None, during: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        if before is not None:
            monkeypatch.setenv(name, before)
    with real_host(blocked=True):
        assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == during
    assert os.environ.get("NO_PROXY") == os.environ.get("no_proxy") == before


@meant
def test_the_error_says_what_to_do_and_is_none_of_the_network() -> None:
    with pytest.raises(RealHostBlocked) as caught:
        socket.getaddrinfo("api.ttapi.io", 443)
    assert not isinstance(caught.value, OSError)
    assert str(caught.value) == (
        "fluxmock blocked a call to api.ttapi.io, the real API, which spends quota. In a test, use flux.url as base URL, "
        "or the fixture flux_requests or flux_httpx where the address is written into the code. To let it pass, mark "
        "the test @pytest.mark.fluxmock(allow_real_host=True), or run pytest with --fluxmock-allow-real-host"
    )


@pytest.mark.parametrize(
    ("host", "real"),
    [
        ("ttapi.io", True),
        ("API.TTAPI.IO.", True),
        (b"api.ttapi.io", True),
        ("cdnb.ttapi.io", True),
        ("nottapi.io", False),
        ("notttapi.io", False),
        ("ttapi.io.example.com", False),
        ("127.0.0.1", False),
        (None, False),
        (443, False),
    ],
)
def test_which_hosts_are_real(host: object, real: bool) -> None:
    assert is_real(host) is real


@meant
def test_a_run_within_a_run_leaves_the_block_of_the_outer_one(pytester: pytest.Pytester) -> None:
    write(pytester, test_it="def test_it(): ...")
    for option in ("--fluxmock-allow-real-host", "-q"):
        run(pytester, option).assert_outcomes(passed=1)
        with pytest.raises(RealHostBlocked):
            socket.gethostbyname("api.ttapi.io")


def test_at_the_end_all_is_as_before(pytester: pytest.Pytester) -> None:
    (pytester.path / "look.py").write_text(
        "import http.client, os, socket, ssl, sys\n"
        "import pytest\n"
        "def state():\n"
        "    return [socket.getaddrinfo, socket.gethostbyname, socket.gethostbyname_ex, ssl.SSLContext.wrap_bio,\n"
        "            ssl.SSLContext.wrap_socket, socket.socket.connect, socket.socket.connect_ex,\n"
        "            http.client.HTTPConnection.putrequest, os.environ.get('NO_PROXY'), os.environ.get('no_proxy')]\n"
        "class Spy:\n"
        "    def pytest_collection(self):\n"
        "        self.during = state()\n"
        "os.environ['HTTPS_PROXY'] = 'http://127.0.0.1:9'\n"
        "os.environ.pop('NO_PROXY', None), os.environ.pop('no_proxy', None)\n"
        "before, spy = state(), Spy()\n"
        "pytest.main(['-p', 'no:cacheprovider'], plugins=[spy])\n"
        "assert state() == before\n"
        "assert not any(one == other for one, other in zip(before, spy.during))\n"
    )
    assert pytester.runpython(pytester.path / "look.py").ret == 0


def test_what_others_put_over_the_guard_stays_when_the_last_block_is_left(pytester: pytest.Pytester) -> None:
    (pytester.path / "look.py").write_text(
        "import socket\n"
        "from mock_server.testing.real_host import real_host\n"
        "def theirs(*arguments):\n"
        "    return guard(*arguments)\n"
        "before = socket.gethostbyname\n"
        "with real_host(blocked=True):\n"
        "    guard, socket.getaddrinfo = socket.getaddrinfo, theirs\n"
        "assert socket.getaddrinfo is theirs\n"
        "assert socket.gethostbyname is before\n"
        "assert socket.getaddrinfo('127.0.0.1', 443)\n"
    )
    assert pytester.runpython(pytester.path / "look.py").ret == 0


def test_of_blocks_in_blocks_the_innermost_counts(pytester: pytest.Pytester) -> None:
    (pytester.path / "look.py").write_text(
        "import socket\n"
        "socket.gethostbyname = lambda host: 'let through'\n"
        "from mock_server.testing.real_host import RealHostBlocked, real_host\n"
        "def look_up():\n"
        "    try:\n"
        "        return socket.gethostbyname('api.ttapi.io')\n"
        "    except RealHostBlocked:\n"
        "        return 'blocked'\n"
        "seen = []\n"
        "with real_host(blocked=True):\n"
        "    with real_host(blocked=False):\n"
        "        seen.append(look_up())\n"
        "        with real_host(blocked=True):\n"
        "            seen.append(look_up())\n"
        "        seen.append(look_up())\n"
        "    seen.append(look_up())\n"
        "seen.append(look_up())\n"
        "assert seen == ['let through', 'blocked', 'let through', 'blocked', 'let through'], seen\n"
    )
    assert pytester.runpython(pytester.path / "look.py").ret == 0


SWALLOWING = """
import socket
import pytest

def look_up(host):
    try:
        socket.getaddrinfo(host, 443)
    except Exception:
        pass

def test_one():
    look_up("api.ttapi.io")

def test_more(flux):
    for host in ("api.ttapi.io", "cdnb.ttapi.io", "api.ttapi.io"):
        look_up(host)

@pytest.fixture
def swallows():
    look_up("ttapi.io")
    yield
    look_up("ttapi.io")

def test_fixture(swallows): ...

def test_clean(): ...

@pytest.mark.filterwarnings("ignore::mock_server.testing.real_host.FluxmockWarning")
def test_meant():
    look_up("api.ttapi.io")

def test_failing(flux):
    look_up("api.ttapi.io")
    assert False
"""


def test_a_block_that_was_swallowed_is_warned_of(pytester: pytest.Pytester) -> None:
    write(pytester, test_it=SWALLOWING)
    result = run(pytester, "-p", "no:randomly", "-W", "default")
    result.assert_outcomes(passed=5, failed=1, warnings=4)
    result.stdout.fnmatch_lines_random(
        [
            "*: FluxmockWarning: fluxmock blocked 1 call to api.ttapi.io, from test_it.py:6, and the test passed all "
            "the same: somebody caught RealHostBlocked. Use flux.url as base URL, *",
            "*blocked 2 calls to api.ttapi.io and 1 call to cdnb.ttapi.io, the last from test_it.py:6, and the test *",
            "*blocked 1 call to ttapi.io, from test_it.py:6, and the setup of the test passed *",
            "*and the teardown of the test passed *",
            "blocked: 1 call to api.ttapi.io, from test_it.py:6",
        ]
    )


def test_where_warnings_are_errors_it_fails_the_test(pytester: pytest.Pytester) -> None:
    write(pytester, test_it=SWALLOWING)
    result = run(pytester, "-p", "no:randomly")
    result.assert_outcomes(passed=2, failed=3, errors=2)
    result.stdout.fnmatch_lines(["fluxmock blocked 1 call to api.ttapi.io, from test_it.py:6, and the test passed *"])


def test_the_traceback_of_a_block_shows_the_code_of_the_user_alone(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        test_it="""
        import requests

        def fetch():
            return requests.get("https://api.ttapi.io/flux/fetch")

        def test_it():
            fetch()
        """,
    )
    shown = run_apart(pytester).stdout.str()
    assert "test_it.py:7: " in shown
    assert "test_it.py:4: RealHostBlocked" in shown
    assert "urllib3" not in shown
    assert "real_host.py" not in shown
    assert "urllib3" in run_apart(pytester, "--full-trace").stdout.str()
