"""The ledger's tables as its service writes them: one transaction a batch, rows and positions together.

The order inside: positions, compare-and-set; the customers' rows, locked; what is closed; the rows, by COPY;
the roll-ups; the customers; commit. A commit whose reply is lost is resolved by the next try: its
compare-and-set waits for the old transaction and finds the positions as they were, or as they are to be.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import TypeVar

import psycopg
from psycopg import sql

from ledger.adapters import rollup_store
from ledger.adapters.closed import closed_until
from ledger.adapters.copying import copy_lines, copy_rows
from ledger.adapters.generations import set_generation
from ledger.core.batch import BadRecord, Batch, Where
from ledger.core.contiguous import Progress, repeated
from ledger.core.plain import PlainRow
from ledger.core.rollups import DimensionsOf, Rollups
from ledger.core.row_bytes import COLUMNS, row_bytes
from ledger.core.rows import BadRowError, Decoded, Place, RatedRow, RejectedRow, posted, rated_row
from runtime.errors import InfrastructureError
from runtime.failpoints import FailpointError, Failpoints
from runtime.postgres import Connection, DatabaseUnavailableError, connect, is_infrastructure
from schemas.codec import decode

_LOG = logging.getLogger(__name__)
_PROBLEM_CHARACTERS_MAX = 2_000
_KNOWN_KEYS_MAX = 500_000

_NO_LEDGER = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.InsufficientPrivilege,
)

T = TypeVar("T")


class Outcome(Enum):
    """What became of a batch."""

    WRITTEN = "rows and positions are in the ledger"
    ALREADY = "they were there: this worker's own commit, whose reply was lost"
    MOVED = "the positions are others: another worker wrote, or the database went back; nothing was written"


class DetachedDayError(InfrastructureError):
    """Records of a day come whose rows were taken out of the ledger: the process stops."""


class NotMigratedError(InfrastructureError):
    """The database has no ledger, or this login may not write it."""


@dataclass(slots=True)
class Counts:
    """What a batch put into the ledger."""

    rated: int = 0
    rejected: int = 0
    bad: int = 0


class Store:
    """One connection, made anew after each failure. Not for several threads.

    Args:
        dsn: of a login that is a member of `role`.
        role: as which everything is done; "" for the login itself.
        application_name: how the connection shows in pg_stat_activity.
        days_ahead: partitions to have before their days come.
        topic_ids: Kafka's id by topic name.
        topics: usage.rated and usage.rejected as they are named on the broker.
        failpoints: for tests.
    """

    def __init__(
        self,
        dsn: str,
        *,
        role: str,
        application_name: str,
        days_ahead: int,
        topic_ids: Mapping[str, str],
        topics: tuple[str, str],
        failpoints: Failpoints,
    ) -> None:
        self._dsn = dsn
        self._role = role
        self._application_name = application_name
        self._days_ahead = days_ahead
        self._topic_ids = topic_ids
        self._rated_topic, self._rejected_topic = topics
        self._failpoints = failpoints
        self._connection: Connection | None = None
        self._dimensions_of: DimensionsOf | None = None
        self._days: set[date] = set()
        # Of sums: this connection saw them committed, and nobody may delete one.
        self._known_keys: set[bytes] = set()
        self._new_keys: set[bytes] = set()

    def close(self) -> None:
        """Let the connection go; the next call makes a new one."""
        connection, self._connection = self._connection, None
        self._dimensions_of = None  # it asks by that connection
        self._known_keys = set()
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    def positions(self, wanted: Sequence[Where]) -> dict[Where, int]:
        """Where each partition goes on, of those that the ledger knows."""
        return self._do(lambda connection: self._read_positions(connection, wanted))

    def begin(self, starts: Mapping[Where, int]) -> None:
        """Have positions for partitions that were never read; one that another worker made stays."""

        def work(connection: Connection) -> None:
            with connection.cursor() as cursor:
                cursor.executemany(
                    "insert into ledger.positions (topic_id, topic, kafka_partition, next_offset)"
                    " values (%s, %s, %s, %s) on conflict do nothing",
                    [
                        (self._topic_ids[topic], topic, partition, offset)
                        for (topic, partition), offset in starts.items()
                    ],
                )

        self._do(work)

    def make_days_ahead(self) -> None:
        """Have the partitions of today, by PostgreSQL's clock, and of the days to come."""

        def work(connection: Connection) -> None:
            connection.execute(
                "select ledger.make_day(current_date + ahead) from generate_series(0, %s) ahead",
                (self._days_ahead,),
            )

        self._do(work)

    def write(self, batch: Batch) -> tuple[Outcome, Counts]:
        """Everything of the batch, or nothing.

        Raises:
            DatabaseUnavailableError: PostgreSQL is away, or the outcome of the commit is unknown. Call again.
        """
        missing = batch.days - self._days
        if missing:
            # In a transaction of its own: the lock that makes one waits for nobody's rows.
            self._do(lambda connection: _make_days(connection, missing))
            self._days |= missing
        self._new_keys = set()
        done = self._do(lambda connection: self._write(connection, batch), commit_points=True)
        if len(self._known_keys) > _KNOWN_KEYS_MAX:
            self._known_keys.clear()
        self._known_keys |= self._new_keys
        return done

    def _write(self, connection: Connection, batch: Batch) -> tuple[Outcome, Counts]:
        if not self._move_positions(connection, batch):
            connection.rollback()
            found = self._read_positions(connection, list(batch.before))
            return (Outcome.ALREADY if found == batch.after else Outcome.MOVED), Counts()
        progress = _lock_customers(connection, sorted({row.customer_id for row in batch.rated}))
        known = repeated(progress, [(row.customer_id, row.customer_seq) for row in batch.rated])
        batch = _posted(connection, batch.without(self._rated_topic, known))
        batch, rollups = self._summed(connection, batch)
        count = len(batch.rated)
        batch = self._copied(connection, batch)
        self._failpoints.hit("after_copy")
        if len(batch.rated) < count:  # seldom: PostgreSQL refused some
            batch, rollups = self._summed(connection, batch)
        self._new_keys = rollup_store.write(connection, rollups, self._known_keys)
        _store_customers(connection, progress, batch.rated)
        self._store_bad(connection, batch.bad)
        return Outcome.WRITTEN, Counts(len(batch.rated), len(batch.rejected), len(batch.bad))

    def _move_positions(self, connection: Connection, batch: Batch) -> bool:
        """Compare and set, in one order, so that two workers wait for each other and never in a circle."""
        moves = sorted(
            (self._topic_ids[topic], partition, before, batch.after[topic, partition])
            for (topic, partition), before in batch.before.items()
        )
        with connection.cursor() as cursor:
            cursor.executemany(
                "update ledger.positions set next_offset = %s"
                " where topic_id = %s and kafka_partition = %s and next_offset = %s",
                [(after, topic_id, partition, before) for topic_id, partition, before, after in moves],
            )
            return cursor.rowcount == len(moves)

    def _summed(self, connection: Connection, batch: Batch) -> tuple[Batch, Rollups]:
        """The batch's sums; rows whose amounts are no amounts are bad records."""
        if self._dimensions_of is None:
            self._dimensions_of = rollup_store.declared_dimensions(connection)
        rollups, refused = Rollups(self._dimensions_of), {}
        for index, (row, record) in enumerate(zip(batch.rated, batch.records, strict=True)):
            try:
                if isinstance(row, PlainRow):
                    rollups.add_plain(row)
                else:
                    rollups.add(row, record or {})
            except BadRowError as error:
                refused[index] = str(error)
        return batch.without(self._rated_topic, refused), rollups

    def _copied(self, connection: Connection, batch: Batch) -> Batch:
        """The rows written; those that PostgreSQL refuses are bad records."""
        refused = copy_rows(connection, "rated", COLUMNS, batch.lines)
        batch = batch.without(self._rated_topic, refused)
        refused = copy_lines(connection, "rejected", RejectedRow._fields, batch.rejected_lines)
        return batch.without_rejected(self._rejected_topic, refused)

    def _store_bad(self, connection: Connection, bad: Sequence[BadRecord]) -> None:
        for record in bad:
            problem = record.problem.replace("\0", "\N{SYMBOL FOR NULL}")[:_PROBLEM_CHARACTERS_MAX]
            connection.execute(
                "insert into ledger.bad_records"
                " (topic_id, topic, kafka_partition, kafka_offset, problem, value)"
                " values (%s, %s, %s, %s, %s, %s) on conflict do nothing",
                (
                    self._topic_ids[record.topic],
                    record.topic,
                    record.partition,
                    record.offset,
                    problem,
                    record.value,
                ),
            )
            _LOG.error("%s %d offset %d is no row: %s", *record[:3], problem)

    def _read_positions(self, connection: Connection, wanted: Sequence[Where]) -> dict[Where, int]:
        found = connection.execute(
            "select topic_id, kafka_partition, next_offset from ledger.positions where topic_id = any(%s)",
            ([self._topic_ids[topic] for topic in {topic for topic, _ in wanted}],),
        ).fetchall()
        stored = {(topic_id, partition): int(str(offset)) for topic_id, partition, offset in found}
        return {
            (topic, partition): stored[self._topic_ids[topic], partition]
            for topic, partition in wanted
            if (self._topic_ids[topic], partition) in stored
        }

    def _do(self, work: Callable[[Connection], T], *, commit_points: bool = False) -> T:
        """The work in one transaction. After any failure the connection is dropped, whatever it held.

        Raises:
            DatabaseUnavailableError: PostgreSQL is away, or it is unknown whether the work was committed.
            NotMigratedError: there is no ledger, or no right to write it.
            DetachedDayError: a day that was detached is to be written.
        """
        try:
            if self._connection is None:
                self._connection = self._connect()
            done = work(self._connection)
            if commit_points:
                self._failpoints.hit("before_pg_commit")
            self._connection.commit()
            if commit_points:
                self._failpoints.hit("lost_commit_reply")
        except (psycopg.Error, FailpointError) as error:
            self.close()
            if isinstance(error, _NO_LEDGER):
                raise NotMigratedError(
                    f"the ledger's tables: {error.diag.message_primary}; `ratestream ledger migrate` makes "
                    "them, by the login that will own them"
                ) from error
            if isinstance(error, psycopg.errors.ObjectNotInPrerequisiteState):
                raise DetachedDayError(
                    f"{error.diag.message_primary}: its records come again, and its rows are in "
                    "tables of their own; attach them as partitions to go on"
                ) from error
            # A statement is given up where a lost connection's transaction still has its locks: it passes.
            given_up = isinstance(error, FailpointError | psycopg.errors.QueryCanceled)
            if given_up or is_infrastructure(error):
                raise DatabaseUnavailableError(f"postgres: {str(error).strip()}") from error
            raise
        except BaseException:
            self.close()
            raise
        return done

    def _connect(self) -> Connection:
        connection = connect(self._dsn, application_name=self._application_name)
        if self._role:
            try:
                connection.execute(sql.SQL("set role {}").format(sql.Identifier(self._role)))
                connection.commit()
            except psycopg.Error as error:
                connection.close()
                if is_infrastructure(error):
                    raise
                raise NotMigratedError(
                    f"ledger.role = {self._role!r}: {error.diag.message_primary}"
                ) from error
        try:
            set_generation(connection, self._topic_ids[self._rejected_topic])
            connection.commit()
        except BaseException:
            connection.close()
            raise
        return connection


