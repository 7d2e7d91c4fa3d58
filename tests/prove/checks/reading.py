"""Reads the topics, as any read-committed consumer may, and the tables, as any reader of PostgreSQL may."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import psycopg
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from psycopg.rows import dict_row

from tests.prove.checks.facts import Facts, Item, Json
from tests.prove.checks.wire import NotWholeError, decoded

TOPICS = (
    *("usage.events", "usage.corrections", "usage.rated", "usage.rejected", "usage.deltas", "rater.state"),
    *("usage.totals", "aggregator.state", "budget.alerts", "budget.state"),
)
STATES = {
    b"c": "CustomerState",
    b"p": "PeriodState",
    b"r": "RevisionState",
    b"u": "RunState",
    b"h": "PartitionHead",
}
WAIT_S = 30.0
SILENT_S = 60.0
AT_ONCE = 10_000
LATEST = -1
"""The instant that the protocol keeps for the end of a log."""
_SUMS = """
select customer_id, service_start_us, cost_currency, price_currency, sum(events) as events, sum(cost) as cost,
       sum(price) as price
from ledger.{} group by 1, 2, 3, 4
"""
_METERS = """
select customer_id, service_start_us, meter, cost_currency, price_currency, sum(cost) as cost,
       sum(price) as price
from ledger.{} group by 1, 2, 3, 4, 5
"""
_WHOLE = (
    *("ledger.rated", "ledger.rejected", "ledger.bad_records", "ledger.customers", "ledger.queries"),
    *("totals.customers", "guard.alerts", "guard.firings", "guard.deliveries", "guard.states"),
)
TABLES: Mapping[str, str] = {
    **{name: f"table {name}" for name in _WHOLE},
    **{f"ledger.{name}": _SUMS.format(name) for name in ("rollup", "rollup_days", "rollup_months")},
    **{
        f"ledger.{name}": _METERS.format(name)
        for name in ("rollup_meters", "rollup_meters_days", "rollup_meters_months")
    },
    "rate_book.versions": """
        select version, content_hash, in_force_us, retroactive,
               (extract(epoch from recorded_at) * 1000000)::bigint as recorded_us from rate_book.versions""",
    "guard.budget_versions": """
        select version, (extract(epoch from applied_at) * 1000000)::bigint as applied_us
        from guard.budget_versions""",
}
_NOW = b"select (extract(epoch from clock_timestamp()) * 1000000)::bigint as now"


class Broker(Protocol):
    """How to reach Kafka; what is in front of each topic's name."""

    @property
    def topic_prefix(self) -> str: ...

    def client_config(self) -> dict[str, Any]: ...


def read(kafka: Broker, dsn: str) -> Facts:
    """Everything as it is committed now. Raises KafkaException, psycopg.Error or TimeoutError."""
    facts = Facts()
    facts.ends = ends(kafka)
    facts.events = list(topic(kafka, "usage.events"))
    facts.corrections = list(topic(kafka, "usage.corrections"))
    for item in facts.corrections:
        item.record = _command(item)
    facts.rated = _decoded(facts, "RatedUsage", topic(kafka, "usage.rated"))
    facts.rejected = _decoded(facts, "RejectedUsage", topic(kafka, "usage.rejected"))
    facts.frames = frames(topic(kafka, "usage.deltas"), facts.problems)
    _rater_state(facts, topic(kafka, "rater.state"))
    for item in _decoded(facts, "RunningTotals", topic(kafka, "usage.totals")):
        known = facts.totals.get(item.record["customer_id"])
        if known is None or item.record["as_of_seq"] >= known["as_of_seq"]:
            facts.totals[item.record["customer_id"]] = item.record
    _aggregator_state(facts, topic(kafka, "aggregator.state"))
    facts.alerts = [item.record for item in _decoded(facts, "BudgetAlert", topic(kafka, "budget.alerts"))]
    for item in _decoded(facts, "BudgetState", topic(kafka, "budget.state")):
        facts.states[(item.key or b"").decode()] = item.record
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        facts.tables = {name: connection.execute(text.encode()).fetchall() for name, text in TABLES.items()}
        found = connection.execute(_NOW).fetchone()
    facts.at_us = 0 if found is None else found["now"]
    return facts


# --- topics ---


def topic(kafka: Broker, name: str) -> Iterator[Item]:
    """Every committed record of a topic, to where its last stable offset was at the call."""
    consumer = Consumer(
        kafka.client_config()
        | {
            "group.id": "prove-check",  # the client wants one; it is never joined
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
        }
    )
    try:
        full = kafka.topic_prefix + name
        partitions = consumer.list_topics(full, timeout=WAIT_S).topics[full].partitions
        left = set(partitions)
        consumer.assign([TopicPartition(full, number, OFFSET_BEGINNING) for number in partitions])
        heard = time.monotonic()
        while left:
            messages = consumer.consume(AT_ONCE, timeout=1.0)
            if messages:
                heard = time.monotonic()
            elif time.monotonic() - heard > SILENT_S:
                raise TimeoutError(
                    f"{full}: nothing for {SILENT_S} s, partitions {sorted(left)} not at their end"
                )
            for message in messages:
                error = message.error()
                if error is None:
                    yield Item(
                        message.partition() or 0,
                        message.offset() or 0,
                        message.timestamp()[1] * 1000,
                        message.key(),
                        message.value(),
                    )
                elif error.code() == KafkaError._PARTITION_EOF:  # its public name
                    left.discard(message.partition() or 0)
                elif error.fatal() or not error.retriable():
                    raise KafkaException(error)
    finally:
        consumer.close()


