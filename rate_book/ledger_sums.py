"""Sums of a customer from the ledger's roll-ups, by span of event time or by service period, exact.

A span is read from quarters of an hour at its edges and from UTC days between; service periods and the whole
life of a customer from UTC months. Amounts and quantities are integers times 10**18.
"""

from collections.abc import Iterator, Sequence
from typing import Any, LiteralString, NamedTuple

from psycopg import sql

from rate_book.ledger_rows import NO_QUANTITY, UNPRICED, RatedRow
from runtime.postgres import Connection

_DAY_US = 86_400_000_000
_EVER_US = 2**62

GroupKey = tuple[str | None, str | None, tuple[str | None, ...]]
"""Currency of cost, of price, and the values of the dimensions asked for."""

_GROUP = """
{place}, k.cost_currency, k.price_currency, array[{dimensions}]::text[]
"""
_SUMS = """
select {group}, min(s.first_seq), sum(s.events)::bigint,
    coalesce(sum(s.events) filter (where k.cost_status = any(%(unpriced)s)), 0)::bigint,
    coalesce(sum(s.events) filter (where k.price_status = any(%(unpriced)s)), 0)::bigint,
    trunc(sum(s.cost) * 1000000000000000000)::text, trunc(sum(s.price) * 1000000000000000000)::text
from {table} s join ledger.rollup_keys k on k.key = s.key
where s.customer_id = %(customer)s {within}
group by 1, 2, 3, 4
"""
_METERS = """
select {group}, m.meter, trunc(sum(s.quantity) * 1000000000000000000)::text
from {table} s
join ledger.rollup_meter_keys m on m.key = s.key and m.counted and m.meter <> all(%(uncounted)s)
join ledger.rollup_keys k on k.key = m.sums_key
where s.customer_id = %(customer)s {within}
group by 1, 2, 3, 4, 5
"""
# Bounds stand in the text: with a table of bounds to join, the planner reads all that the customer ever had.
_WITHIN = "and s.bucket_us >= {from_us} and s.bucket_us < {to_us}"


class Span(NamedTuple):
    """Event times from_us <= t < to_us, both on quarters of an hour; `number` names it."""

    number: int
    from_us: int
    to_us: int


class Group:
    """Sums of the rows that share currencies and dimension values; `first_seq` is their lowest sequence."""

    __slots__ = (
        "cost_atto", "events", "first_seq", "price_atto", "quantities", "unpriced_cost_events",
        "unpriced_price_events",
    )  # fmt: skip

    def __init__(self) -> None:
        self.first_seq = _EVER_US
        self.events = self.unpriced_cost_events = self.unpriced_price_events = 0
        self.cost_atto = self.price_atto = 0
        self.quantities: dict[str, int] = {}

    def add(self, other: "Group") -> None:
        """Add the sums of another group."""
        self.first_seq = min(self.first_seq, other.first_seq)
        self._plus(other, 1)

    def take_out(self, row: RatedRow) -> None:
        """Subtract a row; whether the group had others, its first sequence tells."""
        self._plus(row, -1)

    def _plus(self, other: "Group | RatedRow", sign: int) -> None:
        self.events += sign * other.events
        self.unpriced_cost_events += sign * other.unpriced_cost_events
        self.unpriced_price_events += sign * other.unpriced_price_events
        self.cost_atto += sign * (other.cost_atto or 0)
        self.price_atto += sign * (other.price_atto or 0)
        for meter, quantity in other.quantities.items():
            self.quantities[meter] = self.quantities.get(meter, 0) + sign * quantity


Groups = dict[int, dict[GroupKey, Group]]
"""By number of the span, or by start of the service period."""


