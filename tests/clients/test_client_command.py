"""`fluxmock test-client`, `replay` and `properties`, as a user runs them."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from contract_tests.clients.declared import load, policy_of
from contract_tests.clients.properties.base import Level, Policy, properties, unjudged
from contract_tests.clients.references import find
from mock_server import cli, resources
from mock_server.errors import SettingsError
from mock_server.scenarios.files import load_scenario

HERE = Path(__file__).resolve().parent
COMMAND = [sys.executable, "-m", "mock_server"]
FEW = ("--examples", "12", "--property", "C02", "--property", "c18,C30")


def fluxmock(*arguments: str | Path, cwd: Path = HERE, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("FLUXMOCK_", "PYTEST_"))}
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        cwd=cwd,
        env={**inherited, "PYTHONIOENCODING": "utf-8", **environment},
    )


class Here:
    """The command in this process, which is quicker."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str | Path, cwd: Path = HERE) -> tuple[int | str | None, str, str]:
        """Return the exit code, and what was said on standard output and error."""
        self._monkeypatch.chdir(cwd)
        self._monkeypatch.setattr(sys, "path", list(sys.path))
        self._monkeypatch.setattr(sys, "argv", ["fluxmock", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, *self._capsys.readouterr()


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(monkeypatch, capsys)


def test_a_good_client_passes_with_0() -> None:
    done = fluxmock("test-client", "samples.py:good", *FEW)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("samples.py:good passed: 3 properties held\n")


def test_a_client_that_breaks_a_must_fails_with_1_and_no_colours_when_piped() -> None:
    done = fluxmock("test-client", "samples:naive", *FEW)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("samples:naive failed: 2 MUST and 1 SHOULD do not hold\n")
    assert "\x1b" not in done.stdout


def test_a_client_that_breaks_only_a_should_passes() -> None:
    done = fluxmock("test-client", "samples:naive", *FEW, "--skip", "C02,C18")
    assert done.returncode == 0
    assert done.stdout.startswith("samples:naive passed, but: 1 SHOULD does not hold\n")


def test_a_client_that_never_calls_ends_with_3() -> None:
    assert fluxmock("test-client", "samples.py:never_calls", "--profile", "quick").returncode == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "expected one client: my_module:generate, path/to/file.py:generate, or -- and a command"),
        (["samples.py:good", "--", "sh"], "expected one client"),
        (["samples.py"], "expected MODULE:NAME or FILE.py:NAME, such as my_module:generate; got 'samples.py'"),
        (["samples.py:better"], "samples.py:better: expected 'better' in samples.py, got none; there are "),
        (["nowhere.py:good"], "nowhere.py:good: expected a file "),
        (["no_such_module:good"], "no_such_module:good: expected a module no_such_module in "),
        (["broken.py:good"], "broken.py:good: it cannot be imported: ZeroDivisionError: division by zero"),
        (["samples.py:takes_too_little"], "expected a function (base_url, api_key, prompt, **options), got one that"),
        (
            ["samples.py:good", "--property", "C99"],
            "expected the id of a property, got 'C99'; `fluxmock properties` lists all ",
        ),
        (["samples.py:good", "--property", "c7"], "got 'C7'; did you mean C07?"),
        (["samples.py:good", "--property", "C23"], "known, but not judged: it takes several instances"),
        (["samples.py:good", "--property", "C56"], "known, but not judged: it takes killing it"),
        (["samples.py:good", "--property", "C08", "--skip", "c8"], "got 'C8'"),
        (["samples.py:good", "--property", "C08", "--skip", "C08,C23"], "expected a property to look for, got none"),
        (["samples.py:good", "--output", "nowhere/x.txt"], "nowhere/x.txt: expected a file in a folder that is there"),
        (
            ["samples.py:good", "--save-scenarios", "samples.py/x"],
            "samples.py/x: expected a folder that can be written",
        ),
        (
            ["samples.py:good", "--property", "C08,C07"],
            "expected max_in_flight to be declared, got nothing to judge by",
        ),
        (["samples.py:good", "--receiver", "samples.py:none"], "expected 'none' in samples.py, got none"),
        (["samples.py:good", "--policy", "policy.toml"], "deadlin"),
        (["samples.py:good", "--driver"], "--driver: for a command, which stands after --"),
        (["--receiver", "x:app", "--", "true"], "--receiver is for a client of Python; a command has its receiver at"),
        (["--", "/no/such/program"], "/no/such/program"),
    ],
)
def test_what_cannot_be_used_ends_with_2_and_says_why(
    here: Here, arguments: list[str], words: str, tmp_path: Path
) -> None:
    (tmp_path / "samples.py").write_text((HERE / "samples.py").read_text("utf-8"), "utf-8")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "policy.toml").write_text("deadlin = 3\n")
    code, output, error = here("test-client", *arguments, cwd=tmp_path)
    assert (code, output) == (2, "")
    assert words in error
    assert error.count("\n") == 1


