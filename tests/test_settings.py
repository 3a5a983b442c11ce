"""Settings and the product file: what is accepted, and how a refusal is worded."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support import Caller

import mock_server
from mock_server.app import create_app
from mock_server.errors import SettingsError
from mock_server.hooks.deliverer import RecordingDeliverer
from mock_server.product import load_product
from mock_server.settings import Settings
from mock_server.world import World


def product(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "product.json"
    path.write_text(json.dumps(changes))
    return path


def test_texts_and_values_mean_the_same() -> None:
    assert Settings.of(balance="20", key="a,b", refund="yes") == Settings.of(
        balance=Decimal(20), key=("a", "b"), refund=True
    )


def test_an_unknown_setting_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match=r"^clok: no such setting; expected one of admin_token, balance, clock"):
        mock_server.serve(clok="auto")


def test_a_product_file_changes_price_duration_and_size(tmp_path: Path) -> None:
    path = product(
        tmp_path,
        modes={"flux1-dev": {"price": "2.5", "seconds": [1, 1]}},
        sizes={"by_aspect_ratio": {"1:1": "512x512"}},
        queue_seconds={"range": [0, 0]},
    )
    chosen = Settings.of(product=path, clock="frozen")
    caller = Caller(create_app(world=World(chosen, deliverer=RecordingDeliverer())))
    job_id = caller.submit()
    tenant = caller.app.world.tenant(caller.key)
    tenant.advance_to(tenant.clock.now() + 1)
    data = caller.fetch(job_id)["data"]
    assert (data["quota"], data["size"]) == ("2.5", "512x512")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"modes": {"flux1-dev": None}}, "flux1-dev is missing"),
        ({"modes": {"flux-9": {"price": "1", "seconds": [1, 2], "reported_as": "x"}}}, "flux-9 is in no contract"),
        ({"modes": {"flux1-dev": {"seconds": [9, 1]}}}, "expected shortest, longest, got 9, 1"),
        ({"modes": {"flux1-dev": {"price": 1}}}, "at /modes/flux1-dev/price"),
        ({"mods": {}}, "mods"),
        ({"sizes": {"by_aspect_ratio": {"1:1": "huge"}}}, "at /sizes/by_aspect_ratio/1:1"),
    ],
)
def test_a_product_file_that_cannot_work_is_refused_at_the_start(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(words)):
        load_product(product(tmp_path, **changes))


def test_a_product_may_be_given_as_an_object_too() -> None:
    chosen = Settings.of(product={"image_days": {"value": 0.5}})
    assert load_product(chosen.product).image_seconds == 43200
    with pytest.raises(SettingsError, match="at /image_days/value"):
        load_product({"image_days": {"value": 0}})


def test_a_tenant_may_have_settings_of_its_own() -> None:
    with mock_server.serve(port=0, clock="frozen", balance=5) as server:
        assert server.tenant("poor").ledger.balance() == 5
        assert server.tenant("rich", balance=50).ledger.balance() == 50
        assert server.tenant("rich").ledger.balance() == 50
        with pytest.raises(SettingsError, match="not blank"):
            server.tenant(" ")


def test_a_server_that_does_not_run_has_no_url() -> None:
    server = mock_server.serve(port=0)
    with pytest.raises(RuntimeError, match=r"use it in a with statement$"):
        _ = server.url
    server.world.close()