class Sums:
    """Reads the roll-ups of one customer; the connection is in a snapshot.

    `names` are the dimensions that groups are by. Provider and model are columns of every roll-up; others are
    null where the version of the book that rated an event does not declare them.
    """

    def __init__(self, connection: Connection, customer_id: str, names: Sequence[str]) -> None:
        self._connection = connection
        self._customer_id = customer_id
        self._dimensions = sql.SQL(", ").join(
            sql.Identifier("k", name)
            if name in ("provider", "model")
            else sql.SQL("k.dimensions ->> {}").format(sql.Literal(name))
            for name in names
        )

    def newest_bucket(self, before_us: int | None, seq: int) -> int | None:
        """The latest quarter of an hour, before an instant if one is given, that has a row up to `seq`."""
        found = self._connection.execute(
            "select bucket_us from ledger.sums_15m where customer_id = %s and bucket_us < %s"
            " and first_seq <= %s order by bucket_us desc limit 1",
            (self._customer_id, _EVER_US if before_us is None else before_us, seq),
        ).fetchone()
        return None if found is None else int(str(found[0]))

    def of_spans(self, spans: Sequence[Span]) -> Groups:
        """The sums of each span."""
        groups: Groups = {span.number: {} for span in spans}
        if spans:
            self._read([part for span in spans for part in _parts(span)], groups)
        return groups

    def of_periods(self) -> Groups:
        """The sums of each service period, over the customer's whole life."""
        groups: Groups = {}
        self._read([("month", None)], groups)
        return groups

    def period_ends(self, seq: int) -> dict[int, int]:
        """The end of each service period as rows up to `seq` name it: the latest where they differ."""
        found = self._connection.execute(
            "select service_start_us, max(service_end_us) from ledger.periods"
            " where customer_id = %s and first_seq <= %s group by 1",
            (self._customer_id, seq),
        )
        return {int(str(start)): int(str(end)) for start, end in found}

    def _read(self, parts: Sequence[tuple[str, Span | None]], groups: Groups) -> None:
        parameters = {
            "customer": self._customer_id,
            "unpriced": list(UNPRICED),
            "uncounted": sorted(NO_QUANTITY),
        }
        rows = self._connection.execute(self._statement(_SUMS, "sums", parts), parameters)
        for row in rows:
            number, cost_currency, price_currency, values, first_seq, *counts, cost, price = _any(row)
            group = _group(groups, number, (cost_currency, price_currency, tuple(values)))
            group.first_seq = min(group.first_seq, first_seq)
            group.events += counts[0]
            group.unpriced_cost_events += counts[1]
            group.unpriced_price_events += counts[2]
            group.cost_atto += int(cost)
            group.price_atto += int(price)
        rows = self._connection.execute(self._statement(_METERS, "meter_sums", parts), parameters)
        for row in rows:
            number, cost_currency, price_currency, values, meter, quantity = _any(row)
            group = _group(groups, number, (cost_currency, price_currency, tuple(values)))
            group.quantities[meter] = group.quantities.get(meter, 0) + int(quantity)

    def _statement(
        self, text: LiteralString, table: str, parts: Sequence[tuple[str, Span | None]]
    ) -> sql.Composed:
        return sql.SQL(" union all ").join(
            sql.SQL(text).format(
                group=sql.SQL(_GROUP).format(place=_place(span), dimensions=self._dimensions),
                table=sql.Identifier("ledger", f"{table}_{grain}"),
                within=_within(span),
            )
            for grain, span in parts
        )


def _place(span: Span | None) -> sql.Composable:
    return sql.SQL("k.service_start_us") if span is None else sql.Literal(span.number)


def _within(span: Span | None) -> sql.Composable:
    if span is None:
        return sql.SQL("")
    return sql.SQL(_WITHIN).format(from_us=sql.Literal(span.from_us), to_us=sql.Literal(span.to_us))


def _parts(span: Span) -> Iterator[tuple[str, Span]]:
    """The span in quarters of an hour at its edges and whole UTC days between."""
    number, from_us, to_us = span
    first_day = from_us + -from_us % _DAY_US
    last_day = to_us - to_us % _DAY_US
    if first_day >= last_day:
        yield "15m", span
        return
    yield "day", Span(number, first_day, last_day)
    if from_us < first_day:
        yield "15m", Span(number, from_us, first_day)
    if last_day < to_us:
        yield "15m", Span(number, last_day, to_us)


def _group(groups: Groups, number: int, key: GroupKey) -> Group:
    of_number = groups.setdefault(number, {})
    group = of_number.get(key)
    if group is None:
        group = of_number[key] = Group()
    return group


def _any(row: Any) -> Any:
    """A row whose types are those of its columns."""
    return row