def test_reports_are_written_into_files(tmp_path: Path) -> None:
    done = fluxmock(
        "test-client", "samples.py:naive", *FEW, "--format", "json", "--output", tmp_path / "v.json", "--seed", "3"
    )
    assert (done.returncode, done.stdout) == (1, "")
    value = json.loads((tmp_path / "v.json").read_text("utf-8"))
    assert value["seed"] == 3
    assert {one["id"] for one in value["properties"]} == {"C02", "C18", "C30"}
    ((again, (played,)),) = [(one["again"], one["directives"]) for one in value["properties"] if one["id"] == "C02"]
    assert again == f"fluxmock test-client samples.py:naive --seed 3 --property C02 --play {shlex.quote(played)}"


def test_the_command_that_a_failure_names_shows_it_again() -> None:
    value = json.loads(fluxmock("test-client", "samples.py:naive", *FEW, "--format", "json").stdout)
    (failure,) = [one for one in value["properties"] if one["id"] == "C18"]
    _, *words = shlex.split(failure["again"])
    done = fluxmock(*words)
    assert done.returncode == 1
    assert failure["why"] in done.stdout


def test_a_failure_where_all_went_well_is_shown_again_as_well(here: Here, tmp_path: Path) -> None:
    (tmp_path / "hasty.py").write_text(
        """import json, urllib.request

def generate(base_url, api_key, prompt):
    order = json.dumps({"prompt": prompt, "mode": "flux1-dev"}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{base_url}/flux/generate", order, {"TT-API-KEY": api_key})).close()
"""
    )
    _, output, _ = here("test-client", "hasty.py:generate", "--property", "C53", "--format", "json", cwd=tmp_path)
    (failure,) = json.loads(output)["properties"]
    assert failure["again"].endswith("--property C53 --play 'all went well'")
    code, output, _ = here(*shlex.split(failure["again"])[1:], cwd=tmp_path)
    words = " ".join(output.split())
    assert (code, failure["why"] in words, "1 scenario and" in words) == (1, True, True)


def test_a_declared_policy_counts_and_is_found_in_the_project(tmp_path: Path) -> None:
    (tmp_path / "samples.py").write_text((HERE / "samples.py").read_text("utf-8"), "utf-8")
    only = ("--property", "C01", "--profile", "quick")
    assert fluxmock("test-client", "samples:naive", *only, cwd=tmp_path).returncode == 1
    (tmp_path / "pyproject.toml").write_text("[tool.fluxmock.client]\nresubmit = true\n")
    assert fluxmock("test-client", "samples:naive", *only, cwd=tmp_path).returncode == 0


