"""What is cited as a source is spelled out, once: in `schemas/sources.json`, and so on the page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from contract_tests.clients.properties.base import properties
from mock_server import resources

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "sources.md").read_text("utf-8")
SOURCES = resources.load("sources.json")["sources"]


def said(value: Any, name: str) -> Iterator[str]:
    """Yield every text that stands under a name, at any depth."""
    if isinstance(value, dict):
        if name in value:
            yield from texts(value[name])
        for inner in value.values():
            yield from said(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from said(inner, name)


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    else:
        for inner in value.values() if isinstance(value, dict) else value:
            yield from texts(inner)


def everywhere(name: str) -> set[str]:
    """Return all that the contract and the product say under a name."""
    folder = resources.folder("schemas")
    files = [*folder.glob("*/*.json"), folder / "product.json"]
    return {text for path in files for text in said(orjson.loads(path.read_bytes()), name)}


def test_the_contract_and_the_properties_cite_what_is_spelled_out_and_nothing_else() -> None:
    of_properties = {id_ for one in properties().values() for id_ in re.findall(r"\bS\d\b", one.texts["Source"])}
    assert everywhere("x-source") | of_properties == set(SOURCES)


def test_the_page_has_the_table() -> None:
    rows = re.findall(r"^\| (S\d) \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)
    assert rows == [
        (id_, f"{one['name']}: {one['url']}" if "url" in one else one["name"], one["documents"])
        for id_, one in SOURCES.items()
    ]


def test_the_page_says_what_each_degree_of_confidence_means() -> None:
    rows = re.findall(r"^\| ([a-z]+) \| .+ \|$", PAGE.partition("`x-confidence`")[2], re.MULTILINE)
    assert set(rows) == everywhere("x-confidence")
