"""What the `ratestream book` commands share: the database, versions and price changes in words and data."""

from collections.abc import Iterable, Sequence
from typing import Any

import click

from pricing.instants import instant_text
from rate_book.changes import Change
from rate_book.diff import PriceChange
from rate_book.errors import NoBookError
from rate_book.instants import format_from
from rate_book.store import StoredVersion, versions
from runtime.postgres import Connection
from runtime.settings import PostgresSettings, SettingsLoader

_TOUCHES_SHOWN = 20


def dsn() -> str:
    return SettingsLoader.of_process().section("postgres", PostgresSettings).dsn.get_secret_value()


def stored_versions(connection: Connection) -> list[StoredVersion]:
    """The versions, newest first. Raises NoBookError where there is none."""
    stored = versions(connection)
    if not stored:
        raise NoBookError("rate book: no version is stored; apply one with `ratestream book apply DIR`")
    return stored


def chosen_version(stored: Sequence[StoredVersion], number: int | None) -> StoredVersion:
    """That version, or the newest. Raises NoBookError where it is not stored."""
    for item in stored:
        if number in (None, item.version):
            return item
    raise NoBookError(f"rate book: version {number} is not stored; the newest is {stored[0].version}")


def version_as_data(stored: StoredVersion) -> dict[str, Any]:
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


def echo_version(stored: StoredVersion, *, touches: int | None = _TOUCHES_SHOWN) -> None:
    """A version in lines, with so many of what it touches (None: all; 0: not a word of it)."""
    kind = ", retroactive" if stored.retroactive else ""
    click.echo(
        f"version {stored.version}: in force {format_from(stored.in_force_us)}{kind};"
        f" recorded {instant_text(stored.recorded_us)} by {stored.author}; {stored.content_hash}"
    )
    if touches != 0:
        echo_touches(stored.touches, touches)


def echo_touches(touched: Sequence[Change], shown: int | None = _TOUCHES_SHOWN) -> None:
    for change in touched[:shown]:
        click.echo(f"  {change.what}: from {format_from(change.from_us)}")
    if shown is not None and len(touched) > shown:
        click.echo(f"  and {len(touched) - shown} more")


def echo_changes(found: Iterable[PriceChange], indent: str = "") -> None:
    """Each change of a price in a line, under the thing that it belongs to."""
    what = None
    for change in found:
        if change.what != what:
            what = change.what
            click.echo(f"{indent}{what}")
        click.echo(f"{indent}  {change_text(change)}")


def change_text(change: PriceChange) -> str:
    """`input_tokens [processing=batch; input_tokens > 200000] from ... until ...: 3 -> 4 (+1, +33.33 %)`."""
    place = "; ".join(word for word in (change.place.context, change.place.step) if word)
    where = f"{change.place.item} [{place}]" if place else change.place.item
    until = "" if change.to_us is None else f" until {instant_text(change.to_us)}"
    by = [change.difference, None if change.percent is None else f"{change.percent} %"]
    much = ", ".join(word for word in by if word is not None)
    old, new = (text if text is not None else "none" for text in (change.old, change.new))
    return f"{where} from {format_from(change.from_us)}{until}: {old} -> {new}{f' ({much})' if much else ''}"
