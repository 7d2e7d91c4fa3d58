"""Bare loops without a framework: copy the same bytes, or rate naively with totals in a dictionary.

Consume and produce in transactions, nothing kept beyond the process: what a framework's guarantees and state
are to be held against.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition

from bench.meter import Meter
from bench.peers.work import Work


def main() -> None:
    """`--work bytes` or `--work naive` with `--events` events."""
    arguments = _arguments()
    consumer = Consumer(
        {
            "bootstrap.servers": arguments.bootstrap,
            "group.id": arguments.id,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "queued.min.messages": 50_000,
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": arguments.bootstrap,
            "transactional.id": arguments.id,
            "linger.ms": 5,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 500_000,
        }
    )
    producer.init_transactions()
    consumer.subscribe([arguments.source])
    change = _same if arguments.work == "bytes" else _naive(arguments.schemas)
    meter, copied = Meter(), 0
    while copied < arguments.events:
        copied += _transaction(consumer, producer, change, arguments, meter)
    consumer.close()
    meter.report()


def _same(value: bytes) -> bytes:
    return value


def _naive(schemas: Path) -> Callable[[bytes], bytes]:
    work = Work(schemas)
    totals: dict[str, list[int]] = {}

    def change(value: bytes) -> bytes:
        event = work.decode(value)
        return work.rate(event, totals.setdefault(event["customer_id"], [0, 0, 0]))

    return change


def _transaction(
    consumer: Consumer,
    producer: Producer,
    change: Callable[[bytes], bytes],
    arguments: argparse.Namespace,
    meter: Meter,
) -> int:
    deadline = time.monotonic() + arguments.commit_ms / 1000
    positions: dict[int, int] = {}
    count = untimed = 0
    producer.begin_transaction()
    while time.monotonic() < deadline:
        for message in consumer.consume(10_000, 0.05):
            value, partition, offset = message.value(), message.partition(), message.offset()
            if message.error() or value is None or partition is None or offset is None:
                raise SystemExit(f"the loop was given {message.error() or 'an empty record'}")
            changed = change(value)
            while True:
                try:
                    producer.produce(arguments.target, changed, message.key(), partition)
                    break
                except BufferError:
                    producer.poll(0.01)
            positions[partition] = offset + 1
            count += 1
        if (
            count and meter.started_s is None
        ):  # a transaction may hold all there is: the first fetch is left out
            meter.batch(count)
            untimed = count
    producer.flush()
    if count:
        producer.send_offsets_to_transaction(
            [TopicPartition(arguments.source, partition, offset) for partition, offset in positions.items()],
            consumer.consumer_group_metadata(),
        )
    producer.commit_transaction()
    meter.batch(count - untimed)
    return count


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--bootstrap", "--id", "--source", "--target"):
        parser.add_argument(name, required=True)
    parser.add_argument("--schemas", type=Path, required=True)
    parser.add_argument("--work", choices=("bytes", "naive"), required=True)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--commit-ms", type=int, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
