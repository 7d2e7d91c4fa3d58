"""`ratestream book`: everything about rate books, one file a command."""

import click

from cli.lazy import LazyGroup

COMMANDS = {
    "apply": "cli.book_apply:apply_command",
    "show": "cli.book_show:show",
    "diff": "cli.book_diff:diff_command",
    "history": "cli.book_history:history",
    "lint": "cli.book_lint:lint_command",
    "simulate": "cli.book_simulate:simulate",
    "import": "cli.book_import:import_group",
}


@click.group(cls=LazyGroup, table=COMMANDS)
def book() -> None:
    """Apply, show, compare, check, simulate and import rate books.

    Example: ratestream book apply books/
    """
