"""Questions over a month of roll-ups: ten million events of a thousand customers, each question timed.

The sums are generated as the ledger would have added them up: customers by Zipf's law, twelve keys each (four
models, three features, projects of their own), four meters, three calls a query, busy days and quiet nights,
one sum in a hundred posted a day late. Of meters by quarters of an hour only the month's two edges are made:
no question of a month reads the others.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import numpy as np

from cli.ask import asked_of
from ledger.adapters.question_store import costliest, reading, sums, unpriced
from ledger.core.questions import (
    Question,
    concentration_table,
    margin_question,
    margin_table,
    unpriced_table,
    usage_table,
)
from ledger.core.questions_time import Asked
from rate_book.instants import parse_instant
from runtime.postgres import Connection, connect, migrate
from runtime.settings import PostgresSettings, SettingsLoader

_SUMS = "copy ledger.sums_15m (customer_id, bucket_us, posted_day, key, events, cost, price) from stdin"
EVENTS, CUSTOMERS = 10_000_000, 1_000
KEYS = 12  # of a customer
CALLS = 3  # of a query
ROUNDS = 7
DAYS = 30
FIRST = date(2026, 11, 1)
_QUARTERS = 96  # of a day
_QUARTER_US = 900_000_000
_START_US = parse_instant("2026-11-01T00:00:00Z")
_PERIOD = _START_US, parse_instant("2026-12-01T00:00:00Z")
_METERS = ("input_tokens", "cache_read_tokens", "output_tokens", "requests")

_DERIVE = """
insert into ledger.sums_day select customer_id, bucket_us - bucket_us % 86400000000, posted_day, key,
    sum(events), sum(cost), sum(price) from ledger.sums_15m group by 1, 2, 3, 4 order by 2, 1;
insert into ledger.sums_month select customer_id, {start}, date_trunc('month', posted_day), key, sum(events),
    sum(cost), sum(price) from ledger.sums_day group by 1, 2, 3, 4;
insert into ledger.meter_sums_day select s.customer_id, s.bucket_us, s.posted_day, m.key, s.events,
    s.events * 1000, round(s.cost / 4, 18), round(s.price / 4, 18)
    from ledger.sums_day s join ledger.rollup_meter_keys m on m.sums_key = s.key order by 2, 1;
insert into ledger.meter_sums_month select s.customer_id, s.bucket_us, s.posted_day, m.key, s.events,
    s.events * 1000, round(s.cost / 4, 18), round(s.price / 4, 18)
    from ledger.sums_month s join ledger.rollup_meter_keys m on m.sums_key = s.key;
insert into ledger.meter_sums_15m select s.customer_id, s.bucket_us, s.posted_day, m.key, s.events,
    s.events * 1000, round(s.cost / 4, 18), round(s.price / 4, 18)
    from ledger.sums_15m s join ledger.rollup_meter_keys m on m.sums_key = s.key
    where s.bucket_us < {start} + 86400000000 or s.bucket_us >= {end} - 86400000000;
insert into ledger.queries
    select 'customer-' || 1 + floor({customers} ^ random())::int % {customers}, 'q-' || n, 'USD', {calls},
    round((0.002 / (0.02 + random()))::numeric, 6), round((0.004 / (0.02 + random()))::numeric, 6),
    at_us, at_us + 5000000, n, n + 2
    from (select n, {start} + floor(n::numeric * ({end} - {start}) / {queries})::bigint as at_us
          from generate_series(0, {queries} - 1) n) made;
