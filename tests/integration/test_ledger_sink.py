"""The ledger as a process, against the real Kafka and PostgreSQL, behind a real rater."""

import subprocess
import sys
from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from runtime.postgres import connect
from schemas import topics
from schemas.codec import CODEC
from tests.fix_rater import DEADLINE_S, STOPPED_LOUDLY, Pipeline, usage_event, wait_for

pytestmark = [pytest.mark.broker, pytest.mark.postgres]


def ask(pipeline: Pipeline, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Rows of the test's own database, by the owner."""
    with connect(pipeline.dsn) as connection:
        return list(connection.execute(query.encode(), parameters).fetchall())


def rows(pipeline: Pipeline, table: str = "rated") -> int:
    return int(ask(pipeline, f"select count(*) from ledger.{table}")[0][0])  # noqa: S608 - a constant of the test


def wait_rows(pipeline: Pipeline, count: int, table: str = "rated") -> None:
    def there() -> bool:
        pipeline.check_alive()
        return rows(pipeline, table) >= count

    wait_for(there, f"{count} rows in ledger.{table}", DEADLINE_S)


def test_each_rated_record_is_a_row_with_its_amounts_and_its_bytes(pipeline: Pipeline) -> None:
    """0.003 USD cost and 0.0045 USD price an event: see check_exactly_once."""
    events = [usage_event(number % 7, number, query_id=f"q{number % 3}") for number in range(200)]
    pipeline.emit([*events, *events[:50]])
    pipeline.start()
    sink = pipeline.start(module="ledger")
    wait_rows(pipeline, 200)
    assert ask(
        pipeline,
        "select sum(cost), sum(price), min(cost_currency), min(price_status), min(model),"
        " count(distinct query_id) from ledger.rated",
    ) == [(Decimal("0.6"), Decimal("0.9"), "USD", "priced", "one", 3)]
    messages = pipeline.read(topics.USAGE_RATED)
    assert Counter(
        (partition, offset, bytes(record))
        for partition, offset, record in ask(
            pipeline, "select kafka_partition, kafka_offset, record from ledger.rated"
        )
    ) == Counter((message.partition(), message.offset(), message.value()) for message in messages)
    assert ask(
        pipeline,
        "select count(*) from ledger.rated where posted_day <> (posted_at at time zone 'UTC')::date"
        " or event_time <> timestamptz 'epoch' + event_time_us * interval '1 microsecond'"
        " or posting_start_us <> service_start_us or posting_end_us <> service_end_us",
    ) == [(0,)]
    customers = ask(pipeline, "select customer_id, contiguous_seq, last_seq, gap_seq from ledger.customers")
    expected = Counter(event["customer_id"] for event in events)
    assert sorted(customers) == sorted((name, count, count, None) for name, count in expected.items())
    assert sink.terminate() == 0


def test_rejected_records_are_rows_and_a_bad_one_stops_nothing(pipeline: Pipeline) -> None:
    """Bytes that are no record, in both topics, between records that are: kept, named, and passed."""
    pipeline.emit_raw([(b"customer-1", b"no event")])
    pipeline.emit([usage_event(1, 1)])
    pipeline.start()
    pipeline.wait_drained()
    pipeline.emit_raw([(b"customer-1", b"rubbish")], topic=topics.USAGE_RATED, partition=0)
    pipeline.emit_raw([(b"customer-1", None)], topic=topics.USAGE_REJECTED, partition=0)
    pipeline.emit([usage_event(number, 2) for number in range(8)])
    pipeline.wait_drained()
    sink = pipeline.start(module="ledger")
    wait_rows(pipeline, 9)
    wait_rows(pipeline, 2, "bad_records")
    wait_rows(pipeline, 1, "rejected")
    assert ask(pipeline, "select reason, topic, customer_id, length(record) > 20 from ledger.rejected") == [
        ("undecodable", "usage.events", None, True)
    ]
    bad = ask(
        pipeline, "select topic, kafka_partition, problem, value from ledger.bad_records order by topic"
    )
    assert [
        (topic.removeprefix(pipeline.prefix), partition, value) for topic, partition, _, value in bad
    ] == [
        (topics.USAGE_RATED, 0, b"rubbish"),
        (topics.USAGE_REJECTED, 0, None),
    ]
    assert all("header" in problem for _, _, problem, _ in bad)
    assert "offset" in sink.log()


def test_a_ledger_that_starts_again_goes_on_where_postgresql_says(pipeline: Pipeline) -> None:
    pipeline.start()
    pipeline.emit([usage_event(number % 5, number) for number in range(50)])
    first = pipeline.start(module="ledger")
    wait_rows(pipeline, 50)
    assert first.terminate() == 0
    pipeline.emit([usage_event(number % 5, number) for number in range(50, 100)])
    pipeline.wait_drained()
    pipeline.start(module="ledger", ledger__batch_records_max=7)
    wait_rows(pipeline, 100)
    assert ask(pipeline, "select count(distinct (customer_id, customer_seq)) from ledger.rated") == [(100,)]


def test_two_ledgers_share_the_partitions(pipeline: Pipeline) -> None:
    pipeline.start()
    sinks = [
        pipeline.start(module="ledger", ledger__slot=slot, ledger__batch_records_max=20) for slot in range(2)
    ]
    for sink in sinks:
        sink.wait_owner()
    pipeline.emit([usage_event(number % 23, number) for number in range(500)])
    wait_rows(pipeline, 500)
    assert ask(pipeline, "select count(*) from ledger.customers where gap_seq is not null") == [(0,)]
    assert ask(pipeline, "select count(*) from ledger.bad_records") == [(0,)]
    for sink in sinks:
        assert sink.terminate() == 0
        assert "gave up partitions" in sink.log()


def test_what_postgresql_or_the_sequence_refuses_is_a_bad_record(pipeline: Pipeline) -> None:
    """A record again, a sequence that came before, an amount beyond its column: each leaves a gap."""
    pipeline.emit([usage_event(1, 1)])
    pipeline.start().wait_owner()
    pipeline.wait_drained()
    (message,) = pipeline.read(topics.USAGE_RATED)
    partition = message.partition() or 0

    def variant(event_id: str, seq: int, amount: str = "1") -> tuple[bytes, bytes]:
        record = CODEC.decode("RatedUsage", message.value())
        record["event"]["event_id"] = event_id
        record["rating"]["customer_seq"] = seq
        record["rating"]["cost"]["amount"] = amount
        return b"customer-1", CODEC.encode("RatedUsage", record)

    pipeline.emit_raw(
        [
            variant("event-1", 2),  # the key is there: refused by PostgreSQL
            variant("other", 1),  # the sequence is there: refused before
            variant("huge", 3, "1" + "0" * 30),  # numeric(38,18)
            variant("fine\\\t\n\r", 4),
        ],
        topic=topics.USAGE_RATED,
        partition=partition,
    )
    pipeline.start(module="ledger")
    wait_rows(pipeline, 3, "bad_records")
    assert ask(pipeline, "select event_id, customer_seq from ledger.rated order by 2") == [
        ("event-1", 1),
        ("fine\\\t\n\r", 4),
    ]
    found = ask(pipeline, "select problem from ledger.bad_records order by kafka_offset")
    problems = [row[0] for row in found]
    assert len(problems) == 3
    assert "duplicate key" in problems[0]
    assert "sequences grow" in problems[1]
    assert "overflow" in problems[2]
    assert ask(pipeline, "select contiguous_seq, gap_seq, last_seq from ledger.customers") == [(1, 2, 4)]


def command(pipeline: Pipeline, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli", "ledger", *arguments],
        env=pipeline.environ(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_old_days_are_detached_and_never_today_s(pipeline: Pipeline) -> None:
    with connect(pipeline.dsn) as connection:
        for days_ago in range(4):
            connection.execute("select ledger.make_day(current_date - %s)", (days_ago,))
        ((today,),) = connection.execute("select current_date").fetchall()
    assert isinstance(today, date)
    oldest, old, kept = today - timedelta(days=3), today - timedelta(days=2), today - timedelta(days=1)
    done = command(pipeline, "detach", "--before", str(kept))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"detached ledger.{table}_{day:%Y%m%d}" for day in (oldest, old) for table in ("rated", "rejected")
    ]
    assert ask(pipeline, "select posted_day from ledger.detached order by 1") == [(oldest,), (old,)]
    assert (
        command(pipeline, "detach", "--before", str(kept)).stdout
        == f"no day before {kept} is in the ledger\n"
    )
    with connect(pipeline.dsn) as connection, pytest.raises(psycopg.Error, match="was detached"):
        connection.execute("select ledger.make_day(%s)", (old,))
    refused = command(pipeline, "detach", "--before", str(today + timedelta(days=1)))
    assert refused.returncode == 2
    assert "must not be later than today" in refused.stderr


def test_the_writer_can_add_and_nothing_else_and_the_owner_cannot_change_rows(pipeline: Pipeline) -> None:
    pipeline.emit([usage_event(1, 1)])
    pipeline.start()
    pipeline.start(module="ledger")
    wait_rows(pipeline, 1)
    changes = ("update ledger.rated set cost = 0", "delete from ledger.rated", "truncate ledger.rated")
    for change in (*changes, "drop table ledger.rated", "delete from ledger.positions"):
        with connect(pipeline.dsn) as connection:
            connection.execute("set role ratestream_ledger_writer")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(change.encode())
    ((child,),) = ask(pipeline, "select tableoid::regclass::text from ledger.rated")
    for change in (*changes, f"delete from {child}", f"truncate {child}"):  # noqa: S608 - the test's own table
        with connect(pipeline.dsn) as connection:
            connection.execute("set session_replication_role = replica")
            with pytest.raises(psycopg.errors.RestrictViolation):
                connection.execute(change.encode())
    with connect(pipeline.dsn) as connection:
        connection.execute("set role ratestream_ledger_reader")
        assert connection.execute("select count(*) from ledger.rated").fetchone() == (1,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select ledger.make_day(current_date)")


def test_a_database_without_the_ledger_or_its_role_stops_it_with_a_sentence(
    pipeline: Pipeline, postgres_server: str
) -> None:
    pipeline.tolerated.add(STOPPED_LOUDLY)
    unknown = pipeline.start(module="ledger", ledger__role="nobody_of_that_name")
    assert unknown.wait_dead() == STOPPED_LOUDLY, unknown.log()
    assert "ledger.role = 'nobody_of_that_name'" in unknown.log()
    empty = pipeline.start(module="ledger", postgres__dsn=postgres_server)
    assert empty.wait_dead() == STOPPED_LOUDLY, empty.log()
    assert "ratestream ledger migrate" in empty.log()
