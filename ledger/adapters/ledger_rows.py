"""Rows of the ledger as the complete verification reads them, within one snapshot."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from psycopg import sql

from ledger.core.against_ledger_legs import Leg
from ledger.core.against_ledger_rows import Closing, Found, LedgerRow
from ledger.core.amounts import atto
from ledger.core.rollups import Place, SumsKey
from ledger.core.rows import RatedRow, RejectedRow, instant_text
from runtime.postgres import Connection

_AT_ONCE = 2_000  # rows fetched together
_US = "(extract(epoch from {}) * 1000000)::bigint"
_AS = {
    "posted_at": _US.format("posted_at"),
    "event_time": _US.format("event_time"),
    "cost": "trim_scale(cost)::text",
    "price": "trim_scale(price)::text",
}
_COLUMNS = ", ".join(_AS.get(name, name) for name in RatedRow._fields)
_POSTED_AT, _EVENT_TIME = RatedRow._fields.index("posted_at"), RatedRow._fields.index("event_time")

_ALL = f"select generation, {_COLUMNS} from ledger.rated order by customer_id, customer_seq"  # noqa: S608 - column names
_BY_SEQUENCE = """
select w.n, r.kafka_partition, r.kafka_offset, (extract(epoch from r.posted_at) * 1000)::bigint, r.record
from unnest(%s::text[], %s::bigint[], %s::date[]) with ordinality as w (customer_id, seq, day, n)
join ledger.rated r on r.customer_id = w.customer_id and r.customer_seq = w.seq and r.posted_day = w.day
"""
_LEGS = """
select r.customer_id, r.source, r.event_id, r.revision, r.leg, r.customer_seq, r.record
from unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[])
    as w (customer_id, source, event_id, revision, leg)
join ledger.rated r using (customer_id, source, event_id, revision, leg)
"""
_REJECTED = f"""
select {", ".join(f"r.{name}" for name in RejectedRow._fields)}
from unnest(%s::bigint[], %s::date[]) as w (kafka_offset, day)
join ledger.rejected r
    on r.generation = %s and r.kafka_partition = %s and r.kafka_offset = w.kafka_offset
    and r.posted_day = w.day
"""  # noqa: S608 - column names
_SUMS = """
select bucket_us, posted_day, key, events, {}::text, cost::text, price::text
from ledger.{} where customer_id = %s
"""


class LedgerRows:
    """Reads single rows; the connection is in a snapshot."""

    def __init__(self, connection: Connection, generation: int) -> None:
        self._connection = connection
        self._generation = generation

    def all(self) -> Iterator[LedgerRow]:
        """Every row by customer and sequence, a few at a time."""
        with self._connection.cursor(name="verify_rated") as cursor:
            cursor.itersize = _AT_ONCE
            cursor.execute(_ALL.encode())
            for found in cursor:
                generation, *values = _any(found)
                posted_us = values[_POSTED_AT]
                values[_POSTED_AT] = instant_text(posted_us)
                values[_EVENT_TIME] = instant_text(values[_EVENT_TIME])
                yield LedgerRow(RatedRow(*values), posted_us // 1000, here=generation == self._generation)

    def by_sequence(self, wanted: Sequence[tuple[str, int, Any]]) -> dict[int, tuple[int, int, int, bytes]]:
        """Of rows by customer, sequence and posted day: partition, offset, append time in milliseconds, and
        record; by their index in `wanted`.
        """
        customers, seqs, days = (list(column) for column in zip(*wanted, strict=True))
        found = self._connection.execute(_BY_SEQUENCE, (customers, seqs, days))
        rows: dict[int, tuple[int, int, int, bytes]] = {}
        for row in found:
            number, partition, offset, append_ms, record = _any(row)
            rows[number - 1] = partition, offset, append_ms, record
        return rows

    def rejected(self, partition: int, wanted: Sequence[tuple[int, Any]]) -> dict[int, RejectedRow]:
        """Rejected rows of a partition by offset and posted day; by their offset."""
        offsets, days = (list(column) for column in zip(*wanted, strict=True))
        found = self._connection.execute(_REJECTED.encode(), (offsets, days, self._generation, partition))
        rows = [RejectedRow(*_any(row)) for row in found]
        return {row.kafka_offset: row for row in rows}

    def legs(self, wanted: Sequence[Leg]) -> dict[Leg, tuple[int, bytes]]:
        """Sequence and record of rows."""
        columns = [list(column) for column in zip(*wanted, strict=True)]
        made: dict[Leg, tuple[int, bytes]] = {}
        for row in self._connection.execute(_LEGS, columns):
            customer_id, source, event_id, revision, leg, seq, record = _any(row)
            made[customer_id, source, event_id, revision, leg] = seq, record
        return made

    def sums(self, customer_id: str) -> tuple[Mapping[Place, Found], Mapping[Place, Found]]:
        """The customer's roll-ups in quarters of an hour, and those of meters."""
        return (
            self._sums("sums_15m", sql.Literal(0), customer_id),
            self._sums("meter_sums_15m", sql.Identifier("quantity"), customer_id),
        )

    def _sums(self, table: str, quantity: sql.Composable, customer_id: str) -> dict[Place, Found]:
        statement = sql.SQL(_SUMS).format(quantity, sql.Identifier(table))
        made: dict[Place, Found] = {}
        for row in self._connection.execute(statement, (customer_id,)):
            bucket_us, posted_day, key, events, *amounts = _any(row)
            counted, cost, price = map(atto, amounts)
            made[customer_id, bucket_us, posted_day, key] = events, counted, cost, price
        return made

    def keys(self, digests: Sequence[bytes]) -> dict[bytes, SumsKey]:
        """What ledger.rollup_keys says of them, dimensions in the order of their names."""
        found = self._connection.execute(
            "select key, plan, cost_status, price_status, provider, model, cost_currency, price_currency,"
            " service_start_us, posting_start_us, dimensions from ledger.rollup_keys where key = any(%s)",
            (list(digests),),
        )
        made = {}
        for row in found:
            key, *columns, dimensions = _any(row)
            made[bytes(key)] = SumsKey._make([*columns, tuple(sorted(dimensions.items()))])
        return made

    def closings(self) -> dict[str, list[Closing]]:
        """The closed periods of each customer."""
        made: dict[str, list[Closing]] = {}
        if not self.has("statements"):
            return made
        for row in self._connection.execute(
            "select customer_id, through_seq, period_end_us, next_end_us from ledger.statements"
        ):
            customer_id, *closing = _any(row)
            made.setdefault(customer_id, []).append(Closing(*closing))
        return made

    def has(self, table: str) -> bool:
        """Whether the ledger has this table yet."""
        found = self._connection.execute("select to_regclass(%s) is not null", (f"ledger.{table}",))
        return found.fetchone() == (True,)


def _any(row: Any) -> Any:
    """A row whose types are those of its columns."""
    return row
