"""Versions of the budgets in PostgreSQL: immutable and in one order.

An apply takes an advisory lock, compares with the newest version, and appends where the content differs; so
applying the same files twice is one version, and two applies at once are one after the other.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.errors import UndefinedTable

from pricing.budgets import BudgetBook
from rate_book.budgets.content import BudgetContent, canonical_json, content_hash
from rate_book.budgets.errors import BudgetsUnknownError
from rate_book.budgets.form import content_from_plain
from rate_book.errors import StoreBrokenError
from runtime.postgres import BUDGETS_LOCK, Connection

NOTIFY_CHANNEL = "ratestream_budgets"


@dataclass(frozen=True, slots=True)
class StoredBudgets:
    """A version without its content. `applied_us` in microseconds UTC."""

    version: int
    applied_us: int
    author: str
    note: str
    content_hash: str


@dataclass(frozen=True, slots=True)
class Applied:
    """The newest version after an apply, and whether this apply made it (or, dry, would make it)."""

    stored: StoredBudgets
    is_new: bool


def apply_budgets(
    connection: Connection, content: BudgetContent, *, author: str, note: str = "", dry_run: bool = False
) -> Applied:
    """Make the content the newest version and commit. The connection must not be inside a transaction.

    The content was checked before (`rate_book.budgets.check`). With `dry_run` nothing is stored.
    """
    text = canonical_json(content)
    hashed = content_hash(text)
    with connection.transaction():
        if dry_run:
            newest = _newest(connection)
        else:
            connection.execute("select pg_advisory_xact_lock(%s)", (BUDGETS_LOCK,))
            newest = _newest(connection)
        if newest is not None and newest.content_hash == hashed:
            return Applied(newest, is_new=False)
        version = newest.version + 1 if newest is not None else 1
        if dry_run:
            return Applied(StoredBudgets(version, 0, author, note, hashed), is_new=True)
        row = connection.execute(
            "insert into guard.budget_versions (version, author, note, content, content_hash)"
            " values (%s, %s, %s, %s::jsonb, %s)"
            " returning (extract(epoch from applied_at) * 1000000)::bigint",
            (version, author, note, text, hashed),
        ).fetchone()
        connection.execute("select pg_notify(%s, %s)", (NOTIFY_CHANNEL, str(version)))
    applied_us = int(str(row[0])) if row is not None else 0
    return Applied(StoredBudgets(version, applied_us, author, note, hashed), is_new=True)


def budget_versions(connection: Connection, limit: int = 1_000_000) -> list[StoredBudgets]:
    """The versions, newest first; none where budgets were never applied."""
    try:
        with connection.transaction():
            rows = connection.execute(
                "select version, (extract(epoch from applied_at) * 1000000)::bigint, author, note,"
                " content_hash from guard.budget_versions order by version desc limit %s",
                (limit,),
            ).fetchall()
    except UndefinedTable:
        return []
    return [_stored(row) for row in rows]


def load_budgets(connection: Connection, version: int) -> BudgetContent:
    """The content of a version.

    Raises:
        BudgetsUnknownError: there is no such version.
        StoreBrokenError: what is stored does not have its hash.
    """
    try:
        with connection.transaction():
            row = connection.execute(
                "select content, content_hash from guard.budget_versions where version = %s", (version,)
            ).fetchone()
    except UndefinedTable:
        row = None
    if row is None:
        raise BudgetsUnknownError(f"budgets: version {version} is not stored")
    return _checked(row[0], str(row[1]), version)


def newest_book(connection: Connection, held: BudgetBook | None = None) -> BudgetBook:
    """The newest version ready to use, `held` where it is that one; version 0 where there is none.

    Raises StoreBrokenError as `load_budgets` does.
    """
    newest = _newest(connection)
    if newest is None:
        return BudgetBook() if held is None or held.version else held
    if held is not None and held.version == newest.version:
        return held
    content = load_budgets(connection, newest.version)
    return BudgetBook(newest.version, content.budgets, content.routes)


def _newest(connection: Connection) -> StoredBudgets | None:
    return next(iter(budget_versions(connection, 1)), None)


def _checked(content: Any, hashed: str, version: int) -> BudgetContent:
    # The database keeps the value, not the text: its keys come back in another order.
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if content_hash(text) != hashed:
        raise StoreBrokenError(f"budgets: version {version}: its content does not have the hash {hashed}")
    return content_from_plain(content, f"budgets version {version}")


def _stored(row: Sequence[object]) -> StoredBudgets:
    version, applied_us, author, note, hashed = row
    return StoredBudgets(int(str(version)), int(str(applied_us)), str(author), str(note), str(hashed))
