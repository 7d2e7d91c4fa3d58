"""A rater's log that knows a million ids already, written as a rater would have written it."""

import os
from collections.abc import Iterator

from confluent_kafka import KafkaError, Message, Producer

from rater.adapters.meta import LogIdentity
from rater.adapters.outputs import frame_outputs, head_output
from rater.core.identity import pack_entry
from rater.core.work import BatchResult, Head
from runtime.kafka.topology import describe
from runtime.settings import KafkaSettings
from schemas.topics import RATER_STATE, USAGE_CORRECTIONS, USAGE_DELTAS, USAGE_EVENTS, producer_limits

_IDS_A_FRAME = 10_000
_DAY_US = 86_400_000_000
_DAYS = 30


def seed_known(kafka: KafkaSettings, known: int, now_us: int) -> None:
    """Frames with `known` random ids over the last 30 days, in every partition; positions stay at 0."""
    prefix = kafka.topic_prefix
    names = [prefix + name for name in (USAGE_EVENTS, USAGE_CORRECTIONS, USAGE_DELTAS, RATER_STATE)]
    topology = describe(kafka.client_config(), names)
    log = LogIdentity(topology.cluster_id, *(topology.topic_ids[name] for name in names))
    producer = Producer(
        kafka.client_config() | producer_limits(USAGE_DELTAS, RATER_STATE) | {"enable.idempotence": True}
    )
    for partition in range(kafka.partitions):
        head = Head()
        for result in _frames(partition, known // kafka.partitions, now_us):
            head = result.head
            for part in frame_outputs(names[2], result, "bench", "bench"):
                _produce(producer, part.topic, part.value, partition)
            producer.poll(0)
        last = head_output(names[3], head, log)
        producer.produce(last.topic, last.value, last.key, partition, on_delivery=_delivered)
    if producer.flush(120):
        raise SystemExit("seeded frames were not acknowledged")


def _produce(producer: Producer, topic: str, value: bytes | None, partition: int) -> None:
    while True:
        try:
            producer.produce(topic, value, None, partition, on_delivery=_delivered)
        except BufferError:  # a hundred million ids are more than a producer keeps
            producer.poll(0.05)
        else:
            return


def _delivered(error: KafkaError | None, message: Message) -> None:
    if error is not None:
        raise SystemExit(f"a seeded frame was refused: {error.str()} ({len(message)} bytes)")


def _frames(partition: int, count: int, now_us: int) -> Iterator[BatchResult]:
    head = Head()
    for start in range(0, count, _IDS_A_FRAME):
        following = Head(frame_no=head.frame_no + 1, highest_append_us=now_us, book_version=1)
        result = BatchResult(partition, head, following, ("project", "product", "feature", "model"))
        day_us = now_us - now_us % _DAY_US - (start // _IDS_A_FRAME % _DAYS) * _DAY_US
        random = os.urandom(24 * min(_IDS_A_FRAME, count - start))
        result.digests[day_us] = [
            pack_entry(random[at : at + 16], random[at + 16 : at + 24], 0) for at in range(0, len(random), 24)
        ]
        yield result
        head = following
