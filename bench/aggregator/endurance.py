"""What 35 days do to the aggregator's memory, and how soon it is back after SIGKILL."""

import statistics
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.aggregator import ours
from bench.aggregator.frames import Log
from bench.pipeline.run import World
from bench.processes import Sampler, Used
from bench.services import Services
from runtime.kafka.offsets import list_offsets
from schemas.topics import USAGE_TOTALS

if TYPE_CHECKING:
    from bench.aggregator.run import Bench

_DAY_US = 86_400_000_000
_DAYS = 35
_MIB = 1 << 20
_WARM = 0.3  # of the run: caches and write buffers fill up
_LOOK_S = 0.05
_RECOVERED_S = 300.0


def memory(bench: "Bench") -> dict[str, Any]:
    """Resident memory a million events, over 35 days of event time: hours, days and weeks come and go."""
    count = bench.sizes.memory_events
    bench.say(f"aggregator: memory over {_DAYS} days, {count:,} events ...")
    world = bench.world([(), (("feature", "chat"),)])
    start_us = time.time_ns() // 1000 - _DAYS * _DAY_US
    log = Log(world.kafka, bench.traffic)
    frames = log.write(bench.traffic.play(count, start_us, _DAYS * _DAY_US), bench.sizes.events_a_frame)
    services = bench.services(world)
    pid = services.start(ours.NAME, "aggregator")
    began_ns = time.time_ns()
    with Sampler(pid) as sampler:
        ours.wait_applied(world, services)
    services.stop()
    wall_s = (time.time_ns() - began_ns) / 1e9
    latest = ours.published(world).latest()
    if sum(value["as_of_seq"] for value in latest.values()) != count:
        sys.exit("the totals are not of all events")
    return {
        "events": count,
        "days": _DAYS,
        "frames": frames,
        "growth_mib_per_million_events": round(_slope(sampler.samples) * wall_s / count * 1e6, 3),
        "rss_mib": _quarters(sampler.samples),
        "peak_rss_mib": max(sample.rss for sample in sampler.samples) // _MIB,
    }


def recovery(bench: "Bench") -> dict[str, Any]:
    """From its start after SIGKILL to the total of an event that came while it was dead."""
    customers = bench.sizes.customers
    bench.say(f"aggregator: recovery with {customers:,} customers ...")
    world = bench.world([(), (("feature", "chat"),)])
    log = Log(world.kafka, bench.traffic)
    now_us = time.time_ns() // 1000
    log.write(bench.play(customers, now_us, customers), bench.sizes.events_a_frame)
    services = bench.services(world)
    services.start(ours.NAME, "aggregator")
    ours.wait_applied(world, services)
    figures: dict[str, Any] = {"customers": customers}
    figures["after_sigkill_s"] = _again(bench, world, services, log, [])
    figures["after_sigkill_without_its_directory_s"] = _again(
        bench, world, services, log, list(world.directory.glob(f"live-{world.kafka.topic_prefix}/*/tables"))
    )
    services.stop()
    return figures


def _again(bench: "Bench", world: World, services: Services, log: Log, gone: Sequence[Any]) -> float:
    services.kill(ours.NAME)
    for path in gone:
        path.rename(path.with_name("gone"))
    topic = world.kafka.topic_prefix + USAGE_TOTALS
    partitions = [(topic, partition) for partition in range(world.kafka.partitions)]
    ends = list_offsets(world.kafka.client_config(), partitions, "latest")
    since = {partition: end for (_, partition), end in ends.items()}
    happening = next(iter(bench.play(1, time.time_ns() // 1000, 1)))
    log.write([happening], 1)
    wanted = log.sequences[happening.customer_id]
    began_s = time.monotonic()
    services.start(ours.NAME, "aggregator")
    while time.monotonic() - began_s < _RECOVERED_S:
        services.check()
        value = ours.published(world, since).latest().get(happening.customer_id)
        if value is not None and value["as_of_seq"] == wanted:
            return round(time.monotonic() - began_s, 2)
        time.sleep(_LOOK_S)
    sys.exit(f"no total of {happening.customer_id} at {wanted} within {_RECOVERED_S:g} s")


def _slope(samples: Sequence[Used]) -> float:
    """MiB a second, by a line through the samples after the first part."""
    kept = samples[int(len(samples) * _WARM) :]
    line = statistics.linear_regression(
        [(sample.at_ns - kept[0].at_ns) / 1e9 for sample in kept], [sample.rss / _MIB for sample in kept]
    )
    return line.slope


def _quarters(samples: Sequence[Used]) -> list[int]:
    """Resident MiB at the quarters of the run."""
    return [samples[(len(samples) - 1) * part // 4].rss // _MIB for part in range(5)]
