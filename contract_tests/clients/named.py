"""Directives by the words that name them in a command: what a report shows can be played again by anybody."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any

from contract_tests.clients.directives.base import Directive, Family
from contract_tests.clients.directives.menu import plain

ALL_WENT_WELL = "all went well"
"""Names the scenario of no directive."""


def word_of(directive: Directive) -> str:
    """Return the name of a directive of the menu, and any other as JSON."""
    if directive in plain():
        return directive.name
    told = {
        field.name: getattr(directive, field.name)
        for field in fields(Directive)
        if field.default is MISSING or getattr(directive, field.name) != field.default
    }
    return json.dumps({name: value for name, value in told.items() if value not in ((), {})})


def directives_of(words: Sequence[str]) -> tuple[Directive, ...]:
    """Return the directives of a scenario, each by its word; ValueError if one is none."""
    return tuple(directive_of(word) for word in words if word != ALL_WENT_WELL)


def directive_of(word: str) -> Directive:
    """Return the directive that `word_of` gave a word for; ValueError if it is none."""
    known = {directive.name: directive for directive in plain()}
    if word in known:
        return known[word]
    try:
        told: dict[str, Any] = json.loads(word)
        made: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in told.items()
        }
        return Directive(**{**made, "family": Family(made["family"])})
    except (ValueError, TypeError, LookupError, AttributeError):
        raise ValueError(
            f"expected what a report names as the scenario, such as {plain()[0].name!r} or {ALL_WENT_WELL!r}, got "
            f"{word!r}; of a scenario of several things each has its own --play"
        ) from None
