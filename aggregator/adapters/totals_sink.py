"""Totals into PostgreSQL: of each customer the newest value, never an older one after a newer."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import sql

from runtime.errors import InfrastructureError
from runtime.failpoints import FailpointError, Failpoints
from runtime.postgres import Connection, DatabaseUnavailableError, connect, is_infrastructure
from schemas.codec import decode
from schemas.columns import ColumnReader
from schemas.errors import WireError

_NAME = "RunningTotals"
_NO_TABLE = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.InvalidParameterValue,
)
_UPSERT = """
insert into totals.customers as t (customer_id, as_of_seq, as_of_us, zone, watched, entries)
select * from unnest(%s::text[], %s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::jsonb[])
on conflict (customer_id) do update set as_of_seq = excluded.as_of_seq, as_of_us = excluded.as_of_us,
    zone = excluded.zone, watched = excluded.watched, entries = excluded.entries,
    updated_at = clock_timestamp()
where excluded.as_of_seq > t.as_of_seq
    or (excluded.as_of_seq = t.as_of_seq and (excluded.watched, excluded.entries) <> (t.watched, t.entries))
"""


class TotalsUnreadableError(InfrastructureError):
    """A record of usage.totals is none that this build knows: the process stops."""


class NoTotalsTableError(InfrastructureError):
    """The database has no table for totals, or this login may not write it."""


class Newest:
    """Picks of many values the newest of each customer; only those are decoded."""

    def __init__(self) -> None:
        self._first = ColumnReader(_NAME, {"customer_id": None, "as_of_seq": None})

    def of(self, values: Sequence[bytes]) -> list[dict[str, Any]]:
        """By customer: the highest as_of_seq, of equal ones the last.

        Raises:
            TotalsUnreadableError: a value is no RunningTotals.
        """
        newest: dict[str, tuple[int, bytes]] = {}
        for value, found in zip(values, self._first.read(values), strict=True):
            told = found or _decoded(value)
            held = newest.get(told["customer_id"])
            if held is None or told["as_of_seq"] >= held[0]:
                newest[told["customer_id"]] = told["as_of_seq"], value
        return [_decoded(value) for _, (_, value) in sorted(newest.items())]


class TotalsStore:
    """One connection, made anew after each failure. Not for several threads.

    Args:
        dsn: of a login that is a member of `role`.
        role: as which everything is done; "" for the login itself.
        failpoints: for tests.
    """

    def __init__(self, dsn: str, role: str, failpoints: Failpoints) -> None:
        self._dsn = dsn
        self._role = role
        self._failpoints = failpoints
        self._connection: Connection | None = None

    def write(self, totals: Iterable[Mapping[str, Any]]) -> int:
        """Store decoded RunningTotals, one a customer, by customer; returns how many were newer.

        Raises:
            DatabaseUnavailableError: PostgreSQL is away, or it is unknown whether it stored them: call again.
            NoTotalsTableError: there is no table, or no right to write it.
        """
        rows = [
            (
                told["customer_id"],
                told["as_of_seq"],
                told["as_of_us"],
                told["zone"],
                told["watched"],
                json.dumps(told["entries"]),
            )
            for told in totals
        ]
        try:
            if self._connection is None:
                self._connection = self._connect()
            written = self._connection.execute(
                _UPSERT, [list(column) for column in zip(*rows, strict=True)]
            ).rowcount
            self._failpoints.hit("before_pg_commit")
            self._connection.commit()
        except (psycopg.Error, FailpointError) as error:
            self.close()
            if isinstance(error, _NO_TABLE):
                raise NoTotalsTableError(
                    f"totals.customers: {error.diag.message_primary}; `ratestream ledger migrate` makes it, "
                    "by the login that will own it"
                ) from error
            given_up = isinstance(error, FailpointError | psycopg.errors.QueryCanceled)
            if given_up or is_infrastructure(error):
                raise DatabaseUnavailableError(f"postgres: {str(error).strip()}") from error
            raise
        return written

    def close(self) -> None:
        """Let the connection go; the next call makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    def _connect(self) -> Connection:
        connection = connect(self._dsn, application_name="ratestream-totals-sink")
        try:
            if self._role:
                connection.execute(sql.SQL("set role {}").format(sql.Identifier(self._role)))
            connection.commit()
        except psycopg.Error:
            connection.close()
            raise
        return connection


def _decoded(value: bytes) -> dict[str, Any]:
    try:
        return decode(_NAME, value)
    except WireError as error:
        raise TotalsUnreadableError(
            f"usage.totals: {error}; is this build older than the aggregator?"
        ) from error
