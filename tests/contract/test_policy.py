"""The policy file: which rules a user wants to hear of, and how loud."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract_tests import policy
from contract_tests.findings import RULES, Confidence, Severity
from mock_server.errors import SettingsError

GOOD = '[tool.fluxmock.rules]\n"field/unknown" = "off"\n"job/*" = "warning"\n'
READ = {"field/unknown": Severity.OFF, "job/*": Severity.WARNING}


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", GOOD),
        ("rules.toml", GOOD),
        ("rules.toml", '"field/unknown" = "off"\n"job/*" = "warning"\n'),
        ("rules.json", '{"field/unknown": "off", "job/*": "warning"}'),
        ("rules.JSON", '\ufeff{"field/unknown": "off", "job/*": "warning"}'),
    ],
)
def test_a_policy_is_read_from_toml_and_json(tmp_path: Path, name: str, text: str) -> None:
    assert policy.load(written(tmp_path, name, text)).severities == READ


def test_what_was_read_decides(tmp_path: Path) -> None:
    read = policy.load(written(tmp_path, "rules.toml", '"job/*" = "warning"\n"job/price" = "off"'))
    assert read.severity(RULES["job/ids"], Confidence.DOCUMENTED) is Severity.WARNING
    assert read.severity(RULES["job/price"], Confidence.DOCUMENTED) is Severity.OFF
    assert read.severity(RULES["type/changed"], Confidence.DOCUMENTED) is Severity.ERROR


def test_without_a_path_the_nearest_project_with_a_table_of_ours_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "packages" / "one"
    inner.mkdir(parents=True)
    written(tmp_path, "pyproject.toml", GOOD)
    written(inner, "pyproject.toml", '[tool.ruff]\nline-length = 100\n[project]\nname = "one"\n')
    monkeypatch.chdir(inner)
    assert policy.load().severities == READ
    written(inner.parent, "pyproject.toml", '[tool.fluxmock.rules]\n"job/ids" = "info"\n')
    assert policy.load().severities == {"job/ids": Severity.INFO}


def test_without_a_path_or_a_project_the_policy_is_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, "pyproject.toml", '[tool.fluxmock]\nother = 1\n[project]\nname = "x"\n')
    monkeypatch.chdir(tmp_path)
    assert policy.load().severities == {}


def test_a_table_of_the_project_that_nobody_reads_is_refused_with_the_one_that_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "pyproject.toml", '[tool.fluxmock.rulez]\n"field/unknown" = "off"\n')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError) as caught:
        policy.load()
    assert str(caught.value) == (
        f"{path}: [tool.fluxmock.rulez]: no such table; did you mean 'rules'? there are rules, client"
    )


def test_an_unknown_rule_is_refused_with_the_one_that_was_meant(tmp_path: Path) -> None:
    path = written(tmp_path, "pyproject.toml", '[tool.fluxmock.rules]\n"field/unknwon" = "off"\n')
    with pytest.raises(SettingsError) as caught:
        policy.load(path)
    text = str(caught.value)
    assert text.startswith(
        f"{path}: [tool.fluxmock.rules]: 'field/unknwon': no such rule; did you mean 'field/unknown'? there are body/"
    )
    assert all(rule in text for rule in RULES)
    assert "job/*" in text


def test_an_unknown_severity_is_refused_with_the_one_that_was_meant(tmp_path: Path) -> None:
    path = written(tmp_path, "rules.json", '{"job/*": "warn"}')
    with pytest.raises(SettingsError) as caught:
        policy.load(path)
    assert str(caught.value) == (
        f"{path}: 'job/*': expected a severity, got 'warn'; did you mean 'warning'? there are error, warning, info, off"
    )


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        policy.load(written(tmp_path, "rules.toml", '"nonsense" = "off"\n"job/ids" = false\n"jobs/*" = "off"\n'))
    assert [line.split("'")[1] for line in str(caught.value).split("\n")] == ["nonsense", "job/ids", "jobs/*"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("rules.toml", 'field/unknown = "off"', "expected TOML, where rule ids stand in quotes"),
        ("rules.json", "{", "expected JSON"),
        ("rules.json", '{"job/ids": "off", "job/ids": "error"}', "'job/ids' stands twice in one place"),
        ("rules.json", '["job/ids"]', r'expected rules and severities such as "job/\*" = "warning"'),
        ("rules.json", "[" * 200_000, "expected JSON"),
        ("pyproject.toml", "[tool.fluxmock]\nrules = 3", "expected rules and severities"),
        ("pyproject.toml", "[tool.fluxmock.rulez]", r"expected a table \[tool.fluxmock.rules\], got none"),
        ("pyproject.toml", "tool = 3", r"expected a table \[tool.fluxmock.rules\], got none"),
    ],
)
def test_a_file_that_is_no_policy_is_refused_by_name(tmp_path: Path, name: str, text: str, said: str) -> None:
    path = written(tmp_path, name, text)
    with pytest.raises(SettingsError, match=said) as caught:
        policy.load(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_file_that_is_not_there_or_no_text_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.toml: expected a readable file in UTF-8"):
        policy.load(tmp_path / "absent.toml")
    path = tmp_path / "bytes.toml"
    path.write_bytes(b"\xff\xff")
    with pytest.raises(SettingsError, match=r"bytes\.toml: expected a readable file in UTF-8"):
        policy.load(path)
