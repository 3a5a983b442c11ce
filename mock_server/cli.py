"""The command `fluxmock`. Exit codes: 0 ok, 2 a value or option cannot be used."""

from __future__ import annotations

import dataclasses
import difflib
import errno
import gc
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from mock_server import __version__
from mock_server.commands import OpenGroup
from mock_server.errors import SettingsError
from mock_server.settings import PREFIX, ProgressKind, Settings

if TYPE_CHECKING:
    from mock_server.http.server import HttpServer

_Command = TypeVar("_Command", bound=Callable[..., Any])
EXIT_USAGE = 2
_SERVE_VARIABLES = {PREFIX + name for name in ("HOST", "PORT", "READY_FILE", "QUIET")}


def settings_options(command: _Command) -> _Command:
    """Give `command` an option for every field of Settings."""
    for field in reversed(dataclasses.fields(Settings)):
        flag = field.type == "bool"
        option: dict[str, Any] = {"is_flag": True, "default": None} if flag else {"metavar": "VALUE"}
        command = click.option(
            "--" + field.name.replace("_", "-"),
            field.name,
            multiple=field.metadata["many"],
            help=f"{field.metadata['help']}  [{PREFIX}{field.name.upper()}; default: {field.metadata['default']}]",
            **option,
        )(command)
    return command


def read_settings(options: dict[str, Any], **defaults: object) -> Settings:
    """Return the settings of the options that were given, else of the FLUXMOCK_* variables, else `defaults`."""
    given = {name: value for name, value in options.items() if value not in (None, ())}
    _warn_of_unknown_variables()
    try:
        settings = Settings.from_env(os.environ)
        unset = {name: value for name, value in defaults.items() if not os.environ.get(PREFIX + name.upper())}
        settings = settings.replaced(**unset)
    except SettingsError as error:
        raise _usage(str(error)) from None
    try:
        return settings.replaced(**given)
    except SettingsError as error:
        name, _, rest = str(error).partition(":")
        raise _usage(f"--{name.replace('_', '-')}:{rest}") from None


def _warn_of_unknown_variables() -> None:
    known = {PREFIX + field.name.upper() for field in dataclasses.fields(Settings)} | _SERVE_VARIABLES
    for name in sorted(os.environ):
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
        if name.startswith(PREFIX) and name not in known and close:
            click.echo(f"fluxmock: {name} is no setting and is ignored; did you mean {close[0]}?", err=True)


def _usage(text: str) -> click.ClickException:
    return click.ClickException(text)


