"""`ratestream book diff`: each price that changes, from when, and by how much."""

import json
from pathlib import Path

import click

from cli.book_text import chosen_version, dsn, echo_changes, stored_versions
from pricing.cards import BookContent
from pricing.compile import compile_book
from rate_book.diff import diff
from rate_book.form import load_book
from rate_book.kept import load_beside, load_two
from rate_book.store import load_version, versions
from runtime.postgres import connect


@click.command("diff")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[DIR]...")
@click.option(
    "--from", "old", type=int, help="A stored version. Default: the newest; with --to, the one before."
)
@click.option("--to", "new", type=int, help="A stored version, in place of DIR.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON, on one line.")
def diff_command(paths: tuple[Path, ...], old: int | None, new: int | None, *, as_json: bool) -> None:
    """Show what the book in DIR ... says otherwise than the newest version, or one version than another.

    Each price: its card, context, step and meter, from when on, the old and the new rate, the difference for
    as many units as the new rate is for, and the percentage.

    Example: ratestream book diff books/providers books/customers
    """
    if bool(paths) == (new is not None):
        raise click.UsageError("name either DIR ... or --to, and --from as you need it")
    with connect(dsn(), application_name="ratestream-book-diff") as connection:
        if new is not None:
            stored = stored_versions(connection)
            second = chosen_version(stored, new).version
            first = chosen_version(stored, old).version if old is not None else second - 1
            before, after = (
                load_two(connection, first, second)
                if first
                else (BookContent(), load_version(connection, second))
            )
        else:
            second, after = 0, load_book(paths)
            compile_book(after, second, "")
            newest = versions(connection, 1)
            first = old if old is not None else newest[0].version if newest else 0
            before = BookContent()
            if first:
                before, after = load_beside(connection, first, after)
    found = diff(before, after)
    if as_json:
        named = {"from": first or None, "to": second or None}
        click.echo(json.dumps(named | {"changes": [change.as_data() for change in found]}))
        return
    words = [f"version {name}" if name else None for name in (first, second)]
    click.echo(f"{words[0] or 'an empty book'} -> {words[1] or 'the book in ' + ', '.join(map(str, paths))}")
    echo_changes(found)
    click.echo(f"changes: {len(found)}")