"""


def run(dsn: str, events: int = EVENTS) -> dict[str, Any]:
    """The figures. The DSN is that of an empty database."""
    started = time.perf_counter()
    with connect(dsn, statement_timeout_ms=1_800_000) as connection:
        migrate(connection)
        made = _seed(connection, events)
        connection.set_autocommit(True)
        connection.execute("vacuum analyze")
        rows = {name: _count(connection, name) for name in ("sums_15m", "sums_day", "sums_month", "queries")}
    figures: dict[str, Any] = {"events": made, "rows": rows, "seeded_s": round(time.perf_counter() - started)}
    figures["ms"] = {name: _timed(dsn, ask, made) for name, ask in _questions().items()}
    return figures


def _questions() -> dict[str, Callable[[Connection], int | None]]:
    """Name -> asks, makes the table, and returns how many events it counted where it counts them all."""
    utc = asked_of("2026-11-01", "2026-12-01", "UTC")
    berlin = asked_of("2026-11-01", "2026-12-01", "Europe/Berlin")
    days = asked_of("2026-11-01", "2026-12-01", "UTC", "day")
    local_days = asked_of("2026-11-01", "2026-12-01", "Europe/Berlin", "day")
    one = (("customer", ("customer-3",)),)
    all_of_it = {
        "usage by customer": Question(utc, ("customer",)),
        "usage by model, feature": Question(utc, ("model", "feature")),
        "usage by meter": Question(utc, ("meter",)),
        "usage by customer, Berlin": Question(berlin, ("customer",)),
        "usage by meter, Berlin": Question(berlin, ("meter",)),
        "usage by product, by day": Question(days, ("product",)),
        "usage by customer, as of the 15th": Question(utc, ("customer",), as_of=date(2026, 11, 15)),
    }
    asks: dict[str, Callable[[Connection], int | None]] = {
        name: _usage(question) for name, question in all_of_it.items()
    }
    asks |= {
        "usage of one customer, by day in Berlin": _usage(Question(local_days, ("model",), one)),
        "usage of all by day in Berlin": _usage(Question(local_days)),
        "margin by customer": _margin(Question(utc, ("customer",))),
        "margin by product, feature": _margin(Question(utc, ("product", "feature"))),
        "concentration": _concentration(Question(utc, ("customer",))),
        "20 costliest queries": _costliest(utc),
        "unpriced": _unpriced(Question(utc)),
    }
    return asks


def _usage(question: Question) -> Callable[[Connection], int | None]:
    def ask(connection: Connection) -> int | None:
        found = sums(connection, question)
        usage_table(question, found)
        whole = len(question.filters) == 0 and not question.by_meter and question.asked.zone.name == "UTC"
        return sum(row.now.events for row in found) if whole else None

    return ask


def _margin(question: Question) -> Callable[[Connection], int | None]:
    def ask(connection: Connection) -> int | None:
        found = sums(connection, margin_question(question))
        margin_table(question, found)
        return sum(row.now.events for row in found)

    return ask


def _concentration(question: Question) -> Callable[[Connection], int | None]:
    def ask(connection: Connection) -> int | None:
        found = sums(connection, question)
        concentration_table(question, found)
        return sum(row.now.events for row in found)

    return ask


def _unpriced(question: Question) -> Callable[[Connection], int | None]:
    def ask(connection: Connection) -> int | None:
        assert unpriced_table(question, unpriced(connection, question)).rows
        return None

    return ask


def _costliest(asked: Asked) -> Callable[[Connection], int | None]:
    def ask(connection: Connection) -> int | None:
        found = costliest(connection, asked, 20)
        assert len(found) == 20
        assert all(left.cost >= right.cost for left, right in pairwise(found))
        return None

    return ask


def _timed(dsn: str, ask: Callable[[Connection], int | None], events: int) -> dict[str, float]:
    """Each time on a connection of its own, opened before the clock starts; the answer is checked first."""
    took = []
    for _ in range(ROUNDS):
        with reading(dsn) as connection:
            started = time.perf_counter()
            counted = ask(connection)
            took.append((time.perf_counter() - started) * 1000)
        assert counted in {None, events}, f"{counted} events, not {events}"
    return {
        "min": round(min(took), 1),
        "median": round(statistics.median(took), 1),
        "max": round(max(took), 1),
    }


def _seed(connection: Connection, events: int) -> int:
    """Keys, quarters of an hour in order of time, and all that follows from them; how many events it made."""
    generator = np.random.default_rng(20261123)
    by_customer = 1 / np.arange(1, CUSTOMERS + 1)
    by_key = 1 / np.arange(1, KEYS + 1)
    hours = 1 + 0.8 * np.sin((np.arange(_QUARTERS) / _QUARTERS - 0.3) * 2 * np.pi)
    weight = (by_customer / by_customer.sum())[:, None] * (by_key / by_key.sum())
    keys = _keys(connection)
    made = 0
    with connection.cursor() as cursor, cursor.copy(_SUMS) as copy:
        for day in range(DAYS):
            for quarter in range(_QUARTERS):
                counts = generator.poisson(weight * events / DAYS * hours[quarter] / hours.sum())
                made += int(counts.sum())
                copy.write("".join(_lines(counts, keys, day, quarter)))
    queries = max(made // CALLS, 1)
    values = {
        "start": _PERIOD[0],
        "end": _PERIOD[1],
        "customers": CUSTOMERS,
        "calls": CALLS,
        "queries": queries,
    }
    for statement in _DERIVE.format(**values).split(";"):
        if statement.strip():
            connection.execute(statement.encode())
    connection.commit()
    return made


def _lines(counts: Any, keys: list[list[str]], day: int, quarter: int) -> Iterator[str]:
    bucket_us = _START_US + (day * _QUARTERS + quarter) * _QUARTER_US
    posted = FIRST + timedelta(days=day)
    for customer, key in zip(*(found.tolist() for found in counts.nonzero()), strict=True):
        count = int(counts[customer, key])
        known = posted + timedelta(days=1) if (customer + key + quarter) % 100 == 0 else posted
        yield (
            f"customer-{customer + 1}\t{bucket_us}\t{known}\t\\\\x{keys[customer][key]}\t{count}"
            f"\t0.{count * (key + 1):06d}25\t0.{count * (key + 2):06d}75\n"
        )


def _keys(connection: Connection) -> list[list[str]]:
    """The keys of every customer, in hex; one in fifty has no price for its first meter."""
    keys, sums_keys, meter_keys = [], [], []
    for customer in range(CUSTOMERS):
        keys.append([f"{customer * KEYS + key:032x}" for key in range(KEYS)])
        for number, digest in enumerate(keys[-1]):
            about = {
                "project": f"p-{customer}-{number % 2}",
                "product": f"product-{number % 2}",
                "feature": f"feature-{number % 3}",
            }
            sums_keys.append(
                f"\\\\x{digest}\tplan-{customer % 3}\tpriced\tpriced\tprovider-{number % 2}"
                f"\tmodel-{number % 4}\tUSD\tUSD\t{_START_US}\t{_START_US}\t{json.dumps(about)}\n"
            )
            place = customer * KEYS + number
            for meter_number, meter in enumerate(_METERS):
                reason = "no rate" if meter_number == 0 and place % 50 == 0 else "\\N"
                meter_keys.append(
                    f"\\\\x{place:016x}{meter_number + 1:016x}\t\\\\x{digest}\t{meter}\tt\t{reason}\t\\N\n"
                )
    for table, lines in (("rollup_keys", sums_keys), ("rollup_meter_keys", meter_keys)):
        with connection.cursor() as cursor, cursor.copy(f"copy ledger.{table} from stdin".encode()) as copy:
            copy.write("".join(lines))
    return keys


def _count(connection: Connection, table: str) -> int:
    row = connection.execute(f"select count(*) from ledger.{table}".encode()).fetchone()  # noqa: S608 - a name of above
    assert row is not None
    return int(str(row[0]))


def main() -> None:
    """Alone, with a database of its own on the server of the settings."""
    from bench.pipeline.run import empty_database  # noqa: PLC0415 - the whole bench is not needed otherwise
    from runtime.databases import drop_databases  # noqa: PLC0415 - the same

    parser = argparse.ArgumentParser(prog="python -m bench.ledger_questions", description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    arguments = parser.parse_args()
    loader = SettingsLoader.of_process()
    dsn = empty_database(loader)
    try:
        for name, value in run(dsn, arguments.events).items():
            print(name, value)
    finally:
        server = loader.section("postgres", PostgresSettings).dsn.get_secret_value()
        drop_databases(server, dsn.rpartition("dbname=")[2].split()[0])


if __name__ == "__main__":
    main()
