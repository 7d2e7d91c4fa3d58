"""Rows into a table by COPY; where PostgreSQL refuses some, all others."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import psycopg
from psycopg import sql

from runtime.postgres import Connection

T = TypeVar("T")

_CHUNK = 2_000  # lines handed over at once
# What a row's own content is to blame for: data (22), integrity (23), limits of the program (54).
_OF_THE_ROW = ("22", "23", "54")
_NO_PARTITION = "23514"  # a day without its partition, which is nobody's row's fault


_BINARY_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_BINARY_TAIL = b"\xff\xff"


def copy_lines(
    connection: Connection, table: str, columns: Sequence[str], lines: Sequence[str]
) -> dict[int, str]:
    """Write lines of COPY's text format into ledger.<table>, inside the open transaction.

    Returns the lines that PostgreSQL refuses, by index, with its reason; the rest is written.

    Raises:
        psycopg.Error: what no row is to blame for.
    """
    statement = sql.SQL("copy {} ({}) from stdin").format(*_target(table, columns))
    refused: dict[int, str] = {}
    _copy(connection, lambda part: _copied_text(connection, statement, part), lines, 0, refused)
    return refused


def copy_rows(
    connection: Connection, table: str, columns: Sequence[str], rows: Sequence[bytes]
) -> dict[int, str]:
    """The same with rows of COPY's binary format."""
    statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(*_target(table, columns))
    refused: dict[int, str] = {}
    _copy(connection, lambda part: _copied_binary(connection, statement, part), rows, 0, refused)
    return refused


def _target(table: str, columns: Sequence[str]) -> tuple[sql.Composable, sql.Composable]:
    return sql.Identifier("ledger", table), sql.SQL(", ").join(map(sql.Identifier, columns))


def _copied_text(connection: Connection, statement: sql.Composed, lines: Sequence[str]) -> None:
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for start in range(0, len(lines), _CHUNK):
            copy.write("".join(lines[start : start + _CHUNK]))


def _copied_binary(connection: Connection, statement: sql.Composed, rows: Sequence[bytes]) -> None:
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(_BINARY_HEAD)
        for start in range(0, len(rows), _CHUNK):
            copy.write(b"".join(rows[start : start + _CHUNK]))
        copy.write(_BINARY_TAIL)


def _copy(
    connection: Connection,
    copied: Callable[[Sequence[T]], None],
    rows: Sequence[T],
    first: int,
    refused: dict[int, str],
) -> None:
    """All at once under a savepoint; if one is refused, half and half again until it stands alone."""
    if not rows:
        return
    try:
        with connection.transaction():
            copied(rows)
    except psycopg.Error as error:
        state = error.sqlstate or ""
        if state == _NO_PARTITION or not state.startswith(_OF_THE_ROW):
            raise
        if len(rows) == 1:
            refused[first] = f"PostgreSQL {state}: {error.diag.message_primary or error}"
            return
        half = len(rows) // 2
        _copy(connection, copied, rows[:half], first, refused)
        _copy(connection, copied, rows[half:], first + half, refused)
