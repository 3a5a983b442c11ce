"""Each test gets a world of its own, the same in every run, with a clock to drive and no trace of it after."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

import pytest
from inner_runs import run, run_apart, write

pytest_plugins = ["pytester"]

IDS = """
import pytest
from client import fetch, generate

@pytest.fixture(autouse=True)
def _tell(flux, request):
    yield
    with open("ids.txt", "a") as file:
        file.write(f"{request.node.name} {flux.api_key} {[job.id for job in flux.jobs]}\\n")

def test_one(flux):
    assert not flux.jobs and flux.spent == 0
    generate(flux)

def test_two(flux):
    assert not flux.jobs and not flux.journal
    generate(flux)
    generate(flux)

@pytest.mark.parametrize("text", ["it's", "a/b", "ü"])
def test_three(flux, text):
    generate(flux, text)
"""


def ids(pytester: pytest.Pytester, *arguments: str, runner: Callable[..., pytest.RunResult] = run) -> list[str]:
    (pytester.path / "ids.txt").unlink(missing_ok=True)
    runner(pytester, *arguments).assert_outcomes(passed=5)
    return sorted((pytester.path / "ids.txt").read_text().splitlines())


def test_every_test_has_a_fresh_world_whose_ids_are_the_same_in_any_order_and_worker(
    pytester: pytest.Pytester,
) -> None:
    write(pytester, test_ids=IDS)
    plain = ids(pytester, "-p", "no:randomly")
    keys = [line.split()[1] for line in plain]
    assert len(set(keys)) == 5
    assert all(re.fullmatch(r"flux-[0-9a-f]{12}", key) for key in keys)
    assert ids(pytester, "--randomly-seed=3") == plain
    assert ids(pytester, "-n", "2", runner=run_apart) == plain


def test_ids_do_not_depend_on_where_pytest_is_started(pytester: pytest.Pytester) -> None:
    write(pytester)
    pytester.syspathinsert()
    (pytester.mkdir("deep") / "test_ids.py").write_text(IDS)
    from_above = ids(pytester, "--rootdir", str(pytester.path))
    assert ids(pytester, "--rootdir", str(pytester.path / "deep"), "deep") == from_above


def test_a_driven_test_lives_on_the_clock_of_its_world(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        conftest="""
        import time
        import pytest

        REAL_SLEEP = time.sleep

        @pytest.fixture
        def waits(flux):
            before = flux.clock.now()
            time.sleep(1000)
            yield flux.clock.now() - before
            before = flux.clock.now()
            time.sleep(1000)
            assert flux.clock.now() - before == 1000
        """,
        test_drive="""
        import asyncio
        import time
        import unittest
        import pytest
        from client import fetch, generate
        from conftest import REAL_SLEEP

        @pytest.mark.fluxmock(drive=True, clock="frozen", scenario="slow-queue")
        class TestDriven:
            def test_sync(self, flux):
                job_id, began_at = generate(flux), time.time()
                while fetch(flux, job_id) != "SUCCESS":
                    time.sleep(5)
                assert time.time() - began_at == 180

            def test_fixtures_of_the_test_are_driven_too(self, waits):
                assert waits == 1000

            @pytest.mark.asyncio
            async def test_async(self, flux):
                began_at = flux.clock.now()
                await asyncio.sleep(3000)
                await asyncio.gather(asyncio.sleep(100), asyncio.sleep(50))
                assert flux.clock.now() - began_at == 3100

            @pytest.mark.fluxmock(drive=False)
            def test_the_closest_marker_counts(self, flux):
                assert time.sleep is REAL_SLEEP

        @pytest.mark.fluxmock(drive=True)
        class TestUnit(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def _world(self, flux):
                self.flux = flux

            def test_unit(self):
                began_at = self.flux.clock.now()
                time.sleep(1000)
                self.assertEqual(self.flux.clock.now() - began_at, 1000)

        def test_others_are_not(flux):
            assert time.sleep is REAL_SLEEP

        @pytest.mark.fluxmock(drive=True)
        def test_failing(flux):
            time.sleep(1000)
            assert False

        def test_after_a_failure(flux):
            assert time.sleep is REAL_SLEEP
        """,
    )
    result = run_apart(pytester, "-p", "no:randomly")
    result.assert_outcomes(passed=7, failed=1)
    assert "│ → +1000.000 s" in result.stdout.str()


def test_unittest_classes_and_asyncio_have_it_too(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        test_kinds="""
        import asyncio
        import unittest
        import pytest
        from client import generate

        class TestWithFixture(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def _world(self, flux):
                self.flux = flux

            @pytest.mark.fluxmock(balance=2)
            def test_one(self):
                generate(self.flux)
                self.assertEqual(self.flux.ledger.balance(), 1)

            def test_two(self):
                self.assertEqual(list(self.flux.jobs), [])

        @pytest.mark.usefixtures("flux")
        class TestByVariables(unittest.TestCase):
            def test_env(self):
                import os
                self.assertIn("127.0.0.1", os.environ["FLUXMOCK_BASE_URL"])

        @pytest.mark.asyncio
        async def test_async(flux):
            job_id = await asyncio.to_thread(generate, flux)
            assert [job.id for job in flux.jobs] == [job_id]
        """,
    )
    run(pytester).assert_outcomes(passed=4)


def test_lf_runs_what_failed_in_the_same_world(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        test_lf="""
        from client import generate

        def test_good(flux):
            generate(flux)

        def test_bad(flux):
            assert generate(flux) == "no"
        """,
    )

    def failing(*arguments: str) -> str:
        result = pytester.runpytest_inprocess(*arguments)
        (job_id,) = re.findall(r"^E +\+ ([0-9a-f-]{36})$", result.stdout.str(), re.MULTILINE)
        return str(job_id)

    first = failing()
    assert failing("--lf") == first
    pytester.runpytest_inprocess("--lf").assert_outcomes(failed=1)


def test_worlds_of_other_keys_outlive_the_test_that_first_used_them(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        test_other="""
        import pytest
        from client import call

        ORDER = {"prompt": "x", "mode": "flux1-dev"}

        @pytest.fixture(scope="session", params=["plain", "changed", "by the client alone"])
        def shop(request, flux_server):
            return flux_server.tenant(request.param, **({"balance": 500} if request.param == "changed" else {}))

        @pytest.mark.parametrize("number", [1, 2])
        def test_it(flux, shop, number):
            call("/flux/generate", ORDER, flux.url, shop.api_key)
            assert len(shop.jobs) == number
            assert not flux.jobs

        def test_the_test_did_not_make_it_anew(flux_server):
            assert 0 < flux_server.tenant("changed").ledger.balance() < 500
        """,
    )
    run(pytester, "-p", "no:randomly").assert_outcomes(passed=7)


def test_the_world_of_a_test_ends_with_it_and_those_made_before_do_not(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        test_it="""
        import pytest
        from client import generate

        KEYS = []

        @pytest.fixture(scope="module", autouse=True)
        def shop(flux_server):
            shop = flux_server.tenant("shop")
            generate(shop)
            return shop

        def test_one(flux, shop):
            generate(flux)
            generate(shop)
            KEYS.append(flux.api_key)

        def test_two(flux_server, shop):
            assert len(shop.jobs) == 2
            assert [tenant.key for tenant in flux_server.world.tenants()] == ["shop"]
            assert not flux_server.tenant(KEYS[0]).jobs
        """,
    )
    run(pytester, "-p", "no:randomly").assert_outcomes(passed=2)


def test_a_folder_of_the_user_called_contract_tests_does_no_harm(pytester: pytest.Pytester) -> None:
    write(pytester)
    folder = pytester.mkpydir("contract_tests")
    (folder / "test_mine.py").write_text("from contract_tests import MINE\n\ndef test_mine(flux):\n    assert MINE\n")
    (folder / "__init__.py").write_text("MINE = True\n")
    # Apart, for other tests of ours may have imported the kit in this process.
    run_apart(pytester).assert_outcomes(passed=1)
    pytester.run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_installed_and_unused_it_imports_next_to_nothing(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        conftest="""
        import sys

        def pytest_unconfigure():
            print("loaded:", *sorted(sys.modules))
        """,
        test_it="def test_it(): ...",
    )

    def loaded(*arguments: str) -> set[str]:
        result = run_apart(pytester, "-s", *arguments)
        (line,) = (line for line in result.outlines if line.startswith("loaded: "))
        return set(line.split())

    assert loaded() - loaded("-p", "no:fluxmock") <= {
        "mock_server",
        "mock_server._version",
        "mock_server.errors",
        "mock_server.testing",
        "mock_server.testing.fixtures",
        "mock_server.testing.plugin",
        "mock_server.testing.real_host",
    }