def test_a_saved_scenario_is_linted_and_replayed(tmp_path: Path) -> None:
    done = fluxmock("test-client", "samples.py:naive", *FEW, "--save-scenarios", tmp_path)
    (path,) = tmp_path.glob("c18-*.yaml")
    assert f"fluxmock replay {path} samples.py:naive\n" in done.stdout
    assert fluxmock("scenarios", "lint", *sorted(tmp_path.glob("*.yaml"))).returncode == 0
    assert load_scenario(path).rules
    replayed = fluxmock("replay", path, "samples.py:naive")
    assert replayed.returncode == 1
    assert replayed.stdout.lstrip().startswith("clock │ client")
    assert "✗ C18 MUST   HTTP 200 with FAILED is a failure" in replayed.stdout
    assert "✓ C13 MUST   it polls the right id" in replayed.stdout
    assert fluxmock("replay", path, "samples.py:good").returncode == 0
    assert fluxmock("replay", path, "samples.py:never_calls").returncode == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.yaml", "samples.py:good"], "nowhere.yaml: expected a readable file"),
        ([HERE / "samples.py", "samples.py:good"], "expected"),
        ([HERE.parent.parent / "fixtures/scenarios/rate-limited.yaml", "samples.py:x"], "expected 'x'"),
        (
            [HERE.parent.parent / "fixtures/scenarios/rate-limited.yaml", "samples.py:takes_too_little"],
            "expected a function",
        ),
    ],
)
def test_a_replay_of_what_cannot_be_used_ends_with_2(here: Here, arguments: list[str | Path], words: str) -> None:
    code, output, error = here("replay", *arguments)
    assert (code, output) == (2, "")
    assert words in error


def test_a_regression_is_a_test_that_pytest_runs(tmp_path: Path) -> None:
    (tmp_path / "my_client.py").write_text((HERE / "samples.py").read_text("utf-8"), "utf-8")
    made = fluxmock("test-client", "my_client:naive", *FEW, "--write-regression", "tests/clients", cwd=tmp_path)
    assert "wrote 3 tests; to run: pytest tests/clients" in made.stderr
    names = sorted(path.name for path in (tmp_path / "tests" / "clients").iterdir())
    assert [name.rpartition(".")[2] for name in names] == ["yaml"] * 3 + ["py"] * 3
    assert run_pytest(tmp_path) == {"C02": "failure", "C18": "failure", "C30": "failure"}
    source = (tmp_path / "my_client.py").read_text("utf-8")
    (tmp_path / "my_client.py").write_text(f"{source}\n\nnaive = good\n", "utf-8")
    assert run_pytest(tmp_path) == {"C02": "", "C18": "", "C30": ""}


def run_pytest(folder: Path) -> dict[str, str]:
    """Return, by property, how its test ended: failure, skipped, or empty for passed."""
    report = folder / "report.xml"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-W",
            "error",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:asyncio",
            f"--junit-xml={report}",
            "tests",
        ],
        cwd=folder,
        env=environment,
        capture_output=True,
        timeout=120,
    )
    cases = ET.parse(report).getroot().iter("testcase")  # noqa: S314 - we wrote it
    return {str(case.get("name"))[5:8].upper(): next((one.tag for one in case), "") for case in cases}


def test_progress_is_shown_on_a_terminal_and_never_gets_into_what_a_client_prints(tmp_path: Path) -> None:
    primary, secondary = pty.openpty()
    command = ["test-client", "samples.py:naive", *FEW, "--format", "json", "--output"]
    with subprocess.Popen(
        [*COMMAND, *command, str(tmp_path / "seen.json")],
        stderr=secondary,
        cwd=HERE,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
    ):
        os.close(secondary)
        shown = all_of(primary)
    assert "12/12" in shown
    fluxmock(*command, tmp_path / "unseen.json")
    assert (tmp_path / "seen.json").read_text("utf-8") == (tmp_path / "unseen.json").read_text("utf-8")


def all_of(terminal: int) -> str:
    """Return all that is written to a terminal until nobody has it any more."""
    shown = b""
    try:
        while more := os.read(terminal, 4096):
            shown += more
    except OSError:  # so Linux says that it is closed
        pass
    finally:
        os.close(terminal)
    return shown.decode()


# -------------------------------------------------------------------------------------------------------- properties


