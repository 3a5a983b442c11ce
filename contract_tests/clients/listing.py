"""Lists the properties of clients: all of them in a line each, or what is known of some."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from contract_tests.clients.properties.base import Property, named, properties
from contract_tests.reports.text import wrapped

_WIDTH = 100


def listed(ids: Sequence[str], format_: str) -> str:
    """
    Return properties as text.

    Args:
        ids: of those to tell all about; () lists all.
        format_: text, json or markdown.

    Raises:
        ValueError: there is no property of such an id.
    """
    chosen = named(ids) if ids else list(properties().values())
    if format_ == "json":
        return json.dumps([_data(one) for one in chosen], indent=2) + "\n"
    if format_ == "markdown":
        return _table(chosen)
    return _told(chosen) if ids else _lines(chosen)


def _lines(chosen: Sequence[Property]) -> str:
    lines = [f"{one.id:<3}  {one.level:<6}  {one.title}{_aside(one)}" for one in chosen]
    return "\n".join([*lines, "", "fluxmock properties ID tells all about one.", ""])


def _aside(one: Property) -> str:
    asides = [*(["not in the default profile"] if not one.default else []), *(f"needs {need}" for need in one.needs)]
    return f" ({', '.join(asides)})" if asides else ""


def _told(chosen: Sequence[Property]) -> str:
    lines = []
    for one in chosen:
        lines += [f"{one.id} {one.level}: {one.title}{_aside(one)}", ""]
        for part, words in one.texts.items():
            lines += wrapped(words, f"  {part + ':':<11} ", " " * 14, _WIDTH)
        lines.append("")
    return "\n".join(lines)


def _table(chosen: Sequence[Property]) -> str:
    rows = [
        f"| {one.id} | {one.level} | {_cell(one.title)} | {_cell(one.texts['Invariant'])} | {_cell(one.fix)} |"
        for one in chosen
    ]
    return "\n".join(["| id | level | property | invariant | usual fix |", "|---|---|---|---|---|", *rows, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _data(one: Property) -> dict[str, Any]:
    texts = {name.lower().replace(" ", "_"): words for name, words in one.texts.items()}
    return {
        "id": one.id,
        "title": one.title,
        "level": one.level,
        "default": one.default,
        "needs": sorted(one.needs),
        "tries": sorted(one.families),
        **texts,
    }
