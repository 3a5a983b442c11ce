"""No client gets to the real host by itself, whichever way it goes; three ways let it, and say so."""

from __future__ import annotations

import os
import socket

import pytest
from inner_runs import run, run_apart, write

from mock_server.testing.real_host import RealHostBlocked, is_real, real_host

pytest_plugins = ["pytester"]

MEANT = "ignore::mock_server.testing.real_host.FluxmockWarning"
meant = pytest.mark.filterwarnings(MEANT)

# Loaded before the plugin: whatever passes the block ends here, and never on a network.
NO_NETWORK = """
import socket

ASKED = []
_look_up = socket.getaddrinfo


def look_up(host, *arguments, **more):
    if host is None or host in ("127.0.0.1", b"127.0.0.1", "localhost"):
        return _look_up(host, *arguments, **more)
    ASKED.append(host)
    raise socket.gaierror(f"no network for {host!r}")


socket.getaddrinfo = look_up
"""

CLIENTS = """
import asyncio
import socket
import urllib.request

import aiohttp
import httpx
import no_network
import pytest
import requests

URL = "https://api.ttapi.io/flux/fetch"


def by_urllib():
    urllib.request.urlopen(URL, timeout=5)


def by_requests():
    requests.post(URL, json={}, timeout=5)


def by_httpx():
    httpx.post(URL, timeout=5)


def by_httpx_async():
    async def post():
        async with httpx.AsyncClient() as client:
            await client.post(URL)
    asyncio.run(post())


def by_aiohttp():
    async def post():
        async with aiohttp.ClientSession(trust_env=True) as session:
            await session.post(URL)
    asyncio.run(post())


def by_asyncio():
    asyncio.run(asyncio.open_connection("api.ttapi.io", 443))


def by_socket():
    socket.create_connection(("cdnb.ttapi.io", 443), timeout=5)


@pytest.fixture(params=[by_urllib, by_requests, by_httpx, by_httpx_async, by_aiohttp, by_asyncio, by_socket])
def go(request):
    no_network.ASKED.clear()
    return request.param
"""

BLOCKED = """
from clients import *
from mock_server.testing.real_host import RealHostBlocked

pytestmark = pytest.mark.filterwarnings("ignore::mock_server.testing.real_host.FluxmockWarning")

def test_blocked(go):
    with pytest.raises(RealHostBlocked, match=r"^fluxmock blocked a call to (api|cdnb)\\.ttapi\\.io, "):
        go()
    assert not no_network.ASKED
"""

ALLOWED = """
from clients import *

{marker}
def test_allowed(go):
    with pytest.raises(Exception, match="no network for|Cannot connect"):
        go()
    assert no_network.ASKED
"""


