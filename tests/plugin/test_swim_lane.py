"""A failing test shows what happened in its world, in order, and how to see it again."""

from __future__ import annotations

import re
import shlex

import pytest
from inner_runs import run, run_apart, write

pytest_plugins = ["pytester"]

STORY = """
import pytest
from client import call, fetch, generate

TIMES = {"name": "two-jobs", "rules": [
    {"on": "job", "job": 1, "then": {"queue_seconds": 1, "run_seconds": 2}},
    {"on": "job", "then": {"queue_seconds": 1.5, "run_seconds": 10, "fail": "prompt violation"}},
]}


def receiver(environ, start_response):
    receiver.calls += 1
    start_response("500 No" if receiver.calls == 1 else "200 OK", [])
    return [b""]

receiver.calls = 0

@pytest.mark.fluxmock(clock="frozen", hook_retry="5", balance=20)
def test_story(flux):
    flux.scenario(TIMES)
    flux.hooks.deliver_to(receiver, "http://hooks.localhost:8000")
    call("/flux/generate", {"prompt": "a cat", "model": "flux1-dev"}, flux.url, flux.api_key)
    first = generate(flux, "a cat", hookUrl="http://hooks.localhost:8000/done?token=s3cret")
    second = generate(flux, "a dog that is far too long for a line of this width")
    assert fetch(flux, first) == "ON_QUEUE"
    flux.clock.advance(60)
    assert fetch(flux, first) == "SUCCESS"
    assert fetch(flux, second) == "SUCCESS", "the second job went wrong"
"""

LANE = """
    clock │ client                                     │ job 1         │ job 2         │ hooks, clock
──────────┼────────────────────────────────────────────┼───────────────┼───────────────┼────────────────────────────────
 +0.000 s │ POST /flux/generate → 400 "a cat"          │               │               │
          ↳ mode is missing: you sent 'model', did you mean 'mode'?
 +0.000 s │ POST /flux/generate → 200 "a cat"          │               │               │
 +0.000 s │                                            │ PENDING_QUEUE │               │
 +0.000 s │ POST /flux/generate → 200 "a dog that is … │               │               │
 +0.000 s │                                            │               │ PENDING_QUEUE │
 +0.000 s │ POST /flux/fetch → 200 job 1 ON_QUEUE      │               │               │
 +0.000 s │                                            │               │               │ advance 60 s → +60.000 s
 +1.000 s │                                            │ ON_QUEUE      │               │
 +1.500 s │                                            │               │ ON_QUEUE      │
 +3.000 s │                                            │ SUCCESS       │               │
 +3.000 s │                                            │               │               │ hook of job 1 → 500
          ↳ POST http://hooks.localhost:8000/done?…
 +8.000 s │                                            │               │               │ hook of job 1 → 200 (attempt 2)
          ↳ POST http://hooks.localhost:8000/done?…
+11.500 s │                                            │               │ FAILED        │
          ↳ job 2 failed: prompt violation
+60.000 s │ POST /flux/fetch → 200 job 1 SUCCESS       │               │               │
+60.000 s │ POST /flux/fetch → 200 job 2 FAILED        │               │               │

seed 0, contract 2024-09, clock frozen, key flux…#HASH, spent 2 of 20 quota units
again: pytest test_story.py::test_story --fluxmock-seed 0
"""


def section(result: pytest.RunResult) -> str:
    found = re.search(r"^-+ fluxmock -+\n(.*?^again: .*?)$", result.stdout.str(), re.MULTILINE | re.DOTALL)
    assert found, result.stdout.str()
    return found[1]


def command(result: pytest.RunResult) -> list[str]:
    return shlex.split(section(result).splitlines()[-1].removeprefix("again: "))