class _Lazy(OpenGroup):
    """The top command. What serving does not need is imported when called; the kit adds its own by entry points."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), "scenarios"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "scenarios":
            from mock_server.scenarios.command import scenarios

            return scenarios
        return super().get_command(ctx, cmd_name)


@click.group(
    cls=_Lazy,
    more="fluxmock.commands",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="fluxmock")
def cli() -> None:
    """
    An emulator of the TTAPI Flux image API: develop and test against it without spending quota.

    `fluxmock demo` shows a whole job in a few seconds; `fluxmock serve` runs the server. Every option can also be given
    as the FLUXMOCK_* variable that stands behind it.
    """


@cli.command()
@click.option(
    "--host",
    default="127.0.0.1",
    envvar="FLUXMOCK_HOST",
    show_default=True,
    metavar="ADDRESS",
    help="Address to listen on; anything but loopback lets others in.  [FLUXMOCK_HOST]",
)
@click.option(
    "--port",
    default=8787,
    envvar="FLUXMOCK_PORT",
    show_default=True,
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Port to listen on; 0 picks a free one.  [FLUXMOCK_PORT]",
)
@click.option(
    "--ready-file",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="FLUXMOCK_READY_FILE",
    metavar="FILE",
    help='Write {"url": …, "pid": …} there once listening; gone again at the end.  [FLUXMOCK_READY_FILE]',
)
@click.option("--quiet", is_flag=True, envvar="FLUXMOCK_QUIET", help="No line per request.  [FLUXMOCK_QUIET]")
@settings_options
def serve(host: str, port: int, ready_file: Path | None, quiet: bool, **options: Any) -> None:
    """
    Run the emulator until it is stopped (Ctrl-C or SIGTERM).

    \b
    Examples:
      fluxmock serve                                  real time, any key works
      fluxmock serve --clock x60                      a minute takes a second
      fluxmock serve --progress polls:3               the third fetch sees SUCCESS
      fluxmock serve --contract 2026-03 --balance 20  newer contract, 402 after 20 quota units
    """  # noqa: D301 - click needs the character, not its spelling
    gc.disable()  # until everything is imported: a tenth of the time to the first answer
    settings = read_settings(options)
    from mock_server.app import create_app
    from mock_server.console import RequestLog
    from mock_server.http.runner import run
    from mock_server.serving import limits_of, settle_memory
    from mock_server.world import World

    try:
        log = None if quiet else RequestLog()
        world = World(settings, observer=log)
    except SettingsError as error:
        raise _usage(f"--{error}") from None
    app = create_app(world=world)

    def ready(server: HttpServer) -> None:
        settle_memory()
        _announce(server.url, host, settings)
        if ready_file is not None:
            _write_ready(ready_file, server.url)

    if not host:
        raise _usage("--host: expected an address such as 127.0.0.1, got an empty text")
    if ready_file is not None:
        _check_ready_file(ready_file)
    try:
        run(app, host, port, inline=app.lane.takes, limits=limits_of(settings), on_ready=ready)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = (
            "the port is taken; choose another --port, 0 picks a free one" if taken else (error.strerror or str(error))
        )
        raise _usage(f"cannot listen on {host}:{port}: {why}") from None
    finally:
        world.close()
        if log is not None:
            log.close()
        if ready_file is not None and _ready_pid(ready_file) == os.getpid():
            ready_file.unlink()


def _announce(url: str, host: str, settings: Settings) -> None:
    if settings.key:
        header, allowed = '"TT-API-KEY: $TT_API_KEY"', f"one of the {len(settings.key)} given; put it into $TT_API_KEY"
    else:
        header, allowed = "'TT-API-KEY: any-key'", "any-key, or any other; each has a world of its own"
    lines = [
        f"fluxmock {__version__} emulates the TTAPI Flux API (contract {settings.contract}) at {url}",
        f"API key: {allowed}",
        *_remarks(host, settings),
        "Try it:",
        f"  curl -i {url}/flux/generate -H {header} -H 'Content-Type: application/json' "
        '-d \'{"prompt": "a cute cat", "mode": "flux1-dev"}\'',
    ]
    click.echo("\n".join([*lines, ""]))


def _remarks(host: str, settings: Settings) -> list[str]:
    clock, remarks = settings.clock, []
    if clock.auto or clock.rate != 1:
        kind = "auto" if clock.auto else f"x{clock.rate:g}" if clock.rate else "frozen"
        remarks.append(f"Times below are those of each key's own clock ({kind}), in UTC.")
    if not clock.rate and not clock.auto:
        remarks.append("The clock is frozen: POST /_mock/clock moves it.")
    if settings.progress.kind is ProgressKind.MANUAL:
        remarks.append("Jobs wait for somebody to finish them: POST /_mock/jobs/JOB_ID does.")
    if host not in {"127.0.0.1", "::1", "localhost"}:
        remarks.append(f"Careful: {host} can be reached from other machines, though /_mock needs the --admin-token.")
    return remarks


def _check_ready_file(path: Path) -> None:
    """Refuse a place that cannot be written to, and take away what a process that is no more has left there."""
    try:
        writable = path.parent.is_dir() and os.access(path.parent, os.W_OK)
        left_by = _ready_pid(path)
        if left_by is not None and not _alive(left_by):
            path.unlink()
    except OSError:
        writable = False
    if not writable:
        raise _usage(f"--ready-file: expected a file in a folder that can be written to, got {path}")


def _ready_pid(path: Path) -> int | None:
    try:
        return int(json.loads(path.read_bytes())["pid"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _write_ready(path: Path, url: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps({"url": url, "pid": os.getpid()}) + "\n", encoding="utf-8")
    draft.replace(path)


@cli.command()
@click.option("--prompt", default="a cute cat", show_default=True, help="What to draw.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER", help="Keep the images there."
)
@settings_options
def demo(prompt: str, out: Path | None, **options: Any) -> None:
    """
    Run a whole job against a server of its own, and show the timeline and what it would have cost.

    Generate, the polls, the hook, the download, an edit. Nothing leaves this machine and nothing is spent. By default
    time runs 20 times as fast.
    """
    settings = read_settings(options, clock="x20")
    if settings.progress.kind is ProgressKind.MANUAL:
        raise _usage("--progress: expected time, polls:N or immediate: in the demo nobody finishes jobs by hand")
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _usage(f"--out: expected a folder that can be made, got {out}: {error.strerror}") from None
    from mock_server.demo import DemoFailed, run_demo

    try:
        run_demo(settings, prompt, out)
    except SettingsError as error:
        raise _usage(f"--{error}") from None
    except DemoFailed as error:
        click.echo(f"fluxmock: {error}", err=True)
        sys.exit(1)


def main() -> NoReturn:
    """Run the command line; errors are one line on standard error."""
    try:
        cli.main(prog_name="fluxmock", standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(EXIT_USAGE)
    except click.ClickException as error:
        click.echo(f"fluxmock: {' '.join(error.format_message().split())}", err=True)
        sys.exit(EXIT_USAGE)
    except SettingsError as error:
        click.echo(f"fluxmock: {error}", err=True)
        sys.exit(EXIT_USAGE)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    sys.exit(0)
