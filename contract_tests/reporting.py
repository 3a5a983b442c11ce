"""How the commands of the kit report: the options that they share, and the report itself."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from contract_tests.findings import Severity

if TYPE_CHECKING:
    from contract_tests.checker import Report

_FORMATS = ("text", "json", "junit", "sarif", "markdown", "github", "html")
_Command = TypeVar("_Command", bound=Callable[..., Any])


def _writable(_context: click.Context, _parameter: click.Parameter, path: Path | None) -> Path | None:
    """See that a report can be written before anything is done that it should tell of, which may even cost."""
    there = path is not None and path.exists()
    if path is not None and (not there or path.is_file()):  # to open a pipe and close it again would end it
        try:
            path.open("ab").close()
            if not there:
                path.unlink()
        except OSError as error:
            raise click.BadParameter(f"cannot write to {path}: {error.strerror or error}") from None
    return path


_OPTIONS = (
    click.option(
        "--format", "format_", type=click.Choice(_FORMATS), default="text", show_default=True, help="How to report."
    ),
    click.option(
        "--output",
        type=click.Path(path_type=Path, dir_okay=False),
        callback=_writable,
        help="Where to write the report; standard output by default.",
    ),
    click.option(
        "--fail-on",
        type=click.Choice([s.value for s in Severity if s is not Severity.OFF]),
        default="error",
        show_default=True,
        help="The least severity that makes the exit code 1.",
    ),
    click.option(
        "--policy",
        "policy_file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="TOML or JSON file with severities by rule; by default [tool.fluxmock.rules] of the nearest "
        "pyproject.toml.",
    ),
)


def report_options(command: _Command) -> _Command:
    """Give `command` the options `format_`, `output`, `fail_on` and `policy_file`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def publish(report: Report, format_: str, output: Path | None, fail_on: Severity, title: str) -> int:
    """
    Write a report, and return the exit code.

    Args:
        report: what came of a check.
        format_: as `--format` takes it.
        output: where to write; None is standard output.
        fail_on: the least severity that fails.
        title: what was checked.

    Raises:
        click.UsageError: `output` cannot be written; the report is on standard output then.
    """
    from contract_tests.reports import FORMATS, Context, verdict_of

    terminal = output is None and sys.stdout.isatty()
    context = Context(
        title=title,
        width=shutil.get_terminal_size((80, 24)).columns if terminal else 100,
        colour=terminal and "NO_COLOR" not in os.environ,
        encoding=(sys.stdout.encoding or "utf-8") if output is None else "utf-8",
        fail_on=fail_on,
    )
    text = FORMATS[format_](report, context)
    if output is None:
        click.echo(text, nl=False)
    else:
        try:
            output.write_text(text, "utf-8")
        except OSError as error:
            click.echo(text, nl=False)
            raise click.UsageError(f"cannot write to {output}, the report is on standard output: {error}") from None
    return int(verdict_of(report, fail_on))
