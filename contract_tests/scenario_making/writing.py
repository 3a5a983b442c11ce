"""Writes a scenario as YAML, with what it cannot show as comments at its head."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from contract_tests.reports.wording import counted
from mock_server.scenarios.files import ScenarioError, parse_scenario

_PLAIN = re.compile(r"[A-Za-z][A-Za-z_-]*(?: [A-Za-z_-]+)*|/[A-Za-z_/-]+")
_OTHER_THAN_WORDS = {"null", "true", "false", "yes", "no", "off", "y", "n"}
# What YAML, or an older one, does not take for a text. "on" is a name here, as in every scenario.


@dataclass(frozen=True, slots=True)
class Draft:
    """
    A scenario that is to be written.

    Args:
        name: of it.
        story: in one line.
        settings: that the tenant needs.
        rules: as the scenario language writes them.
        head: what is said of it before it begins.
        remarks: what it does not show as it was.
        above: what stands above the remarks.
    """

    name: str
    story: str
    settings: dict[str, Any] = field(default_factory=dict)
    rules: Sequence[dict[str, Any]] = ()
    head: str = ""
    remarks: Sequence[str] = ()
    above: str = "Not as it was recorded:"


class _Dumper(yaml.SafeDumper):
    """Writes texts in quotes unless they are plain words: what YAML takes for something else differs by version."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - every value is written out
        return True

    def text(self, text: str) -> yaml.ScalarNode:
        plain = _PLAIN.fullmatch(text) and text.lower() not in _OTHER_THAN_WORDS
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _Dumper.text)
_Dumper.yaml_implicit_resolvers = {
    first: found for first, found in yaml.SafeDumper.yaml_implicit_resolvers.items() if first not in "oO"
}


def name_of(text: str) -> str:
    """Return `text` as the name of a scenario."""
    return "-".join(re.findall("[a-z0-9]+", text.lower())) or "recorded"


def written(draft: Draft) -> tuple[str, list[str]]:
    """Return a scenario as text, and its remarks: a rule that the language cannot hold is left out, and said."""
    rules, remarks = list(draft.rules), list(draft.remarks)
    text = _text(draft, rules, remarks)
    if _is_sound(text):
        return text, remarks
    sound = [rule for rule in rules if _is_sound(_text(draft, [rule], []))]
    if len(sound) < len(rules):
        remarks.append(f"{counted(len(rules) - len(sound), 'rule')} that the language of scenarios cannot hold")
    text = _text(draft, sound, remarks)
    while sound and not _is_sound(text):  # now only its length can be wrong
        sound = sound[: len(sound) // 2]
        remarks = [*draft.remarks, f"all but the first {len(sound)} rules: the file would be too long"]
        text = _text(draft, sound, remarks)
    return text, remarks


def _is_sound(text: str) -> bool:
    try:
        parse_scenario(text)
    except ScenarioError:
        return False
    return True


def _text(draft: Draft, rules: Sequence[dict[str, Any]], remarks: Sequence[str]) -> str:
    lines = [draft.head] if draft.head else []
    if remarks:
        lines += [draft.above, *(f"- {remark}" for remark in remarks)]
    head = "".join(f"# {_printable(line)}\n" for line in lines)
    settings = {"settings": draft.settings} if draft.settings else {}
    return head + _yaml({"name": draft.name, "story": draft.story, **settings, "rules": list(rules)})


def _yaml(data: Any) -> str:
    return yaml.dump(data, Dumper=_Dumper, allow_unicode=True, sort_keys=False, default_flow_style=None, width=110)


def _printable(line: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in line)
