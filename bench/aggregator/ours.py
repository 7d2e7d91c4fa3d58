"""The aggregator as it runs in service: started over frames that are there, watched from outside.

Nothing is asked of it while it works but its group's offsets. How fast it was is told by the append times of
the totals that it published, and what it used by /proc.
"""

import sys
import time
from dataclasses import dataclass
from typing import Any

from bench.aggregator.oracle import Key, Sums
from bench.aggregator.stock import atto
from bench.pipeline.run import World
from bench.processes import Sampler
from bench.services import Services
from runtime.kafka.lag import group_positions
from runtime.kafka.offsets import BrokerOffsets, list_offsets
from runtime.kafka.reading import PartitionReader, Record
from schemas.codec import CODEC
from schemas.topics import USAGE_DELTAS, USAGE_TOTALS, consumer_limits

NAME = "aggregator"
_WAIT_S = 900.0
_LOOK_S = 0.1
_MIB = 1 << 20


def environment(world: World, **settings: object) -> dict[str, str]:
    """What the service is to run with: a state of its own for each world."""
    return world.environment() | {
        "RATESTREAM_AGGREGATOR__STATE_DIR": str(world.directory / f"live-{world.kafka.topic_prefix}"),
        "RATESTREAM_AGGREGATOR__SLOT": "0",
        **{f"RATESTREAM_AGGREGATOR__{name.upper()}": str(value) for name, value in settings.items()},
    }


@dataclass
class Published:
    """The totals that are on usage.totals."""

    records: list[Record]

    def latest(self) -> dict[str, dict[str, Any]]:
        """The newest value of each customer."""
        newest: dict[str, dict[str, Any]] = {}
        for record in self.records:
            value = CODEC.decode("RunningTotals", record.value)
            before = newest.get(value["customer_id"])
            if before is None or before["as_of_seq"] <= value["as_of_seq"]:
                newest[value["customer_id"]] = value
        return newest


def published(world: World, since: dict[int, int] | None = None) -> Published:
    """Everything on usage.totals, from these offsets on."""
    topic, config = world.kafka.topic_prefix + USAGE_TOTALS, world.kafka.client_config()
    ends = list_offsets(config, [(topic, partition) for partition in range(world.kafka.partitions)], "latest")
    records: list[Record] = []
    with PartitionReader(config | consumer_limits(USAGE_TOTALS)) as reader:
        for (_, partition), end in ends.items():
            records += reader.read(topic, partition, (since or {}).get(partition, 0), end)
    records.sort(key=lambda record: record.timestamp_us)
    return Published(records)


def entries(latest: dict[str, dict[str, Any]]) -> dict[Key, Sums]:
    """The totals in the oracle's form."""
    found: dict[Key, Sums] = {}
    for customer_id, value in latest.items():
        for entry in value["entries"]:
            key = (customer_id, entry["window"], entry["start_us"], tuple(sorted(entry["scope"].items())))
            if key in found:
                sys.exit(f"{key}: two entries, of several currencies; the benchmark's calls have one")
            quantities = {meter: atto(told) for meter, told in entry["quantities"].items()}
            found[key] = Sums(atto(entry["cost"]), atto(entry["price"]), entry["events"], quantities)
    return found


def wait_applied(world: World, services: Services) -> None:
    """Until every frame that is there now is folded, written and published: its offset is committed then."""
    topic = world.kafka.topic_prefix + USAGE_DELTAS
    partitions = [(topic, partition) for partition in range(world.kafka.partitions)]
    group = BrokerOffsets(world.kafka.client_config(), world.kafka.topic_prefix + NAME)
    ends = {where: end for where, end in list_offsets(group, partitions, "latest").items() if end}
    deadline_s = time.monotonic() + _WAIT_S
    while True:
        services.check()
        at = group_positions(group, [topic])
        # The last offset of a partition is a transaction's marker, which nobody is given.
        if all(at.get(where, 0) >= end - 1 for where, end in ends.items()):
            return
        if time.monotonic() > deadline_s:
            sys.exit(f"the aggregator is at {at}, the ends are {ends}")
        time.sleep(_LOOK_S)


def run(world: World, services: Services) -> tuple[dict[str, Any], Published]:
    """Start it, wait until all frames are applied, and stop it. Returns figures and what it published.

    The first totals that it publishes begin the time: starting up is left out, and so are their events.
    """
    pid = services.start(NAME, "aggregator")
    with Sampler(pid) as sampler:
        wait_applied(world, services)
    services.stop()
    found = published(world)
    first_us, last_us = found.records[0].timestamp_us, found.records[-1].timestamp_us
    began = _sequences([record for record in found.records if record.timestamp_us <= first_us])
    events = sum(_sequences(found.records).values()) - sum(began.values())
    cpu_s = sampler.cpu_at(last_us * 1000) - sampler.cpu_at(first_us * 1000)
    wall_s = (last_us - first_us) / 1e6
    if not events or not wall_s:
        sys.exit("all totals came at once: write more frames")
    return {
        "events": events,
        "wall_s": round(wall_s, 3),
        "events_per_s": round(events / wall_s),
        "cpu_s_per_million": round(cpu_s / events * 1e6, 2),
        "peak_rss_mib": max(sample.rss for sample in sampler.samples) // _MIB,
        "totals_published": len(found.records),
    }, found


def _sequences(records: list[Record]) -> dict[str, int]:
    newest: dict[str, int] = {}
    for record in records:
        value = CODEC.decode("RunningTotals", record.value)
        newest[value["customer_id"]] = max(value["as_of_seq"], newest.get(value["customer_id"], 0))
    return newest


def run_only(world: World, services: Services) -> None:
    """Start it, wait until all frames are applied, and stop it."""
    services.start(NAME, "aggregator")
    wait_applied(world, services)
    services.stop()
