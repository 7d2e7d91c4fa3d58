"""Running totals of a customer read from the ledger at one cut: exactly what a fold of its rated rows gives.

Sums come from the roll-ups, so a customer with millions of events costs milliseconds; the few rows above the
cut are read one by one and taken out again. One read is one repeatable-read snapshot.

Quantities are those of rated lines, by leaf; one of 0 is left out. Where neither side of a card prices leaves
(a whole call by the cost that the provider states) there are no such lines, and where a pool's price is of a
rounded quantity and the cost has no lines they tell the rounded one. A frame's rows have all leaves.
A service period's end is the latest that the customer's rows name, in all its entries alike.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg
from psycopg import sql

from pricing.calendar import ZoneTable
from pricing.totals import Live, Scope, Scopes
from rate_book.ledger_live import LedgerLive, names_of
from rate_book.ledger_measured import Contributor, CrossingEvent, Measured, Parts
from rate_book.ledger_rows import RatedRow, RowsAbove
from rate_book.ledger_sums import Sums
from runtime.errors import InfrastructureError
from runtime.postgres import Connection, DatabaseUnavailableError, connect, is_infrastructure

__all__ = [
    "Contributor",
    "CrossingEvent",
    "Cut",
    "LedgerMissingError",
    "LedgerTotals",
    "Measured",
    "RowsGoneError",
]

READER = "ratestream_ledger_reader"

_CONTRIBUTORS = ("feature", "model")
_PAGE = 10_000  # customers read at once
_NO_LEDGER = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.InvalidParameterValue,
)


class LedgerMissingError(InfrastructureError):
    """The database has no ledger of this build, or the login may not read it."""


class RowsGoneError(InfrastructureError):
    """Rows above the cut are not in the ledger any more: their day was detached, the cut cannot be told."""


@dataclass(frozen=True, slots=True)
class Cut:
    """`live` is the fold of all rated rows with sequences up to `seq`; `contiguous_seq` is how far the ledger
    is in the same snapshot. Where a caller asked for more than there is, `seq` is lower than asked for.
    """

    seq: int
    contiguous_seq: int
    live: Live


class LedgerTotals:
    """Reads the ledger. One connection, made when first needed and again after a failure; not for several
    threads.

    Every method raises DatabaseUnavailableError where PostgreSQL is away, LedgerMissingError where there is
    no ledger to read.
    """

    def __init__(self, dsn: str, role: str = READER) -> None:
        self._dsn = dsn
        self._role = role
        self._connection: Connection | None = None
        self._declared: dict[int, frozenset[str]] = {}

    def contiguous(self, customer_ids: Sequence[str]) -> dict[str, int]:
        """The contiguous sequence of each of these customers that the ledger knows."""
        with self._snapshot() as connection:
            found = connection.execute(
                "select customer_id, contiguous_seq from ledger.customers where customer_id = any(%s)",
                (list(customer_ids),),
            ).fetchall()
        return {str(customer_id): int(str(seq)) for customer_id, seq in found}

    def known_customers(self) -> Iterator[tuple[str, int]]:
        """Every customer of the ledger with its contiguous sequence, by name; a snapshot each 10,000."""
        after = ""
        while True:
            with self._snapshot() as connection:
                found = connection.execute(
                    "select customer_id, contiguous_seq from ledger.customers where customer_id > %s"
                    " order by customer_id limit %s",
                    (after, _PAGE),
                ).fetchall()
            for customer_id, seq in found:
                yield str(customer_id), int(str(seq))
            if len(found) < _PAGE:
                return
            after = str(found[-1][0])

    def at(
        self,
        customer_id: str,
        until_seq: int | None,
        zone: ZoneTable,
        scopes: Scopes | Iterable[Scope] = (),
    ) -> Cut:
        """The live windows at min(until_seq, the ledger's contiguous sequence); None: at the latter.

        Raises:
            RowsGoneError: rows between the cut and the contiguous sequence were detached.
        """
        watched = scopes if isinstance(scopes, Scopes) else Scopes(scopes)
        names = names_of(watched)
        with self._snapshot() as connection:
            contiguous_seq, last_seq = _progress(connection, customer_id)
            seq = contiguous_seq if until_seq is None else min(until_seq, contiguous_seq)
            found = LedgerLive(Sums(connection, customer_id, names), seq, zone, watched, names)
            if last_seq > seq:
                rows = RowsAbove(connection, names, self._declared).read(customer_id, seq)
                for row in _complete(rows, seq, contiguous_seq):
                    found.take_out(row)
        return Cut(seq, contiguous_seq, found.live())

    def reversal_since(self, customer_id: str, seq: int, until_seq: int | None = None) -> bool:
        """Whether the ledger has a correction's reversal with seq < customer_seq (<= until_seq)."""
        with self._snapshot() as connection:
            found = connection.execute(
                "select exists (select from ledger.rated where customer_id = %s and leg = 'reversal'"
                " and customer_seq > %s and customer_seq <= %s)",
                (customer_id, seq, 2**62 if until_seq is None else until_seq),
            ).fetchone()
        return found == (True,)

    def crossing(
        self, customer_id: str, measured: Measured, amount_atto: int, first_seq: int, last_seq: int
    ) -> CrossingEvent | None:
        """The first row with first_seq < customer_seq <= last_seq at which the running value, which begins
        with what it is at first_seq, reaches the amount. None: none does, or it had been reached before.

        Raises:
            RowsGoneError: as of `at`.
        """
        names = names_of(Scopes([measured.scope]))
        moves: list[tuple[RatedRow, int]] = []
        above = 0
        with self._snapshot() as connection:
            contiguous_seq, _ = _progress(connection, customer_id)
            parts = Parts(Sums(connection, customer_id, names), measured, names)
            rows = RowsAbove(connection, names, self._declared).read(customer_id, first_seq)
            for row in _complete(rows, first_seq, contiguous_seq):
                moved = parts.moved_by(row)
                above += moved
                if moved and row.customer_seq <= min(last_seq, contiguous_seq):
                    moves.append((row, moved))
        running = parts.total() - above
        if running >= amount_atto:
            return None
        for row, moved in moves:
            running += moved
            if running >= amount_atto:
                return CrossingEvent(row.source, row.event_id, row.customer_seq, row.event_time_us)
        return None

    def contributors(self, customer_id: str, measured: Measured, top: int = 5) -> list[Contributor]:
        """The largest parts of the window by feature, then by model, as the ledger is now."""
        names = names_of(Scopes([measured.scope]), _CONTRIBUTORS)
        with self._snapshot() as connection:
            parts = Parts(Sums(connection, customer_id, names), measured, names)
        return [found for dimension in _CONTRIBUTORS for found in parts.largest(dimension, top)]

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        try:
            if self._connection is None:
                self._connection = self._connect()
            with self._connection.transaction():
                yield self._connection
        except _NO_LEDGER as error:
            self.close()
            raise LedgerMissingError(
                f"the ledger cannot be read: {error.diag.message_primary}; `ratestream ledger migrate` makes "
                "what is missing"
            ) from error
        except psycopg.Error as error:
            self.close()
            if isinstance(error, psycopg.errors.QueryCanceled) or is_infrastructure(error):
                raise DatabaseUnavailableError(f"postgres: {str(error).strip()}") from error
            raise

    def _connect(self) -> Connection:
        connection = connect(self._dsn, application_name="ratestream-totals")
        try:
            if self._role:
                connection.execute(sql.SQL("set role {}").format(sql.Identifier(self._role)))
            # Few rows, many short plans: compiling them or starting workers costs more than it saves.
            connection.execute("set jit = off")
            connection.execute("set max_parallel_workers_per_gather = 0")
            connection.commit()
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
        except psycopg.Error:
            connection.close()
            raise
        return connection


def _progress(connection: Connection, customer_id: str) -> tuple[int, int]:
    """The contiguous and the last sequence; 0 for a customer that the ledger does not know."""
    found = connection.execute(
        "select contiguous_seq, last_seq from ledger.customers where customer_id = %s", (customer_id,)
    ).fetchone()
    return (0, 0) if found is None else (int(str(found[0])), int(str(found[1])))


def _complete(rows: Iterator[RatedRow], seq: int, contiguous_seq: int) -> Iterator[RatedRow]:
    """The rows; at their end, every sequence above `seq` up to the contiguous one must have come."""
    count = 0
    for row in rows:
        count += row.customer_seq <= contiguous_seq
        yield row
    if count < contiguous_seq - seq:
        raise RowsGoneError(
            f"ledger.rated: {count} rows with sequences {seq + 1} to {contiguous_seq}, rule: "
            f"{contiguous_seq - seq}; were days detached? Ask for a later sequence"
        )
