"""`ratestream book history`: who changed what and when; or the dated prices of one card over the versions."""

import json
from typing import Any

import click

from cli.book_text import dsn, echo_changes, echo_version, stored_versions, version_as_data
from rate_book.diff import PriceChange, diff_of_cards
from rate_book.errors import BookInvalidError
from rate_book.kept import card_history
from rate_book.store import StoredVersion
from runtime.postgres import connect


@click.command()
@click.option("--card", help="The dated prices of one card, and what each version of the book changed.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON, on one line.")
def history(card: str | None, *, as_json: bool) -> None:
    """Show the versions of the book in order: author, when recorded, from when in force, what they touch.

    Example: ratestream book history --card openai/gpt-4o
    """
    with connect(dsn(), application_name="ratestream-book-history") as connection:
        stored = stored_versions(connection)[::-1]
        if card is None:
            _echo_all(stored, as_json=as_json)
            return
        told: list[tuple[StoredVersion, tuple[PriceChange, ...]]] = []
        by_number = {item.version: item for item in stored}
        for number, before, after in card_history(connection, list(by_number), card):
            changed = diff_of_cards(before, after)
            if changed:
                told.append((by_number[number], changed))
    if not told:
        raise BookInvalidError("book history", "card", card, "is in no stored version")
    if as_json:
        data = [
            version_as_data(item) | {"changes": [change.as_data() for change in changed]}
            for item, changed in told
        ]
        click.echo(json.dumps({"card": card, "versions": data}))
        return
    for item, changed in told:
        echo_version(item, touches=0)
        echo_changes(changed, "  ")


def _echo_all(stored: list[StoredVersion], *, as_json: bool) -> None:
    if as_json:
        data: list[dict[str, Any]] = [version_as_data(item) for item in stored]
        click.echo(json.dumps({"versions": data}))
        return
    for item in stored:
        echo_version(item)
