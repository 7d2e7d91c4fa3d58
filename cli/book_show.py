"""`ratestream book show`: the stored versions, or one card as a version has it."""

import json
from typing import Any

import click

from cli.book_text import chosen_version, dsn, echo_version, stored_versions, version_as_data
from rate_book.errors import BookInvalidError
from rate_book.show import card_as_data, find_cards, summary
from rate_book.store import load_version
from runtime.postgres import connect


@click.command()
@click.option("--version", "number", type=int, help="Default: the newest.")
@click.option("--card", help="One card, contract or assignment in full, by its id.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON, on one line.")
def show(number: int | None, card: str | None, *, as_json: bool) -> None:
    """Show the stored versions, or one card as a version has it.

    Example: ratestream book show --version 3 --card openai/gpt-4o
    """
    with connect(dsn(), application_name="ratestream-book-show") as connection:
        stored = stored_versions(connection)
        chosen = chosen_version(stored, number)
        content = load_version(connection, chosen.version)
    if card is not None:
        found = find_cards(content, card)
        if not found:
            raise BookInvalidError(f"version {chosen.version}", "card", card, "is not in this version")
        data: Any = {"version": chosen.version, "found": [card_as_data(item) for item in found]}
        click.echo(json.dumps(data) if as_json else json.dumps(data, indent=2, ensure_ascii=False))
    elif as_json:
        shown = [version_as_data(item) for item in stored]
        click.echo(json.dumps({"version": chosen.version, "content": summary(content), "versions": shown}))
    else:
        for item in reversed(stored if number is None else [chosen]):
            echo_version(item)
        for what, count in summary(content).items():
            click.echo(f"  {what}: {count}")
