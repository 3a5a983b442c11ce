"""flux_requests and flux_httpx: code with the real address and a key written into it reaches the test's own world."""

from __future__ import annotations

import pytest
from inner_runs import run_apart, write

pytest_plugins = ["pytester"]


def test_requests_reaches_the_tests_own_world(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        code="""
        import requests

        def make(prompt):
            answer = requests.post(
                "https://api.ttapi.io/flux/generate",
                json={"prompt": prompt, "mode": "flux1-dev"}, headers={"TT-API-KEY": "written-into-it"}, timeout=5,
            )
            return answer.json()["data"]["jobId"]

        def wait(job_id):
            while True:
                answer = requests.post(
                    "https://api.ttapi.io/flux/fetch",
                    json={"jobId": job_id}, headers={"TT-API-KEY": "written-into-it"}, timeout=5,
                ).json()
                if answer["status"] != "ON_QUEUE":
                    return requests.get(answer["data"]["imageUrl"], timeout=5)
        """,
        test_it="""
        import pytest
        import requests
        from code_under_test import make, wait

        @pytest.mark.parametrize("number", [1, 2])
        def test_it(flux, flux_requests, number):
            image = wait(make("a cat"))
            assert image.headers["Content-Type"] == "image/webp" and image.content[:4] == b"RIFF"
            assert [job.order.prompt for job in flux.jobs] == ["a cat"]
            assert flux.spent == 1
            flux.assert_called("generate", times=1)
            flux.assert_max_spend(1)
            assert flux_requests.calls[0].request.url == "https://api.ttapi.io/flux/generate"

        def test_the_server_is_there_too(flux, flux_requests):
            headers = {"TT-API-KEY": flux.api_key}
            answer = requests.post(f"{flux.url}/flux/generate", json={"prompt": "x", "mode": "flux1-dev"}, headers=headers, timeout=5)
            assert flux.jobs[0].id == answer.json()["data"]["jobId"]

        def test_a_failure(flux, flux_requests):
            make("a failing cat")
            assert False
        """,
    )
    (pytester.path / "code.py").rename(pytester.path / "code_under_test.py")
    result = run_apart(pytester)
    result.assert_outcomes(passed=3, failed=1)
    assert 'POST /flux/generate → 200 "a failing cat"' in result.stdout.str()


def test_httpx_reaches_the_tests_own_world(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        test_it="""
        import httpx
        import pytest

        CALL = {"json": {"prompt": "x", "mode": "flux1-dev"}, "headers": {"TT-API-KEY": "written-into-it"}}
        URL = "https://api.ttapi.io/flux/generate"

        def test_top_level(flux, flux_httpx):
            assert flux.jobs[:] == () and httpx.post(URL, **CALL).json()["data"]["jobId"] == flux.jobs[0].id

        def test_client(flux, flux_httpx):
            with httpx.Client() as client:
                client.post(URL, **CALL).raise_for_status()
            assert len(flux.jobs) == 1

        def test_transport(flux, flux_httpx):
            with httpx.Client(transport=flux_httpx.transport) as client:
                client.post(URL, **CALL).raise_for_status()
            assert len(flux.jobs) == 1

        @pytest.mark.asyncio
        async def test_async_client(flux, flux_httpx):
            async with httpx.AsyncClient() as client:
                (await client.post(URL, **CALL)).raise_for_status()
            assert len(flux.jobs) == 1

        @pytest.mark.asyncio
        async def test_async_transport(flux, flux_httpx):
            async with httpx.AsyncClient(transport=flux_httpx.async_transport) as client:
                (await client.post(URL, **CALL)).raise_for_status()
            assert len(flux.jobs) == 1
        """,
    )
    run_apart(pytester).assert_outcomes(passed=5)


def test_they_need_a_world_of_fluxmock(pytester: pytest.Pytester) -> None:
    """The fixture flux of somebody else has no emulator to lead to, nor is it that of the test before."""
    write(
        pytester,
        test_it="""
        import pytest

        class TestA:
            def test_ours(self, flux, flux_requests):
                pass

        class TestB:
            @pytest.fixture
            def flux(self):
                return None

            def test_theirs(self, flux, flux_requests):
                pass
        """,
    )
    result = run_apart(pytester, "-p", "no:randomly")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*expected fluxmock's own fixture flux below flux_requests*"])


def test_a_configuration_that_a_test_makes_is_no_run(pytester: pytest.Pytester) -> None:
    """Fixtures are those of the run whose test runs, whatever else of pytest is made in it."""
    write(
        pytester,
        test_it="""
        pytest_plugins = ["pytester"]

        def test_it(pytester, flux, request):
            pytester.parseconfigure()
            with_requests = request.getfixturevalue("flux_requests")
            assert len(with_requests.calls) == 0
        """,
    )
    run_apart(pytester).assert_outcomes(passed=1)


def test_the_plugin_may_be_named_instead_of_found(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    write(
        pytester,
        test_it="""
        def test_it(flux):
            assert flux.spent == 0
        """,
    )
    (pytester.path / "pytest.ini").unlink()
    run_apart(pytester, "-W", "error", "-p", "mock_server.testing.plugin").assert_outcomes(passed=1)
