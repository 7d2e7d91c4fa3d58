"""What must hold of the ledger after every fault, read by the owner with nothing of the ledger's own code."""

from collections import Counter
from typing import Any

from runtime.postgres import connect
from schemas import topics
from tests.fix_rater import DEADLINE_S, Pipeline, wait_for


def ask(pipeline: Pipeline, query: str) -> list[tuple[Any, ...]]:
    with connect(pipeline.dsn) as connection:
        return list(connection.execute(query.encode()).fetchall())


def rows(pipeline: Pipeline, table: str = "rated") -> int:
    return int(ask(pipeline, f"select count(*) from ledger.{table}")[0][0])  # noqa: S608 - a constant


def wait_rows(pipeline: Pipeline, count: int, timeout_s: float = DEADLINE_S) -> None:
    def there() -> bool:
        pipeline.check_alive()
        return rows(pipeline) >= count

    wait_for(there, f"{count} rows in the ledger", timeout_s)


def check_ledger(pipeline: Pipeline) -> None:
    """Once all is taken over: a row for each committed record, no record twice, sums that agree."""
    for topic, table in ((topics.USAGE_RATED, "rated"), (topics.USAGE_REJECTED, "rejected")):
        read = Counter((item.partition(), item.offset(), item.value()) for item in pipeline.read(topic))
        count = len(read)
        wait_for(lambda: rows(pipeline, table) >= count, f"{count} rows in ledger.{table}")  # noqa: B023
        found = ask(pipeline, f"select kafka_partition, kafka_offset, record from ledger.{table}")  # noqa: S608 - a constant
        written = Counter((partition, offset, bytes(record)) for partition, offset, record in found)
        assert written == read, topic
    assert ask(pipeline, "select count(*) from ledger.bad_records") == [(0,)]
    ((broken,),) = ask(
        pipeline,
        "select count(*) from ledger.customers c full join (select customer_id, count(*) as counted,"
        " max(customer_seq) as last from ledger.rated group by 1) r using (customer_id)"
        " where c.contiguous_seq is distinct from r.counted or c.last_seq is distinct from r.last"
        " or c.gap_seq is not null",
    )
    assert broken == 0
    totals = ask(pipeline, "select count(*), sum(cost), sum(price) from ledger.rated")
    for table in ("sums_15m", "sums_day", "sums_month"):
        assert ask(pipeline, f"select sum(events), sum(cost), sum(price) from ledger.{table}") == totals  # noqa: S608 - a constant
    ((last,),) = ask(
        pipeline,
        "select count(*) from ledger.positions p join (select kafka_partition, max(kafka_offset) + 1 as next"
        " from ledger.rated group by 1) r using (kafka_partition)"
        " where p.topic like '%usage.rated' and p.next_offset <> r.next",
    )
    assert last == 0
