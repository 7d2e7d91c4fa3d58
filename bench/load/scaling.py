"""What rater and ledger scale with: customers, known ids (and what a restore takes), raters, partitions."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.alerts.generator import write_event
from bench.load.disk import Bytes
from bench.load.input import (
    PARTITIONS,
    check_rated,
    check_sums,
    encoded,
    last_line,
    make_world,
    publish,
    records,
)
from bench.pipeline.run import World, database
from bench.processes import used
from bench.seed import seed_known
from bench.services import Services
from cli.stack.local import LocalStack
from runtime.kafka.admin import admin_client
from runtime.settings import SettingsLoader
from schemas.topics import USAGE_EVENTS, USAGE_RATED

_RUN_S = 3_600
_READY_S = 120.0
_DONE_S = 600.0
_LOOK_S = 0.05
_BURST_RATE = 1_000_000
_MIB = 1 << 20

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Which steps, and how many events each takes."""

    customers: tuple[int, ...] = (1, 1_000, 100_000)
    customer_events: int = 100_000
    known: tuple[int, ...] = (0, 1_000_000, 4_000_000)
    known_events: int = 100_000
    raters: tuple[int, ...] = (1, 2, 3)
    partitions: tuple[int, ...] = (1, 12)  # raters are run with 4
    burst: int = 200_000


SHORT = Sizes((1, 1_000), 25_000, (0, 10_000), 50_000, (1, 2), (1,), 20_000)
FULL = Sizes(
    customers=(1, 100, 10_000, 1_000_000),
    customer_events=1_000_000,
    known=(0, 1_000_000, 10_000_000, 100_000_000),
    known_events=400_000,
    burst=1_000_000,
)


def run(loader: SettingsLoader, sizes: Sizes, say: Say) -> dict[str, Any]:
    """The figures of every step."""
    dsn = database(loader)
    found: dict[str, Any] = {"customers": [], "known_ids": [], "raters": [], "partitions": []}
    for customers in sizes.customers:
        say(f"scaling: {customers:,} customers ...")
        found["customers"].append(_customers(loader, sizes.customer_events, customers))
    for known in sizes.known:
        say(f"scaling: {known:,} known ids ...")
        with tempfile.TemporaryDirectory() as name:
            found["known_ids"].append(_known(loader, dsn, Path(name), sizes.known_events, known))
    for raters in sizes.raters:
        say(f"scaling: {raters} raters ...")
        found["raters"].append(_burst(loader, dsn, sizes.burst, raters, PARTITIONS))
    for partitions in sizes.partitions:
        say(f"scaling: {partitions} partitions ...")
        found["partitions"].append(_burst(loader, dsn, sizes.burst, 1, partitions))
    return found


def _customers(loader: SettingsLoader, count: int, customers: int) -> dict[str, Any]:
    """The rater, then the ledger, over events of so many customers in turn."""
    with tempfile.TemporaryDirectory() as name:
        made = publish(make_world(loader, database(loader), Path(name)), count, customers)
        rater = _child("bench.pipeline.rated", made.world, count)
        check_rated(made, made.world.kafka.topic_prefix + USAGE_RATED)
        ledger = _child("bench.ledger.sink", made.world, count)
        check_sums(made)
    return {"customers": customers, "events": count, "rater": rater, "ledger": ledger}


