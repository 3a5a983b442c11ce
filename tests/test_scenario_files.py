"""Scenarios as files: what is read and how, what is refused in which words, and the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenario_writing import scenario

import mock_server
from mock_server.scenarios.editing import edited
from mock_server.scenarios.files import (
    ScenarioError,
    WatchedScenario,
    find_scenario,
    library,
    load_scenario,
    parse_scenario,
)
from mock_server.scenarios.rules import Fate


@pytest.mark.parametrize("path", library().values(), ids=lambda path: path.stem)
def test_a_ready_made_scenario_can_be_played_and_has_a_story(path: Path) -> None:
    found = load_scenario(path)
    assert found.name == path.stem
    assert found.story.endswith(".")
    with mock_server.serve(port=0, scenario=path.stem, clock="frozen") as server:
        assert server.world.settings.scenario == path.stem


@pytest.mark.parametrize("path", library().values(), ids=lambda path: path.stem)
def test_deleting_any_rule_leaves_a_scenario(path: Path) -> None:
    import yaml

    data = yaml.safe_load(path.read_text().replace("- on:", "- 'on':"))
    for index in range(len(data["rules"])):
        fewer = {**data, "rules": data["rules"][:index] + data["rules"][index + 1 :]}
        assert parse_scenario(json.dumps(fewer)).name == path.stem


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: [", "f.yaml:1: expected YAML or JSON"),
        ("- 1", "f.yaml: at /: [1] is not of type"),
        ("name: x\nrulez: []", "'rulez' is unknown; did you mean 'rules'?"),
        ("name: x\nrules:\n  - on: fetch\n    then: {wire: {silnt: true}}", "f.yaml:4: at /rules/0/then/wire: 'silnt' is unknown; did you mean 'silent'?"),
        ("name: x\nrules:\n  - on: job\n    then: {fial: x}", "f.yaml:4: at /rules/0/then: 'fial' is unknown; did you mean 'fail'?"),
        ("name: x\nrules:\n  - on: jobs\n    then: {fail: x}", "f.yaml:3: at /rules/0/on"),
        ("name: x\nrules:\n  - on: job\n    wehre: {mode: x}\n    then: {fail: x}", "did you mean 'where'?"),
        ("name: x\nrules:\n  - on: job\n    where: {prompt_pattern: '('}\n    then: {fail: x}", "regex"),
        ("name: x\nrules:\n  - on: fetch\n    calls: {from: 5, to: 2}\n    then: {status: 500}", "f.yaml:4: at /rules/0/calls: no number lies"),
        ("name: x\nrules:\n  - on: fetch\n    calls: {frist: 2}\n    then: {status: 500}", 'f.yaml:4: at /rules/0/calls: expected one like 1, {"first": 2}'),
        ("name: x\nrules:\n  - on: fetch\n    job: [1]\n    then: {status: 500}", "expected one like 1, [2, 5]; got [1]"),
        ("name: x\nrules:\n  - on: fetch\n    then: {delay: -1}", 'expected one like 0.5, {"uniform": [0.1, 2]}, {"lognormal": [0.5, 0.8]}; got -1'),
        ("name: x\nrules:\n  - on: hook\n    then: {delay: -1}", "-1 is less than the minimum"),
        ("name: x\nrules:\n  - on: hook\n    then: {when: early}", "before the submit answer"),
        ("name: x\nname: y\nrules: []", "f.yaml:2: expected YAML or JSON: 'name' stands twice"),
        ("name: x\nrules:\n  - on: fetch\n    then: {headers: {content-length: '5'}}", "f.yaml:4: at /rules/0/then/headers"),
        ("name: x\nrules:\n  - on: fetch\n    then: {headers: {Transfer-Encoding: chunked}}", "f.yaml:4: at /rules/0/then/headers"),
        ('{"name": "x", "rules": [{"on": "fetch", "then": {"headers": {"X": "a\\r\\nb"}}}]}', "/then/headers/X"),
        ('{"name": "x", "rules": [{"on": "fetch", "then": {"redirect": "http://x\\r\\ny"}}]}', "/then/redirect"),
        ("{1: 2}", "expected names that are texts"),
        ("{" * 5000, "nested too deep"),
    ],
)  # fmt: skip
def test_a_bad_scenario_is_refused_with_line_and_fix(text: str, words: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        parse_scenario(text, "f.yaml")
    assert words in str(refused.value)


@given(st.text(max_size=60))
def test_no_text_whatever_breaks_the_reader(text: str) -> None:
    try:
        parse_scenario(text)
    except ScenarioError as error:
        assert str(error).startswith("scenario")  # noqa: PT017 - most texts are refused, but none need be


def test_an_edited_file_is_read_again_and_a_bad_edit_keeps_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mock_server.scenarios.files._LOOK_SECONDS", 0.0)
    path = tmp_path / "edited.json"
    path.write_text(scenario({"on": "job", "then": {"fail": "first"}}))
    watched = WatchedScenario(str(path))
    assert watched().rules[0].then == Fate(fail="first")
    path.write_text(scenario({"on": "job", "then": {"fial": "second edit"}}))
    assert watched().rules[0].then == Fate(fail="first")
    assert "stays as it was" in caplog.text
    assert "did you mean 'fail'?" in caplog.text
    path.write_text(scenario({"on": "job", "then": {"fail": "third"}}))
    assert watched().rules[0].then == Fate(fail="third")


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mock_server", "scenarios", *arguments],
        capture_output=True, text=True, timeout=60, env=dict(os.environ),
    )  # fmt: skip


def test_the_command_lists_shows_begins_and_checks(tmp_path: Path) -> None:
    listed = command("list").stdout
    assert all(name in listed for name in library())
    shown = command("show", "lost-hook").stdout
    assert shown == library()["lost-hook"].read_text()
    mine = tmp_path / "My Own.yaml"
    assert command("new", str(mine)).returncode == 0
    assert command("new", str(mine)).returncode == 2
    assert "call it mine.yaml" in command("new", str(tmp_path / "mine.json")).stderr
    checked = command("lint", str(mine), *map(str, library().values()))
    assert (checked.returncode, checked.stdout.count(": ok, ")) == (0, 1 + len(library()))
    mine.write_text("name: x\nrules: 7\n")
    broken = command("lint", str(mine))
    assert (broken.returncode, f"{mine}:2: at /rules" in broken.stdout) == (1, True)
    assert command("lint").returncode == 3


def test_a_scenario_that_is_none_ends_serve_with_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mock_server", "serve", "--port", "0", "--scenario", "lost-hok"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "did you mean lost-hook?" in done.stderr


def test_a_scenario_that_cannot_be_had_is_named_as_the_option() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mock_server", "serve", "--port", "0", "--scenario", "no-such"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stderr.startswith("fluxmock: --scenario: no-such: expected a file")


@pytest.mark.parametrize(
    ("on", "then"),
    [
        ("job", {"queue_seconds": 1e300}),
        ("job", {"run_seconds": 315360001}),
        ("hook", {"delay": 1e300}),
        ("hook", {"body_bytes": 10**10}),
        ("fetch", {"delay": {"uniform": [0, 1e300]}}),
        ("fetch", {"delay": {"lognormal": [86401, 1]}}),
        ("fetch", {"delay": {"lognormal": [1, 11]}}),
        ("fetch", {"wire": {"idle": 3601}}),
        ("fetch", {"wire": {"length_error": -(10**10)}}),
        ("fetch", {"wire": {"chunks": [10**10]}}),
        ("fetch", {"wire": {"piece": 10**10}}),
        ("fetch", {"wire": {"body_bytes": 10**10}}),
    ],
)
def test_what_is_beyond_all_sense_is_refused(on: str, then: dict[str, Any]) -> None:
    with pytest.raises(ScenarioError, match="f.json:1: at /rules/0/then"):
        parse_scenario(scenario({"on": on, "then": then}), "f.json")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (scenario({"on": "fetch", "then": {"set": {"/a": [1, 2**64]}}}), "f:1: at /rules/0/then/set//a/1: expected a whole number of at most 64 bits"),
        (scenario({"on": "fetch", "then": {"set": {"/a": float("nan")}}}), "f: expected YAML or JSON: NaN is no number in JSON"),
        ("name: x\nrules:\n- 'on': fetch\n  then:\n    set:\n      /a: .inf", "f:6: at /rules/0/then/set//a: expected a number that JSON has"),
        (scenario({"on": "fetch", "then": {"set": {"/a": {"\ud800": 1}}}}), "half of a surrogate pair"),
        (scenario({"on": "job", "then": {"fail": "\udfff"}}), "at /rules/0/then/fail: expected text in Unicode"),
        ("name: x\nrules: []\nsettings:\n  clok: frozen", "f:4: at /settings/clok: 'clok' is unknown; did you mean 'clock'?"),
        ("name: x\nrules: []\nsettings:\n  cls: 1", "'cls' is unknown"),
        ("name: x\nrules: []\nsettings:\n  queue: 0", "f:4: at /settings/queue: queue: expected a whole number, 1 or more, got 0"),
        ("name: x\nrules:\n- on: job\n  where: {prompt_pattern: '\\p{L}'}\n  then: {fail: x}", "f:4: at /rules/0/where/prompt_pattern: expected a regular expression (regex) in the syntax of Python: bad escape"),
        ("name: x\nrules:\n- on: job\n  where: {prompt_pattern: '(?<n>a)'}\n  then: {fail: x}", "unknown extension ?<n"),
        ("name: x\nrules:\n- on: job\n  where: {prompt_pattern: 'a{99999999999}'}\n  then: {fail: x}", "the repetition number is too large"),
        ("name: x\nrules:\n- on: job\n  calls: 010\n  then: {fail: x}", 'got "010"'),
        (scenario({"on": "fetch", "then": {"set": {"/a": json.loads("[" * 120 + "]" * 120)}}}), "nested at most 100 deep"),
        ("name: x\nrules:\n- on: fetch\n  then: {set: {/a: &a {b: *a}}}", "nested at most 100 deep"),
        ("name: !!map [x]\nrules: []", "f:1: expected YAML or JSON: expected a mapping node"),
        ("name: !!int z\nrules: []", "f: expected YAML or JSON: invalid literal"),
        ("name: !!binary eA==\nrules: []", "f:1: expected YAML or JSON: could not determine a constructor"),
        ('{"name": "x", "name": "y", "rules": []}', "f: expected YAML or JSON: 'name' stands twice"),
        ('{"name": "x",\t"rulez": []}', "f: at /: 'rulez' is unknown"),
        (f'{{"name": {"1" * 5000}}}', "f: expected YAML or JSON: Exceeds the limit"),
        (" " * 1024 * 1024 + "1", "f: expected a scenario of at most 1048576 bytes"),
    ],
)  # fmt: skip
def test_what_could_not_be_played_is_refused_when_it_is_read(text: str, words: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        parse_scenario(text, "f")
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("delay", "seconds"), [("1e-3", 0.001), ("1E2", 100.0), ("1e+1", 10), ("\t2", 2), ("0.5", 0.5)]
)
def test_all_of_json_is_read_as_json(delay: str, seconds: float) -> None:
    text = f'{{"name": "x", "story": "\x7f", "rules": [{{"on": "hook", "then": {{"delay": {delay}, "set": {{"/{"k" * 2000}": 1}}}}}}]}}'
    for start in ("", "\n\t", "\ufeff"):
        assert parse_scenario(start + text).rules[0].then.delay == seconds  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("written", "value"),
    [("16:9", "16:9"), ("010", "010"), ("0x1f", "0x1f"), ("1_000", "1_000"), ("=", "="), ("-7", -7), ("0", 0),
     ("1e3", 1000.0), ("1.5", 1.5), (".5", 0.5), ("~", None), ("true", True), ("no", "no"), ("2024-09-10", "2024-09-10")],
)  # fmt: skip
def test_yaml_reads_only_what_looks_like_a_number_as_one(written: str, value: object) -> None:
    found = parse_scenario(f"name: x\nrules:\n- on: fetch\n  then: {{set: {{/a: {written} }}}}")
    (got,) = found.rules[0].then.edit.set.values()  # type: ignore[union-attr]
    assert (got, type(got)) == (value, type(value))


def test_a_flow_mapping_of_yaml_may_begin_with_a_brace() -> None:
    assert parse_scenario("{name: x, rules: []}").name == "x"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("x" * 10_000, "expected a file, or the name of a ready-made scenario"),
        ("x\0y", "expected a file, or the name of a ready-made scenario"),
        (os.sep, "expected a readable file in UTF-8: Is a directory"),
        ("/dev/zero", "expected a scenario of at most 1048576 bytes"),
    ],
    ids=["long", "null", "directory", "endless"],
)
def test_what_is_no_file_to_read_is_refused_in_few_words(name: str, words: str) -> None:
    with pytest.raises(ScenarioError, match=words) as refused:
        find_scenario(name)
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize(
    "data",
    [
        '"{secret}"',
        '{{"{secret}": 1}}',
        '{{"name": "x", "rules": "{secret}"}}',
        '{{"name": "x", "rules": [], "settings": {{"clock": "{secret}"}}}}',
        "a: *{secret}",
        "{secret}: 1\n{secret}: 2",
    ],
)
def test_what_a_file_holds_is_not_quoted_at_length(data: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        parse_scenario(data.format(secret="s3cret" * 500))
    assert str(refused.value).count("s3cret") < 50


@given(
    st.dictionaries(st.text(max_size=5), st.recursive(st.floats() | st.integers() | st.text() | st.none(), st.lists))
)
def test_what_is_set_is_refused_or_can_be_written(values: dict[str, Any]) -> None:
    fields = {f"/{name.replace('/', '')}": value for name, value in values.items()}
    try:
        found = parse_scenario(scenario({"on": "fetch", "then": {"set": fields}}))
    except ScenarioError:
        return
    body = json.loads(edited(found.rules[0].then.edit, b'{"y": 1}'))  # type: ignore[union-attr]
    assert len(body) >= len(fields)
