"""What the commands of the client kit share: options, a command behind `--`, where a report goes, how far it is."""

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

if TYPE_CHECKING:
    from contract_tests.clients.properties.base import Policy
    from contract_tests.clients.reports import Context
    from contract_tests.clients.verdict import Verdict

_FORMATS = ("text", "json", "junit", "markdown", "html")
WIDTH_UNKNOWN = 100
"""Columns of what is no terminal."""

_FILE = click.Path(path_type=Path, dir_okay=False)


class WithCommand(click.Command):
    """A command with options, and after `--` the words of a command of the user's, as `ctx.meta["command"]`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options, and leave what stands after `--` as it is."""
        at = args.index("--") if "--" in args else len(args)
        ctx.meta["command"] = None if at == len(args) else tuple(args[at + 1 :])
        return super().parse_args(ctx, args[:at])

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return what the line on usage says."""
        pieces = super().collect_usage_pieces(ctx)
        return ["CLIENT | -- COMMAND..." if piece == "[CLIENT]" else piece for piece in pieces]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help on the options, by what they are for."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                sections.setdefault(_SECTIONS.get(parameter.name or "", "Options"), []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def ids(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Return ids of properties, which may be written with commas."""
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


def reporting(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a report."""
    for option in reversed(_REPORTING):
        command = option(command)
    return command


_RUNNING = (
    click.option("--driver", is_flag=True, help="It stays, and takes a line of JSON for each call."),
    click.option(
        "--edits",
        is_flag=True,
        help="It can edit a picture, whose path it is told; one with {image} in its arguments need not say so.",
    ),
    click.option(
        "--hook-url",
        metavar="URL",
        help="Where its receiver of webhooks listens, if that is not for itself to say when it submits.",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(0.001),
        metavar="SECONDS",
        help="Real seconds after which it is ended.  [default: 20]",
    ),
    click.option("--workers", type=click.IntRange(1), metavar="N", help="How many run at once.  [default: 16]"),
    click.option(
        "--speed",
        type=click.FloatRange(0.001),
        metavar="X",
        help="Its seconds in a real one; it is told by FLUXMOCK_SPEED.  [default: 1]",
    ),
    click.option("--faketime", is_flag=True, help="Let libfaketime speed its clock up, so that it need not know."),
)
_SECTIONS = {
    **dict.fromkeys(("driver", "edits", "hook_url", "timeout", "workers", "speed", "faketime"), "Of a COMMAND"),
    "receiver": "Of a CLIENT of Python",
}


def running_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of how a client is run that is a command itself."""
    for option in reversed(_RUNNING):
        command = option(command)
    return command


@dataclass(frozen=True)
class Reporting:
    """What the options of a report say."""

    format_: str
    output: Path | None
    timelines: bool

    def check(self, *folders: Path | None) -> None:
        """
        Look whether the report, and what goes into folders, can be written: to know that afterwards is too late.

        Raises:
            click.UsageError: something cannot.
        """
        if self.output is not None and not _takes_files(self.output.absolute().parent):
            raise click.UsageError(f"{self.output}: expected a file in a folder that is there and can be written into")
        for folder in filter(None, folders):
            there = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
            if not _takes_files(there):
                raise click.UsageError(f"{folder}: expected a folder that can be written into, got {there}")

    def publish(self, verdict: Verdict, client: str, **more: Any) -> None:
        """Write the report of a verdict; `more` goes into its context."""
        from contract_tests.clients.reports import FORMATS, Context

        terminal = self.output is None and sys.stdout.isatty()
        context: Context = Context(
            client=client,
            width=shutil.get_terminal_size((80, 24)).columns if terminal else WIDTH_UNKNOWN,
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
            click.echo(text, nl=False)
            raise click.UsageError(f"{self.output}: expected a file that can be written: {error.strerror}") from None


def _takes_files(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK)


def said(running: Mapping[str, Any], command: tuple[str, ...] | None, ctx: click.Context) -> dict[str, Any]:
    """Return the options of running a command that were given; UsageError if there is no command."""
    said = {name: value for name, value in running.items() if value not in (None, False)}
    if said and not command:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in said)
        raise click.UsageError(f"{names}: for a command, which stands after --", ctx)
    return said


def declared_in(path: Path | None) -> Policy:
    """Return what is declared about the client in a file, or in the nearest pyproject.toml."""
    from contract_tests.clients.declared import load

    return load(path)


@contextmanager
def shown_progress(examples: int) -> Iterator[Callable[[int, int], None]]:
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
