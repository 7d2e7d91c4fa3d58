"""What PostgreSQL itself lays side by side in a complete verification: it sorts more than memory holds."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, LiteralString

from psycopg import sql

from ledger.adapters.ledger_rows import LedgerRows
from ledger.core.findings import KEPT_PER_CHECK, Findings
from runtime.postgres import Connection

# Coarser sums beside the finer ones that they are made of: customer, bucket, posted day, key, then pairs.
_GRAIN = """
with finer as (
    select customer_id, {bucket} as bucket_us, {posted} as posted_day, key, {sums} from ledger.{fine}
    group by 1, 2, 3, 4
)
select customer_id, bucket_us, posted_day, key, {pairs}, count(*) over ()
from finer f full join ledger.{coarse} c using (customer_id, bucket_us, posted_day, key)
where ({left}) is distinct from ({right}) order by 1, 2, 3, 4 limit {limit}
"""
_DAY = "bucket_us - bucket_us % 86400000000"
_MONTH = (
    "(extract(epoch from date_trunc('month', to_timestamp(bucket_us / 1000000) at time zone 'UTC'))"
    " * 1000000)::bigint"
)
_GRAINS = (
    ("15m", "day", _DAY, "posted_day"),
    ("day", "month", _MONTH, "date_trunc('month', posted_day)::date"),
)
_TABLES = (
    ("sums", ("events", "cost", "price")),
    ("meter_sums", ("events", "quantity", "cost", "price")),
)

_QUERIES = """
with r as (
    select *, coalesce(cost_currency, price_currency, '') as counted_in,
        coalesce(price_currency, cost_currency, '') as charged_in,
        case leg when 'reversal' then -1 else 1 end as call
    from ledger.rated where query_id <> ''
), parts as (
    select customer_id, query_id, counted_in as currency, call as calls, coalesce(cost, 0) as cost,
        case when charged_in = counted_in then coalesce(price, 0) else 0 end as price,
        event_time_us, customer_seq
    from r
    union all
    select customer_id, query_id, charged_in, 0, 0, coalesce(price, 0), event_time_us, customer_seq
    from r where charged_in <> counted_in
), made as (
    select customer_id, query_id, currency, sum(calls)::bigint as calls, sum(cost) as cost,
        sum(price) as price,
        min(event_time_us) as first_event_time_us, max(event_time_us) as last_event_time_us,
        min(customer_seq) as first_seq, max(customer_seq) as last_seq
    from parts group by 1, 2, 3
)
select customer_id, query_id, currency, {pairs}, count(*) over ()
from made f full join ledger.queries c using (customer_id, query_id, currency)
where ({left}) is distinct from ({right}) order by 1, 2, 3 limit {limit}
"""
_QUERY_COLUMNS = (
    *("calls", "cost", "price", "first_event_time_us", "last_event_time_us", "first_seq", "last_seq"),
)

_TWICE = """
select customer_id, min(customer_seq), max(customer_seq), source, event_id, revision, leg, count(*) over ()
from ledger.rated group by customer_id, source, event_id, revision, leg having count(*) > 1
order by 1, 2 limit {limit}
"""
_NOBODYS = """
select customer_id, count(*) over () from (select distinct customer_id from ledger.{table}) s
where not exists (select from ledger.rated r where r.customer_id = s.customer_id) order by 1 limit {limit}
"""
_STATEMENTS = """
select customer_id, number, content_sha256, encode(sha256(convert_to(content, 'UTF8')), 'hex'),
    count(*) over ()
