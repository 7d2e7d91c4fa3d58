"""Topics with events on them, and what anybody who rates them must come to, per customer."""

import json
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count as counting
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from bench import world as typical
from bench.pipeline.run import World
from cli.topics import specs
from runtime.kafka import admin
from runtime.kafka.offsets import list_offsets
from runtime.kafka.reading import PartitionReader, Record
from runtime.postgres import connect
from runtime.settings import KafkaSettings, SettingsLoader, TopicsSettings
from schemas.codec import CODEC
from schemas.topics import USAGE_EVENTS, USAGE_RATED, consumer_limits

_CUSTOMER = re.compile(rb"customer-\d+")  # a store puts its own marks around a key
PARTITIONS = 4
# Cost and price of one token in 10**-12 USD: what is fresh, what was cached, what came out; by hand.
_COST, _PRICE = (2_000_000, 250_000, 8_000_000), (3_000_000, 500_000, 12_000_000)

Totals = dict[str, tuple[int, int, int]]
"""Customer to events, cost and price, both in 10**-12 USD."""


@dataclass(frozen=True)
class Input:
    """A world with `count` events, and the totals that are right."""

    world: World
    count: int
    totals: Totals

    @property
    def whole(self) -> tuple[int, int, int]:
        """Events, cost and price of all customers."""
        events, cost, price = zip(*self.totals.values(), strict=True)
        return sum(events), sum(cost), sum(price)


def make_world(loader: SettingsLoader, dsn: str, folder: Path, partitions: int = PARTITIONS) -> World:
    """Fresh topics of that many partitions, nothing on them."""
    prefix = f"bench-{secrets.token_hex(4)}."
    kafka = loader.section("kafka", KafkaSettings).model_copy(
        update={"topic_prefix": prefix, "partitions": partitions}
    )
    admin.create(admin.admin_client(kafka), specs(kafka, TopicsSettings()))
    return World(kafka, dsn, 0, time.time_ns() // 1000, folder)


def topic(world: World, name: str) -> str:
    """Another topic of this world, with the settings of usage.rated."""
    kafka = world.kafka
    like = next(spec for spec in specs(kafka, TopicsSettings()) if spec.name.endswith(USAGE_RATED))
    admin.create(admin.admin_client(kafka), [replace(like, name=kafka.topic_prefix + name)])
    return kafka.topic_prefix + name


def publish(world: World, count: int, customers: int | None = None) -> Input:
    """`count` typical events; `customers`: of so many in turn, instead of the usual 500."""
    producer = Producer(
        world.kafka.client_config()
        | {
            "partitioner": "murmur2_random", "linger.ms": 20, "compression.type": "lz4",
            "queue.buffering.max.messages": 500_000,
        }
    )  # fmt: skip
    name = world.kafka.topic_prefix + USAGE_EVENTS
    totals: dict[str, list[int]] = {}
    for event in _events(count, world.now_us, customers):
        customer_id = event["customer_id"]
        _add(totals.setdefault(customer_id, [0, 0, 0]), event["usage"])
        value = CODEC.encode("UsageEvent", event)
        while True:
            try:
                producer.produce(name, value, customer_id.encode())
                break
            except BufferError:
                producer.poll(0.05)
    if producer.flush(120):
        sys.exit("events were not acknowledged")
    right = {customer_id: (sums[0], sums[1], sums[2]) for customer_id, sums in totals.items()}
    return Input(replace(world, count=count), count, right)


def encoded(count: int, now_us: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of typical events."""
    for event in _events(count, now_us, None):
        yield event["customer_id"].encode(), CODEC.encode("UsageEvent", event)


def _events(count: int, now_us: int, customers: int | None) -> Iterator[dict[str, Any]]:
    defaults = {field["name"]: field.get("default") for field in CODEC.schema("UsageEvent")["fields"]}
    for number, event in zip(counting(), typical.events(count, now_us), strict=False):
        if customers is not None:
            event["customer_id"] = f"customer-{number % customers:07d}"
        yield defaults | event


def _add(sums: list[int], usage: dict[str, str]) -> None:
    cached, output = int(usage["cache_read_tokens"]), int(usage["output_tokens"])
    fresh = int(usage["input_tokens"]) - cached
    sums[0] += 1
    for at, (of_fresh, of_cached, of_output) in enumerate((_COST, _PRICE), start=1):
        sums[at] += fresh * of_fresh + cached * of_cached + output * of_output


def pico(text: str | None) -> int:
    """A plain decimal of at most 12 places in 10**-12."""
    whole, _, fraction = (text or "0").partition(".")
    return int(whole + fraction.ljust(12, "0"))


def records(world: World, name: str) -> Iterator[Record]:
    """Every committed record of a topic."""
    client = admin.admin_client(world.kafka)
    partitions = client.list_topics(name, timeout=30).topics[name].partitions
    wanted = [(name, partition) for partition in partitions]
    ends = list_offsets(world.kafka.client_config(), wanted, "latest")
    with PartitionReader(world.kafka.client_config() | consumer_limits(USAGE_RATED)) as reader:
        for (_, partition), end in ends.items():
            yield from reader.read(name, partition, 0, end)


def check_rated(made: Input, name: str, every: int = 1) -> None:
    """Every event is there once, and costs what it must; of large inputs each `every`th record is decoded.

    Raises SystemExit where something is wrong.
    """
    found = [0, 0, 0]
    for number, record in enumerate(records(made.world, name)):
        found[0] += 1
        if number % every:
            continue
        value = CODEC.decode("RatedUsage", record.value)
        right = [0, 0, 0]
        _add(right, value["event"]["usage"])
        rated = [pico(value["rating"][side]["amount"]) for side in ("cost", "price")]
        if rated != right[1:]:
            sys.exit(f"{name}: {value['event']['event_id']} is rated {rated}, expected {right[1:]}")
        found[1] += rated[0]
        found[2] += rated[1]
    if found[0] != made.count or (every == 1 and tuple(found) != made.whole):
        sys.exit(f"{name}: count, cost and price are {found}, expected {made.whole}")


def check_totals(made: Input, changelog: str, parse: Callable[[bytes], tuple[int, int, int]]) -> None:
    """The newest value of each customer in a store's changelog is the customer's total.

    Raises SystemExit where something is wrong.
    """
    found: Totals = {}
    for record in records(made.world, changelog):
        customer = _CUSTOMER.search(record.key or b"")
        if customer and record.value is not None:
            found[customer.group().decode()] = parse(record.value)
    if found != made.totals:
        wrong = [key for key in made.totals.keys() | found.keys() if found.get(key) != made.totals.get(key)]
        sys.exit(
            f"{changelog}: {len(wrong)} of {len(made.totals)} customers are wrong; {wrong[0]}: "
            f"{found.get(wrong[0])}, expected {made.totals.get(wrong[0])}"
        )


def check_sums(made: Input) -> None:
    """The ledger's rows are those of all events.

    Raises SystemExit where they are not.
    """
    with connect(made.world.dsn) as connection:
        row: tuple[Any, ...] | None = connection.execute(
            "select count(*), sum(cost) * 1000000000000, sum(price) * 1000000000000 from ledger.rated"
        ).fetchone()
    if row is None or tuple(map(int, row)) != made.whole:
        sys.exit(f"ledger.rated: count, cost and price are {row}, expected {made.whole}")


def last_line(output: bytes) -> dict[str, Any]:
    """The figures that a process printed last."""
    figures: dict[str, Any] = json.loads(output.splitlines()[-1])
    return figures
