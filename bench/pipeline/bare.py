"""The bare transactional loop: consume, decode, encode, produce, commit; no dedupe, no price, no state."""

import argparse
import io
import time
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from fastavro import schemaless_reader, schemaless_writer
from fastavro.schema import load_schema

from bench.meter import Meter

TRANSACTION_S = 0.5


def main() -> None:
    """Copy `--events` events, decoded and encoded again, in transactions of half a second."""
    arguments = _arguments()
    schema: Any = load_schema(str(Path(__file__).parents[2] / "schemas/avro/ratestream.UsageEvent.avsc"))
    consumer = Consumer(
        {
            "bootstrap.servers": arguments.bootstrap,
            "group.id": arguments.target,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "queued.min.messages": 50_000,
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": arguments.bootstrap,
            "transactional.id": arguments.target,
            "linger.ms": 5,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 500_000,
        }
    )
    producer.init_transactions()
    consumer.subscribe([arguments.source])
    meter, copied = Meter(), 0
    while copied < arguments.events:
        count = _transaction(consumer, producer, schema, arguments.target)
        copied += count
        meter.batch(count)
    consumer.close()
    meter.report()


def _transaction(consumer: Consumer, producer: Producer, schema: dict[str, Any], target: str) -> int:
    deadline = time.monotonic() + TRANSACTION_S
    positions: dict[int, int] = {}
    count = 0
    producer.begin_transaction()
    while time.monotonic() < deadline:
        for message in consumer.consume(10_000, 0.05):
            value, partition, offset = message.value(), message.partition(), message.offset()
            if message.error() or value is None or partition is None or offset is None:
                raise SystemExit(f"the bare loop was given {message.error() or 'an empty record'}")
            event = schemaless_reader(io.BytesIO(value[10:]), schema, None)
            out = io.BytesIO(value[:10])
            out.seek(10)
            schemaless_writer(out, schema, event)
            while True:
                try:
                    producer.produce(target, out.getvalue(), message.key(), partition)
                    break
                except BufferError:
                    producer.poll(0.01)
            positions[partition] = offset + 1
            count += 1
    producer.flush()
    if count:
        topic = consumer.assignment()[0].topic
        producer.send_offsets_to_transaction(
            [TopicPartition(topic, partition, offset) for partition, offset in positions.items()],
            consumer.consumer_group_metadata(),
        )
    producer.commit_transaction()
    return count


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--source", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--events", type=int, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
