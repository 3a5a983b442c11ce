"""Options, markers, fixtures and variables say how worlds behave, and what is unusable is told in words."""

from __future__ import annotations

import dataclasses

import pytest
from inner_runs import run, write

from mock_server.settings import Settings
from mock_server.testing import marker
from mock_server.world import World

pytest_plugins = ["pytester"]


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


def test_an_ini_line_that_names_no_variable_is_told_in_words(pytester: pytest.Pytester) -> None:
    write(pytester, test_it="def test_it(flux): ...")
    result = run(pytester, "-o", "fluxmock_env=MY_URL")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["fluxmock_env: expected a line such as MY_API_URL={url}, got 'MY_URL'"])