@pytest.fixture
def clients(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", str(pytester.path))
    (pytester.path / "no_network.py").write_text(NO_NETWORK)
    (pytester.path / "clients.py").write_text(CLIENTS)
    return pytester


def inner(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return run_apart(pytester, "-p", "no_network", *arguments)


def test_every_client_is_blocked_and_told_so(clients: pytest.Pytester) -> None:
    write(clients, test_blocked=BLOCKED)
    inner(clients).assert_outcomes(passed=7)


def test_a_proxy_is_no_way_round(clients: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "example.com")
    write(
        clients,
        test_blocked=BLOCKED,
        test_env="""
        import os

        def test_others_still_go_by_the_proxy():
            assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == "example.com,ttapi.io,.ttapi.io"
        """,
    )
    inner(clients).assert_outcomes(passed=8)


def test_a_proxy_that_is_named_later_is_no_way_round_either(clients: pytest.Pytester) -> None:
    write(
        clients,
        test_later="""
        import http.client
        import socket
        import urllib.request

        import httpx
        import no_network
        import pytest
        import requests
        import urllib3
        from mock_server.testing.real_host import RealHostBlocked

        pytestmark = pytest.mark.filterwarnings("ignore::mock_server.testing.real_host.FluxmockWarning")
        URL = "http://someone:secret@API.ttapi.io:80/flux/fetch?x=1"


        @pytest.fixture
        def proxy():
            with socket.create_server(("127.0.0.1", 0)) as listener:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"


        def by_requests(proxy):
            with requests.Session() as session:
                session.get(URL, proxies={"http": proxy}, timeout=5)


        def by_urllib3(proxy):
            with urllib3.ProxyManager(proxy) as manager:
                manager.request("GET", URL, timeout=5, retries=False)


        def by_urllib(proxy):
            urllib.request.build_opener(urllib.request.ProxyHandler({"http": proxy})).open(URL, timeout=5)


        @pytest.mark.parametrize("go", [by_requests, by_urllib3, by_urllib])
        def test_named_in_the_code(go, proxy):
            with pytest.raises(RealHostBlocked, match="(?i)^fluxmock blocked a call to api.ttapi.io, "):
                go(proxy)


        @pytest.mark.parametrize("url", ["http://api.ttapi.io/", "https://api.ttapi.io/"])
        @pytest.mark.parametrize("get", [requests.get, httpx.get, urllib.request.urlopen])
        def test_named_in_the_environment(get, url, proxy, monkeypatch):
            for name in ("http_proxy", "https_proxy", "all_proxy"):
                monkeypatch.setenv(name, proxy)
            with pytest.raises(RealHostBlocked):
                get(url, timeout=5)


        def test_others_are_asked_for(proxy):
            connection = http.client.HTTPConnection(proxy.removeprefix("http://"), timeout=5)
            connection.request("GET", "http://notttapi.io/?of=http://api.ttapi.io/")
            connection.close()
        """,
    )
    inner(clients, "-W", "ignore::ResourceWarning").assert_outcomes(passed=10)


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


def test_what_looks_names_up_by_itself_is_stopped_before_tls(clients: pytest.Pytester) -> None:
    write(
        clients,
        test_tls="""
        import asyncio
        import socket
        import ssl
        import threading

        import aiohttp
        import pytest
        import requests
        from aiohttp.abc import AbstractResolver
        from mock_server.testing.real_host import RealHostBlocked

        pytestmark = pytest.mark.filterwarnings("ignore::mock_server.testing.real_host.FluxmockWarning")


        def test_a_resolver_of_its_own():
            class Resolver(AbstractResolver):
                def __init__(self, port):
                    self.port = port

                async def resolve(self, host, port=0, family=socket.AF_INET):
                    return [{"hostname": host, "host": "127.0.0.1", "port": self.port, "family": family, "proto": 0,
                             "flags": socket.AI_NUMERICHOST}]

                async def close(self): ...

            async def go():
                server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
                connector = aiohttp.TCPConnector(resolver=Resolver(server.sockets[0].getsockname()[1]))
                async with server, aiohttp.ClientSession(connector=connector) as session:
                    await session.get("https://api.ttapi.io/")

            with pytest.raises(RealHostBlocked):
                asyncio.run(go())


        def test_a_proxy_that_the_code_names():
            with socket.create_server(("127.0.0.1", 0)) as listener:
                def tunnel():
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(b"HTTP/1.1 200 Connection established\\r\\n\\r\\n")
                        connection.recv(65536)

                thread = threading.Thread(target=tunnel)
                thread.start()
                proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
                with pytest.raises(RealHostBlocked), requests.Session() as session:
                    session.get("https://api.ttapi.io/", proxies={"https": proxy}, timeout=5)
                thread.join()


        def test_others_pass():
            context = ssl.create_default_context()
            assert context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="example.com")
        """,
    )
    inner(clients, "-W", "ignore::ResourceWarning").assert_outcomes(passed=3)


def test_the_block_begins_before_any_conftest(clients: pytest.Pytester) -> None:
    write(
        clients,
        conftest="""
        import socket
        from mock_server.testing.real_host import RealHostBlocked

        try:
            socket.getaddrinfo("api.ttapi.io", 443)
        except RealHostBlocked:
            BLOCKED = True
        """,
        test_it="""
        from conftest import BLOCKED

        def test_it():
            assert BLOCKED
        """,
    )
    inner(clients).assert_outcomes(passed=1)


def test_an_option_allows_it(clients: pytest.Pytester) -> None:
    write(clients, test_allowed=ALLOWED.format(marker=""))
    inner(clients, "--fluxmock-allow-real-host").assert_outcomes(passed=7)


def test_a_marker_allows_it_for_its_test_alone(clients: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    write(
        clients,
        test_1_blocked=BLOCKED,
        test_2_allowed=ALLOWED.format(marker="@pytest.mark.fluxmock(allow_real_host=True)"),
        test_3_blocked=BLOCKED,
        test_4_proxy="""
        import os
        import pytest

        @pytest.mark.fluxmock(allow_real_host=True)
        def test_the_proxy_is_used_then():
            assert "NO_PROXY" not in os.environ and "no_proxy" not in os.environ

        def test_and_only_then():
            assert os.environ["no_proxy"] == "ttapi.io,.ttapi.io"
        """,
    )
    inner(clients, "-p", "no:randomly").assert_outcomes(passed=23)


def test_a_marker_forbids_it_for_its_test_alone(clients: pytest.Pytester) -> None:
    write(
        clients,
        test_1_forbidden=BLOCKED.replace("def test", "@pytest.mark.fluxmock(allow_real_host=False)\ndef test"),
        test_2_allowed=ALLOWED.format(marker=""),
    )
    inner(clients, "-p", "no:randomly", "--fluxmock-allow-real-host").assert_outcomes(passed=14)


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