def test_properties_are_listed_with_id_level_and_title(here: Here) -> None:
    lines = here("properties")[1].split("\n")
    for one in properties().values():
        assert any(line.startswith(f"{one.id}  {one.level}") and one.title in line for line in lines)


def test_what_is_not_judged_is_listed_at_the_end_with_the_reason(here: Here) -> None:
    text = " ".join(here("properties")[1].split())
    told = [f"{one.id} {one.level} {one.title} (not judged: {one.reason})" for one in unjudged().values()]
    assert text.endswith(" ".join([*told, "fluxmock properties ID tells all about one."]))
    code, output, _ = here("properties", "c56")
    assert (code, f"Not judged: {unjudged()['C56'].reason}" in " ".join(output.split())) == (0, True)


def test_a_policy_says_what_has_to_be_declared_and_is_judged_then(here: Here, tmp_path: Path) -> None:
    assert (
        "C07  POLICY  the cap on jobs under way is honoured (needs max_in_flight declared)\n" in here("properties")[1]
    )
    for one in properties().values():
        assert bool(one.declaration) == (one.level is Level.POLICY)
    (tmp_path / "samples.py").write_text((HERE / "samples.py").read_text("utf-8"), "utf-8")
    (tmp_path / "cap.toml").write_text("max_in_flight = 2\n")
    words = ("test-client", "samples.py:good", "--property", "C07", "--examples", "2", "--policy", "cap.toml")
    code, output, _ = here(*words, cwd=tmp_path)
    assert (code, "3 jobs were under way at once, more than 2" in output) == (0, True)


def test_of_a_property_all_is_told(here: Here) -> None:
    text = " ".join(here("properties", "c01")[1].split())
    for part, words in properties()["C01"].texts.items():
        assert f"{part}: {' '.join(words.split())}" in text


def test_properties_are_there_for_programs_and_for_pages(here: Here) -> None:
    value = json.loads(here("properties", "--format", "json")[1])
    assert [one["id"] for one in value] == [*properties(), *unjudged()]
    assert {one["level"] for one in value} <= {level.value for level in Level}
    table = here("properties", "--format", "markdown")[1]
    assert table.count("\n| C") == len(properties()) + len(unjudged())


def test_programs_are_told_what_is_judged_by_what_and_why_not(here: Here) -> None:
    value = json.loads(here("properties", "--format", "json")[1])
    assert len({tuple(one) for one in value}) == 1  # the same names, in the same order
    assert {one["id"]: one["reason"] for one in value if not one["judged"]} == {
        id_: one.reason for id_, one in unjudged().items()
    }
    assert all(one["reason"] is None and one["fix"] for one in value if one["judged"])
    assert {one["id"] for one in value if not one["default"]} == {"C07", *unjudged()}
    assert {one["id"]: one["declare"] for one in value if one["declare"]} == {"C07": "max_in_flight"}


def test_a_property_that_there_is_not_ends_with_2(here: Here) -> None:
    code, _, error = here("properties", "C99")
    assert (code, "got 'C99'" in error) == (2, True)


def test_the_sources_that_a_property_cites_are_spelled_out_at_its_end(here: Here) -> None:
    """... once for all that are shown, and no others."""
    sources = resources.load("sources.json")["sources"]
    shown = " ".join(here("properties", "C08", "C19")[1].split())
    cited = [f"{id_}: {sources[id_]['name']}" for id_ in ("S1", "S2", "S3")]
    assert [shown.count(words) for words in cited] == [1, 1, 1]
    assert shown.index(cited[0]) > shown.rindex("Fix: ")
    assert f": {sources['S2']['url']} ({sources['S2']['documents']})" in shown
    assert not any(sources[id_]["name"] in shown for id_ in ("S4", "S5"))
    assert not re.search(r"\n  S\d:", here("properties", "C07")[1])


def test_an_id_that_is_written_otherwise_is_guessed(here: Here) -> None:
    code, _, error = here("properties", "c7")
    assert (code, "did you mean C07?" in error, error.count("C01")) == (2, True, 0)


# ---------------------------------------------------------------------------------------------------------- policies


