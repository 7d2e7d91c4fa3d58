"""Adds the sums of a batch to the roll-ups, inside the transaction that writes its rows."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, LiteralString

from psycopg import sql
from psycopg.types.json import Jsonb

from ledger.core.amounts import plain
from ledger.core.meters import NO_METER, NO_QUANTITY
from ledger.core.rollups import (
    COLUMNS,
    Amounts,
    Dimensions,
    DimensionsOf,
    Place,
    Rollups,
)
from pricing.instants import calendar_month
from rate_book.declared import declared_names
from rate_book.dimensions import dimension_values
from runtime.postgres import Connection

# The name of a grain, and what the sums are by in it: the start of the time, and when they were posted.
_GRAINS = (
    ("15m", "bucket_us", "posted_day"),
    ("day", "day_us", "posted_day"),
    ("month", "month_us", "posted_month"),
)
_FINEST = "bucket_us"  # what the sums are by as they are made
_DAY_US = 86_400_000_000
_CHUNK = 2_000  # lines handed over at once
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})

# Emptied at the end of each transaction; made once a connection.
_TEMPORARY = """
create temporary table if not exists new_sums (
    customer_id text, bucket_us bigint, day_us bigint, month_us bigint, posted_day date, posted_month date,
    key bytea, events bigint, cost numeric, price numeric, first_seq bigint) on commit delete rows;
create temporary table if not exists new_meter_sums (
    customer_id text, bucket_us bigint, day_us bigint, month_us bigint, posted_day date, posted_month date,
    key bytea, events bigint, cost numeric, price numeric, quantity numeric) on commit delete rows;
create temporary table if not exists new_queries (
    customer_id text, query_id text, currency text, calls bigint, cost numeric, price numeric,
    first_event_time_us bigint, last_event_time_us bigint, first_seq bigint, last_seq bigint)
    on commit delete rows
"""

# The rows come as they were copied, nearly in the order of the key: neighbours meet in the same pages.
# No order is needed against deadlocks: who writes a customer's sums has its row of ledger.customers locked.
_ADD = """
insert into {table} as old (customer_id, bucket_us, posted_day, key, events, {amounts} {first})
select customer_id, {bucket}, {posted}, key, events, {amounts} {first} from {new}
on conflict (customer_id, bucket_us, posted_day, key)
do update set events = old.events + excluded.events, {plus} {lower}
"""
# Where several quarters of an hour, or days of posting, of the batch meet in one row of a longer grain.
_ADD_MEETING = _ADD.replace(
    "events, {amounts} {first} from {new}",
    "sum(events), {sums} {lowest} from {new} group by 1, 2, 3, 4 order by 1, 2, 3, 4",
)

# The first sequence of a sum: see ledger.core.rollups.
_FIRST: Final[Mapping[str, LiteralString]] = {
    "first": ", first_seq",
    "lowest": ", min(first_seq)",
    "lower": ", first_seq = least(old.first_seq, excluded.first_seq)",
}

_ADD_PERIODS = """
insert into ledger.periods as old (customer_id, service_start_us, service_end_us, first_seq)
select * from unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[])
on conflict (customer_id, service_start_us, service_end_us)
do update set first_seq = excluded.first_seq where excluded.first_seq < old.first_seq
"""

_ADD_QUERIES = """
insert into ledger.queries as old (customer_id, query_id, currency, calls, cost, price, first_event_time_us,
    last_event_time_us, first_seq, last_seq)
select customer_id, query_id, currency, calls, cost, price, first_event_time_us,
    last_event_time_us, first_seq, last_seq from new_queries order by 1, 2, 3
on conflict (customer_id, query_id, currency) do update set calls = old.calls + excluded.calls,
    cost = old.cost + excluded.cost, price = old.price + excluded.price,
    first_event_time_us = least(old.first_event_time_us, excluded.first_event_time_us),
    last_event_time_us = greatest(old.last_event_time_us, excluded.last_event_time_us),
    first_seq = least(old.first_seq, excluded.first_seq), last_seq = greatest(old.last_seq, excluded.last_seq)