def ends(kafka: Broker, *, wait_s: float = WAIT_S) -> dict[tuple[str, int], tuple[int, int]]:
    """(last stable offset, high watermark) of every partition; waits while they differ, up to `wait_s`."""
    deadline = time.monotonic() + wait_s
    while True:
        found = _ends(kafka)
        if all(stable == high for stable, high in found.values()) or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


def _ends(kafka: Broker) -> dict[tuple[str, int], tuple[int, int]]:
    stable, high = (log_ends(kafka, TOPICS, level) for level in ("read_committed", "read_uncommitted"))
    return {where: (stable[where], end) for where, end in high.items()}


def log_ends(
    kafka: Broker, names: Iterable[str], level: str, wait_s: float = WAIT_S
) -> dict[tuple[str, int], int]:
    """The end of every partition of these topics, named without prefix, for readers of this isolation level.

    Raises:
        KafkaException: a broker did not tell.
    """
    with asker(kafka, "prove-check", level) as consumer:
        wanted = partitions(consumer, kafka, names, wait_s)
        at_the_end = [TopicPartition(kafka.topic_prefix + name, number, LATEST) for name, number in wanted]
        found = consumer.offsets_for_times(at_the_end, timeout=wait_s) if wanted else []
    for item in found:
        if item.offset < 0:
            raise KafkaException(item.error or KafkaError(KafkaError._TIMED_OUT))
    cut = len(kafka.topic_prefix)
    return {(item.topic[cut:], item.partition): item.offset for item in found}


def partitions(
    consumer: Consumer, kafka: Broker, names: Iterable[str], wait_s: float
) -> list[tuple[str, int]]:
    """Those of topics that exist, named without prefix."""
    listed = consumer.list_topics(timeout=wait_s).topics
    return [
        (name, number)
        for name in names
        if kafka.topic_prefix + name in listed
        for number in listed[kafka.topic_prefix + name].partitions
    ]


@contextmanager
def asker(kafka: Broker, group: str, level: str = "read_uncommitted") -> Iterator[Consumer]:
    """A consumer that joins nothing and reads nothing: an admin client that asks for offsets ends the process
    where a broker dies under its question (librdkafka 2.16).
    """
    consumer = Consumer(
        kafka.client_config()
        | {"group.id": group, "enable.auto.commit": False, "isolation.level": level, "log_level": 2}
    )
    try:
        yield consumer
    finally:
        consumer.close()


# --- records ---


def frames(items: Iterable[Item], problems: list[str]) -> dict[int, list[Json]]:
    """Frames by partition, put together from their parts."""
    chunks: dict[int, list[bytes]] = {}
    found: dict[int, list[Json]] = {}
    for item in items:
        frame = assembled(chunks, item, problems)
        if frame is not None:
            found.setdefault(item.partition, []).append(frame)
    problems += [
        f"usage.deltas {partition}: a frame lacks parts" for partition, left in chunks.items() if left
    ]
    return found


def assembled(chunks: dict[int, list[bytes]], item: Item, problems: list[str]) -> Json | None:
    """The frame, once its last part is there; `chunks` keeps the parts before it."""
    try:
        part = decoded("FramePart", item.value)
        pending = chunks.setdefault(item.partition, [])
        if part["part_no"] != len(pending):
            problems.append(f"usage.deltas {item.place}: part {part['part_no']} after {len(pending)} parts")
        pending.append(part["chunk"])
        if len(pending) < part["part_count"]:
            return None
        whole = b"".join(pending)
        pending.clear()
        return decoded("DeltaFrame", whole)
    except NotWholeError as error:
        problems.append(f"usage.deltas {item.place}: {error}")
        return None


def _decoded(facts: Facts, name: str, items: Iterable[Item]) -> list[Item]:
    found = []
    for item in items:
        try:
            item.record = decoded(name, item.value)
        except NotWholeError as error:
            facts.problems.append(f"{name} at {item.place}: {error}")
        else:
            found.append(item)
    return found


def _command(item: Item) -> Json:
    """A correction with its records decoded; empty where it is none, which the rater has to refuse."""
    try:
        record = decoded("Correction", item.value)
        record["record"] = decoded("RatedUsage", record["target_record"])
        if record["amended_event"] is not None:
            record["amended"] = decoded("UsageEvent", record["amended_event"])
    except NotWholeError:
        return {}
    return record


def _rater_state(facts: Facts, items: Iterable[Item]) -> None:
    newest: dict[tuple[int, bytes], Item] = {(item.partition, item.key or b""): item for item in items}
    for (partition, key), item in newest.items():
        if item.value is None:
            continue  # deleted: a run that is closed
        try:
            record = decoded(STATES[key[:1]], item.value)
        except (NotWholeError, KeyError) as error:
            facts.problems.append(f"rater.state {key!r}: {error}")
            continue
        if key == b"h":
            facts.heads[partition] = record
        elif key[:1] == b"p":
            facts.periods.append(record)


def _aggregator_state(facts: Facts, items: Iterable[Item]) -> None:
    """Of two values of a key that with the higher first field counts, else the later one."""
    for item in items:
        key = item.key or b""
        try:
            record = decoded("LivePartition" if key.startswith(b"h/") else "LiveCustomer", item.value)
        except NotWholeError as error:
            facts.problems.append(f"aggregator.state {key!r}: {error}")
            continue
        if key.startswith(b"h/"):
            known = facts.live_frames.get(record["partition"], 0)
            facts.live_frames[record["partition"]] = max(known, record["frame_no"])
        elif record["seq"] >= facts.live.get(record["customer_id"], {"seq": 0})["seq"]:
            facts.live[record["customer_id"]] = record
