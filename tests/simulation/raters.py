"""The rater as the world runs it: its own service and adapters, wired as its __main__ does."""

from functools import partial
from typing import Any, cast

from rater.adapters.assignment import Assignment, TopicNames
from rater.adapters.rating import partitioner
from rater.core.lateness import Windows
from rater.service import Limits, Rater
from runtime.failpoints import AbortRequested
from runtime.kafka.group import PartitionGroup
from runtime.kafka.reading import PartitionReader
from runtime.kafka.topology import Topology
from runtime.kafka.transactions import TransactionalProducer
from runtime.monitoring import Monitoring
from runtime.progress import Progress
from tests.simulation.books import SimBook
from tests.simulation.broker import TRANSACTION_TIMEOUT_US
from tests.simulation.clients import Site
from tests.simulation.disk import SimPath
from tests.simulation.group import MAX_POLL_US
from tests.simulation.patches import NoMetrics
from tests.simulation.schedule import SECOND_US, Schedule, SimClock
from tests.simulation.stream import BUCKET_US, FUTURE_US, LATE_US, PARTITIONS, REPLAY_US

NAMES = TopicNames(
    "usage.events", "usage.corrections", "usage.rated", "usage.rejected", "usage.deltas", "rater.state"
)
WINDOWS = Windows(LATE_US, REPLAY_US, FUTURE_US, BUCKET_US)
_ABORTING = frozenset({"mid_produce", "before_send_offsets", "after_send_offsets", "in_commit"})


def silent(clock: SimClock) -> Monitoring:
    """Tells nobody anything."""
    return Monitoring(cast("Any", NoMetrics()), Progress(clock))


class SimFailpoints:
    """Each failpoint is an effect: there the process may die, stand still, or be asked to abort."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def hit(self, name: str) -> None:
        schedule = self._schedule
        if name in _ABORTING and not schedule.quiet and schedule.random.random() < 0.006:
            schedule.saw("an abort is asked for")
            raise AbortRequested(name)
        schedule.effect(name)


def rater(site: Site, slot: int, book: SimBook) -> Rater:
    """A rater ready to run. Raises as a start may: fenced, or no broker."""
    schedule, clock = site.schedule, SimClock(site.schedule)
    process = f"rater-{slot}"
    config: dict[str, Any] = {"sim": site, "group.id": "rater", "transactional.id": process}
    failpoints = SimFailpoints(schedule)
    topics = (*NAMES.inputs, *NAMES.outputs)
    assignment = Assignment(
        config=config,
        reader=PartitionReader(config),
        names=NAMES,
        topology=Topology(
            "cluster", {name: f"{name}-id" for name in topics}, dict.fromkeys(topics, PARTITIONS)
        ),
        windows=WINDOWS,
        slot_path=cast("Any", SimPath(f"disk/{process}")),
        cache=cast("Any", None),
        clock=clock,
        timeout_s=TRANSACTION_TIMEOUT_US / SECOND_US + 30,
        in_restore=lambda: failpoints.hit("in_restore"),
    )
    limits = Limits(
        records_max=schedule.random.choice((3, 10, 40)),
        bytes_max=1 << 20,
        wait_s=schedule.random.choice((0.5, 3.0)),
        refresh_after_us=6 * SECOND_US,
        refresh_every_s=3,
        restore_s=MAX_POLL_US / SECOND_US,
    )

    def waits(seconds: float) -> None:
        schedule.saw("the book's horizon is waited for")
        schedule.sleep(seconds)

    return Rater(
        names=NAMES,
        group=partial(PartitionGroup, config, NAMES.inputs, clock=clock),
        assignment=assignment,
        producer=TransactionalProducer(config, clock, timeout_s=TRANSACTION_TIMEOUT_US / SECOND_US),
        book=book,
        older_book=book.older,
        partition_of=partitioner(PARTITIONS),
        windows=WINDOWS,
        limits=limits,
        clock=clock,
        failpoints=failpoints,
        process=process,
        build="simulated",
        monitoring=silent(clock),
        sleep=waits,
    )