"""


def write(connection: Connection, rollups: Rollups, known: Collection[bytes] = frozenset()) -> set[bytes]:
    """Add the sums to those stored, within the open transaction; the temporary tables are the connection's.

    Args:
        connection: of the transaction.
        rollups: what to add.
        known: keys that were committed before, and are not written again.

    Returns:
        The keys that are known once this is committed.

    Raises:
        psycopg.Error: nothing was added, and the transaction is to be rolled back.
    """
    if not rollups.sums:
        return set()
    with connection.cursor() as cursor:
        cursor.execute("set local client_min_messages = warning")  # "already exists" is no news
        cursor.execute(_TEMPORARY)
    new = _write_keys(connection, rollups, known)
    line, first_seqs = _Lines().line, rollups.first_seqs
    _copy(
        connection,
        "new_sums",
        sorted([f"{line(place, sums)}\t{first_seqs[place]}" for place, sums in rollups.sums.items()]),
    )
    _copy(
        connection,
        "new_meter_sums",
        sorted([f"{line(place, sums)}\t{plain(sums.quantity)}" for place, sums in rollups.meters.items()]),
    )
    _add(connection, "sums", ("cost", "price"), _FIRST, _meet(rollups.sums))
    _add(
        connection,
        "meter_sums",
        ("cost", "price", "quantity"),
        dict.fromkeys(_FIRST, ""),
        _meet(rollups.meters),
    )
    periods = sorted(rollups.periods.items())  # in one order, so that two writers never wait in a circle
    customers, starts, ends = ([key[index] for key, _ in periods] for index in range(3))
    connection.execute(_ADD_PERIODS, (customers, starts, ends, [first for _, first in periods]))
    if rollups.queries:
        _copy(connection, "new_queries", _query_lines(rollups))
        connection.execute(_ADD_QUERIES)
    return new


def _meet(places: Collection[Place]) -> bool:
    """Whether two of them may be one row of a longer grain: not where all are of one quarter of an hour and
    were posted on one day.
    """
    return len({place[1:3] for place in places}) > 1


def _add(
    connection: Connection,
    name: str,
    amounts: Iterable[str],
    first: Mapping[str, LiteralString],
    meet: bool,
) -> None:
    names = [sql.Identifier(amount) for amount in amounts]
    for grain, bucket, posted in _GRAINS:
        connection.execute(
            sql.SQL(_ADD_MEETING if meet and bucket != _FINEST else _ADD).format(
                table=sql.Identifier("ledger", f"{name}_{grain}"),
                new=sql.Identifier(f"new_{name}"),
                bucket=sql.Identifier(bucket),
                posted=sql.Identifier(posted),
                amounts=sql.SQL(", ").join(names),
                sums=sql.SQL(", ").join(sql.SQL("sum({})").format(amount) for amount in names),
                plus=sql.SQL(", ").join(
                    sql.SQL("{0} = old.{0} + excluded.{0}").format(amount) for amount in names
                ),
                **{place: sql.SQL(text) for place, text in first.items()},
            )
        )


def _write_keys(connection: Connection, rollups: Rollups, known: Collection[bytes]) -> set[bytes]:
    """In the order of the keys, so that two writers with the same new ones wait in one order."""
    keys = sorted((digest, key) for key, digest in rollups.keys.items() if digest not in known)
    meter_keys = sorted((digest, key) for key, digest in rollups.meter_keys.items() if digest not in known)
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into ledger.rollup_keys values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
            " on conflict do nothing",
            [(digest, *key[:-1], Jsonb(dict(key.dimensions))) for digest, key in keys],
        )
        cursor.executemany(
            "insert into ledger.rollup_meter_keys values (%s, %s, %s, %s, %s, %s) on conflict do nothing",
            [
                (digest, key.sums_key, key.meter, _is_counted(key.meter), key.cost_reason, key.price_reason)
                for digest, key in meter_keys
            ],
        )
    return {digest for digest, _ in (*keys, *meter_keys)}


def _is_counted(meter: str) -> bool:
    return meter != NO_METER and meter not in NO_QUANTITY


class _Lines:
    """The first columns of both kinds of sums; what many rows share is written once."""

    def __init__(self) -> None:
        self._times: dict[tuple[Any, ...], str] = {}
        self._customers: dict[str, str] = {}

    def line(self, place: Place, sums: Amounts) -> str:
        customer_id, bucket_us, posted_day, key = place
        customer = self._customers.get(customer_id)
        if customer is None:
            customer = self._customers[customer_id] = _text(customer_id)
        time = self._times.get((bucket_us, posted_day))
        if time is None:
            month_us, _ = calendar_month(bucket_us)
            time = self._times[bucket_us, posted_day] = (
                f"{bucket_us}\t{bucket_us - bucket_us % _DAY_US}\t{month_us}\t{posted_day}"
                f"\t{posted_day.replace(day=1)}"
            )
        return f"{customer}\t{time}\t\\\\x{key.hex()}\t{sums.events}\t{plain(sums.cost)}\t{plain(sums.price)}"


def _query_lines(rollups: Rollups) -> Iterable[str]:
    for (customer_id, query_id, currency), sums in rollups.queries.items():
        yield (
            f"{_text(customer_id)}\t{_text(query_id)}\t{_text(currency)}\t{sums.calls}\t{plain(sums.cost)}"
            f"\t{plain(sums.price)}\t{sums.first_us}\t{sums.last_us}\t{sums.first_seq}\t{sums.last_seq}"
        )


def _text(value: str) -> str:
    return value.translate(_ESCAPES) if "\\" in value or not value.isprintable() else value


def _copy(connection: Connection, table: str, lines: Iterable[str]) -> None:
    copying = sql.SQL("copy {} from stdin").format(sql.Identifier(table))
    with connection.cursor() as cursor, cursor.copy(copying) as copy:
        chunk: list[str] = []
        for line in lines:
            chunk.append(line)
            if len(chunk) == _CHUNK:
                copy.write("\n".join(chunk) + "\n")
                chunk.clear()
        if chunk:
            copy.write("\n".join(chunk) + "\n")


def declared_dimensions(connection: Connection) -> DimensionsOf:
    """The dimensions that an event's version of the rate book declares, each version read once.

    A version that is not stored has the default ones: the ledger writes what usage.rated says, also where the
    book is another database's.
    """
    declared: dict[int, tuple[str, ...]] = {}

    def dimensions_of(event: Mapping[str, Any], version: int) -> Dimensions:
        names = declared.get(version)
        if names is None:
            names = declared[version] = tuple(
                name for name in declared_names(connection, version) if name not in COLUMNS
            )
        return tuple(zip(names, dimension_values(event, names), strict=True))

    return dimensions_of
