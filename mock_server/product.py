"""What the product charges, how long it takes, how large its images are and where it is: `schemas/product.json`.

Nearly all of it is assumed, so a user may put a file of their own over it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson

from mock_server import resources
from mock_server.contract import contract, versions
from mock_server.errors import SettingsError
from mock_server.model import Plan


@dataclass(frozen=True, slots=True)
class Mode:
    """
    One model as it is sold.

    Args:
        price: quota units a job.
        seconds: shortest and longest time in ON_QUEUE.
        reported_as: its name in results (`flux-dev` for `flux1-dev`, S1).
    """

    price: Decimal
    seconds: tuple[float, float]
    reported_as: str


@dataclass(frozen=True, slots=True)
class Origins:
    """Where the real product is: scheme and host of its API and of its image URLs, without a slash at the end."""

    api: str
    images: str


@dataclass(frozen=True, slots=True)
class Product:
    """Prices, durations (seconds) and sizes ("1024x1024") of the emulated product."""

    origins: Origins
    modes: dict[str, Mode]
    queue_seconds: tuple[float, float]
    sizes: dict[str, str]
    image_seconds: float
    failure: str
    quota_per_usd: int

    def plan(self, mode: str, queue_share: float, run_share: float) -> Plan:
        """Return how a job of `mode` will go; the shares, 0 to 1, say where in each range its times lie."""
        low, high = self.queue_seconds
        shortest, longest = self.modes[mode].seconds
        return Plan(
            queue_seconds=round(low + (high - low) * queue_share, 3),
            run_seconds=round(shortest + (longest - shortest) * run_share, 3),
        )


def load_product(override: Path | Mapping[str, Any] | None = None) -> Product:
    """
    Read `schemas/product.json`, with the JSON object `override`, or in that file, merged over it (RFC 7386).

    Raises:
        SettingsError: the file cannot be read, is no JSON, or does not fit `schemas/product.schema.json`.
    """
    data = resources.load("product.json")
    if isinstance(override, Mapping):
        data = _merge(data, override)
    elif override is not None:
        try:
            data = _merge(data, orjson.loads(override.read_bytes()))
        except (OSError, ValueError) as error:
            raise SettingsError(f"product: expected a readable JSON file, got {override}: {error}") from None
    validator = jsonschema_rs.Draft202012Validator(resources.load("product.schema.json"))
    for problem in validator.iter_errors(data):
        place = "/" + "/".join(map(str, problem.instance_path))
        raise SettingsError(f"product: {override}: at {place}: {problem.message}")
    _check_modes(data["modes"], override)
    modes = {
        name: Mode(Decimal(entry["price"]), tuple(entry["seconds"]), entry["reported_as"])
        for name, entry in data["modes"].items()
    }
    return Product(
        origins=Origins(data["origins"]["api"], data["origins"]["images"]),
        modes=modes,
        queue_seconds=tuple(data["queue_seconds"]["range"]),
        sizes=data["sizes"]["by_aspect_ratio"],
        image_seconds=data["image_days"]["value"] * 86400,
        failure=data["failure"]["value"],
        quota_per_usd=data["quota_per_usd"]["value"],
    )


def _check_modes(modes: dict[str, Any], override: Path | Mapping[str, Any] | None) -> None:
    sold = {
        mode
        for version in versions()
        for schema in ("generate.request", "edits.request")
        for mode in contract(version).choices(schema, "mode")
    }
    for name in sorted(sold ^ modes.keys()):
        wrong = "is missing" if name in sold else f"is in no contract; there are {', '.join(sorted(sold))}"
        raise SettingsError(f"product: {override}: at /modes: {name} {wrong}")
    for name, entry in modes.items():
        low, high = entry["seconds"]
        if low > high:
            raise SettingsError(
                f"product: {override}: at /modes/{name}/seconds: expected shortest, longest, got {low:g}, {high:g}"
            )


def _merge(base: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(base) if isinstance(base, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge(merged.get(name), value)
    return merged
