"""Each test gets a world of its own, the same in every run; markers, options and fixtures say how it behaves."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable

import pytest
from inner_runs import run, run_apart, write

from mock_server.settings import Settings
from mock_server.testing import marker
from mock_server.world import World

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


def test_the_seed_and_the_contract_are_options(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        test_options="""
        from client import call, generate

        def test_it(flux):
            assert call("/flux/generate", {"prompt": "x", "mode": "flux1-dev"}, flux.url, flux.api_key)["data"].keys() == {"job_id"}
        """,
        test_seed="""
        from client import generate

        def test_it(flux):
            with open("seeds.txt", "a") as file:
                print(generate(flux), file=file)
        """,
    )
    run(pytester, "--fluxmock-contract", "2026-03", "test_options.py").assert_outcomes(passed=1)
    for seed in ("0", "0", "7"):
        run(pytester, "--fluxmock-seed", seed, "test_seed.py").assert_outcomes(passed=1)
    first, second, other = (pytester.path / "seeds.txt").read_text().split()
    assert first == second != other


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--fluxmock-contract", "1999-01", "--fluxmock-contract: expected 2024-09 or 2026-03, got '1999-01'"),
        ("--fluxmock-seed", "-1", "--fluxmock-seed: expected a whole number, 0 or more, got -1"),
    ],
)
def test_an_unusable_option_stops_the_run(pytester: pytest.Pytester, option: str, value: str, words: str) -> None:
    result = run(pytester, f"{option}={value}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {words}"])


def test_markers_on_module_class_and_function_add_up_and_the_closest_counts(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        test_markers="""
        import os
        import pytest
        from client import call, generate

        pytestmark = pytest.mark.fluxmock(clock="frozen", balance=7, env={"A": "module {url}", "B": "module"})

        def test_module(flux):
            assert (flux.clock.rate, flux.clock.is_auto, flux.ledger.balance()) == (0, False, 7)
            assert os.environ["A"] == f"module {flux.url}"

        @pytest.mark.fluxmock(balance=5, env={"B": "class {api_key}"})
        class TestClass:
            def test_class(self, flux):
                assert (flux.clock.is_auto, flux.ledger.balance()) == (False, 5)
                assert os.environ["A"] == f"module {flux.url}"
                assert os.environ["B"] == f"class {flux.api_key}"

            @pytest.mark.fluxmock(clock="auto", contract="2026-03")
            def test_function(self, flux):
                assert (flux.clock.is_auto, flux.ledger.balance()) == (True, 5)
                generate(flux)
                assert b"job_id" in flux.journal[0].response_body

        @pytest.mark.fluxmock(scenario="rate-limited")
        def test_scenario(flux):
            assert [generate(flux) is None for _ in range(3)] == [True, True, False]

        @pytest.mark.fluxmock(scenario="quota-runs-out")
        def test_the_settings_of_the_closest_marker_or_the_scenario(flux):
            assert flux.ledger.balance() == 7

        @pytest.mark.fluxmock(scenario={"name": "own", "settings": {"slots": 1}, "rules": [{"on": "fetch", "then": {"status": 500}}]})
        def test_own_scenario(flux):
            first, second = generate(flux), generate(flux)
            flux.clock.advance(3)
            assert {job.state for job in flux.jobs} == {"ON_QUEUE", "PENDING_QUEUE"}
            assert call("/flux/fetch", {"jobId": first}, flux.url, flux.api_key)["status"] == "FAILED"
        """,
    )
    run(pytester, "--strict-markers").assert_outcomes(passed=6)


def test_a_marker_with_an_unusable_setting_fails_its_test_with_words(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        test_wrong="""
        import pytest

        @pytest.mark.fluxmock(balnce=5)
        def test_unknown(flux): ...

        @pytest.mark.fluxmock(allow_realhost=True)
        def test_unknown_and_unused(): ...

        @pytest.mark.fluxmock("frozen")
        def test_nameless(flux): ...

        @pytest.mark.fluxmock(clock="fast")
        def test_value(flux): ...

        @pytest.mark.fluxmock(hook_allow="example.com")
        def test_of_the_world(flux): ...

        @pytest.mark.fluxmock(env="A=b")
        def test_env(flux): ...

        @pytest.mark.fluxmock(scenario="rate-limit")
        def test_scenario(flux): ...

        @pytest.mark.fluxmock(scenario={"rules": [{1j}]})
        def test_scenario_data(flux): ...

        @pytest.mark.fluxmock(key="abc")
        def test_key(flux): ...

        @pytest.mark.fluxmock(drive="yes")
        def test_drive(flux): ...

        @pytest.mark.fluxmock(env={"MY_URL": "{ur}/flux"})
        def test_placeholder(flux): ...
        """,
    )
    result = run(pytester, "-p", "no:randomly")
    result.assert_outcomes(errors=11)
    result.stdout.fnmatch_lines(
        [
            "test_wrong.py:3: @pytest.mark.fluxmock: balnce: no such setting; did you mean balance? Expected one of allow_real_host, balance,*scenario*",
            "test_wrong.py:6: @pytest.mark.fluxmock: allow_realhost: no such setting; did you mean allow_real_host? *",
            "test_wrong.py:9: @pytest.mark.fluxmock: expected settings by name, as in clock='frozen', got 'frozen'",
            "test_wrong.py:12: @pytest.mark.fluxmock: clock: expected real, frozen, *, got 'fast'",
            "test_wrong.py:15: @pytest.mark.fluxmock: hook_allow: one for all tests, so set it in the fixture flux_settings",
            "test_wrong.py:18: @pytest.mark.fluxmock: env: expected variables as in env={'MY_API_URL': '{url}'}, got 'A=b'",
            "test_wrong.py:21: @pytest.mark.fluxmock: scenario: rate-limit: *did you mean rate-limited?",
            "test_wrong.py:24: @pytest.mark.fluxmock: scenario: expected data that JSON can hold: *",
            "test_wrong.py:27: @pytest.mark.fluxmock: key: every test has an API key of its own; send flux.api_key",
            "test_wrong.py:30: @pytest.mark.fluxmock: drive: expected True or False, got 'yes'",
            "test_wrong.py:33: @pytest.mark.fluxmock: env: MY_URL: expected {url} or {api_key}, got {ur}; for a brace write it twice",
        ]
    )
    shown = result.stdout.str()
    assert "During handling" not in shown
    assert "Traceback" not in shown
    assert shown.partition("short test summary")[0].count("got 'fast'") == 1


def test_every_setting_that_a_marker_is_said_to_take_can_be_set_for_one_tenant() -> None:
    said = marker.SETTINGS_OF_A_TEST - marker.OURS
    world = World()
    try:
        for name in said:
            world.reset("a-key", **{name: getattr(world.settings, name)})
        others = {field.name for field in dataclasses.fields(Settings)} - said
        assert others == {"key", "scenario", "hook_allow", "hook_timeout", "max_body", "admin_token"}
    finally:
        world.close()


def test_a_conftest_says_how_all_tests_behave(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        conftest="""
        import pytest

        @pytest.fixture(scope="session")
        def flux_settings():
            return {"balance": 3, "seed": 7}
        """,
        test_it="""
        import pytest
        from mock_server.identity import Source

        def test_all(flux):
            assert (flux.clock.is_auto, flux.ledger.balance()) == (True, 3)

        @pytest.mark.fluxmock(balance=4, clock="frozen")
        def test_but(flux, flux_server):
            assert (flux.clock.is_auto, flux.ledger.balance()) == (False, 4)
            assert flux_server.world.settings.seed == 7
        """,
    )
    run(pytester).assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"clock": "fast"}, "flux_settings: clock: expected real, frozen, *"),
        ({"key": "mine"}, "flux_settings: key: every test has an API key of its own; send flux.api_key"),
        ({"balanc": 1}, "flux_settings: balanc: no such setting; did you mean balance? Expected one of admin_token, *"),
        ({"scenario": "rate-limit"}, "flux_settings: scenario: rate-limit: *did you mean rate-limited?"),
    ],
)
def test_unusable_settings_for_all_are_told_in_words(
    pytester: pytest.Pytester, settings: dict[str, str], words: str
) -> None:
    write(
        pytester,
        conftest=f"""
        import pytest

        @pytest.fixture(scope="session")
        def flux_settings():
            return {settings!r}
        """,
        test_it="def test_it(flux): ...",
    )
    result = run(pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([words])


def test_variables_lead_code_that_reads_them_to_the_emulator(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TT_API_KEY", "a-real-key")
    monkeypatch.setenv("FLUXMOCK_KEY", "only-this-one")
    monkeypatch.delenv("MY_URL", raising=False)
    write(
        pytester,
        ini="fluxmock_env =\n    MY_URL = {url}/flux\n    MY_KEY={api_key}\n",
        test_env="""
        import os
        import client

        def test_before():
            assert os.environ["TT_API_KEY"] == "a-real-key"

        def test_during(flux, monkeypatch):
            assert os.environ["TT_API_KEY"] == os.environ["MY_KEY"] == flux.api_key
            assert os.environ["FLUXMOCK_BASE_URL"] == flux.url
            assert os.environ["MY_URL"] == f"{flux.url}/flux"
            monkeypatch.setattr(client, "BASE_URL", os.environ["FLUXMOCK_BASE_URL"])
            client.call("/flux/generate", {"prompt": "x", "mode": "flux1-dev"}, key=os.environ["TT_API_KEY"])
            assert len(flux.jobs) == 1

        def test_a_test_may_set_them_itself(monkeypatch, flux):
            monkeypatch.setenv("TT_API_KEY", "another")

        def test_after():
            assert os.environ["TT_API_KEY"] == "a-real-key"
            assert "FLUXMOCK_BASE_URL" not in os.environ and "MY_URL" not in os.environ
        """,
    )
    run(pytester, "-p", "no:randomly").assert_outcomes(passed=4)


def test_a_brace_in_a_variable_is_written_twice(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        ini='fluxmock_env =\n    MY_CONFIG = {{"url": "{url}", "key": "{{url}}"}}\n',
        test_env="""
        import os

        def test_it(flux):
            assert os.environ["MY_CONFIG"] == '{"url": "%s", "key": "{url}"}' % flux.url
        """,
    )
    run(pytester).assert_outcomes(passed=1)


@pytest.mark.parametrize("text", ["{ur}", "{}", "{URL}", "{", "}", "{url"])
def test_a_placeholder_that_does_not_exist_is_refused(pytester: pytest.Pytester, text: str) -> None:
    write(pytester, test_it="def test_it(flux): ...")
    result = run(pytester, "-o", f"fluxmock_env=MY_URL={text}/flux")
    result.assert_outcomes(errors=1)
    assert "fluxmock_env: MY_URL: expected {url} or {api_key}, got {" in result.stdout.str() or text == "}"
    assert "; for a brace write it twice" in result.stdout.str()


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


def test_an_ini_line_that_names_no_variable_is_told_in_words(pytester: pytest.Pytester) -> None:
    write(pytester, test_it="def test_it(flux): ...")
    result = run(pytester, "-o", "fluxmock_env=MY_URL")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["fluxmock_env: expected a line such as MY_API_URL={url}, got 'MY_URL'"])


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
