"""What a quick verification asks of PostgreSQL, over generated rows: the part that grows with a day's usage.

Rows have the size of typical ones. What it reads of the broker, at most two thousand offsets of a partition,
does not grow; `bench.ledger.run` times the whole command over a ledger that came by the topics.
"""

import sys
import time

from ledger.adapters.ledger_reader import reading
from ledger.core.against_ledger import check_customers, check_sums
from ledger.core.findings import Findings
from runtime.postgres import connect, migrate

ROWS = 1_000_000
ROUNDS = 5
_CUSTOMERS = 500
_PARTITIONS = 4
_NEWEST = 1_000
_TOPICS = "usage.rated", "usage.rejected"

_ROWS = """
insert into ledger.rated
select date '2026-11-23', 'customer-' || n %% %(customers)s, 'bench', 'event-' || n, 0, 'original',
    n / %(customers)s + 1, n %% %(partitions)s, n / %(partitions)s, at, at,
    (extract(epoch from at) * 1e6)::bigint,
    'query-' || n / 4, null, 1, 'project', null, 'product', 'feature', 'acme', 'model-large', 'standard', 1,
    null,
    1793491200000000, 1796083200000000, 1793491200000000, 1796083200000000,
    'priced', 0.0123 + n * 1e-9, 'USD', 'priced', 0.0234 + n * 1e-9, 'USD', decode(repeat('5a', 700), 'hex')
from (select n, timestamptz '2026-11-23 00:00+00' + n * 86 * interval '1 ms' as at
      from generate_series(0, %(rows)s - 1) n) made
"""
_REST = """
insert into ledger.customers
    select customer_id, count(*), count(*), null from ledger.rated group by 1;
insert into ledger.rollup_keys values ('\\x00000000000000000000000000000000', 'standard', 'priced', 'priced',
    'acme', 'model-large', 'USD', 'USD', 1793491200000000, 1793491200000000, '{}');
insert into ledger.rollup_meter_keys values ('\\x00000000000000000000000000000000',
    '\\x00000000000000000000000000000000', 'input_tokens', true, null, null);
insert into ledger.sums_15m
    select customer_id, event_time_us - event_time_us % 900000000, posted_day,
        '\\x00000000000000000000000000000000'::bytea, count(*), sum(cost), sum(price)
    from ledger.rated group by 1, 2, 3;
insert into ledger.sums_day
    select customer_id, bucket_us - bucket_us % 86400000000, posted_day, key, sum(events), sum(cost),
        sum(price)
    from ledger.sums_15m group by 1, 2, 3, 4;
insert into ledger.sums_month
    select customer_id, 1793491200000000, date '2026-11-01', key, sum(events), sum(cost), sum(price)
    from ledger.sums_day group by 1, 4;
insert into ledger.meter_sums_15m
    select customer_id, bucket_us, posted_day, key, events, events * 1000, cost, price from ledger.sums_15m;
insert into ledger.meter_sums_day
    select customer_id, bucket_us, posted_day, key, events, events * 1000, cost, price from ledger.sums_day;
insert into ledger.meter_sums_month
    select customer_id, bucket_us, posted_day, key, events, events * 1000, cost, price from ledger.sums_month;
"""


def run(dsn: str, rows: int) -> list[float]:
    """Seconds of each round, into an empty database."""
    with connect(dsn, statement_timeout_ms=0) as connection:
        migrate(connection)
        connection.execute("select ledger.make_day('2026-11-23')")
        connection.execute(_ROWS, {"rows": rows, "customers": _CUSTOMERS, "partitions": _PARTITIONS})
        connection.execute(_REST)
        connection.commit()
        connection.autocommit = True
        connection.execute("vacuum analyze")
    return [_round(dsn, rows) for _ in range(ROUNDS)]


def _round(dsn: str, rows: int) -> float:
    findings = Findings()
    partitions = [(_TOPICS[0], partition) for partition in range(_PARTITIONS)]
    newest = rows // _PARTITIONS - _NEWEST
    started_s = time.monotonic()
    with reading(dsn) as reader:
        held, seen = dict.fromkeys(partitions, 0), dict.fromkeys(partitions, newest)
        stored = reader.stored(_TOPICS, held, seen, None, 0)
    check_customers(stored, findings)
    check_sums(stored, findings)
    wall_s = time.monotonic() - started_s
    counted = sum(found.rows for found in stored.customer_rows.values())
    if findings.total or counted != rows:
        sys.exit(f"{counted} rows of {rows}; findings: {findings.kept}")
    return round(wall_s, 2)
