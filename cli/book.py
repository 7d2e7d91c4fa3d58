"""`ratestream book`: apply a book to PostgreSQL, show what is stored, import a price list."""

import getpass
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from pydantic import Field

from cli.book_import import import_group
from cli.book_simulate import simulate
from pricing.instants import instant_text
from rate_book.errors import BookInvalidError, NoBookError
from rate_book.form import load_book, shipped_books
from rate_book.instants import format_from
from rate_book.show import card_as_data, find_cards, summary
from rate_book.store import StoredVersion, apply, load_version, versions
from runtime.postgres import connect, migrate
from runtime.settings import PostgresSettings, Section, SettingsLoader

_TOUCHES_SHOWN = 20


class BookSettings(Section):
    """The rate book: `lead_s` is how long before it takes effect a change must be applied."""

    lead_s: int = Field(default=900, ge=0)


def _dsn() -> str:
    return SettingsLoader.of_process().section("postgres", PostgresSettings).dsn.get_secret_value()


@click.group()
def book() -> None:
    """Apply, show and import rate books.

    Example: ratestream book apply books/
    """


book.add_command(simulate)


@book.command("apply")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[DIR]...")
@click.option("--author", help="Who answers for the change. Default: the user of this machine.")
@click.option(
    "--retroactive",
    is_flag=True,
    help="Allow a change in the past or within the lead: what was rated already needs a re-rate.",
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON, on one line.")
def apply_command(paths: tuple[Path, ...], author: str | None, *, retroactive: bool, as_json: bool) -> None:
    """Make the book in DIR ... (default: the shipped one) the newest version, running pending migrations
    first.

    Exit codes: 0 applied, or nothing changed; 1 the book is faulty, or a change takes effect before the lead
    (15 minutes, setting book.lead_s) allows.

    Example: ratestream book apply books/providers books/customers --author finance@example.com
    """
    settings = SettingsLoader.of_process().section("book", BookSettings)
    content = load_book(paths or shipped_books())
    with connect(_dsn(), application_name="ratestream-book-apply") as connection:
        migrated = migrate(connection)
        outcome = apply(
            connection,
            content,
            author=author or getpass.getuser(),
            lead_us=settings.lead_s * 1_000_000,
            retroactive=retroactive,
        )
    if as_json:
        click.echo(json.dumps({"new": outcome.is_new, "migrated": migrated, **_as_data(outcome.stored)}))
        return
    for name in migrated:
        click.echo(f"migration {name}")
    if not outcome.is_new:
        click.echo(f"nothing changed: version {outcome.stored.version} has this content already")
        return
    _echo_version(outcome.stored)


@book.command("show")
@click.option("--version", "number", type=int, help="Default: the newest.")
@click.option("--card", help="One card, contract or assignment in full, by its id.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON, on one line.")
def show(number: int | None, card: str | None, *, as_json: bool) -> None:
    """Show the stored versions, or one card as a version has it.

    Example: ratestream book show --version 3 --card openai/gpt-4o
    """
    with connect(_dsn(), application_name="ratestream-book-show") as connection:
        stored = versions(connection)
        if not stored:
            raise NoBookError("rate book: no version is stored; apply one with `ratestream book apply DIR`")
        chosen = next((item for item in stored if number is None or item.version == number), None)
        if chosen is None:
            raise NoBookError(f"rate book: version {number} is not stored; the newest is {stored[0].version}")
        content = load_version(connection, chosen.version)
    if card is not None:
        found = find_cards(content, card)
        if not found:
            raise BookInvalidError(f"version {chosen.version}", "card", card, "is not in this version")
        data: Any = {"version": chosen.version, "found": [card_as_data(item) for item in found]}
        click.echo(json.dumps(data) if as_json else json.dumps(data, indent=2, ensure_ascii=False))
    elif as_json:
        shown = [_as_data(item) for item in stored]
        click.echo(json.dumps({"version": chosen.version, "content": summary(content), "versions": shown}))
    else:
        for item in reversed(stored if number is None else [chosen]):
            _echo_version(item)
        for what, count in summary(content).items():
            click.echo(f"  {what}: {count}")


book.add_command(import_group)


def _as_data(stored: StoredVersion) -> dict[str, Any]:
    return {
        "version": stored.version,
        "content_hash": stored.content_hash,
        "author": stored.author,
        "recorded_at": instant_text(stored.recorded_us),
        "lead_s": stored.lead_us // 1_000_000,
        "in_force": None if stored.in_force_us is None else instant_text(stored.in_force_us),
        "retroactive": stored.retroactive,
        "touches": [
            {"what": item.what, "from": None if item.from_us is None else instant_text(item.from_us)}
            for item in stored.touches
        ],
    }


def _echo_version(stored: StoredVersion) -> None:
    kind = ", retroactive" if stored.retroactive else ""
    click.echo(
        f"version {stored.version}: in force {format_from(stored.in_force_us)}{kind};"
        f" recorded {instant_text(stored.recorded_us)} by {stored.author}; {stored.content_hash}"
    )
    _echo_touches(stored.touches)


def _echo_touches(touches: Sequence[Any]) -> None:
    for change in touches[:_TOUCHES_SHOWN]:
        click.echo(f"  {change.what}: from {format_from(change.from_us)}")
    if len(touches) > _TOUCHES_SHOWN:
        click.echo(f"  and {len(touches) - _TOUCHES_SHOWN} more")