from ledger.statements where content_sha256 <> encode(sha256(convert_to(content, 'UTF8')), 'hex')
order by 1, 2 limit {limit}
"""


def check_sums(connection: Connection, findings: Findings, *, whole: bool) -> int:
    """Identities across days, roll-ups of every grain, queries, statements; returns how many statements there
    are. Where days were detached (`whole` is false) what their rows would be needed for is left out.
    """

    def tell(check: str, where: str, statement: sql.Composed, text: Callable[[Any], str]) -> None:
        found: list[Any] = connection.execute(statement).fetchall()
        for row in found:
            findings.add(check, None, where, text(row))
        if found:
            findings.counts[check] += found[0][-1] - len(found)

    for table, names in _TABLES:
        for fine, coarse, bucket, posted in _GRAINS:
            text = partial(_compared, ("customer", "bucket", "posted", "key"), names)
            tell(
                "ledger_grain",
                f"ledger.{table}_{coarse}",
                _grain(table, names, fine, coarse, bucket, posted),
                text,
            )
    tell("ledger_twice", "ledger.rated", _limited(_TWICE), _twice)
    if whole:
        text = partial(_compared, ("customer", "query", "currency"), _QUERY_COLUMNS)
        tell("ledger_query", "ledger.queries", _limited(_QUERIES, **_sides(_QUERY_COLUMNS)), text)
        for table, _ in _TABLES:
            statement = _limited(_NOBODYS, table=sql.Identifier(f"{table}_15m"))
            tell("ledger_rollup", f"ledger.{table}_15m", statement, _nobodys)
    if not LedgerRows(connection, 0).has("statements"):
        return 0
    tell("ledger_statement", "ledger.statements", _limited(_STATEMENTS), _statement)
    ((statements,),) = connection.execute("select count(*) from ledger.statements").fetchall()
    return int(str(statements))


def _grain(  # noqa: PLR0917  # a table, and how its grains are made
    table: str, names: Sequence[str], fine: str, coarse: str, bucket: str, posted: str
) -> sql.Composed:
    return _limited(
        _GRAIN,
        bucket=sql.SQL(bucket),
        posted=sql.SQL(posted),
        fine=sql.Identifier(f"{table}_{fine}"),
        coarse=sql.Identifier(f"{table}_{coarse}"),
        sums=sql.SQL(", ").join(sql.SQL("sum({0}) as {0}").format(sql.Identifier(name)) for name in names),
        **_sides(names),
    )


def _limited(query: LiteralString, **parts: sql.Composable) -> sql.Composed:
    return sql.SQL(query).format(limit=sql.Literal(KEPT_PER_CHECK), **parts)


def _sides(names: Sequence[str]) -> dict[str, sql.Composable]:
    """The columns of what is found, `c`, and of what it must be, `f`."""
    has, wants = (
        sql.SQL(", ").join(sql.SQL("{}.{}").format(sql.SQL(alias), sql.Identifier(name)) for name in names)
        for alias in ("c", "f")
    )
    return {"pairs": sql.SQL("{}, {}").format(has, wants), "left": wants, "right": has}


def _compared(key: Sequence[str], names: Sequence[str], row: Any) -> str:
    about = " ".join(f"{name} {_shown(value)}" for name, value in zip(key, row, strict=False))
    has, wants = row[len(key) : len(key) + len(names)], row[len(key) + len(names) : -1]
    columns = [
        f"column {name}: it has {_shown(has[at])}, what it is made of sums to {_shown(wants[at])}"
        for at, name in enumerate(names)
        if has[at] != wants[at]
    ]
    return f"{about} {'; '.join(columns)}"


def _twice(row: Any) -> str:
    customer, first, last, source, event, revision, leg, _ = row
    return (
        f"customer {customer!r} sequence {last} event {source!r} {event!r} revision {revision} {leg}:"
        f" stands at sequence {first} too"
    )


def _nobodys(row: Any) -> str:
    return f"customer {row[0]!r}: has roll-ups and no row in ledger.rated"


def _statement(row: Any) -> str:
    customer, number, has, wants, _ = row
    return f"customer {customer!r} statement {number} column content_sha256: {has}, its content gives {wants}"


def _shown(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if value is None:
        return "none"
    return value.hex() if isinstance(value, bytes) else repr(value) if isinstance(value, str) else str(value)