def test_the_lane_of_a_failing_test(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    write(pytester, test_story=STORY)
    result = run(pytester, "-p", "no:randomly")
    assert re.sub(r"#[0-9a-f]{4}", "#HASH", section(result)) == LANE.strip("\n")
    assert "s3cret" not in section(result)


def test_a_test_that_passes_shows_nothing(pytester: pytest.Pytester) -> None:
    write(pytester, test_it="from client import generate\n\ndef test_it(flux):\n    generate(flux)\n")
    result = run(pytester, "-rA")
    result.assert_outcomes(passed=1)
    assert "fluxmock -" not in result.stdout.str()


def test_a_terminal_without_the_signs_gets_plain_ones(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    write(
        pytester,
        test_it="""
        from client import generate

        def test_it(flux):
            generate(flux, "ein Bär")
            assert False
        """,
    )
    shown = section(run_apart(pytester, "-n", "1"))
    assert shown.isascii()
    assert '+0.000 s | POST /flux/generate -> 200 "ein B\\xe4r"' in shown


@pytest.mark.parametrize(
    ("columns", "width", "arguments"), [("90", 90, ()), ("90", 90, ("-n", "1")), ("20", 60, ()), ("500", 160, ())]
)
def test_it_is_as_wide_as_the_terminal(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, columns: str, width: int, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    write(
        pytester,
        test_it="""
        from client import call

        def test_it(flux):
            call("/flux/generate", {"prompt": "x", "mode": "m" * 500}, flux.url, flux.api_key)
            assert False
        """,
    )
    lane, _, _ = section((run_apart if arguments else run)(pytester, *arguments)).partition("\n\n")
    assert width - 20 < max(map(len, lane.splitlines())) <= width


def test_the_footer_says_what_unfinished_jobs_hold(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        test_it="""
        from client import generate

        def test_it(flux):
            generate(flux)
            flux.jobs.finish(flux.jobs[0].id)
            generate(flux)
            assert False
        """,
    )
    shown = section(run(pytester))
    assert ", spent 1, reserved 1 of 10000 quota units" in shown
    assert "│ SUCCESS by hand │" in shown


@pytest.mark.parametrize(
    ("scenario", "words"), [("lost-hook", "hook of job 1 dropped"), ("hook-after-final-fetch", "hook of job 1 held")]
)
def test_a_hook_that_a_scenario_kept_back_is_told(pytester: pytest.Pytester, scenario: str, words: str) -> None:
    write(
        pytester,
        test_it=f"""
        import pytest
        from client import generate

        @pytest.mark.fluxmock(scenario="{scenario}")
        def test_it(flux):
            generate(flux, hookUrl="http://127.0.0.1:9/hook")
            flux.clock.run_until_idle()
            assert not flux.jobs
        """,
    )
    assert words in section(run(pytester))


def test_the_command_runs_the_same_test_again(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        test_ids="""
        import pytest
        from client import generate

        @pytest.mark.parametrize("text", ["it's", "two words", "a/b::c[d]"])
        def test_it(flux, text):
            raise ValueError(generate(flux, text))
        """,
    )

    def job_id(result: pytest.RunResult) -> str:
        result.assert_outcomes(failed=1)
        (found,) = re.findall(r"^E +ValueError: (\S+)$", result.stdout.str(), re.MULTILINE)
        return str(found)

    options = ["--fluxmock-seed=5", "--fluxmock-contract=2026-03", "--fluxmock-allow-real-host", "--randomly-seed=9"]
    for name in ("it's", "two words", "a/b::c[d]"):
        first = run(pytester, *options, f"test_ids.py::test_it[{name}]")
        assert command(first) == [
            "pytest", f"test_ids.py::test_it[{name}]", "--fluxmock-contract", "2026-03", "--fluxmock-allow-real-host",
            "--randomly-seed=9", "--fluxmock-seed", "5",
        ]  # fmt: skip
        assert job_id(run(pytester, *command(first)[1:])) == job_id(first)


def test_the_command_fits_the_folder_that_pytest_was_started_in(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(pytester)
    folder = pytester.mkdir("deep")
    (folder / "test_it.py").write_text("def test_it(flux):\n    assert False\n")
    monkeypatch.chdir(folder)
    result = run(pytester, "-p", "no:randomly", "--rootdir", str(pytester.path))
    assert command(result)[1] == "test_it.py::test_it"


def test_failures_of_every_kind_show_it(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        test_kinds="""
        import unittest
        import pytest
        from client import generate

        class TestUnit(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def _world(self, flux):
                self.flux = flux

            def test_unit(self):
                generate(self.flux, "in unittest")
                self.fail("so")

        @pytest.mark.asyncio
        async def test_async(flux):
            generate(flux, "in asyncio")
            raise AssertionError

        @pytest.fixture
        def breaks_before(flux):
            generate(flux, "before")
            raise AssertionError

        def test_setup(breaks_before): ...

        @pytest.fixture
        def breaks_after():
            yield
            raise AssertionError

        def test_teardown(breaks_after, flux):
            generate(flux, "after")

        @pytest.mark.xfail(strict=True)
        def test_unexpected(flux):
            generate(flux, "unexpected")
        """,
    )
    result = run(pytester)
    result.assert_outcomes(failed=3, errors=2, passed=1)
    for prompt in ("in unittest", "in asyncio", "before", "after", "unexpected"):
        assert f'POST /flux/generate → 200 "{prompt}"' in result.stdout.str()
    assert result.stdout.str().count("- fluxmock -") == 5


def test_calls_that_went_elsewhere_are_told(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        test_it="""
        from client import call

        def test_it(flux):
            for key in (" ", "somebody-elses-key", "somebody-elses-key"):
                call("/flux/generate", {"prompt": "x", "mode": "flux1-dev"}, flux.url, key)
            assert flux.jobs
        """,
    )
    result = run(pytester)
    result.stdout.fnmatch_lines(
        [
            "(no calls, no jobs, no hooks)",
            "without a key, or off the API: 1 call; the last: *TT-API-KEY*",
            "with another key, so not in this world: 2 calls, key some…#*; send flux.api_key, which is also in TT_API_KEY",
        ]
    )
    assert "somebody-elses-key" not in section(result)


def test_of_worlds_that_were_there_before_only_the_calls_of_the_test_are_told(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        test_it="""
        import pytest
        from client import call

        ORDER = {"prompt": "x", "mode": "flux1-dev"}

        @pytest.fixture(scope="module")
        def shops(flux_server):
            return [flux_server.tenant(name) for name in ("called", "not called")]

        @pytest.fixture(scope="module")
        def orders(shops):
            for shop in (*shops, *shops):
                call("/flux/generate", ORDER, shop.url, shop.api_key)

        def test_it(orders, shops, flux, flux_server):
            flux_server.tenant("new and not called")
            shops[0].clock.freeze()
            call("/flux/generate", ORDER, flux.url, "called")
            assert False

        def test_they_are_still_there(flux, shops):
            assert [len(shop.jobs) for shop in shops] == [3, 2]
        """,
    )
    result = run(pytester, "-p", "no:randomly")
    result.assert_outcomes(passed=1, failed=1)
    told = [line for line in section(result).splitlines() if line.startswith("with another key")]
    assert [line.partition(": ")[2].split(",")[0] for line in told] == ["1 call"]


def test_a_fault_of_the_lane_does_not_hide_the_failure(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mock_server.testing.timeline.render", lambda *_, **__: 1 / 0)
    write(pytester, test_it="def test_it(flux):\n    assert 'this' == 'that'\n")
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*assert 'this' == 'that'*", "fluxmock could not tell what happened*ZeroDivisionError*"]
    )
