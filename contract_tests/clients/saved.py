"""Scenarios of a verdict as files: `fluxmock serve --scenario` plays them to any client, `fluxmock replay` to one.

Rules, settings and a name are the scenario; what a directive is beside its rules, such as the prompt that it asks for,
stands in a comment at the head of the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from contract_tests.clients.directives.base import Directive, Family
from contract_tests.clients.verdict import PropertyResult
from contract_tests.scenario_making.writing import Draft, written
from mock_server.contract import versions
from mock_server.errors import SettingsError
from mock_server.scenarios.files import load_scenario, parse_data

_HEAD = "# fluxmock client kit: "
_PLAYED = ("rules", "settings")
# Fields of a directive that stand in the scenario itself.


@dataclass(frozen=True)
class Saved:
    """
    What a file says.

    Args:
        directives: what the server does.
        property: id of the property that it showed to be broken; "" for a scenario that somebody wrote.
        seed: that it was played with.
        contract: version of the contract that it was played in.
        edited: the file has other rules than when it was written, so that which directive they were is not known.
    """

    directives: tuple[Directive, ...]
    property: str = ""
    seed: int = 0
    contract: str = versions()[0]
    edited: bool = False


def save(result: PropertyResult, folder: Path, *, seed: int, contract: str) -> Path:
    """
    Write the scenario of a failure into `folder`, and return the file.

    Args:
        result: the failure.
        folder: where; it is made if it is not there.
        seed: of the exploration.
        contract: version of the contract that was spoken.

    Raises:
        SettingsError: it cannot be written.
    """
    path = folder / f"{result.scenario['name']}.yaml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(result, seed=seed, contract=contract), "utf-8")
    except OSError as error:
        raise SettingsError(f"{path}: expected a place that can be written: {error.strerror}") from None
    return path


def text_of(result: PropertyResult, *, seed: int, contract: str) -> str:
    """Return the scenario of a failure as the text of a file; the arguments are those of `save`."""
    one = result.property
    directives = result.story.directives if result.story is not None else ()
    kept = {
        "property": one.id,
        "seed": seed,
        "directives": [_beside(directive) for directive in directives],
    }
    settings = dict(result.scenario.get("settings", {}))
    if contract != versions()[0]:
        settings["contract"] = contract
    draft = Draft(
        result.scenario["name"],
        result.scenario.get("story", "all goes well"),
        settings,
        [dict(rule) for rule in result.scenario["rules"]],
        head=f"{one.id} ({one.level}): {one.title}",
    )
    text, _ = written(draft)
    return f"{_HEAD}{json.dumps(kept)}\n{text}"


def read(path: Path) -> Saved:
    """
    Return the scenario in a file; raises ScenarioError if it is none.

    One that somebody wrote, or changed, is a single directive of no family that a property knows.
    """
    scenario = load_scenario(path)
    text = path.read_text("utf-8")
    data = parse_data(text, str(path))
    settings: dict[str, Any] = dict(data.get("settings", {}))
    contract = str(settings.pop("contract", versions()[0]))
    kept = _head(text)
    rules: list[Mapping[str, Any]] = data["rules"]
    described = kept.get("directives", [])
    if described and sum(one["rules"] for one in described) == len(rules):
        directives = _directives(described, rules, settings)
        return Saved(directives, str(kept.get("property", "")), int(kept.get("seed", 0)), contract)
    whole = Directive(scenario.story or scenario.name, Family.OTHER, tuple(rules), settings, harmless=False)
    made = (whole,) if rules or settings else ()
    return Saved(made, str(kept.get("property", "")), int(kept.get("seed", 0)), contract, edited=bool(described))


def _beside(directive: Directive) -> dict[str, Any]:
    """Return what a directive is beside its rules, as far as it is not the usual, and how many rules it has."""
    told = {
        field.name: getattr(directive, field.name)
        for field in fields(Directive)
        if field.name not in _PLAYED and (field.default is MISSING or getattr(directive, field.name) != field.default)
    }
    return {**told, "rules": len(directive.rules)}


def _head(text: str) -> dict[str, Any]:
    for line in text.splitlines():
        if line.startswith(_HEAD):
            try:
                kept = json.loads(line.removeprefix(_HEAD))
                for one in kept["directives"]:
                    Directive(**{**one, "family": Family(one["family"]), "rules": ()})
            except (ValueError, TypeError, LookupError):
                return {}
            return dict(kept)
    return {}


def _directives(
    described: Sequence[Mapping[str, Any]], rules: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]
) -> tuple[Directive, ...]:
    made, taken = [], 0
    for number, one in enumerate(described):
        own = tuple(rules[taken : taken + one["rules"]])
        taken += len(own)
        more: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in one.items()}
        more |= {"family": Family(one["family"]), "rules": own, "settings": {} if number else dict(settings)}
        made.append(Directive(**more))
    return tuple(made)
