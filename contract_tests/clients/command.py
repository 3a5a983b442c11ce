"""The commands `fluxmock test-client`, `replay` and `properties`. `fluxmock` finds them by entry points."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from contract_tests.clients.options import (
    WIDTH_UNKNOWN,
    Reporting,
    WithCommand,
    declared_in,
    ids,
    reporting,
    running_options,
    said,
    shown_progress,
)
from mock_server.contract import versions
from mock_server.errors import SettingsError

if TYPE_CHECKING:
    from contract_tests.clients.check import Plan
    from contract_tests.clients.properties.base import Policy
    from contract_tests.clients.replaying import Replay
    from contract_tests.clients.verdict import Verdict

_PROFILES = ("quick", "default", "deep")
_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command("test-client", cls=WithCommand)
@click.argument("client", required=False)
@click.option("--examples", type=click.IntRange(1), metavar="N", help="How many scenarios to play; see --profile.")
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0), metavar="N", help="Seed of what is drawn."
)
@click.option(
    "--profile",
    type=click.Choice(_PROFILES),
    default="default",
    show_default=True,
    help="How many scenarios to play: 40, 250 or 2,500.",
)
@click.option("--property", "only", multiple=True, callback=ids, metavar="ID", help="Only this property; repeatable.")
@click.option(
    "--play", multiple=True, metavar="NAME", help="Only the scenario of that name; repeatable, as in reports."
)
@click.option("--skip", multiple=True, callback=ids, metavar="ID", help="Not this property; repeatable.")
@click.option(
    "--contract",
    type=click.Choice(versions()),
    default=versions()[0],
    show_default=True,
    help="Version of the contract that the API speaks.",
)
@click.option("--save-scenarios", type=_FOLDER, metavar="DIR", help="Write the scenario of each failure into DIR.")
@click.option(
    "--write-regression",
    type=_FOLDER,
    metavar="DIR",
    help="Write a test for pytest, and its scenario, for each failure into DIR.",
)
@running_options
@reporting
@click.pass_context
def test_client(
    ctx: click.Context,
    /,
    client: str | None,
    examples: int | None,
    seed: int,
    profile: str,
    only: tuple[str, ...],
    play: tuple[str, ...],
    skip: tuple[str, ...],
    contract: str,
    save_scenarios: Path | None,
    write_regression: Path | None,
    policy_file: Path | None,
    receiver: str | None,
    format_: str,
    output: Path | None,
    timelines: bool,
    **running: Any,
) -> None:
    """
    Find out what a client of the API does wrong: a verdict, and the smallest scenario that shows each fault.

    CLIENT is a function of Python, my_module:generate or path/to/file.py:generate, that takes (base_url, api_key,
    prompt) and returns an image's bytes, URL or path, or raises. It is run in virtual time.

    COMMAND is a client in any language. {base_url}, {api_key}, {prompt}, {mode}, {image}, {hook_url} and {out} are
    filled in, and are in its environment, too: FLUXMOCK_BASE_URL, TT_API_KEY, FLUXMOCK_PROMPT and so on. It exits with
    0 when it has the image, whose URL or path is its last line of output or which it wrote to {out}.

    \b
    fluxmock test-client client.py:generate
    fluxmock test-client -- node client.mjs {base_url} {api_key} {prompt}
    fluxmock test-client --driver -- python3 driver.py

    Exit codes: 0 all MUST hold, 1 one does not, 2 usage, 3 nothing is known.
    """  # noqa: D301 - click wants the character
    from contract_tests.clients.check import PROFILES, Plan
    from contract_tests.clients.named import directives_of
    from contract_tests.clients.verdict import Exit

    command: tuple[str, ...] | None = ctx.meta["command"]
    if (client is None) == (not command):
        raise click.UsageError(
            "expected one client: my_module:generate, path/to/file.py:generate, or -- and a command", ctx
        )
    if command and receiver:
        raise click.UsageError("--receiver is for a client of Python; a command has its receiver at --hook-url", ctx)
    running = said(running, command, ctx)
    plan = Plan(examples or PROFILES[profile], seed, contract, only, skip, declared_in(policy_file))
    try:
        plan = replace(plan, play=directives_of(play))
        if play and not plan.play:  # the first scenario of every exploration
            plan = replace(plan, examples=1)
        plan.chosen()
    except ValueError as error:
        raise click.UsageError(str(error), ctx) from None
    report = Reporting(format_, output, timelines)
    report.check(save_scenarios, write_regression)
    with shown_progress(plan.examples) as progress:
        verdict = (
            _check_command(command, plan, progress, running)
            if command
            else _check_python(str(client), plan, receiver, progress)
        )
    more = {"--receiver": receiver, "--policy": policy_file}
    told = {f"--{name.replace('_', '-')}": value for name, value in running.items()}
    again = _words(client, command, plan, profile, {**more, **told})
    saved, problem = {}, None
    try:
        saved = _save(verdict, plan, save_scenarios)
        if write_regression is not None:
            saved = {**_write(verdict, plan, write_regression, command or str(client), receiver, running), **saved}
    except SettingsError as error:  # as when a disk is full; the report is not to be lost as well
        problem = error
    name = client or " ".join(command or ())
    report.publish(
        verdict,
        name,
        contract=contract,
        seed=seed,
        command=again,
        saved=saved,
        options=_given(more),
    )
    if problem is not None:
        raise problem
    if verdict.exit_code is not Exit.OK:
        sys.exit(int(verdict.exit_code))


@click.command(cls=WithCommand)
@click.argument("scenario", type=click.Path(path_type=Path))
@click.argument("client", required=False)
@running_options
@reporting
@click.pass_context
def replay(
    ctx: click.Context,
    /,
    scenario: Path,
    client: str | None,
    policy_file: Path | None,
    receiver: str | None,
    format_: str,
    output: Path | None,
    timelines: bool,
    **running: Any,
) -> None:
    """
    Play one scenario to a client, show how it went, and judge every property by it.

    SCENARIO is a file that `fluxmock test-client` saved, or any other scenario. CLIENT, or a COMMAND after --, is as
    there, and so are the exit codes.
    """
    from contract_tests.clients.lanes import timeline
    from contract_tests.clients.verdict import Exit

    command: tuple[str, ...] | None = ctx.meta["command"]
    if (client is None) == (not command):
        raise click.UsageError("expected one client behind the scenario: my_module:generate, or -- and a command", ctx)
    running = said(running, command, ctx)
    policy = declared_in(policy_file)
    done = (
        _replay_command(scenario, command, policy, running)
        if command
        else _replay_python(scenario, str(client), policy, receiver)
    )
    client = client or " ".join(command or ())
    told = Reporting(format_, output, timelines)
    if done.saved.edited:
        click.echo(f"fluxmock: {scenario}: was edited, so what its rules try is not known to all properties", err=True)
    if told.format_ == "text" and told.output is None:
        width = shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else WIDTH_UNKNOWN
        click.echo(timeline(done.story, width=max(width, 60), most_lines=200, encoding=sys.stdout.encoding or "utf-8"))
        click.echo()
    told.publish(done.verdict, client, contract=done.saved.contract, seed=done.saved.seed, timelines=0)
    if done.verdict.exit_code is not Exit.OK:
        sys.exit(int(done.verdict.exit_code))


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option(
    "--format", "format_", type=click.Choice(["text", "json", "markdown"]), default="text", show_default=True,
    help="How to print them.",
)  # fmt: skip
def properties(ids: tuple[str, ...], format_: str) -> None:
    """List the properties that clients are tested for; of those with ID, all that is known."""
    from contract_tests.clients.listing import listed

    try:
        click.echo(listed(tuple(id_.upper() for id_ in ids), format_), nl=False)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _replay_python(scenario: Path, client: str, policy: Policy, receiver: str | None) -> Replay:
    from contract_tests.clients.given import UnusableClient
    from contract_tests.clients.replaying import replay

    try:
        return replay(scenario, client, policy=policy, receiver=receiver)
    except UnusableClient as error:
        raise click.UsageError(f"{client}: {error}") from None


def _replay_command(scenario: Path, command: tuple[str, ...], policy: Policy, running: Mapping[str, Any]) -> Replay:
    from contract_tests.clients.process.check import Running
    from contract_tests.clients.process.processes import UnusableCommand
    from contract_tests.clients.process.replaying import replay_command
    from contract_tests.clients.process.signals import ended_by_signals

    try:
        with ended_by_signals() as stop:
            return replay_command(scenario, Running(command, stop=stop, **running), policy)
    except (UnusableCommand, ValueError) as error:
        raise click.UsageError(str(error)) from None


def _check_python(client: str, plan: Plan, receiver: str | None, progress: Callable[[int, int], None]) -> Verdict:
    from contract_tests.clients.check import check_client
    from contract_tests.clients.given import UnusableClient
    from contract_tests.clients.references import find

    function, app = find(client), find(receiver) if receiver else None
    try:
        return check_client(function, plan=plan, receiver=app, progress=progress)
    except UnusableClient as error:
        raise click.UsageError(f"{client}: {error}") from None


def _check_command(
    command: tuple[str, ...], plan: Plan, progress: Callable[[int, int], None], running: Mapping[str, Any]
) -> Verdict:
    from contract_tests.clients.process.check import check_command
    from contract_tests.clients.process.processes import UnusableCommand
    from contract_tests.clients.process.signals import ended_by_signals

    try:
        with ended_by_signals() as stop:
            return check_command(command, plan=plan, progress=progress, stop=stop, **running)
    except (UnusableCommand, ValueError) as error:
        raise click.UsageError(str(error)) from None


def _words(
    client: str | None,
    command: tuple[str, ...] | None,
    plan: Plan,
    profile: str,
    more: Mapping[str, object],
) -> tuple[str, ...]:
    """Return the words that explore the same client in the same way."""
    from contract_tests.clients.check import PROFILES

    options = {
        **more,
        "--seed": plan.seed or None,
        "--contract": plan.contract if plan.contract != versions()[0] else None,
        "--profile": profile if plan.examples == PROFILES[profile] and profile != "default" else None,
        "--examples": plan.examples if plan.examples != PROFILES[profile] else None,
    }
    last = ("--", *command) if command else ()
    return ("fluxmock", "test-client", *([client] if client else []), *_given(options), *last)


def _given(options: Mapping[str, object]) -> tuple[str, ...]:
    """Return options as words; one that is True stands alone, and None is none."""
    given = [
        (name,) if value is True else (name, f"{value:g}" if isinstance(value, float) else str(value))
        for name, value in options.items()
        if value is not None
    ]
    return tuple(word for words in given for word in words)


def _save(verdict: Verdict, plan: Plan, folder: Path | None) -> dict[str, Path]:
    """Write the scenarios of failures, if there is a folder for them, and return them by the id of the property."""
    from contract_tests.clients.saved import save

    if folder is None:
        return {}
    failures = [one for one in verdict.results if one.story is not None]
    return {one.property.id: save(one, folder, seed=plan.seed, contract=plan.contract) for one in failures}


def _write(
    verdict: Verdict,
    plan: Plan,
    folder: Path,
    client: str | tuple[str, ...],
    receiver: str | None,
    running: Mapping[str, Any],
) -> dict[str, Path]:
    """Write a test of each failure, and return their scenarios by the id of the property."""
    from contract_tests.clients.process.check import Running
    from contract_tests.clients.regression import write
    from contract_tests.reports.wording import counted

    written = write(
        verdict,
        folder,
        client if isinstance(client, str) else Running(client, **running),
        seed=plan.seed,
        contract=plan.contract,
        policy=plan.policy,
        receiver=receiver,
    )
    if written:
        click.echo(f"fluxmock: wrote {counted(len(written), 'test')}; to run: pytest {folder}", err=True)
    return written
