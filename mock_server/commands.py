"""Groups of commands to which other packages add theirs, by entry points; each is imported when it is called."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


class OpenGroup(click.Group):
    """
    A group that finds further commands.

    Args:
        more: the group of entry points whose names are commands.
    """

    def __init__(self, *args: Any, more: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self._more = more

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in order."""
        return sorted({*super().list_commands(ctx), *(entry.name for entry in self._entries())})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name, or None; raises ClickException when it cannot be imported."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            return command
        found = next((entry for entry in self._entries() if entry.name == cmd_name), None)
        try:
            return None if found is None else found.load()
        except ImportError as error:
            problem = f"{cmd_name}: cannot import {found.module if found else ''}: {error}"
            raise click.ClickException(f"{problem}; is there a folder of that name here?") from None

    def _entries(self) -> Iterable[EntryPoint]:
        from importlib.metadata import entry_points

        return entry_points(group=self._more)
