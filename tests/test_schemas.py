"""The contract as data: every file is valid, annotated, readable, and holds its own examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import jsonschema_rs
import pytest
from referencing import Registry, Resource

from mock_server import resources
from mock_server.contract import contract, versions
from mock_server.product import load_product

ROOT = resources.folder("schemas")
FILES = sorted(ROOT.glob("*/*.json"))
NAMES = {
    "generate.request", "generate.response", "edits.request", "edits.response", "fetch.request", "fetch.response",
    "error.response", "callback.request",
}  # fmt: skip
CONFIDENCE = {"documented", "observed", "assumed"}
SOURCES = resources.load("sources.json")["sources"].keys()


def load(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def properties(schema: Any, where: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Every property definition in a schema, at any depth."""
    found: list[tuple[str, dict[str, Any]]] = []
    if isinstance(schema, dict):
        for name, value in schema.items():
            if name == "properties":
                found += [(f"{where}/{field}", definition) for field, definition in value.items()]
            if name not in {"examples", "x-http"}:
                found += properties(value, f"{where}/{name}")
    return found


@pytest.mark.parametrize("version", versions())
def test_every_version_has_every_message(version: str) -> None:
    assert {path.stem for path in (ROOT / version).iterdir()} == NAMES


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_schema_is_valid_and_says_who_it_is(path: Path) -> None:
    schema = load(path)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"].endswith(f"/schemas/{path.parent.name}/{path.name}")
    assert schema["title"]
    assert schema["description"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_property_names_its_source_and_confidence(path: Path) -> None:
    for where, definition in properties(load(path)):
        assert definition["x-confidence"] in CONFIDENCE, where
        assert set(definition["x-source"]) <= SOURCES, where
        assert definition["x-source"] or definition["x-confidence"] == "assumed", f"{where}: a fact needs a source"


@pytest.mark.parametrize("version", versions())
def test_every_error_status_names_its_source_and_confidence(version: str) -> None:
    for status, entry in contract(version).schemas["error.response"]["x-http"].items():
        assert 400 <= int(status) <= 599
        assert entry["x-confidence"] in CONFIDENCE
        assert entry["x-source"] or entry["x-confidence"] == "assumed"


@pytest.mark.parametrize("version", versions())
@pytest.mark.parametrize("name", sorted(NAMES))
def test_examples_fit_in_both_validators(version: str, name: str) -> None:
    schemas = contract(version).schemas
    registry = Registry().with_resources((schema["$id"], Resource.from_contents(schema)) for schema in schemas.values())
    reference = jsonschema.Draft202012Validator(schemas[name], registry=registry)
    assert schemas[name]["examples"]
    for example in schemas[name]["examples"]:
        reference.validate(example)
        assert contract(version).accepts(name, example)


def test_the_product_sells_exactly_the_modes_of_the_contracts() -> None:
    modes = {
        mode
        for version in versions()
        for name in ("generate.request", "edits.request")
        for mode in contract(version).choices(name, "mode")
    }
    assert set(load_product().modes) == modes


def test_the_product_has_a_size_for_every_aspect_ratio() -> None:
    sizes = load_product().sizes
    for version in versions():
        assert set(contract(version).choices("generate.request", "aspect_ratio")) == set(sizes)
    for ratio, size in sizes.items():
        across, down = map(int, ratio.split(":"))
        width, height = map(int, size.split("x"))
        assert width / height == pytest.approx(across / down, rel=0.05)


def test_the_versions_differ_as_the_sources_do() -> None:
    old, new = contract("2024-09"), contract("2026-03")
    assert (old.id_field, new.id_field) == ("jobId", "job_id")
    assert old.queued_statuses == ("ON_QUEUE",)
    assert set(new.queued_statuses) == {"PENDING_QUEUE", "ON_QUEUE"}
    dropped = set(old.choices("generate.request", "mode")) - set(new.choices("generate.request", "mode"))
    assert dropped == {"flux1-schnell"}
    assert "flux1-schnell" in new.choices("edits.request", "mode")


def test_an_unknown_version_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"^expected a contract version out of 2024-09, 2026-03, got '1999'$"):
        contract("1999")


def test_the_product_file_fits_its_own_schema() -> None:
    validator = jsonschema_rs.Draft202012Validator(resources.load("product.schema.json"))
    assert validator.is_valid(resources.load("product.json"))
