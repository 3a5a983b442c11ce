"""`fluxmock scenarios from`: the command line of what makes scenarios of recordings."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from contract_tests.exchanges import Endpoint, Exchange, Trouble, Unreadable
from mock_server.contract import versions

if TYPE_CHECKING:
    from contract_tests.checker import Report
    from contract_tests.findings import Finding
    from contract_tests.scenario_making.writing import Draft

_EXIT_USAGE, _EXIT_NOTHING = 2, 3


@click.command("from")
@click.argument("recording")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to write the scenario; standard output by default.",
)
@click.option(
    "--contract",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", *versions()]),
    help="Version of the contract that it plays; auto finds out which one was spoken.",
)
@click.option("--lost-hooks", is_flag=True, help="Webhooks that are not in the recording never came.")
def from_(recording: str, output: Path | None, contract: str, lost_hooks: bool) -> None:
    """
    Make a scenario of RECORDING that plays at any polling rhythm.

    RECORDING is what `fluxmock check` reads: HAR, cassettes of VCR.py, JSON Lines, a journal; a file, a folder or -.
    What cannot be played as it was is said at the head of the scenario and on standard error. Exit code 2: it cannot
    be read; 3: nothing in it is about this API.
    """
    from contract_tests import readers
    from contract_tests.scenario_making.making import gather, make
    from contract_tests.scenario_making.writing import name_of

    if output is not None and output.suffix == ".json":
        raise click.ClickException(f"{output}: what is made is YAML, with comments: call it {output.stem}.yaml")
    try:
        gathered = gather(readers.read(recording), None if contract == "auto" else contract)
    except Unreadable as error:
        raise click.ClickException(str(error)) from None
    if not gathered.messages:
        for trouble in gathered.troubles:
            click.echo(f"fluxmock: {trouble.place}: {trouble.why}", err=True)
        click.echo(f"fluxmock: {recording}: nothing in it is about this API", err=True)
        sys.exit(_EXIT_USAGE if gathered.troubles else _EXIT_NOTHING)
    source = "standard input" if recording == "-" else Path(recording).resolve().name
    name = name_of(Path(source if output is None else output.name).stem)
    save(make(gathered, name, source, lost_hooks=lost_hooks), output)


def write_drift(report: Report, paths: Sequence[str], endpoint: Endpoint | None, file: Path) -> None:
    """
    Write the scenario that shows what a check found in messages; say on standard error what it does not show.

    Args:
        report: what came of the check.
        paths: what was checked, which is read once more.
        endpoint: what single bodies are about.
        file: where to write to; it is left alone when there is nothing to be shown.

    Raises:
        ClickException: the file cannot be written.
    """
    from contract_tests import readers
    from contract_tests.scenario_making.drift import drafted

    draft = drafted(report, (_readable(readers.read(path, endpoint=endpoint)) for path in paths), file)
    if draft is not None and draft.rules:
        save(draft, file)
        return
    for remark in () if draft is None else draft.remarks:
        click.echo(f"fluxmock: not shown: {remark}", err=True)
    click.echo(f"fluxmock: nothing that a scenario could show has drifted, so {file} was not written", err=True)


def draft_of(finding: Finding, report: Report, paths: Sequence[str], endpoint: Endpoint | None) -> Draft | None:
    """Return the scenario that shows one finding alone; None when none does. The other arguments are as above."""
    from contract_tests import readers
    from contract_tests.scenario_making.drift import drafted

    alone = replace(report, findings=(finding,))
    recordings = (_readable(readers.read(path, endpoint=endpoint)) for path in paths)
    return drafted(alone, recordings, Path("drift.yaml"))


def _readable(recorded: Iterator[Exchange | Trouble]) -> Iterator[Exchange | Trouble]:
    """Yield what can be read; that the rest cannot was said when it was checked."""
    try:
        yield from recorded
    except Unreadable:
        return


def save(draft: Draft, output: Path | None) -> None:
    """
    Write a scenario, and say on standard error what it does not show.

    Raises:
        ClickException: the file cannot be written.
    """
    from contract_tests.scenario_making.writing import written

    text, remarks = written(draft)
    if output is None:
        click.echo(text, nl=False)
    else:
        try:
            output.write_text(text, "utf-8")
        except OSError as error:
            raise click.ClickException(f"{output}: expected a file that can be written: {error.strerror}") from None
    for remark in remarks:
        click.echo(f"fluxmock: {draft.above[0].lower()}{draft.above[1:]} {remark}", err=True)
    if output is not None:
        click.echo(f"{output} was made; play it with: fluxmock serve --scenario {output}", err=True)
