"""Sets up topics, book and events, runs the loops one after the other, and checks what they wrote."""

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from bench.seed import seed_known
from bench.world import BOOK, events, expected_totals
from cli.topics import specs
from rate_book.store import apply
from runtime.databases import create_database, drop_databases
from runtime.kafka import admin
from runtime.kafka.offsets import list_offsets
from runtime.kafka.reading import PartitionReader
from runtime.postgres import connect, migrate
from runtime.settings import KafkaSettings, PostgresSettings, SettingsLoader, TopicsSettings
from schemas.codec import CODEC
from schemas.topics import USAGE_EVENTS, USAGE_RATED

PARTITIONS = 4
_CHILD_S = 600
_TOPIC_PREFIX = "bench-"
_DATABASE_PREFIX = "ratestream_bench_"


@dataclass
class World:
    """One set of topics with events on it, and a database with the benchmarks' book."""

    kafka: KafkaSettings
    dsn: str
    count: int
    now_us: int
    directory: Path

    def environment(self) -> dict[str, str]:
        return os.environ | {
            "RATESTREAM_KAFKA__BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "RATESTREAM_KAFKA__TOPIC_PREFIX": self.kafka.topic_prefix,
            "RATESTREAM_KAFKA__PARTITIONS": str(self.kafka.partitions),
            "RATESTREAM_POSTGRES__DSN": self.dsn,
            "RATESTREAM_RATER__STATE_DIR": str(self.directory / f"state-{self.kafka.topic_prefix}"),
            "RATESTREAM_PROJECT_DIR": str(self.directory),
        }


def new_world(loader: SettingsLoader, dsn: str, count: int, directory: Path, *, known: int = 0) -> World:
    """Fresh topics with `count` events on them; `known` other ids are in the rater's log already."""
    prefix = f"{_TOPIC_PREFIX}{secrets.token_hex(4)}."
    kafka = loader.section("kafka", KafkaSettings).model_copy(
        update={"topic_prefix": prefix, "partitions": PARTITIONS}
    )
    admin.create(admin.admin_client(kafka), specs(kafka, TopicsSettings()))
    now_us = time.time_ns() // 1000
    world = World(kafka, dsn, count, now_us, directory)
    if known:
        seed_known(kafka, known, now_us)
    _publish(world)
    return world


def empty_database(loader: SettingsLoader) -> str:
    """A database of the benchmarks' own; `clean_up` drops it."""
    server = loader.section("postgres", PostgresSettings).dsn.get_secret_value()
    return create_database(server, _DATABASE_PREFIX + secrets.token_hex(4))


def database(loader: SettingsLoader) -> str:
    """A database of the benchmarks' own, with their book as version 1."""
    dsn = empty_database(loader)
    with connect(dsn) as connection:
        migrate(connection)
    with connect(dsn) as connection:
        apply(connection, BOOK, author="bench")
    return dsn


def clean_up(loader: SettingsLoader) -> None:
    """Delete every topic and database that a benchmark has made."""
    client = admin.admin_client(loader.section("kafka", KafkaSettings))
    admin.delete(
        client, [name for name in client.list_topics(timeout=30).topics if name.startswith(_TOPIC_PREFIX)]
    )
    server = loader.section("postgres", PostgresSettings).dsn.get_secret_value()
    drop_databases(server, _DATABASE_PREFIX)


def _publish(world: World) -> None:
    producer = Producer(
        world.kafka.client_config()
        | {
            "partitioner": "murmur2_random",
            "linger.ms": 20,
            "queue.buffering.max.messages": 500_000,
            "compression.type": "lz4",
        }
    )
    defaults = {field["name"]: field.get("default") for field in CODEC.schema("UsageEvent")["fields"]}
    topic = world.kafka.topic_prefix + USAGE_EVENTS
    for event in events(world.count, world.now_us):
        value = CODEC.encode("UsageEvent", defaults | event)
        while True:
            try:
                producer.produce(topic, value, event["customer_id"].encode())
                break
            except BufferError:
                producer.poll(0.05)
    if producer.flush(120):
        sys.exit("events were not acknowledged")


def run_bare(world: World) -> dict[str, Any]:
    """The bare loop over the world's events."""
    source = world.kafka.topic_prefix + USAGE_EVENTS
    target = world.kafka.topic_prefix + "bare"
    specification = next(spec for spec in specs(world.kafka, TopicsSettings()) if spec.name == source)
    admin.create(admin.admin_client(world.kafka), [replace(specification, name=target)])
    figures = child(
        [
            "bench.pipeline.bare",
            "--bootstrap",
            world.kafka.bootstrap_servers,
            "--source",
            source,
            "--target",
            target,
            "--events",
            str(world.count),
        ],
        world.environment(),
    )
    if _records(world, target, lambda value: CODEC.decode("UsageEvent", value)) != world.count:
        sys.exit("the bare loop lost events")
    return figures


def run_rater(world: World, *, check: bool = True, extra: list[str] | None = None) -> dict[str, Any]:
    """The rater over the world's events; totals are compared with the rates by hand."""
    figures = child(
        ["bench.pipeline.rated", "--events", str(world.count), *(extra or [])], world.environment()
    )
    if check:
        sums = {"cost": Decimal(0), "price": Decimal(0)}

        def add(value: bytes) -> None:
            rating = CODEC.decode("RatedUsage", value)["rating"]
            for side, amount in sums.items():
                sums[side] = amount + Decimal(rating[side]["amount"])

        count = _records(world, world.kafka.topic_prefix + USAGE_RATED, add)
        if (count, sums["cost"], sums["price"]) != (world.count, *expected_totals(world.count, world.now_us)):
            sys.exit(f"the rater's totals are wrong: {count} events, {sums}")
    return figures


def child(arguments: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """Run a module of the benchmarks; its figures are the last line that it prints."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        env=dict(environment),
        stdout=subprocess.PIPE,
        timeout=_CHILD_S,
        check=True,
    )
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _records(world: World, topic: str, use: Callable[[bytes], object]) -> int:
    config = world.kafka.client_config()
    ends = list_offsets(config, [(topic, partition) for partition in range(PARTITIONS)], "latest")
    count = 0
    with PartitionReader(config) as reader:
        for (_, partition), end in ends.items():
            for record in reader.read(topic, partition, 0, end):
                use(record.value or b"")
                count += 1
    return count


def main() -> None:
    """One world, `EVENTS` of it rated: `python -m bench.pipeline.run EVENTS [bare] [--profile FILE]`."""
    loader = SettingsLoader.of_process()
    try:
        with tempfile.TemporaryDirectory() as folder:
            made = new_world(loader, database(loader), int(sys.argv[1]), Path(folder))
            if "bare" in sys.argv:
                print(run_bare(made))
            print(run_rater(made, extra=sys.argv[2:] if "--profile" in sys.argv else None))
    finally:
        clean_up(loader)


if __name__ == "__main__":
    main()
