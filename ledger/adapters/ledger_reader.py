"""What verification reads of the ledger's database: everything in one snapshot, and nothing is written."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import Any

import psycopg
from psycopg import sql

from ledger.core.against_ledger import (
    Bad,
    Customer,
    CustomerRows,
    DayKey,
    PartitionRows,
    Position,
    Stored,
    Sums,
    Where,
)
from runtime.errors import InfrastructureError
from runtime.postgres import Connection, connect

_STATEMENT_TIMEOUT_MS = 3_600_000  # a complete verification of years scans for long

_EXISTS = "select to_regclass('ledger.positions') is not null"
_RECENT = "select (now() - interval '2 hours')::date"
# One pass over the rows; a set is told by which of its columns is grouped.
_ROWS = """
select grouping(customer_id), grouping(kafka_partition), customer_id, kafka_partition, generation, posted_day,
    cost_currency, price_currency, count(*), min(customer_seq), max(customer_seq), max(kafka_offset),
    count(*) filter (where kafka_offset >= (%(held)s::bigint[])[kafka_partition + 1]),
    array_agg(kafka_offset) filter (where kafka_offset >= (%(newest)s::bigint[])[kafka_partition + 1]),
    sum(case leg when 'reversal' then -1 else 1 end), coalesce(sum(cost), 0), coalesce(sum(price), 0)
from ledger.rated where %(since)s::date is null or posted_day >= %(since)s::date
group by grouping sets (
    (customer_id), (generation, kafka_partition), (posted_day, cost_currency, price_currency)
)
"""
_REJECTED = """
select generation, kafka_partition, count(*), max(kafka_offset),
    count(*) filter (where kafka_offset >= (%(held)s::bigint[])[kafka_partition + 1]),
    array_agg(kafka_offset) filter (where kafka_offset >= (%(newest)s::bigint[])[kafka_partition + 1])
from ledger.rejected where %(since)s::date is null or posted_day >= %(since)s::date
group by generation, kafka_partition
"""
_SUMS = """
select date_trunc({unit}, posted_day)::date, cost_currency, price_currency, sum(s.events), sum(s.cost),
    sum(s.price)
