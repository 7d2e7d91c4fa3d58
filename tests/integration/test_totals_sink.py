"""What takes usage.totals over, as a process against the real Kafka and PostgreSQL."""

from contextlib import closing
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions

from aggregator.adapters.totals_reader import Held, Look, look
from aggregator.adapters.totals_sink import NoTotalsTableError, TotalsStore
from runtime.failpoints import NoFailpoints
from runtime.kafka.offsets import list_offsets
from runtime.postgres import connect
from schemas import topics
from schemas.codec import CODEC
from tests.fix_postgres import PostgresFixture
from tests.fix_rater import DEADLINE_S, KILLED, PARTITIONS, Pipeline, RaterProcess, wait_for
from tests.ledger_rows import Made, usd, write_rows

pytestmark = [pytest.mark.broker, pytest.mark.postgres]


def entry(cost: str, **fields: Any) -> dict[str, Any]:
    return {
        "window": "lifetime",
        "start_us": 0,
        "end_us": None,
        "scope": {},
        "cost_currency": "USD",
        "price_currency": None,
        "cost": cost,
        "price": None,
        "events": 1,
        "unpriced_cost_events": 0,
        "unpriced_price_events": 1,
        "quantities": {"input_tokens": "5"},
    } | fields


def told(customer: str, seq: int, cost: str, watched: str = "w") -> dict[str, Any]:
    return {
        "customer_id": customer,
        "as_of_seq": seq,
        "as_of_us": seq * 1_000_000,
        "zone": "UTC",
        "watched": watched,
        "entries": [entry(cost)],
    }


def publish(pipeline: Pipeline, *values: dict[str, Any]) -> None:
    pipeline.emit_raw(
        [(value["customer_id"].encode(), CODEC.encode("RunningTotals", value)) for value in values],
        topic=topics.USAGE_TOTALS,
    )


def start(pipeline: Pipeline, **given: Any) -> RaterProcess:
    return pipeline.start(module="aggregator.totals", totals__write_ms=50, **given)


def stored(pipeline: Pipeline) -> dict[str, tuple[int, str, str]]:
    """Sequence, hash and cost by customer."""
    with connect(pipeline.dsn) as connection:
        found = connection.execute(
            "select customer_id, as_of_seq, watched, entries -> 0 ->> 'cost' from totals.customers"
        ).fetchall()
    return {str(row[0]): (int(str(row[1])), str(row[2]), str(row[3])) for row in found}


def wait_stored(pipeline: Pipeline, expected: dict[str, tuple[int, str, str]]) -> None:
    def there() -> bool:
        pipeline.check_alive()
        return stored(pipeline) == expected

    wait_for(there, f"totals.customers is {expected}", DEADLINE_S)


def wait_committed(pipeline: Pipeline) -> None:
    """Until the group's positions are at the end."""
    topic = pipeline.prefix + topics.USAGE_TOTALS
    group = f"{pipeline.prefix}totals"
    wanted = [(topic, number) for number in range(PARTITIONS)]
    ends = list_offsets(pipeline.settings.client_config(), wanted, "latest")
    written = {where: end for where, end in ends.items() if end}

    def done() -> bool:
        pipeline.check_alive()
        future = pipeline.kafka.admin().list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
        found = future[group].result(DEADLINE_S).topic_partitions
        return {(item.topic, item.partition): item.offset for item in found} == written

    wait_for(done, "the positions are committed", DEADLINE_S)


def test_the_newest_value_of_each_customer_stays_whatever_comes_after(pipeline: Pipeline) -> None:
    publish(pipeline, told("a", 1, "1"), told("a", 3, "3"), told("a", 2, "2"), told("b", 5, "5"))
    sink = start(pipeline)
    wait_stored(pipeline, {"a": (3, "w", "3"), "b": (5, "w", "5")})
    publish(pipeline, told("a", 2, "9"), told("b", 5, "6", watched="other"))  # a zombie's; a new scope's
    wait_stored(pipeline, {"a": (3, "w", "3"), "b": (5, "other", "6")})
    wait_committed(pipeline)
    assert sink.terminate() == 0
    publish(pipeline, told("a", 4, "4"))
    start(pipeline)
    wait_stored(pipeline, {"a": (4, "w", "4"), "b": (5, "other", "6")})


def test_a_value_that_does_not_change_is_not_written_again(pipeline: Pipeline) -> None:
    with closing(TotalsStore(pipeline.dsn, "ratestream_totals_writer", NoFailpoints())) as store:
        assert store.write([told("a", 1, "1"), told("b", 1, "1")]) == 2
        assert store.write([told("a", 1, "1"), told("b", 2, "2")]) == 1
        assert store.write([told("a", 0, "7")]) == 0


@pytest.mark.fault
@pytest.mark.parametrize("point", ["before_pg_commit", "after_pg_commit"])
def test_killed_around_the_commit_it_goes_on_where_it_was(pipeline: Pipeline, point: str) -> None:
    publish(pipeline, told("a", 1, "1"), told("b", 1, "1"))
    assert start(pipeline, failpoints=f"{point}:1:kill").wait_dead() == KILLED
    assert len(stored(pipeline)) == (2 if point == "after_pg_commit" else 0)
    publish(pipeline, told("a", 2, "2"))
    start(pipeline)
    wait_stored(pipeline, {"a": (2, "w", "2"), "b": (1, "w", "1")})
    wait_committed(pipeline)


def test_a_record_that_is_no_totals_stops_it_loudly(pipeline: Pipeline) -> None:
    pipeline.emit_raw([(b"a", b"rubbish")], topic=topics.USAGE_TOTALS)
    sink = start(pipeline)
    assert sink.wait_dead() == 3
    assert "TotalsUnreadableError" in sink.log()


def test_a_database_that_stays_away_stops_it_loudly(pipeline: Pipeline) -> None:
    publish(pipeline, told("a", 1, "1"))
    away = "host=127.0.0.1 port=1 dbname=nothing user=nobody"
    sink = start(pipeline, postgres__dsn=away, totals__postgres_wait_s=1)
    assert sink.wait_dead() == 3
    assert "not usable within 1 s" in sink.log()


def test_a_look_tells_the_totals_beside_the_ledger(pipeline: Pipeline) -> None:
    assert look(pipeline.dsn, "c") == Look(None, None, None, None)
    made = Made()
    with connect(pipeline.dsn) as connection:
        event = {"customer_id": "c", "at": "2026-11-18T12:00:00Z"}
        write_rows(connection, [made.rated(event, usd("1"), usd("1")) for _ in range(3)])
        connection.execute("insert into totals.repairs (customer_id, reason, by) values ('c', 'drift', 'me')")
    with closing(TotalsStore(pipeline.dsn, "", NoFailpoints())) as store:
        store.write([told("c", 2, "2")])
    found = look(pipeline.dsn, "c")
    assert isinstance(found.held, Held)
    assert (found.held.as_of_seq, found.held.entries) == (2, [entry("2")])
    assert 0 <= found.held.written_ms_ago < 60_000
    assert (found.ledger_seq, found.ledger_last_seq, found.repair) == (3, 3, "drift")


def test_without_tables_it_says_what_makes_them(postgres: PostgresFixture) -> None:
    with pytest.raises(NoTotalsTableError, match="ledger migrate"):
        TotalsStore(postgres.dsn, "", NoFailpoints()).write([told("a", 1, "1")])
    with pytest.raises(NoTotalsTableError, match="ledger migrate"):
        look(postgres.dsn, "a", role="")
