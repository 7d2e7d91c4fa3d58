"""Command groups whose commands are imported when they are asked for, so that one part neither slows nor
breaks the others.
"""

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """A group with a table of commands: name -> `module:attribute`."""

    def __init__(self, *args: Any, table: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - the same
        target = self._table.get(cmd_name)
        if target is None:
            return None
        module_name, _, attribute = target.partition(":")
        try:
            command = getattr(importlib.import_module(module_name), attribute)
        except ModuleNotFoundError as error:
            return _unavailable(cmd_name, str(error))
        if not isinstance(command, click.Command):
            raise TypeError(f"{target} is not a click command")
        return command


def _unavailable(name: str, reason: str) -> click.Command:
    """Stand in for a command that cannot be imported, so that `--help` still lists the others."""

    @click.command(name, context_settings={"ignore_unknown_options": True}, add_help_option=False)
    @click.argument("rest", nargs=-1)
    def unavailable(rest: tuple[str, ...]) -> None:  # noqa: ARG001 - whatever is given, it cannot run
        raise click.UsageError(f"`ratestream {name}` is not available here: {reason}")

    unavailable.short_help = f"(not available: {reason})"
    return unavailable