def _known(loader: SettingsLoader, dsn: str, folder: Path, count: int, known: int) -> dict[str, Any]:
    """A rater with an empty directory restores from its log; the next one from what that one left."""
    world = make_world(loader, dsn, folder)
    if known:
        seed_known(world.kafka, known, world.now_us)
    stack = None if loader.names_endpoint("kafka") else LocalStack(loader.project_dir)
    logs = Bytes.now(stack, world.kafka.topic_prefix, dsn).topics
    made = publish(world, count)
    cold = _child("bench.pipeline.rated", made.world, count // 2)
    state = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    left = _left(made.world, count)
    warm = _child("bench.pipeline.rated", made.world, left) if left else {}
    check_rated(made, world.kafka.topic_prefix + USAGE_RATED)
    return {
        "known": known,
        "log_bytes": logs.get("usage.deltas", 0),
        "state_bytes": state,
        "seconds_from_the_log_to_the_first_commit": cold["first_batch_s"],
        "seconds_from_its_state_to_the_first_commit": warm.get("first_batch_s"),
        "rater": cold,
    }


def _left(world: World, count: int) -> int:
    """How many events are not rated yet."""
    return count - sum(1 for _ in records(world, world.kafka.topic_prefix + USAGE_RATED))


def _burst(loader: SettingsLoader, dsn: str, count: int, raters: int, partitions: int) -> dict[str, Any]:
    """Raters that have their partitions already are given everything at once."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        world = make_world(loader, dsn, folder, partitions)
        with (folder / "events").open("wb") as file:
            for key, value in encoded(count, world.now_us):
                write_event(file, key, value)
        (folder / "watched").write_text("[]", encoding="utf-8")
        services = Services(world.environment(), folder)
        try:
            pids = [services.start(f"rater-{number}", "rater") for number in range(raters)]
            _until(lambda: _members(world, partitions) == raters, services, _READY_S, "all have partitions")
            before = sum(_cpu_s(pid) for pid in pids)
            _generate(world, folder, count)
            first_us, last_us = _rated(world, count, services)
            cpu_s = sum(_cpu_s(pid) for pid in pids) - before
            peak = max((found.rss for pid in pids if (found := used(pid))), default=0)
        finally:
            services.stop()
    wall_s = (last_us - first_us) / 1e6
    return {
        "raters": raters,
        "partitions": partitions,
        "events": count,
        "wall_s": round(wall_s, 3),
        "events_per_s": round(count / wall_s),
        "cpu_s_per_million": round(cpu_s / count * 1e6, 2),
        "rss_mib_each": peak // _MIB,
    }


def _members(world: World, partitions: int) -> int:
    """How many members have partitions, once all are given out."""
    group = world.kafka.topic_prefix + "rater"
    client = admin_client(world.kafka)  # kept until its answer is there
    described = client.describe_consumer_groups([group])[group].result()
    owned = [
        sum(part.topic.endswith(USAGE_EVENTS) for part in member.assignment.topic_partitions)
        for member in described.members
    ]
    return sum(number > 0 for number in owned) if sum(owned) == partitions else 0


def _generate(world: World, folder: Path, count: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.alerts.generator",
         "--bootstrap", world.kafka.bootstrap_servers, "--topic", world.kafka.topic_prefix + USAGE_EVENTS,
         "--events", str(folder / "events"), "--watched", str(folder / "watched"),
         "--answer", str(folder / "sent"), "--warm", "0", "--count", str(count), "--rate", str(_BURST_RATE)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    process.communicate(f"{time.time_ns()}\n")
    if process.returncode:
        sys.exit("the generator failed")


def _rated(world: World, count: int, services: Services) -> tuple[int, int]:
    """Append times of the first and last rated record, once all are there."""
    found: list[int] = []

    def done() -> bool:
        found[:] = [record.timestamp_us for record in records(world, world.kafka.topic_prefix + USAGE_RATED)]
        return len(found) >= count

    pause_s = count / 20_000  # reading them all again and again would take the raters' time
    time.sleep(pause_s)
    _until(done, services, _DONE_S, "all is rated", pause_s / 4)
    if len(found) != count:
        sys.exit(f"{len(found)} rated records of {count} events")
    return min(found), max(found)


def _until(
    done: Callable[[], bool], services: Services, for_s: float, what: str, every_s: float = _LOOK_S
) -> None:
    deadline_s = time.monotonic() + for_s
    while not done():
        services.check()
        if time.monotonic() > deadline_s:
            sys.exit(f"scaling: not within {for_s:g} s: {what}")
        time.sleep(every_s)


def _cpu_s(pid: int) -> float:
    found = used(pid)
    return 0.0 if found is None else found.cpu_s


def _child(module: str, world: World, events: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", module, "--events", str(events)],
        env=os.environ | world.environment(), stdout=subprocess.PIPE, timeout=_RUN_S, check=True,
    )  # fmt: skip
    return last_line(done.stdout)


def _rows(figures: dict[str, Any]) -> Iterator[str]:
    for row in figures["customers"]:
        told = {
            name: (row[name]["events_per_s"], row[name]["cpu_s_per_million"]) for name in ("rater", "ledger")
        }
        yield f"{row['customers']:,} customers: {json.dumps(told)}"
    for row in figures["known_ids"]:
        yield (
            f"{row['known']:,} known ids: {row['rater']['events_per_s']:,} events/s, "
            f"restore {row['seconds_from_the_log_to_the_first_commit']} s from the log, "
            f"{row['seconds_from_its_state_to_the_first_commit']} s from its state"
        )
    for row in (*figures["raters"], *figures["partitions"]):
        yield (
            f"{row['raters']} raters, {row['partitions']} partitions: {row['events_per_s']:,} events/s, "
            f"{row['cpu_s_per_million']} CPU-s a million"
        )


def show(figures: dict[str, Any]) -> None:
    """The figures as text."""
    print("\nscaling")
    for row in _rows(figures):
        print(f"  {row}")
