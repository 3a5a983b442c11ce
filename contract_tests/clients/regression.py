"""Writes a failure down as a test that plain pytest runs: the scenario, and a few lines that play it to the client."""

from __future__ import annotations

import json
import os
import re
from dataclasses import fields
from pathlib import Path

from contract_tests.clients.properties.base import Policy
from contract_tests.clients.reports.frame import is_broken
from contract_tests.clients.reports.wording import scenario_line
from contract_tests.clients.saved import save
from contract_tests.clients.verdict import Verdict
from contract_tests.reports.masking import shown
from mock_server.errors import SettingsError

_TEST = '''\
"""{id}: {title}.

Made by `fluxmock test-client`, to stay: it fails as long as the client does this.
"""

from pathlib import Path

from contract_tests import Policy, replay

HERE = Path(__file__).resolve().parent
SCENARIO = HERE / {scenario}
ROOT = HERE / {root}


def test_{name}() -> None:
    """{why}."""
    replayed = replay(SCENARIO, {client}, policy={policy}, receiver={receiver}, root=ROOT)
    replayed.check("{id}")
'''


def write(
    verdict: Verdict,
    folder: Path,
    client: str,
    *,
    seed: int,
    contract: str,
    policy: Policy | None = None,
    receiver: str | None = None,
) -> dict[str, Path]:
    """
    Write a scenario and a test for each failure, and return the scenarios by the id of the property.

    Args:
        verdict: with the failures.
        folder: where to; it is made if it is not there.
        client: its reference, as the command takes it in the current folder.
        seed: of the exploration.
        contract: version of the contract that was spoken.
        policy: what is declared about the client.
        receiver: reference of its receiver of webhooks.

    Raises:
        SettingsError: something cannot be written.
    """
    written = {}
    for result in verdict.results:
        if not is_broken(result):
            continue
        one = result.property
        path = written[one.id] = save(result, folder, seed=seed, contract=contract)
        name = re.sub(r"[^a-z0-9]+", "_", f"{one.id} {one.title}".lower()).strip("_")
        text = _TEST.format(
            id=one.id,
            title=one.title,
            root=_quoted(Path(os.path.relpath(Path.cwd(), folder.resolve())).as_posix()),
            policy=_pasteable(policy or Policy()),
            name=name,
            why=shown(scenario_line(result)).replace("\\", "\\\\").replace('"', "'"),
            client=_quoted(client),
            receiver=_quoted(receiver),
            scenario=_quoted(path.name),
        )
        test = folder / f"test_{path.stem.replace('-', '_')}.py"
        try:
            test.write_text(text, "utf-8")
        except OSError as error:
            raise SettingsError(f"{test}: expected a place that can be written: {error.strerror}") from None
    return written


def _quoted(text: str | None) -> str:
    return "None" if text is None else json.dumps(text)


def _pasteable(policy: Policy) -> str:
    usual = Policy()
    changed = {field.name: getattr(policy, field.name) for field in fields(Policy)}
    given = (f"{name}={value!r}" for name, value in changed.items() if value != getattr(usual, name))
    return f"Policy({', '.join(given)})"
