"""Rows into a table by COPY; where PostgreSQL refuses some, all others."""

from collections.abc import Sequence

import psycopg
from psycopg import sql

from runtime.postgres import Connection

_CHUNK = 2_000  # lines handed over at once
# What a row's own content is to blame for: data (22), integrity (23), limits of the program (54).
_OF_THE_ROW = ("22", "23", "54")
_NO_PARTITION = "23514"  # a day without its partition, which is nobody's row's fault


def copy_lines(
    connection: Connection, table: str, columns: Sequence[str], lines: Sequence[str]
) -> dict[int, str]:
    """Write lines of COPY's text format into ledger.<table>, inside the open transaction.

    Returns the lines that PostgreSQL refuses, by index, with its reason; the rest is written.

    Raises:
        psycopg.Error: what no row is to blame for.
    """
    statement = sql.SQL("copy {} ({}) from stdin").format(
        sql.Identifier("ledger", table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    refused: dict[int, str] = {}
    _copy(connection, statement, lines, 0, refused)
    return refused


def _copy(
    connection: Connection,
    statement: sql.Composed,
    lines: Sequence[str],
    first: int,
    refused: dict[int, str],
) -> None:
    """All at once under a savepoint; if one is refused, half and half again until it stands alone."""
    if not lines:
        return
    try:
        with connection.transaction(), connection.cursor() as cursor, cursor.copy(statement) as copy:
            for start in range(0, len(lines), _CHUNK):
                copy.write("".join(lines[start : start + _CHUNK]))
    except psycopg.Error as error:
        state = error.sqlstate or ""
        if state == _NO_PARTITION or not state.startswith(_OF_THE_ROW):
            raise
        if len(lines) == 1:
            refused[first] = f"PostgreSQL {state}: {error.diag.message_primary or error}"
            return
        half = len(lines) // 2
        _copy(connection, statement, lines[:half], first, refused)
        _copy(connection, statement, lines[half:], first + half, refused)
