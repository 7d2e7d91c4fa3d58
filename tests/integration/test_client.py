"""The client package against a real broker: partitions, acknowledgements, order, the guide's own code."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import ratestream_client
from ratestream_client import Delivery, Emitter, QueueFull, UsageEvent
from schemas import codec, topics
from schemas.partitioning import partition_of
from tests.fix_kafka import KafkaFixture
from tests.unit.schemas.wire_samples import EVENT

pytestmark = pytest.mark.broker

PARTITIONS = 24


def usage_event(customer_id: str, event_id: str = "call-1") -> UsageEvent:
    return UsageEvent(
        customer_id=customer_id,
        source="chat",
        event_id=event_id,
        event_time_us=1_794_999_600_000_000,
        provider="openai",
        usage_semantics="inclusive",
        usage={"input_tokens": 1200},
    )


def test_a_thousand_keys_land_where_murmur2_says(kafka: KafkaFixture) -> None:
    settings = kafka.create_topics(kafka.topic_prefix(), partitions=PARTITIONS)
    topic = settings.topic_prefix + topics.USAGE_EVENTS
    keys = [f"customer-{number}-é{'x' * (number % 7)}" for number in range(1_000)]
    ended: list[Delivery] = []
    with Emitter(settings.client_config(), topic=topic, on_delivery=ended.append) as emitter:
        for key in keys:
            emitter.emit(usage_event(key))
    assert len(ended) == 1_000
    assert {delivery.partition for delivery in ended} == set(range(PARTITIONS))
    for delivery in ended:
        assert delivery.partition == partition_of(delivery.customer_id.encode(), PARTITIONS)


def test_what_is_acknowledged_is_on_the_topic_in_order_with_key_and_no_headers(kafka: KafkaFixture) -> None:
    settings = kafka.create_topics(kafka.topic_prefix())
    topic = settings.topic_prefix + topics.USAGE_EVENTS
    with Emitter(settings.client_config(), topic=topic) as emitter:
        for number in range(100):
            emitter.emit(usage_event("amber-bank", str(number)))
        report = emitter.flush()
    assert (report.emitted, report.acknowledged, report.unacknowledged) == (100, 100, ())
    found = kafka.read_all(topic)
    assert [codec.decode("UsageEvent", one.value())["event_id"] for one in found] == [
        str(number) for number in range(100)
    ]
    assert {(one.key(), one.headers()) for one in found} == {(b"amber-bank", None)}


def test_encoded_bytes_and_headers_go_as_they_are(kafka: KafkaFixture) -> None:
    settings = kafka.create_topics(kafka.topic_prefix())
    topic = settings.topic_prefix + topics.USAGE_EVENTS
    with Emitter(settings.client_config(), topic=topic) as emitter:
        emitter.emit_encoded("amber-bank", b"not an event", {"first_append_time_us": b"17"})
    (message,) = kafka.read_all(topic)
    assert (message.value(), message.headers()) == (b"not an event", [("first_append_time_us", b"17")])


def test_an_event_of_the_largest_size_passes_broker_and_consumer(kafka: KafkaFixture) -> None:
    settings = kafka.create_topics(kafka.topic_prefix())
    topic = settings.topic_prefix + topics.USAGE_EVENTS
    value = b"x" * topics.MIB
    with Emitter(settings.client_config() | {"compression.type": "none"}, topic=topic) as emitter:
        emitter.emit_encoded("amber-bank", value)
        emitter.emit_encoded("amber-bank", value)
    assert [message.value() for message in kafka.read_all(topic)] == [value, value]


def test_a_small_queue_holds_the_caller_back_and_loses_nothing(kafka: KafkaFixture) -> None:
    settings = kafka.create_topics(kafka.topic_prefix())
    topic = settings.topic_prefix + topics.USAGE_EVENTS
    with Emitter(settings.client_config(), topic=topic, queue_messages_max=10) as emitter:
        for number in range(2_000):
            emitter.emit(usage_event(f"customer-{number % 5}", str(number)))
    ids = {codec.decode("UsageEvent", message.value())["event_id"] for message in kafka.read_all(topic)}
    assert len(ids) == 2_000


def test_the_guides_code_publishes_around_a_model_call(kafka: KafkaFixture) -> None:
    settings = kafka.create_topics(kafka.topic_prefix())
    topic = settings.topic_prefix + topics.USAGE_EVENTS
    readme = Path(ratestream_client.__file__).parents[1] / "README.md"
    match = re.search(r"```python\n(.*?)```", readme.read_text("utf-8"), re.DOTALL)
    assert match is not None
    kept: list[UsageEvent] = []
    guide: dict[str, Any] = {"__name__": "service", "keep_for_later": kept.append}
    exec(compile(match[1], "README.md", "exec"), guide)  # noqa: S102 - the document's own code
    response = SimpleNamespace(
        id="resp-1", model="gpt-4o", input_tokens=12, cached_tokens=0, output_tokens=3, text="yes"
    )
    provider = SimpleNamespace(complete=lambda **_: response)
    with Emitter(settings.client_config(), topic=topic, on_delivery=guide["on_delivery"]) as emitter:
        assert guide["answer"](emitter, provider, "amber-bank", "query-1", "Is it?") == "yes"
    (message,) = kafka.read_all(topic)
    event = codec.decode("UsageEvent", message.value())
    assert event["usage"] == {"input_tokens": "12", "cache_read_tokens": "0", "output_tokens": "3"}
    assert kept == []

    class Full:
        def emit(self, event: UsageEvent) -> None:
            raise QueueFull("no room")

    guide["publish"](Full(), usage_event("amber-bank"))
    assert kept == [usage_event("amber-bank")]


def test_the_reader_for_finance_reads_a_real_topic(
    kafka: KafkaFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One committed and one aborted record: the reader sees the first only."""
    root = Path(__file__).resolve().parents[2]
    settings = kafka.create_topics(kafka.topic_prefix())
    topic = settings.topic_prefix + topics.USAGE_RATED
    rating = _rating()
    producer = kafka.producer(transactional_id=f"{settings.topic_prefix}finance")
    producer.init_transactions(30)
    for committed in (True, False):
        producer.begin_transaction()
        record = {"event": EVENT, "rating": rating | {"customer_seq": 1 if committed else 2}}
        producer.produce(topic, key=b"amber-bank", value=codec.encode("RatedUsage", record))
        if committed:
            producer.commit_transaction(30)
        else:
            producer.flush(30)
            producer.abort_transaction(30)
    match = re.search(r"```python\n(.*?)```", (root / "docs/reference/wire.md").read_text("utf-8"), re.DOTALL)
    assert match is not None
    monkeypatch.chdir(root)
    namespace: dict[str, Any] = {"__name__": "finance"}
    exec(compile(match[1], "wire.md", "exec"), namespace)  # noqa: S102 - the document's own code
    read = list(namespace["rated_usage"](kafka.bootstrap, topic, f"{settings.topic_prefix}finance"))
    assert read == [{"event": EVENT, "rating": rating}]


def _rating() -> dict[str, Any]:
    side = {"status": "unpriced", "amount": None, "currency": None}
    return {
        "customer_seq": 1,
        "leg": "original",
        "revision": 0,
        "correction_id": None,
        "book_version": 1,
        "book_hash": "00",
        "service_period": {"start_us": 0, "end_us": 1},
        "pools_before": [],
        "cost": side,
        "price": side,
        "lines": [],
        "plan": None,
    }