from ledger.{table} s {keys}
where %(since)s::date is null or posted_day >= date_trunc({unit}, %(since)s::date)::date
group by 1, 2, 3
"""
_KEYS = sql.SQL("join ledger.rollup_keys using (key)")
_METER_KEYS = sql.SQL(
    "join ledger.rollup_meter_keys m on m.key = s.key join ledger.rollup_keys k on k.key = m.sums_key"
)


class UnreadableLedgerError(InfrastructureError):
    """The ledger is there and this login may not read it."""


class LedgerReader:
    """The ledger as it stood when `reading` began."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def positions(self) -> list[Position]:
        """How far each partition has been taken over; none where there is no ledger."""
        if self._one(_EXISTS) != (True,):
            return []
        found = self.connection.execute(
            "select topic_id, topic, kafka_partition, next_offset from ledger.positions order by 2, 3"
        )
        return [Position(str(a), str(b), _int(c), _int(d)) for a, b, c, d in found]

    def recent(self) -> date:
        """The first of the days in which rows were posted lately, by PostgreSQL's clock."""
        (day,) = self._one(_RECENT)
        return date.fromisoformat(str(day))

    def stored(
        self,
        topics: tuple[str, str],
        held: Mapping[Where, int],
        newest: Mapping[Where, int],
        since: date | None,
        generation: int,
    ) -> Stored:
        """Counts and sums; rows of another generation of topics stand under names of their own.

        Args:
            topics: usage.rated and usage.rejected as they are named on the broker.
            held: the first offset of each partition that the broker holds.
            newest: the first offset of each partition whose rows are told one by one.
            since: only days from this one on.
            generation: that of the topics.
        """
        rated, rejected = topics

        def named(topic: str, of: object) -> str:
            return topic if _int(of) == generation else f"{topic} of generation {of}"

        customers: dict[str, CustomerRows] = {}
        partitions: dict[Where, PartitionRows] = {}
        days: dict[DayKey, Sums] = {}
        for found in self.connection.execute(_ROWS, _bounds(rated, held, newest, since)):
            by_customer, by_partition, customer_id, partition, of, *key = found[:8]
            rows, first, last, offset, kept, offsets, events, cost, price = found[8:]
            if by_customer == 0:
                customers[str(customer_id)] = CustomerRows(_int(rows), _int(first), _int(last))
            elif by_partition == 0:
                partitions[named(rated, of), _int(partition)] = _partition_rows(rows, kept, offset, offsets)
            else:
                days[_day_key(key)] = _sums((events, cost, price))
        for of, partition, rows, offset, kept, offsets in self.connection.execute(
            _REJECTED, _bounds(rejected, held, newest, since)
        ):
            partitions[named(rejected, of), _int(partition)] = _partition_rows(rows, kept, offset, offsets)
        rollups, grains = self._rollups(since)
        return Stored(
            since, self.positions(), self.bad(), self._customers(), customers, partitions, days, rollups,
            grains, self.detached(),
        )  # fmt: skip

    def detached(self) -> frozenset[date]:
        """Days whose rows were taken out."""
        found = self.connection.execute("select posted_day from ledger.detached")
        return frozenset(day for (day,) in found if isinstance(day, date))

    def _customers(self) -> dict[str, Customer]:
        found = self.connection.execute(
            "select customer_id, contiguous_seq, last_seq, gap_seq from ledger.customers"
        )
        return {
            str(name): Customer(_int(contiguous), _int(last), None if gap is None else _int(gap))
            for name, contiguous, last, gap in found
        }

    def bad(self) -> list[Bad]:
        """Records that could not be rows."""
        found = self.connection.execute(
            "select topic_id, topic, kafka_partition, kafka_offset, problem from ledger.bad_records"
            " order by 2, 3, 4"
        )
        return [Bad(str(a), str(b), _int(c), _int(d), str(e)) for a, b, c, d, e in found]

    def _rollups(
        self, since: date | None
    ) -> tuple[dict[str, dict[DayKey, Sums]], dict[str, tuple[dict[DayKey, Sums], dict[DayKey, Sums]]]]:
        """Each table once by days; those by days once more by months, from the month's first day on."""
        sums = {name: self._sums(name, since) for name in ("sums_15m", "sums_day")}
        meters = {name: self._sums(name, since) for name in ("meter_sums_15m", "meter_sums_day")}
        grains = {
            f"{name}_month": (
                self._sums(f"{name}_day", since, "month"),
                self._sums(f"{name}_month", since, "month"),
            )
            for name in ("sums", "meter_sums")
        }
        grains["meter_sums_day"] = meters["meter_sums_15m"], meters["meter_sums_day"]
        # A record has several lines: of meters only the amounts are those of the rows.
        grains["meter_sums_15m"] = _amounts(sums["sums_15m"]), _amounts(meters["meter_sums_15m"])
        return sums, grains

    def _sums(self, table: str, since: date | None, unit: str = "day") -> dict[DayKey, Sums]:
        statement = sql.SQL(_SUMS).format(
            unit=sql.Literal(unit),
            table=sql.Identifier(table),
            keys=_METER_KEYS if table.startswith("meter") else _KEYS,
        )
        found = self.connection.execute(statement, {"since": since})
        return {_day_key(row[:3]): _sums(row[3:]) for row in found}

    def _one(self, query: str) -> tuple[object, ...]:
        return self.connection.execute(query.encode()).fetchall()[0]


@contextmanager
def reading(dsn: str) -> Iterator[LedgerReader]:
    """A snapshot of the ledger, read only.

    Raises:
        UnreadableLedgerError: the login may not read it.
        DatabaseUnavailableError: PostgreSQL is away.
    """
    with connect(
        dsn, application_name="ratestream-verify", statement_timeout_ms=_STATEMENT_TIMEOUT_MS
    ) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        try:
            yield LedgerReader(connection)
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedTable) as error:
            raise UnreadableLedgerError(f"the ledger's tables: {error.diag.message_primary}") from error


def _bounds(
    topic: str, held: Mapping[Where, int], newest: Mapping[Where, int], since: date | None
) -> dict[str, Any]:
    """First offsets as arrays by partition; one that is not asked for has none, and holds nothing then."""
    last = max((partition for name, partition in held if name == topic), default=-1)
    return {
        "since": since,
        "held": [held.get((topic, partition)) for partition in range(last + 1)],
        "newest": [newest.get((topic, partition)) for partition in range(last + 1)],
    }


def _partition_rows(rows: object, held: object, last: object, newest: object) -> PartitionRows:
    offsets = frozenset(newest) if isinstance(newest, list) else frozenset()
    return PartitionRows(_int(rows), _int(held), _int(last), offsets)


def _amounts(sums: Mapping[DayKey, Sums]) -> dict[DayKey, Sums]:
    return {key: found._replace(events=0) for key, found in sums.items()}


def _day_key(values: Any) -> DayKey:
    day, cost_currency, price_currency = values
    return day, cost_currency, price_currency


def _sums(values: Any) -> Sums:
    events, cost, price = values
    return Sums(_int(events), cost, price)


def _int(value: object) -> int:
    return int(str(value))
