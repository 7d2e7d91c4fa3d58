"""`ratestream book apply`: make a book the newest version."""

import getpass
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from pydantic import Field

from cli.book_text import dsn, echo_version, version_as_data
from pricing.instants import instant_text
from rate_book.form import load_book, shipped_books
from rate_book.instants import format_from
from rate_book.rerate import Rerate, rerates
from rate_book.store import apply
from runtime.postgres import connect, migrate_if_ours
from runtime.settings import Section, SettingsLoader


class BookSettings(Section):
    """The rate book: `lead_s` is how long before it takes effect a change must be applied."""

    lead_s: int = Field(default=900, ge=0)


@click.command("apply")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[DIR]...")
@click.option("--author", help="Who answers for the change. Default: the user of this machine.")
@click.option(
    "--retroactive",
    is_flag=True,
    help="Allow a change in the past or within the lead, and list all that it touches: what was rated already"
    " needs a re-rate.",
)
@click.option("--dry-run", is_flag=True, help="Say what would happen, or be refused, and store nothing.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON, on one line.")
def apply_command(
    paths: tuple[Path, ...], author: str | None, *, retroactive: bool, dry_run: bool, as_json: bool
) -> None:
    """Make the book in DIR ... (default: the shipped one) the newest version, running pending migrations
    first.

    Exit codes: 0 applied, or nothing changed; 1 the book is faulty, or a change takes effect before the lead
    (15 minutes, setting book.lead_s) allows.

    Example: ratestream book apply books/providers books/customers --author finance@example.com
    """
    settings = SettingsLoader.of_process().section("book", BookSettings)
    content = load_book(paths or shipped_books())
    with connect(dsn(), application_name="ratestream-book-apply") as connection:
        migrated = [] if dry_run else migrate_if_ours(connection)
        outcome = apply(
            connection,
            content,
            author=author or getpass.getuser(),
            lead_us=settings.lead_s * 1_000_000,
            retroactive=retroactive,
            dry_run=dry_run,
        )
    stored = outcome.stored
    until_us = outcome.relied_until_us
    needed = () if until_us is None else rerates(stored.touches, content, until_us)
    if as_json:
        told: dict[str, Any] = {"new": outcome.is_new, "dry_run": dry_run, "migrated": migrated}
        told |= version_as_data(stored) | {"rerates": [_as_data(item) for item in needed]}
        click.echo(json.dumps(told))
        return
    for name in migrated:
        click.echo(f"migration {name}")
    if not outcome.is_new:
        click.echo(f"nothing changed: version {stored.version} has this content already")
        return
    if dry_run:
        click.echo("dry run: nothing is stored; it would be")
    if retroactive:
        echo_version(stored, touches=None)
    else:
        echo_version(stored)
    _echo(needed)


def _as_data(item: Rerate) -> dict[str, str | None]:
    return {
        "side": item.side,
        "whose": item.whose,
        "from": None if item.from_us is None else instant_text(item.from_us),
        "until": instant_text(item.until_us),
    }


def _echo(needed: Sequence[Rerate]) -> None:
    if not needed:
        return
    click.echo("events rated already keep their amounts until they are re-rated:")
    for item in needed:
        kind = {"cost": "provider card ", "price": "customer "}.get(item.side, "")
        span = f"{format_from(item.from_us)} until {instant_text(item.until_us)}"
        click.echo(f"  {item.side} of {kind}{item.whose}, event times {span}")
