"""Frames and rated records on their topics in transactions, as a rater would have written them, but faster.

The rater's own core makes the rows and the frames; what a call is rated at is known beforehand.
"""

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice

from confluent_kafka import Producer

from bench.traffic import Happening, Traffic
from rater.adapters.outputs import frame_outputs
from rater.core.identity import ENTRY_BYTES
from rater.core.rows import CustomerDelta
from rater.core.work import BatchResult, Head
from runtime.settings import KafkaSettings
from schemas.topics import USAGE_DELTAS, USAGE_RATED, producer_limits

_DAY_US = 86_400_000_000
_WAIT_S = 60.0


@dataclass
class Log:
    """What a rater would remember of the partitions: heads and sequences. Not for several threads."""

    kafka: KafkaSettings
    traffic: Traffic
    heads: dict[int, Head] = field(default_factory=dict)
    sequences: dict[str, int] = field(default_factory=dict)
    _producer: Producer | None = None

    def write(self, happenings: Iterable[Happening], events_a_frame: int, *, rated: bool = False) -> int:
        """One transaction for every `events_a_frame` events of all partitions together. Returns the frames.

        `rated`: with their records on usage.rated.
        """
        stream, frames = iter(happenings), 0
        while chunk := list(islice(stream, events_a_frame)):
            frames += self._transaction(chunk, rated=rated)
        return frames

    def _transaction(self, chunk: list[Happening], *, rated: bool) -> int:
        producer = self._started()
        prefix = self.kafka.topic_prefix
        producer.begin_transaction()
        if rated:
            for happening, sequence in self._numbered(chunk):
                _produce(
                    producer,
                    prefix + USAGE_RATED,
                    happening.partition,
                    happening.customer_id.encode(),
                    self.traffic.rated(happening, sequence),
                )
        results = self._results(chunk)
        for result in results:
            for part in frame_outputs(prefix + USAGE_DELTAS, result, "bench", "bench"):
                _produce(producer, part.topic, result.partition, None, part.value)
        producer.commit_transaction(_WAIT_S)
        return len(results)

    def _numbered(self, chunk: list[Happening]) -> Iterator[tuple[Happening, int]]:
        sequences: dict[str, int] = {}
        for happening in chunk:
            customer_id = happening.customer_id
            before = sequences.get(customer_id) or self.sequences.get(customer_id, 0)
            sequences[customer_id] = before + 1
            yield happening, before + 1

    def _results(self, chunk: list[Happening]) -> list[BatchResult]:
        results: dict[int, BatchResult] = {}
        for number, customer_id, partition, event_time_us, rating, call in chunk:
            result = results.get(partition)
            if result is None:
                head = self.heads.get(partition, Head())
                result = results[partition] = BatchResult(
                    partition, head, head, tuple(self.traffic.book.dimensions)
                )
            sequence = self.sequences[customer_id] = self.sequences.get(customer_id, 0) + 1
            customer = result.customers.get(customer_id)
            if customer is None:
                customer = result.customers[customer_id] = CustomerDelta(sequence)
            customer.last_seq = sequence
            customer.add(event_time_us, call.dimensions, rating)
            result.events_rated += 1
            day_us = event_time_us - event_time_us % _DAY_US
            result.digests.setdefault(day_us, []).append(number.to_bytes(ENTRY_BYTES))
        for partition, result in results.items():
            head = result.previous
            result.head = self.heads[partition] = replace(
                head,
                frame_no=head.frame_no + 1,
                events_next=head.events_next + result.events_rated,
                highest_append_us=max(head.highest_append_us, chunk[-1].event_time_us),
                book_version=self.traffic.book.version,
            )
        return list(results.values())

    def _started(self) -> Producer:
        if self._producer is None:
            self._producer = Producer(
                self.kafka.client_config()
                | producer_limits(USAGE_DELTAS, USAGE_RATED)
                | {
                    "transactional.id": f"{self.kafka.topic_prefix}bench-{secrets.token_hex(4)}",
                    "linger.ms": 5,
                    "compression.type": "lz4",
                    "queue.buffering.max.messages": 500_000,
                }
            )
            self._producer.init_transactions(_WAIT_S)
        return self._producer


def _produce(producer: Producer, topic: str, partition: int, key: bytes | None, value: bytes | None) -> None:
    while True:
        try:
            producer.produce(topic, value, key, partition)
        except BufferError:
            producer.poll(0.05)
        else:
            return
