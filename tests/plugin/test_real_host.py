"""No client gets to the real host by itself, whichever way it goes; options and markers let it."""

from __future__ import annotations

import os

import pytest
from inner_runs import run_apart, write

pytest_plugins = ["pytester"]

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
