"""The commands `fluxmock test-client`, `replay` and `properties`. `fluxmock` finds them by entry points."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mock_server.contract import versions

if TYPE_CHECKING:
    from contract_tests.clients.check import Plan
    from contract_tests.clients.properties.base import Policy
    from contract_tests.clients.reports import Context
    from contract_tests.clients.verdict import Verdict

_FORMATS = ("text", "json", "junit", "markdown", "html")
_PROFILES = ("quick", "default", "deep")
_WIDTH_UNKNOWN = 100
_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)


class _WithCommand(click.Command):
    """A command with options, and after `--` the words of a command of the user's, as `ctx.meta["command"]`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = args.index("--") if "--" in args else len(args)
        ctx.meta["command"] = None if at == len(args) else tuple(args[at + 1 :])
        return super().parse_args(ctx, args[:at])

    def collect_usage_pieces(self, _ctx: click.Context) -> list[str]:
        return ["[OPTIONS]", "CLIENT | -- COMMAND..."]


def _ids(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part.strip().upper() for value in values for part in value.split(",") if part.strip())


_REPORTING = (
    click.option(
        "--format", "format_", type=click.Choice(_FORMATS), default="text", show_default=True, help="How to report."
    ),
    click.option("--output", type=_FILE, help="Where to write the report; standard output by default."),
    click.option("--timeline", "timelines", is_flag=True, help="Show how each failure went, not only the first."),
    click.option(
        "--policy",
        "policy_file",
        type=_FILE,
        help="TOML or JSON file with what is declared about the client, such as deadline = 300; by default "
        "[tool.fluxmock.client] of the nearest pyproject.toml.",
    ),
    click.option(
        "--receiver", metavar="MODULE:APP", help="The client's receiver of webhooks, a WSGI or ASGI application."
    ),
)


def _reporting(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_REPORTING):
        command = option(command)
    return command


@dataclass(frozen=True)
class _Reporting:
    """What the options of a report say."""

    format_: str
    output: Path | None
    timelines: bool

    def publish(self, verdict: Verdict, client: str, **more: Any) -> None:
        """Write the report of a verdict; `more` goes into its context."""
        from contract_tests.clients.reports import FORMATS, Context

        terminal = self.output is None and sys.stdout.isatty()
        context: Context = Context(
            client=client,
            width=shutil.get_terminal_size((80, 24)).columns if terminal else _WIDTH_UNKNOWN,
            colour=terminal and "NO_COLOR" not in os.environ,
            encoding=(sys.stdout.encoding or "utf-8") if self.output is None else "utf-8",
            **{"timelines": None if self.timelines else 1, **more},
        )
        text = FORMATS[self.format_](verdict, context)
        if self.output is None:
            click.echo(text, nl=False)
            return
        try:
            self.output.write_text(text, "utf-8")
        except OSError as error:
            raise click.UsageError(f"{self.output}: expected a file that can be written: {error.strerror}") from None


