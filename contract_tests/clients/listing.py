"""Lists the properties of clients: all of them in a line each, or what is known of some."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from contract_tests.clients.properties.base import PARTS, Property, Unjudged, known, properties, unjudged
from contract_tests.reports.text import wrapped
from mock_server import resources

_WIDTH = 100


def listed(ids: Sequence[str], format_: str) -> str:
    """
    Return properties as text.

    Args:
        ids: of those to tell all about; () lists all, those that are not judged at the end.
        format_: text, json or markdown.

    Raises:
        ValueError: there is no property of such an id.
    """
    chosen: list[Property | Unjudged] = known(ids) if ids else [*properties().values(), *unjudged().values()]
    if format_ == "json":
        return json.dumps([_data(one) for one in chosen], indent=2) + "\n"
    if format_ == "markdown":
        return _table(chosen)
    return _told(chosen) if ids else _lines(chosen)


def _lines(chosen: Sequence[Property | Unjudged]) -> str:
    lines = []
    for one in chosen:
        aside = f" (not judged: {one.reason})" if isinstance(one, Unjudged) else _aside(one)
        lines += wrapped(f"{one.title}{aside}", f"{one.id:<3}  {one.level:<6}  ", " " * 13, _WIDTH)
    return "\n".join([*lines, "", "fluxmock properties ID tells all about one.", ""])


def _aside(one: Property | Unjudged) -> str:
    if isinstance(one, Unjudged):
        return ""
    needs = [*sorted(one.needs), *([f"{one.declaration} declared"] if one.declaration else [])]
    return f" (needs {', '.join(needs)})" if needs else ""


def _told(chosen: Sequence[Property | Unjudged]) -> str:
    parts = []
    for one in chosen:
        texts = {"Not judged": one.reason} if isinstance(one, Unjudged) else one.texts
        parts += [f"{one.id} {one.level}: {one.title}{_aside(one)}", _paragraphs(texts)]
    sources = _paragraphs(_sources(chosen))
    return "\n\n".join([*parts, *([sources] if sources else [])]) + "\n"


def _paragraphs(texts: Mapping[str, str]) -> str:
    lines = [line for name, words in texts.items() for line in wrapped(words, f"  {name + ':':<11} ", " " * 14, _WIDTH)]
    return "\n".join(lines)


def _sources(chosen: Sequence[Property | Unjudged]) -> dict[str, str]:
    """Return the sources that are cited, and what each of them is."""
    cited = {id_ for one in chosen if isinstance(one, Property) for id_ in re.findall(r"\bS\d\b", one.texts["Source"])}
    return {
        id_: f"{source['name']}{': ' + source['url'] if 'url' in source else ''} ({source['documents']})"
        for id_, source in resources.load("sources.json")["sources"].items()
        if id_ in cited
    }


def _table(chosen: Sequence[Property | Unjudged]) -> str:
    rows = ["| " + " | ".join(_cell(text) for text in _cells(one)) + " |" for one in chosen]
    return "\n".join(["| id | level | property | invariant | usual fix |", "|---|---|---|---|---|", *rows, ""])


def _cells(one: Property | Unjudged) -> tuple[str, ...]:
    if isinstance(one, Unjudged):
        return one.id, one.level, one.title, f"not judged: {one.reason}", ""
    return one.id, one.level, one.title, one.texts["Invariant"], one.fix


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _data(one: Property | Unjudged) -> dict[str, Any]:
    """Return a property for programs; all have the same names, and null where there is nothing to say."""
    judged = one if isinstance(one, Property) else None
    return {
        "id": one.id,
        "title": one.title,
        "level": one.level,
        "judged": judged is not None,
        "reason": one.reason if isinstance(one, Unjudged) else None,
        "default": judged is not None and not judged.declaration,
        "needs": sorted(judged.needs) if judged else [],
        "declare": (judged.declaration or None) if judged else None,
        "tries": sorted(judged.families) if judged else [],
        **{part.lower().replace(" ", "_"): judged.texts[part] if judged else None for part in PARTS},
    }
