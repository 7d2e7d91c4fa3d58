"""Faults of aggregators and of the process that stores their totals."""

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

from schemas import topics
from tests.prove.faults.processes import (
    killed,
    killed_at,
    paused,
    reach,
    state_deleted,
    state_dir,
    wrong_clock,
    zombie,
)
from tests.prove.faults.raters import _delete as delete
from tests.prove.nemesis import Lane, Step, Striker
from tests.prove.run import AGGREGATOR_SESSION_MS
from tests.prove.services import Life
from tests.prove.watching import wait_for

_AGGREGATORS = ("aggregator-0", "aggregator-1")
_FRAMES_S = 150.0
"""Raters may be away meanwhile: nobody notices a gap before the next frame."""
_REPAIRS = "what is missing comes from the ledger"


def lanes() -> list[Lane]:
    """One lane an aggregator, one for both, one for the totals' process."""
    return [
        Lane(
            "aggregator-0",
            [
                killed_at("aggregator-0", "after_read", "before_changelog_ack", "after_commit"),
                paused("aggregator-0", 5),
                in_recovery("aggregator-0"),
            ],
            extra=[killed("aggregator-0"), paused("aggregator-0", 9, "paused beyond its session")],
        ),
        Lane(
            "aggregator-1",
            [
                killed_at("aggregator-1", "after_table_put", "after_publish", "before_commit"),
                zombie("aggregator-1", "after_table_put"),
                state_deleted("aggregator-1", "aggregator/slot-1"),
            ],
            extra=[killed("aggregator-1"), wrong_clock("aggregator-1", 1)],
        ),
        Lane(
            "both aggregators",
            [Step("an aggregator killed at in_revoke", in_revoke), Step("frames are missing", gap)],
            after=_AGGREGATORS,
        ),
        Lane(
            "totals",
            [
                killed_at("totals-0", "before_pg_commit", "after_pg_commit"),
                killed("totals-0"),
                paused("totals-0", 9, "paused beyond its session"),
            ],
            extra=[killed("totals-0"), killed_at("totals-0", "before_pg_commit")],
        ),
    ]


def in_recovery(name: str) -> Step:
    """Killed while it restores what was deleted."""

    def act(striker: Striker) -> None:
        folder = state_dir(striker, f"aggregator/slot-{name[-1]}")
        with striker.services.alone(name), striker.fault("killed at a failpoint", name, "in_recovery"):
            reach(striker, name, Life(failpoints="in_recovery:1:kill"), prepare=lambda _: delete(folder))

    return Step(f"{name} killed at in_recovery", act)


def in_revoke(striker: Striker) -> None:
    """One dies while it gives partitions up to the other."""
    alone = striker.services.alone(*_AGGREGATORS)
    with alone, striker.fault("killed at a failpoint", "aggregator-0", "in_revoke"):
        reach(
            striker,
            "aggregator-0",
            Life(failpoints="in_revoke:1:kill"),
            nudge=_without_the_other,
        )


def _without_the_other(striker: Striker) -> None:
    """A static member back within its session changes nothing for the others: it stays away longer."""
    services = striker.services
    services.stop("aggregator-1")
    wait_for(
        lambda: bool(services.acted("aggregator-0")),
        AGGREGATOR_SESSION_MS / 1000 + 4,
        striker.run.ending.is_set,
    )
    services.start("aggregator-1")


def gap(striker: Striker) -> None:
    """Both are down, and the group's offsets are moved behind frames that nobody has read."""
    run, services = striker.run, striker.services
    with services.alone(*_AGGREGATORS), striker.fault("frames are missing", "aggregators"):
        for name in _AGGREGATORS:
            services.stop(name)
        wait_for(lambda: run.watch.group_empty("aggregator"), 20, run.ending.is_set)
        begun = run.watch.ends(topics.USAGE_DELTAS)

        def unread() -> bool:
            return all(end > begun[where] + 4 for where, end in run.watch.ends(topics.USAGE_DELTAS).items())

        if not wait_for(unread, _FRAMES_S, run.ending.is_set):
            raise RuntimeError("no frames came that could be missing")

        def moved() -> bool:
            ends = run.watch.ends(topics.USAGE_DELTAS)
            group = f"{run.world.prefix}aggregator"
            asked = ConsumerGroupTopicPartitions(
                group, [TopicPartition(*where, end) for where, end in ends.items()]
            )
            admin = run.watch.admin()
            found = admin.alter_consumer_group_offsets([asked])[group].result(20)
            return all(item.error is None for item in found.topic_partitions)

        if not wait_for(moved, 30, run.ending.is_set):
            raise RuntimeError("the aggregators' offsets could not be moved")
        for name in _AGGREGATORS:
            services.start(name)
        if not wait_for(
            lambda: any(_REPAIRS in services.log(name) for name in _AGGREGATORS), _FRAMES_S, run.ending.is_set
        ):
            raise RuntimeError("no aggregator noticed that frames are missing")
