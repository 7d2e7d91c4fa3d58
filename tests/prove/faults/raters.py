"""Faults of raters: each point of a transaction, zombies, aborted transactions, members, files, offsets."""

from pathlib import Path

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

from schemas import topics
from tests.prove.faults.processes import (
    ACTS_S,
    FENCED,
    OWNS,
    killed,
    killed_at,
    paused,
    reach,
    state_deleted,
    state_dir,
    wrong_clock,
    zombie,
)
from tests.prove.nemesis import Lane, Step, Striker
from tests.prove.run import Run
from tests.prove.services import Life
from tests.prove.watching import AWAY, wait_for

RATERS = ("rater-0", "rater-1", "rater-2")
_POINTS = {
    "rater-0": ("after_consume", "before_send_offsets", "after_commit_before_checkpoint"),
    "rater-1": ("after_dedupe", "after_send_offsets", "mid_checkpoint"),
    "rater-2": ("mid_produce", "in_commit"),
}
_ABORTS = 12  # fewer than the rater takes in a row before it stops
_FILE_LIMIT_KIB = 64
_NO_ROOM_S = 120.0


def lanes() -> list[Lane]:
    """One lane a rater, and what needs them all behind those."""
    specials = {
        "rater-0": [zombie("rater-0", "in_commit", FENCED), damaged("rater-0"), wrong_clock("rater-0", 1)],
        "rater-1": [aborts("rater-1"), state_deleted("rater-1", "rater/slot-1"), paused("rater-1", 5)],
        "rater-2": [no_room("rater-2"), in_restore("rater-2"), wrong_clock("rater-2", -1), killed("rater-2")],
    }
    own = [
        Lane(
            name,
            [killed_at(name, *_POINTS[name]), *specials[name]],
            extra=[killed(name), paused(name, 5), zombie(name, "mid_produce"), aborts(name)],
        )
        for name in RATERS
    ]
    group = Lane(
        "all raters",
        [Step("raters scaled", scaled), Step("the raters' offsets are reset", offsets_reset)],
        after=RATERS,
    )
    return [*own, group]


def aborts(name: str) -> Step:
    """Every other transaction, and then many in a row, are aborted when they are nearly done."""

    def act(striker: Striker) -> None:
        orders = [f"in_commit:{number}:abort" for number in (2, 4, 6, *range(8, 8 + _ABORTS))]
        with striker.services.alone(name), striker.fault("aborted transactions", name, f"{len(orders)}"):
            number = reach(striker, name, Life(failpoints=",".join(orders)))
            wait_for(
                lambda: len(striker.services.acted(name, number)) >= len(orders),
                ACTS_S,
                striker.run.ending.is_set,
            )

    return Step(f"transactions of {name} aborted", act)


def in_restore(name: str) -> Step:
    """Killed while it restores what was deleted."""

    def act(striker: Striker) -> None:
        folder = state_dir(striker, f"rater/slot-{name[-1]}")
        with striker.services.alone(name), striker.fault("killed at a failpoint", name, "in_restore"):
            reach(striker, name, Life(failpoints="in_restore:2:kill"), prepare=lambda _: _delete(folder))

    return Step(f"{name} killed at in_restore", act)


def _delete(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def damaged(name: str) -> Step:
    """Killed; a file of its state is cut in half, and somebody's lock is left."""

    def act(striker: Striker) -> None:
        with striker.services.alone(name), striker.fault("state damaged", name):
            striker.services.kill(name, again=False)
            for folder in state_dir(striker, f"rater/slot-{name[-1]}").glob("partition-*"):
                files = sorted(folder.glob("*.sst"), key=lambda path: path.stat().st_size)
                for path in files[-1:]:
                    with path.open("r+b") as file:
                        file.truncate(path.stat().st_size // 2)
                (folder / "LOCK").write_bytes(b"somebody")
            striker.services.start(name)
            striker.pause(3)

    return Step(f"{name} with a damaged file", act)


def no_room(name: str) -> Step:
    """Its files may not grow beyond a few KiB: it must stop loudly, and go on once there is room."""

    def act(striker: Striker) -> None:
        services = striker.services
        with services.alone(name), striker.fault("no room for files", name, f"{_FILE_LIMIT_KIB} KiB"):
            services.stop(name)
            _delete(state_dir(striker, f"rater/slot-{name[-1]}"))
            number = services.start(name, Life(file_limit_kib=_FILE_LIMIT_KIB)).lives
            stopped = wait_for(
                lambda: services.worker(name).lives != number, _NO_ROOM_S, striker.run.ending.is_set
            )
            striker.run.journal.add("no room", name=name, stopped=stopped)
            if not stopped:
                services.stop(name)
                services.start(name)

    return Step(f"{name} without room", act)


def scaled(striker: Striker) -> None:
    """Three raters become five, one and three again; one dies in the middle of giving partitions up."""
    services = striker.services
    more = ("rater-3", "rater-4")
    with services.alone(*RATERS, *more):
        with striker.fault("killed at a failpoint", "rater-0", "in_on_revoke"):

            def scale_out(_striker: Striker) -> None:
                with striker.fault("scaled", "raters", "3 to 5"):
                    for name in more:
                        if not services.worker(name).running:
                            services.start(name)

            reach(striker, "rater-0", Life(failpoints="in_on_revoke:1:kill"), nudge=scale_out)
        striker.pause(4)
        with striker.fault("scaled", "raters", "5 to 1"):
            for name in (*more, "rater-1", "rater-2"):
                services.stop(name)
            striker.pause(3)
        with striker.fault("scaled", "raters", "1 to 3"):
            services.start("rater-1")
            services.start("rater-2")
            wait_for(lambda: OWNS in services.log("rater-2"), ACTS_S, striker.run.ending.is_set)


def offsets_reset(striker: Striker) -> None:
    """The group's offsets are set back, or ahead, or the group is deleted, while no rater runs."""
    run = striker.run
    how = striker.chance.choice(("earliest", "latest", "deleted"))
    with striker.services.alone(*RATERS), striker.fault("offsets reset", "raters", how):
        for name in RATERS:
            striker.services.stop(name)
        wait_for(lambda: run.watch.group_empty("rater"), 20, run.ending.is_set)

        try:
            _move_offsets(run, how)
        finally:
            for name in RATERS:
                striker.services.start(name)


def _move_offsets(run: Run, how: str) -> None:
    """Nobody is in the group. Raises RuntimeError, saying what the broker answered last."""
    group = f"{run.world.prefix}rater"
    answers = ["none"]

    def moved() -> bool:
        admin = run.watch.admin()
        try:
            if how == "deleted":
                admin.delete_consumer_groups([group])[group].result(20)
                return True
            ends = run.watch.ends(topics.USAGE_EVENTS, topics.USAGE_CORRECTIONS)
            wanted = [TopicPartition(*where, 0 if how == "earliest" else end) for where, end in ends.items()]
            asked = [ConsumerGroupTopicPartitions(group, wanted)]
            found = admin.alter_consumer_group_offsets(asked)[group].result(20)
        except AWAY as error:
            answers.append(repr(error))
            raise
        answers.append(str([item.error for item in found.topic_partitions if item.error]))
        return all(item.error is None for item in found.topic_partitions)

    if not wait_for(moved, 60, run.ending.is_set, every_s=1.0):
        raise RuntimeError(f"the offsets could not be reset: {answers[-1]}")
