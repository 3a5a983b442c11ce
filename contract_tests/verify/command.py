"""`fluxmock verify`: a conformance run against a live API."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

import click

from contract_tests.findings import Severity
from contract_tests.reporting import publish, report_options
from mock_server.contract import versions
from mock_server.errors import SettingsError

if TYPE_CHECKING:
    from contract_tests.verify.hooks import Receiver

_KEY = re.compile(r"[!-~]+")


def _url(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and parts.hostname and (parts.port is None or parts.port)
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or "@" in parts.netloc:
        wanted = "expected an http or https URL without user, query and fragment, such as https://api.ttapi.io"
        raise click.BadParameter(f"{wanted}; got {value.rpartition('@')[2].partition('?')[0]!r}")
    return value.rstrip("/")


def _units(_context: click.Context, _parameter: click.Parameter, value: str) -> Decimal:
    from contract_tests.verify.plan import quota_units

    units = quota_units(value)
    if units is None:
        raise click.BadParameter(f"expected quota units, such as 2; got {value!r}")
    return units


def _address(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, int] | None:
    if value is None:
        return None
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise click.BadParameter(f"expected HOST:PORT, such as 127.0.0.1:0; got {value!r}")
    return host.strip("[]"), int(port)


@click.command()
@click.option("--base-url", required=True, metavar="URL", callback=_url, help="The API, as clients are given it.")
@click.option("--key", envvar="TT_API_KEY", metavar="KEY", help="API key; better in TT_API_KEY, which `ps` cannot see.")
@click.option(
    "--spend",
    default="0",
    show_default=True,
    metavar="N",
    callback=_units,
    help="Quota units that may be spent; 100 are 1 USD.",
)
@click.option("--plan", "only_plan", is_flag=True, help="Print what would be called, and what it costs; call nothing.")
@click.option(
    "--contract",
    type=click.Choice(["auto", *versions()]),
    default="auto",
    show_default=True,
    help="Version of the contract; auto finds out.",
)
@click.option(
    "--hook-listen",
    metavar="HOST:PORT",
    callback=_address,
    help="Order a webhook, too, and take it at this address; port 0 picks a free one.",
)
@click.option(
    "--hook-url", metavar="URL", callback=_url, help="Where the API reaches that address, if it is not this machine."
)
@click.option(
    "--poll-interval",
    default=3.0,
    show_default=True,
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="Between two fetches of a job.",
)
@click.option(
    "--patience",
    default=300.0,
    show_default=True,
    type=click.FloatRange(0, 86400),
    metavar="SECONDS",
    help="How long to wait for the end of a job, and for its webhook.",
)
@click.option(
    "--timeout",
    default=60.0,
    show_default=True,
    type=click.FloatRange(0.001, 3600),
    metavar="SECONDS",
    help="How long to wait for an answer.",
)
@click.option(
    "--record",
    "recording",
    type=click.Path(path_type=Path, dir_okay=False),
    help="JSON Lines file to keep what was said in, without secrets; what is there is kept.",
)
@report_options
def verify(
    base_url: str,
    key: str | None,
    spend: Decimal,
    only_plan: bool,
    contract: str,
    hook_listen: tuple[str, int] | None,
    hook_url: str | None,
    recording: Path | None,
    **options: Any,
) -> None:
    """
    See whether a live API keeps to the contract.

    First come calls that must be refused, which cost nothing. With --spend N an image and an edit are ordered, as far
    as N quota units go, and no further. The first surprise in what was charged ends the run, which is an error. Exit
    codes as those of `fluxmock check`; 2 also when there is no key, or nobody answers.
    """  # fmt: skip
    from contract_tests.verify.plan import Order, as_text, make_plan

    version = None if contract == "auto" else contract
    plan = make_plan(spend, version, str(uuid4()))
    if hook_listen is not None and not any(isinstance(step, Order) and step.thorough for step in plan.steps):
        raise click.UsageError(f"expected with --hook-listen a --spend that pays for an image, got {spend:f}")
    if only_plan:
        if options["format_"] != "text" or options["output"] is not None:
            raise click.UsageError("--plan: a plan is text on standard output; expected neither --format nor --output")
        click.echo(as_text(plan, base_url), nl=False)
        return
    if not key or not _KEY.fullmatch(key):
        got = "got none" if not key else "got one with other characters in it"
        raise click.UsageError(f"expected an API key of printable ASCII in --key or TT_API_KEY, {got}")
    if hook_url is not None and hook_listen is None:
        raise click.UsageError("expected --hook-listen HOST:PORT with --hook-url: that is where the webhook is taken")

    from contract_tests import policy
    from contract_tests.recording import Writer
    from contract_tests.redaction import Pseudonyms
    from contract_tests.verify.hooks import Receiver
    from contract_tests.verify.line import Line
    from contract_tests.verify.run import Manners, Run, Unreachable

    try:
        rules = policy.load(options["policy_file"])
    except SettingsError as error:
        raise click.UsageError(str(error)) from None
    pseudonyms = Pseudonyms()
    with ExitStack() as stack:
        run = Run(
            Line(base_url, key, timeout=options["timeout"]),
            version=version,
            policy=rules,
            manners=Manners(interval=options["poll_interval"], patience=options["patience"]),
            receiver=_receiving(stack, Receiver(*hook_listen, hook_url)) if hook_listen else None,
            writer=_opened(stack, recording, lambda path: Writer(path, pseudonyms=pseudonyms)),
            pseudonyms=pseudonyms,
            tell=_teller(),
        )
        try:
            report = run(plan)
        except Unreachable as error:
            raise click.UsageError(f"expected an answer from {base_url}, got none: {error}") from None
        finally:
            spent = f"{run.spent:f} of {spend:f} quota units spent"
            if spend or run.spent:
                click.echo(f"fluxmock: {spent}, as far as the answers tell", err=True)
    if run.stopped:
        click.echo(f"fluxmock: the run ended early: {run.stopped}", err=True)
    title = f"{base_url}, {spent}"
    sys.exit(publish(report, options["format_"], options["output"], Severity(options["fail_on"]), title))


def _receiving(stack: ExitStack, receiver: Receiver) -> Receiver:
    try:
        return stack.enter_context(receiver)
    except OSError as error:
        raise click.UsageError(f"cannot listen for the webhook: {error.strerror or error}") from None


def _opened(stack: ExitStack, path: Path | None, opening: Callable[[Path], Any]) -> Any:
    if path is None:
        return None
    try:
        return stack.enter_context(opening(path))
    except OSError as error:
        raise click.UsageError(f"cannot write to {path}: {error.strerror or error}") from None


def _teller() -> Callable[[str], None]:
    """Return what tells of every call as it is made, on a terminal in colour."""
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ

    def tell(line: str) -> None:
        click.secho(line, err=True, fg="yellow" if line.startswith(" ") and colour else None, color=colour)

    return tell