def test_a_policy_says_what_is_declared(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"deadline": 60, "max_in_flight": 3, "idempotency_header": "X-Once"}')
    assert load(tmp_path / "p.json") == Policy(deadline=60, max_in_flight=3, idempotency_header="X-Once")


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"deadlin": 3}, "nothing of that name can be declared; did you mean 'deadline'? there are deadline, "),
        ({"deadline": "soon"}, "deadline: expected a number, 0 or more, got 'soon'"),
        ({"deadline": 0}, "deadline: expected above 0, got 0"),
        ({"hook_seconds": 0.0}, "hook_seconds: expected above 0, got 0.0"),
        ({"max_in_flight": 0}, "max_in_flight: expected 1 or more, got 0"),
        ({"max_attempts": 0}, "max_attempts: expected 1 or more, got 0"),
        ({"deadline": True}, "deadline: expected a number, 0 or more, got True"),
        ({"deadline": -1}, "deadline: expected a number, 0 or more, got -1"),
        ({"deadline": float("nan")}, "deadline: expected a number, 0 or more, got nan"),
        ({"max_attempts": 2.5}, "max_attempts: expected a whole number, 0 or more, got 2.5"),
        ({"resubmit": 1}, "resubmit: expected true or false, got 1"),
        ({"idempotency_header": 1}, "idempotency_header: expected a text, got 1"),
        ([], "expected names and values such as deadline = 300, got []"),
    ],
)
def test_what_cannot_be_declared_is_said(declared: object, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        policy_of(declared, "p.toml")
    assert f"p.toml: {words}" in str(caught.value) or words in str(caught.value)


# -------------------------------------------------------------------------------------------------------------- names


def test_two_files_of_one_name_are_two_clients(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "client.py").write_text(f"class Api:\n    who = {name!r}\n")
    assert [find(f"{name}/client.py:Api.who", tmp_path) for name in ("a", "b")] == ["a", "b"]


def test_a_saved_scenario_is_played_to_a_command_too(tmp_path: Path) -> None:
    scenario = tmp_path / "lost.yaml"
    scenario.write_text(
        "name: lost\nrules:\n- {on: submit, calls: 1, then: {accepted: true, wire: {silent: true, end: reset}}}\n",
        "utf-8",
    )
    script = Path(__file__).with_name("commands") / "generate.py"
    words = ["--", sys.executable, str(script), "{base_url}", "{api_key}", "{prompt}"]
    done = CliRunner().invoke(cli.cli, ["replay", str(scenario), "--format", "json", *words, "orders-again"])
    assert done.exit_code == 1, done.output
    results = {one["id"]: one["result"] for one in json.loads(done.output)["properties"]}
    assert (results["C06"], results["C13"]) == ("fail", "pass")
    shown = CliRunner().invoke(cli.cli, ["replay", str(scenario), *words])
    assert shown.exit_code == 0, shown.output
    assert "POST /flux/generate" in shown.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "expected one client"),
        (["samples.py:good", "--driver"], "--driver"),
        (["a:b", "--", "c"], "expected one client"),
    ],
)
def test_a_replay_needs_one_client(tmp_path: Path, words: list[str], said: str) -> None:
    done = CliRunner().invoke(cli.cli, ["replay", str(tmp_path / "x.yaml"), *words])
    assert done.exit_code == 2
    assert said in done.output


@pytest.mark.parametrize(
    "places", [("shared_{}.py", "shared_{}"), ("shared_{}", "shared_{}.py")], ids=["file", "module"]
)
def test_a_client_and_its_receiver_share_their_module_however_they_are_named(
    places: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = len(places[0])
    (tmp_path / f"shared_{mark}.py").write_text("told = []\n\n\ndef app(*_):\n    return told\n\n\ngenerate = app\n")
    monkeypatch.syspath_prepend(tmp_path)
    client, receiver = (
        find(f"{place.format(mark)}:{name}", tmp_path) for place, name in zip(places, ("generate", "app"), strict=True)
    )
    assert client is receiver
