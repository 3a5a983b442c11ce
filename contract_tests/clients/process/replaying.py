"""Plays one saved scenario to a command, and judges every property by what happened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from contract_tests.clients.check import Plan
from contract_tests.clients.process.check import Running, playing_command
from contract_tests.clients.process.endings import careful
from contract_tests.clients.process.naming import told, told_verdict
from contract_tests.clients.properties.base import Policy
from contract_tests.clients.replaying import Replay, judged_by
from contract_tests.clients.saved import read


def replay_command(scenario: Path, running: Running, policy: Policy | None = None) -> Replay:
    """
    Play a scenario to a client that is a command, over real sockets and in real time.

    Args:
        scenario: its file.
        running: the command, and how it is run.
        policy: what is declared about the client.

    Raises:
        SettingsError: the file cannot be used.
        UnusableCommand: the command cannot be run.
        ValueError: it cannot be run in this way.
    """
    saved = read(scenario)
    plan = Plan(seed=saved.seed, contract=saved.contract, policy=policy or Policy())
    with playing_command(running, plan) as (player, _):
        done = judged_by(player.play(saved.directives), saved, plan, careful)
        return replace(done, verdict=told_verdict(done.verdict), story=told(done.story))
