"""Reads what a user wants to be told, and how loud: from pyproject.toml, or from a file of TOML or JSON."""

from __future__ import annotations

from pathlib import Path

from contract_tests.findings import RULES, Policy, Severity
from contract_tests.project import known, table
from mock_server.errors import SettingsError

_KINDS = list(dict.fromkeys(f"{rule.partition('/')[0]}/*" for rule in RULES))


def load(path: Path | None = None) -> Policy:
    """
    Return the policy in a file.

    In a pyproject.toml it is the table [tool.fluxmock.rules], which also any other file of TOML may have; else names
    and severities stand at the top: `"field/unknown" = "off"`, `"job/*" = "warning"`.

    Args:
        path: of the file; its name ends in .json for JSON. Without it, the nearest pyproject.toml that has a table of
            fluxmock is looked for, from the current folder upwards; where there is none, the policy is the usual one.

    Raises:
        SettingsError: the file cannot be read, or names a rule or a severity that there is not.
    """
    return _policy(*table("rules", path))


def _policy(rules: object, where: str) -> Policy:
    if not isinstance(rules, dict):
        raise SettingsError(f'{where}: expected rules and severities such as "job/*" = "warning", got {rules!r}')
    problems = []
    for name, severity in rules.items():
        if name not in RULES and name not in _KINDS:
            hint = known(name, (*RULES, *_KINDS))
            problems.append(f"{where}: {name!r}: no such rule; {hint}")
        elif severity not in list(Severity):
            hint = known(severity, [one.value for one in Severity])
            problems.append(f"{where}: {name!r}: expected a severity, got {severity!r}; {hint}")
    if problems:
        raise SettingsError("\n".join(problems))
    return Policy({name: Severity(severity) for name, severity in rules.items()})