def _make_days(connection: Connection, days: set[date]) -> None:
    for day in sorted(days):
        connection.execute("select ledger.make_day(%s)", (day,))


def _lock_customers(connection: Connection, customer_ids: Sequence[str]) -> dict[str, Progress]:
    """How far each customer is. Their rows stay locked until the transaction ends; in one order, as above."""
    progress: dict[str, Progress] = {}
    missing = list(customer_ids)
    while missing:
        found = connection.execute(
            "select customer_id, contiguous_seq, last_seq, gap_seq from ledger.customers"
            " where customer_id = any(%s) order by customer_id for update",
            (missing,),
        ).fetchall()
        for customer_id, contiguous_seq, last_seq, gap_seq in found:
            gap = None if gap_seq is None else int(str(gap_seq))
            progress[str(customer_id)] = Progress(int(str(contiguous_seq)), int(str(last_seq)), gap)
        missing = [customer_id for customer_id in customer_ids if customer_id not in progress]
        if missing:
            connection.execute(
                "insert into ledger.customers (customer_id, contiguous_seq, last_seq)"
                " select unnest(%s::text[]), 0, 0 on conflict do nothing",
                (missing,),
            )
    return progress


def _posted(connection: Connection, batch: Batch) -> Batch:
    """The batch with the rows of closed periods posted to the open one."""
    closed = closed_until(connection, sorted({row.customer_id for row in batch.rated}))
    for index, row in enumerate(batch.rated if closed else ()):
        period = closed.get(row.customer_id)
        if period is not None and row.service_start_us < period.until_us:
            if isinstance(row, PlainRow):
                batch.records[index], whole = _whole(row)
            else:
                whole = row
            moved = posted(whole, period.until_us, period.until_us, period.open_end_us)
            batch.rated[index], batch.lines[index] = moved, row_bytes(moved)
    return batch


def _whole(row: PlainRow) -> tuple[Decoded, RatedRow]:
    record = decode("RatedUsage", row.record)
    place = Place(row.kafka_partition, row.kafka_offset, row.append_ms)
    return record, rated_row(record, place, row.record)


def _store_customers(
    connection: Connection, progress: Mapping[str, Progress], rows: Sequence[RatedRow | PlainRow]
) -> None:
    for row in rows:
        progress[row.customer_id].take(row.customer_seq)
    changed = {row.customer_id for row in rows}
    if not changed:
        return
    ids = sorted(changed)
    connection.execute(
        "update ledger.customers c set contiguous_seq = n.contiguous_seq, last_seq = n.last_seq,"
        " gap_seq = n.gap_seq"
        " from unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[])"
        " as n (customer_id, contiguous_seq, last_seq, gap_seq) where c.customer_id = n.customer_id",
        (
            ids,
            [progress[customer_id].contiguous_seq for customer_id in ids],
            [progress[customer_id].last_seq for customer_id in ids],
            [progress[customer_id].gap_seq for customer_id in ids],
        ),
    )
