"""The commands of the kit: check, record, openapi, schemas. `fluxmock` finds them by entry points."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from contract_tests.exchanges import Endpoint, Exchange, Trouble, Unreadable
from contract_tests.findings import Severity
from mock_server.contract import versions
from mock_server.errors import SettingsError

if TYPE_CHECKING:
    from contract_tests.checker import Checker, Report

_FORMATS = ("text", "json", "junit", "sarif", "markdown", "github", "html")
_EXIT_USAGE = 2
_ENDPOINTS = [endpoint.value for endpoint in Endpoint if endpoint is not Endpoint.IMAGE]


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--contract",
    default="auto",
    show_default=True,
    metavar="VERSION",
    help="Version of the contract; auto finds out which one each host speaks.",
)
@click.option(
    "--endpoint",
    type=click.Choice(_ENDPOINTS),
    help="What a file with a single JSON body is an answer of (callback: the body of a webhook).",
)
@click.option(
    "--format", "format_", type=click.Choice(_FORMATS), default="text", show_default=True, help="How to report."
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write the report; standard output by default.",
)
@click.option(
    "--fail-on",
    type=click.Choice([s.value for s in Severity if s is not Severity.OFF]),
    default="error",
    show_default=True,
    help="The least severity that makes the exit code 1.",
)
@click.option(
    "--policy",
    "policy_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML or JSON file with severities by rule; by default [tool.fluxmock.rules] of the nearest pyproject.toml.",
)
def check(
    paths: tuple[str, ...],
    contract: str,
    endpoint: str | None,
    format_: str,
    output: Path | None,
    fail_on: str,
    policy_file: Path | None,
) -> None:
    """
    Hold recordings against the contract: HAR, VCR.py cassettes, JSON Lines, the journal of the emulator, single bodies.

    PATH is a file, a folder or - (standard input); gzip and zstd are unpacked. Exit code 0: nothing is as bad as
    --fail-on; 1: something is; 2: it cannot be used; 3: nothing in it is about this API, which is never green.
    """  # fmt: skip
    from contract_tests import policy, readers
    from contract_tests.checker import Checker

    if contract != "auto" and contract not in versions():
        raise click.BadParameter(f"expected auto, {', '.join(versions())}; got {contract!r}", param_hint="--contract")
    try:
        checker = Checker(None if contract == "auto" else contract, policy.load(policy_file))
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    said = Endpoint(endpoint) if endpoint else None
    unreadable = []
    for path in paths:
        try:
            checker.feed(_with_progress(readers.read(path, endpoint=said), path, checker))
        except Unreadable as error:
            unreadable.append(str(error))
    for problem in unreadable:
        click.echo(f"fluxmock: {problem}", err=True)
    if unreadable and not checker.messages:
        sys.exit(_EXIT_USAGE)
    code = _report(checker.report(), format_, output, Severity(fail_on), ", ".join(paths))
    sys.exit(max(code, _EXIT_USAGE) if unreadable else code)


def _report(report: Report, format_: str, output: Path | None, fail_on: Severity, title: str) -> int:
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
        output.write_text(text, "utf-8")
    return int(verdict_of(report, fail_on))


def _with_progress(recorded: Iterable[Exchange | Trouble], path: str, checker: Checker) -> Iterator[Exchange | Trouble]:
    """Pass on what was recorded, and tell how far we are on a terminal, if it takes long."""
    if not sys.stderr.isatty():
        yield from recorded
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, no_color="NO_COLOR" in os.environ)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(path)
        for number, item in enumerate(recorded):
            if number % 5000 == 0:
                progress.update(task, description=f"{path}: {checker.messages:,} messages")
            yield item


@click.command()
@click.option("--upstream", required=True, metavar="URL", help="The API to forward to, such as https://api.ttapi.io.")
@click.option(
    "--output",
    "-o",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="JSON Lines file to write to; what is there is kept.",
)
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on.")
@click.option(
    "--port",
    default=8788,
    show_default=True,
    type=click.IntRange(0, 65535),
    metavar="N",
    help="Port to listen on; 0 picks a free one.",
)
@click.option(
    "--public-url",
    metavar="URL",
    help="Where the outside reaches this proxy: webhooks are received there, recorded and forwarded.",
)
@click.option(
    "--timeout",
    default=120.0,
    show_default=True,
    type=click.FloatRange(0.001),
    metavar="SECONDS",
    help="How long to wait for the upstream.",
)
@click.option(
    "--contract",
    default="auto",
    show_default=True,
    metavar="VERSION",
    help="Version of the contract to check against as it goes.",
)
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help='Write {"url": …, "pid": …} to this file once it listens.',
)
def record(
    upstream: str,
    output: Path,
    host: str,
    port: int,
    public_url: str | None,
    timeout: float,
    contract: str,
    ready_file: Path | None,
) -> None:
    """
    Record what a client and the API say to each other: a reverse proxy that forwards, writes down and checks.

    Point the client's base URL at it. Keys, cookies and secrets in URLs and bodies are replaced by pseudonyms before
    anything is written. Ends with a report at Ctrl-C; exit codes as those of `fluxmock check`.
    """  # fmt: skip
    from contract_tests.checker import Checker
    from contract_tests.record import Proxy
    from contract_tests.recording import Pseudonyms, Writer, redacted
    from mock_server.http.reader import Limits
    from mock_server.http.runner import run

    if not upstream.startswith(("http://", "https://")):
        raise click.BadParameter(f"expected an http or https URL, got {upstream!r}", param_hint="--upstream")
    checker = Checker(None if contract == "auto" else contract)
    pseudonyms = Pseudonyms()
    lock = threading.Lock()
    with ExitStack() as stack:
        writer = stack.enter_context(Writer(output))

        def note(exchange: Exchange) -> None:
            clean = redacted(exchange, pseudonyms)
            with lock:
                writer.write(clean)
                before = checker.noted()
                checker.feed([clean])
                click.echo(_line(clean, checker.noted() - before))

        proxy = Proxy(upstream, note, timeout=timeout, public_url=public_url)

        def ready(server: Any) -> None:
            if ready_file is not None:
                ready_file.write_text(json.dumps({"url": server.url, "pid": os.getpid()}), "utf-8")
            click.echo(f"forwarding {server.url} to {upstream}, recording to {output}; Ctrl-C ends it")
            sys.stdout.flush()

        try:
            run(proxy, host, port, limits=Limits(), workers=16, on_ready=ready)
        except OSError as error:
            raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    sys.exit(_report(checker.report(), "text", None, Severity.ERROR, str(output)))


def _line(exchange: Exchange, new_findings: int) -> str:
    outcome = str(exchange.status) if exchange.status is not None else exchange.error
    took = f"{(exchange.elapsed or 0) * 1000:.0f} ms"
    verdict = f"{new_findings} new findings" if new_findings > 1 else "1 new finding" if new_findings else "ok"
    return f"{exchange.method:<4} {exchange.url.partition('?')[0]}  {outcome}  {took}  {verdict}"


@click.command()
@click.option(
    "--contract", type=click.Choice(versions()), help="Version of the contract; both in one document by default."
)
def openapi(contract: str | None) -> None:
    """Print the contract as OpenAPI 3.1, with callbacks."""
    from contract_tests.openapi import document, document_both

    made = document(contract) if contract else document_both()
    click.echo(json.dumps(made, ensure_ascii=False, indent=2))


@click.group()
def schemas() -> None:
    """Look at the versions of the contract."""


@schemas.command()
@click.argument("old", type=click.Choice(versions()))
@click.argument("new", type=click.Choice(versions()))
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
def diff(old: str, new: str, format_: str) -> None:
    """Say what changed from OLD to NEW, and what of it breaks clients. Exit code 1 if something does."""
    from contract_tests import schema_diff

    changes = schema_diff.diff(old, new)
    if format_ == "json":
        click.echo(json.dumps(schema_diff.as_json(changes, old, new), ensure_ascii=False, indent=2))
    else:
        click.echo(schema_diff.as_text(changes, old, new))
    sys.exit(1 if any(change.breaking for change in changes) else 0)
