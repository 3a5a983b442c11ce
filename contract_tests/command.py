"""The commands of the kit: check, record, openapi, schemas. `fluxmock` finds them by entry points."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from contract_tests.exchanges import Endpoint, Exchange, Place, Unreadable
from contract_tests.findings import Severity
from contract_tests.reporting import publish, report_options
from mock_server.contract import versions
from mock_server.errors import SettingsError

if TYPE_CHECKING:
    from contract_tests.checker import Checker, Report
    from contract_tests.findings import Effect, Note
    from contract_tests.patch import Patcher
    from contract_tests.secrets import SentSecrets

_EXIT_USAGE = 2
_WITHOUT_COVERAGE = {"junit", "sarif", "github"}
_WITH_CLIENT = {"text", "json"}
# They tell of mistakes, and have no place for what went well.
_ENDPOINTS = [endpoint.value for endpoint in Endpoint if endpoint is not Endpoint.IMAGE]
# Those with JSON bodies, as `assert_matches_contract` takes them.
_MOST_NEWS = 3
_LONGEST_POINTER = 80
# Of what a line of `record` tells; the report at its end has all of it.


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
    help="What a file with a single JSON body is an answer of (error: a refusal; callback: the body of a webhook).",
)
@report_options
@click.option(
    "--coverage",
    "with_coverage",
    is_flag=True,
    help="Also list which branches of the contract were exercised, and never.",
)
@click.option(
    "--patch",
    "patch_file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="Where to write JSON Patches that make the contract accept what came; - is standard output, for them alone.",
)
@click.option(
    "--write-scenario",
    "scenario_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to write a scenario in which the emulator answers as the API does now.",
)
@click.option(
    "--client",
    "client_name",
    metavar="MODULE:NAME",
    help="A client, as for fluxmock test-client: say of each finding whether it breaks it.",
)
def check(
    paths: tuple[str, ...],
    contract: str,
    endpoint: str | None,
    format_: str,
    output: Path | None,
    fail_on: str,
    policy_file: Path | None,
    with_coverage: bool,
    patch_file: Path | None,
    scenario_file: Path | None,
    client_name: str | None,
) -> None:
    """
    Hold recordings against the contract: HAR, VCR.py cassettes, JSON Lines, the journal of the emulator, single bodies.

    PATH is a file, a folder or - (standard input); gzip and zstd are unpacked. Exit code 0: nothing is as bad as
    --fail-on; 1: something is, or parts cannot be read; 2: it cannot be used; 3: nothing in it is about this API, which
    is never green.
    """  # fmt: skip
    from contract_tests import policy, readers
    from contract_tests.checker import Checker
    from contract_tests.coverage import Coverage
    from contract_tests.patch import Patcher

    version = _version(contract)
    if with_coverage and format_ in _WITHOUT_COVERAGE:
        words = f"--coverage: expected a format that can show it (text, json, markdown, html), got {format_}"
        raise click.UsageError(words)
    if client_name is not None and format_ not in _WITH_CLIENT:
        raise click.UsageError(f"--client: expected a format that can show it (text, json), got {format_}")
    if scenario_file == Path("-"):
        raise click.UsageError("--write-scenario: expected a file, which can be played; got - (standard output)")
    for option, given in (("--write-scenario", scenario_file), ("--client", client_name)):
        if given is not None and "-" in paths:
            raise click.ClickException(f"{option}: expected files, which can be read twice; got standard input")
    client = None if client_name is None else _found(client_name)
    candidates = versions() if contract == "auto" else (contract,)
    coverage = Coverage(candidates) if with_coverage else None
    patcher = Patcher(candidates) if patch_file is not None else None
    observers = [observer for observer in (coverage, patcher) if observer is not None]
    try:
        checker = Checker(version, policy.load(policy_file), observers=observers)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    said = Endpoint(endpoint) if endpoint else None
    unreadable = []
    for path in paths:
        try:
            with _progress(path, checker) as advance:
                checker.feed(readers.read(path, endpoint=said, advance=advance))
        except Unreadable as error:
            unreadable.append(str(error))
    for problem in unreadable:
        click.echo(f"fluxmock: {problem}", err=True)
    if unreadable and not checker.messages:
        sys.exit(_EXIT_USAGE)
    report = checker.report()
    chosen = {host: choice.version for host, choice in report.contracts.items()}
    if coverage is not None:
        report = replace(report, coverage=coverage.of(chosen))
    if patcher is not None and patch_file is not None:
        _write_patches(patcher, chosen, patch_file, checker.sent)
    if client is not None:
        report = replace(report, effects=checker.sent.masked(_effects(client, report, paths, said)))
    if patch_file == Path("-") and output is None:
        output = Path(os.devnull)
    code = publish(report, format_, output, Severity(fail_on), ", ".join(str(Place(path, 0)) for path in paths))
    if scenario_file is not None:
        from contract_tests.scenario_making.command import write_drift

        write_drift(report, paths, said, scenario_file)
    sys.exit(max(code, _EXIT_USAGE) if unreadable else code)


def _version(contract: str) -> str | None:
    if contract != "auto" and contract not in versions():
        raise click.BadParameter(f"expected auto, {', '.join(versions())}; got {contract!r}", param_hint="--contract")
    return None if contract == "auto" else contract


def _found(name: str) -> Any:
    from contract_tests.clients.references import find

    try:
        return find(name)
    except SettingsError as error:
        raise click.BadParameter(str(error), param_hint="--client") from None


def _effects(client: Any, report: Report, paths: tuple[str, ...], said: Endpoint | None) -> tuple[Effect, ...]:
    from contract_tests.clients.drifted import effects
    from contract_tests.clients.given import UnusableClient
    from contract_tests.scenario_making.command import draft_of

    try:
        return tuple(effects(client, report.findings, lambda finding: draft_of(finding, report, paths, said)))
    except UnusableClient as error:
        raise click.BadParameter(str(error), param_hint="--client") from None


def _write_patches(patcher: Patcher, contracts: Mapping[str, str], file: Path, sent: SentSecrets) -> None:
    from contract_tests.reports.wording import counted

    text = json.dumps(sent.masked([patch.as_json() for patch in patcher.patches(contracts)]), indent=2)
    if file == Path("-"):
        click.echo(text)
    else:
        try:
            file.write_text(text + "\n", "utf-8")
        except OSError as error:
            raise click.ClickException(f"{file}: cannot write the patches: {error.strerror or error}") from None
    left_out = patcher.left_out(contracts)
    if left_out:
        click.echo(f"fluxmock: no patch accepts {counted(left_out, 'message')}: too little in common", err=True)


@contextmanager
def _progress(path: str, checker: Checker) -> Iterator[Callable[[int], None] | None]:
    """Tell on a terminal how far the reading of `path` is; yields what takes the bytes that were read."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    from contract_tests.readers import size_of

    console = Console(stderr=True, no_color="NO_COLOR" in os.environ)
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        name = str(Place(path, 0))
        task = progress.add_task(name, total=size_of(path))

        def advance(size: int) -> None:
            progress.update(task, advance=size, description=f"{name}: {checker.messages:,} messages")

        yield advance


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
    from contract_tests.recording import Writer
    from contract_tests.redaction import Pseudonyms, redacted
    from contract_tests.reports.wording import counted
    from mock_server.http.reader import Limits
    from mock_server.http.runner import run

    for option, url in (("--upstream", upstream), ("--public-url", public_url)):
        if url is not None and not _is_web(url):
            raise click.BadParameter(f"expected an http or https URL with a host, got {url!r}", param_hint=option)
    checker = Checker(_version(contract))
    pseudonyms = Pseudonyms()
    lock = threading.Lock()
    with ExitStack() as stack:
        try:
            writer = stack.enter_context(Writer(output, redact=False))  # it is redacted once, for the check as well
        except OSError as error:
            raise click.ClickException(f"{output}: cannot be written to: {error.strerror or error}") from None

        def note(exchange: Exchange) -> None:
            clean = redacted(exchange, pseudonyms)
            with lock:
                place = writer.write(clean)
                before = set(checker.noted())
                checker.feed([clean.changed(place=place)])
                click.echo(_line(clean, [one for one in checker.noted() if one not in before]))

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
    code = publish(checker.report(), "text", None, Severity.ERROR, str(output))
    if proxy.lost:
        click.echo(f"fluxmock: {counted(proxy.lost, 'exchange')} could not be recorded", err=True)
    sys.exit(max(code, _EXIT_USAGE) if proxy.lost else code)


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of the port, or of an IPv6 address
        return False


def _line(exchange: Exchange, news: Sequence[Note]) -> str:
    from contract_tests.reports.masking import shown

    outcome = str(exchange.status) if exchange.status is not None else f"no answer: {exchange.error}"
    took = f"{(exchange.elapsed or 0) * 1000:.0f} ms"
    told = ", ".join(f"{note.rule} {shown(note.pointer[:_LONGEST_POINTER])}".strip() for note in news[:_MOST_NEWS])
    more = f" and {len(news) - _MOST_NEWS:,} more" if len(news) > _MOST_NEWS else ""
    verdict = f"new: {told}{more}" if news else "ok" if exchange.status is not None else "nothing to check"
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
