"""Writes a failure down as a test that plain pytest runs: the scenario, and a few lines that play it to the client."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Container
from dataclasses import fields
from pathlib import Path

from contract_tests.clients.process.check import Running
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

from contract_tests import {names}

HERE = Path(__file__).resolve().parent
SCENARIO = HERE / {scenario}
ROOT = HERE / {root}


def test_{name}() -> None:
    """{why}."""
    replayed = {call}
    replayed.check("{id}")
'''


def write(
    verdict: Verdict,
    folder: Path,
    client: str | Running,
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
        client: its reference, as the command takes it in the current folder, or how it is run, if it is a command.
        seed: of the exploration.
        contract: version of the contract that was spoken.
        policy: what is declared about the client.
        receiver: reference of its receiver of webhooks.

    Raises:
        SettingsError: something cannot be written.
    """
    written = {}
    names, call = _call(client, policy or Policy(), receiver)
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
            names=names,
            call=call,
            name=name,
            why=shown(scenario_line(result)).replace("\\", "\\\\").replace('"', "'"),
            scenario=_quoted(path.name),
        )
        test = folder / f"test_{path.stem.replace('-', '_')}.py"
        try:
            test.write_text(text, "utf-8")
        except OSError as error:
            raise SettingsError(f"{test}: expected a place that can be written: {error.strerror}") from None
    return written


def _call(client: str | Running, policy: Policy, receiver: str | None) -> tuple[str, str]:
    """Return what plays the scenario, and the names that it needs."""
    declared = _pasteable(policy)
    if isinstance(client, str):
        called = f"replay(SCENARIO, {_quoted(client)}, policy={declared}, receiver={_quoted(receiver)}, root=ROOT)"
        return "Policy, replay", called
    options = _changed(client, Running(()), but=("argv", "stop", "root"))
    running = ", ".join([json.dumps(list(client.argv), ensure_ascii=False), *options, "root=ROOT"])
    return "Policy, Running, replay_command", f"replay_command(SCENARIO, Running({running}), {declared})"


def _quoted(text: str | None) -> str:
    return "None" if text is None else json.dumps(text, ensure_ascii=False)


def _pasteable(policy: Policy) -> str:
    return f"Policy({', '.join(_changed(policy, Policy()))})"


def _changed(value: Policy | Running, usual: Policy | Running, but: Container[str] = ()) -> list[str]:
    """Return the fields that are not as usual, as arguments."""
    values = {field.name: getattr(value, field.name) for field in fields(value) if field.name not in but}
    return [f"{name}={given!r}" for name, given in values.items() if given != getattr(usual, name)]
