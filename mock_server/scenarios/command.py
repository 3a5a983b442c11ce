"""`fluxmock scenarios`: list, show, lint and new; and what other packages add to it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mock_server.commands import OpenGroup
from mock_server.scenarios.files import ScenarioError, find_scenario, library, load_scenario

_EXIT_FINDINGS, _EXIT_NOTHING = 1, 3

_NEW = """\
name: {name}
story: "What happens here, in one line."
# For every call the first rule that matches applies; where none does, all goes well.
rules:
  - on: job                     # job, generate, edits, submit (both), fetch, image or hook
    where: {{prompt: forbidden}}  # only such orders: prompt, prompt_pattern, mode, size
    then: {{fail: prompt violation}}
  - on: fetch
    calls: {{first: 2}}           # or a number, {{every: 3}}, {{from: 2, to: 5}}
    then: {{status: 500}}
"""


@click.group(cls=OpenGroup, more="fluxmock.commands.scenarios")
def scenarios() -> None:
    """
    Look at, check and begin scenarios: what the emulator will do, as files.

    `fluxmock serve --scenario NAME-OR-FILE` plays one. A prompt with [mock:NAME] in it plays a ready-made one for its
    job alone, and one with [mock:fail=REASON] makes its job fail.
    """


@scenarios.command("list")
def list_() -> None:
    """List the ready-made scenarios, each with its story."""
    names = library()
    width = max(map(len, names))
    for name, path in names.items():
        click.echo(f"{name:<{width}}  {load_scenario(path).story}")


@scenarios.command()
@click.argument("name")
def show(name: str) -> None:
    """Print the ready-made scenario NAME, to be copied into a file and changed."""
    path = library().get(name)
    if path is None:
        find_scenario(name)
        path = Path(name)
    click.echo(path.read_text("utf-8"), nl=False)


@scenarios.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
def lint(files: tuple[Path, ...]) -> None:
    """Check FILES: exit code 0 when all can be played, 1 when one cannot, 3 when none was given."""
    if not files:
        click.echo("fluxmock: no file was given, so nothing was checked", err=True)
        sys.exit(_EXIT_NOTHING)
    broken = 0
    for path in files:
        try:
            scenario = load_scenario(path)
            click.echo(f"{path}: ok, {len(scenario.rules)} rule{'s' * (len(scenario.rules) != 1)}")
        except ScenarioError as error:
            click.echo(str(error))
            broken += 1
    sys.exit(_EXIT_FINDINGS if broken else 0)


@scenarios.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def new(file: Path) -> None:
    """Begin a scenario in FILE, with the most used parts in it."""
    if file.suffix == ".json":
        raise click.ClickException(f"{file}: what is begun here is YAML, with comments: call it {file.stem}.yaml")
    name = "".join(char if char.isalnum() else "-" for char in file.stem.lower()).strip("-") or "mine"
    try:
        with file.open("x", encoding="utf-8") as begun:
            begun.write(_NEW.format(name=name))
    except OSError as error:
        raise click.ClickException(f"{file}: expected a file that is not there yet: {error.strerror}") from None
    click.echo(f"{file} was made; play it with: fluxmock serve --scenario {file}")