@click.command("test-client", cls=_WithCommand)
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
@click.option("--property", "only", multiple=True, callback=_ids, metavar="ID", help="Only this property; repeatable.")
@click.option("--skip", multiple=True, callback=_ids, metavar="ID", help="Not this property; repeatable.")
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
@click.option("--driver", is_flag=True, help="COMMAND: it stays, and takes a line of JSON for each call.")
@click.option(
    "--timeout", type=click.FloatRange(0.001), metavar="SECONDS", help="COMMAND: real seconds after which it is ended."
)
@click.option("--workers", type=click.IntRange(1), metavar="N", help="COMMAND: how many run at once.")
@click.option(
    "--speed",
    type=click.FloatRange(0.001),
    metavar="X",
    help="COMMAND: its seconds in a real one; it is told by FLUXMOCK_SPEED.",
)
@click.option("--faketime", is_flag=True, help="COMMAND: let libfaketime speed its clock up, so it need not know.")
@click.option("--hook-url", metavar="URL", help="COMMAND: where its receiver of webhooks listens.")
@_reporting
@click.pass_context
def test_client(
    ctx: click.Context,
    /,
    client: str | None,
    examples: int | None,
    seed: int,
    profile: str,
    only: tuple[str, ...],
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
    prompt) and returns an image's bytes, URL or path, or raises. It is run in virtual time. A COMMAND in any language
    stands after --. Exit codes: 0 all MUST hold, 1 one does not, 2 usage, 3 the client never called.
    """
    from contract_tests.clients.check import PROFILES, Plan
    from contract_tests.clients.verdict import Exit

    command: tuple[str, ...] | None = ctx.meta["command"]
    if (client is None) == (not command):
        raise click.UsageError(
            "expected one client: my_module:generate, path/to/file.py:generate, or -- and a command", ctx
        )
    if command and (receiver or write_regression):
        raise click.UsageError("--receiver and --write-regression are for clients of Python, not for a command", ctx)
    running = {name: value for name, value in running.items() if value not in (None, False)}
    if running and not command:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in running)
        raise click.UsageError(f"{names}: for a command, which stands after --", ctx)
    plan = Plan(examples or PROFILES[profile], seed, contract, only, skip, _declared(policy_file))
    try:
        plan.chosen()
    except ValueError as error:
        raise click.UsageError(str(error), ctx) from None
    with _progress(plan.examples) as progress:
        verdict = (
            _check_command(command, plan, progress, running)
            if command
            else _check_python(str(client), plan, receiver, progress)
        )
    more = {"--receiver": receiver, "--policy": policy_file}
    told = {f"--{name.replace('_', '-')}": value for name, value in running.items()}
    again = _words(client, command, plan, profile, {**more, **told})
    saved = _save(verdict, plan, client, receiver, save_scenarios, write_regression)
    name = client or " ".join(command or ())
    _Reporting(format_, output, timelines).publish(
        verdict,
        name,
        contract=contract,
        seed=seed,
        command=again,
        saved=saved,
        options=_given(more),
    )
    if verdict.exit_code is not Exit.OK:
        sys.exit(int(verdict.exit_code))


@click.command()
@click.argument("scenario", type=click.Path(path_type=Path))
@click.argument("client")
@_reporting
def replay(scenario: Path, client: str, policy_file: Path | None, receiver: str | None, **reporting: Any) -> None:
    """
    Play one scenario to a client, show how it went, and judge every property by it.

    SCENARIO is a file that `fluxmock test-client` saved, or any other scenario. CLIENT is as there, and so are the
    exit codes.
    """
    from contract_tests.clients import replaying
    from contract_tests.clients.given import UnusableClient
    from contract_tests.clients.lanes import timeline
    from contract_tests.clients.verdict import Exit

    told = _Reporting(**reporting)
    try:
        done = replaying.replay(scenario, client, policy=_declared(policy_file), receiver=receiver)
    except UnusableClient as error:
        raise click.UsageError(f"{client}: {error}") from None
    if done.saved.edited:
        click.echo(f"fluxmock: {scenario}: was edited, so what its rules try is not known to all properties", err=True)
    if told.format_ == "text" and told.output is None:
        width = shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else _WIDTH_UNKNOWN
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


def _declared(path: Path | None) -> Policy:
    from contract_tests.clients.declared import load

    return load(path)


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

    try:
        return check_command(command, plan=plan, progress=progress, **running)
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
    given = [(name,) if value is True else (name, str(value)) for name, value in options.items() if value is not None]
    return tuple(word for words in given for word in words)


def _save(
    verdict: Verdict,
    plan: Plan,
    client: str | None,
    receiver: str | None,
    scenarios: Path | None,
    regression: Path | None,
) -> dict[str, Path]:
    from contract_tests.clients.regression import write
    from contract_tests.clients.saved import save

    saved = {}
    if scenarios is not None:
        for result in verdict.results:
            if result.story is not None:
                saved[result.property.id] = save(result, scenarios, seed=plan.seed, contract=plan.contract)
    if regression is not None and client is not None:
        written = write(
            verdict,
            regression,
            client,
            seed=plan.seed,
            contract=plan.contract,
            policy=plan.policy,
            receiver=receiver,
        )
        saved = {**written, **saved}
        if written:
            click.echo(f"fluxmock: {len(written)} tests were written; run them with: pytest {regression}", err=True)
    return saved


@contextmanager
def _progress(examples: int) -> Iterator[Callable[[int, int], None]]:
    """Show on a terminal how far it is."""
    if not sys.stderr.isatty():
        yield lambda _done, _of: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    # What a client prints is redirected while it runs, so the bar keeps to the terminal that there was before, and is
    # drawn only between scenarios: a thread that draws would write into the client's output.
    console = Console(file=sys.stderr, no_color="NO_COLOR" in os.environ)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
    ) as bar:
        task = bar.add_task("scenarios", total=examples)
        yield lambda done, _of: bar.update(task, completed=done, refresh=True)
