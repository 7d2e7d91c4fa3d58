"""The ledger's loop over a group, a broker and a store that a test plays."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from ledger.adapters.store import Counts, Outcome
from ledger.core.batch import Batch, Where
from ledger.service import Ledger, Limits, NotOwnerError, PositionsGoneError
from runtime.clock import SystemClock
from runtime.monitoring import Monitoring
from runtime.postgres import DatabaseUnavailableError

RATED, REJECTED = "rated", "rejected"


@dataclass
class Record:
    """As librdkafka's; its value is no record, so that it is taken over as a bad one."""

    at: int

    def __len__(self) -> int:
        return 100

    def topic(self) -> str:
        return RATED

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return 2, 0

    def value(self) -> bytes:
        return b"rubbish"


@dataclass
class World:
    """Records by poll; what the store is to answer; what happened."""

    polls: list[Any]
    stored: dict[Where, int] = field(default_factory=lambda: {(RATED, 0): 0, (REJECTED, 0): 0})
    answers: list[Outcome | DatabaseUnavailableError] = field(default_factory=list)
    written: list[list[int]] = field(default_factory=list)
    sought: list[dict[Where, int]] = field(default_factory=list)
    opened: Any = None
    closed: Any = None

    # the group
    def __call__(self, *, topics: object, opened: Any, closed: Any) -> "World":
        self.opened, self.closed = opened, closed
        return self

    def poll(self, *_: object) -> Sequence[Record]:
        found = self.polls.pop(0) if self.polls else []
        if callable(found):
            return list(found(self))
        return [Record(offset) for offset in found]

    group_metadata: object = "of a generation"

    def seek(self, positions: dict[Where, int]) -> None:
        self.sought.append(dict(positions))

    def close(self) -> None:
        pass

    # the broker
    def check(self, positions: object) -> None:
        pass

    def check_topics(self) -> None:
        pass

    # the store
    def make_days_ahead(self) -> None:
        pass

    def positions(self, wanted: Sequence[Where]) -> dict[Where, int]:
        return {where: self.stored[where] for where in wanted if where in self.stored}

    def write(self, batch: Batch) -> tuple[Outcome, Counts]:
        answer = self.answers.pop(0) if self.answers else Outcome.WRITTEN
        if isinstance(answer, DatabaseUnavailableError):
            raise answer
        if answer is Outcome.WRITTEN:
            self.written.append([record.offset for record in batch.bad])
        if answer is not Outcome.MOVED:
            self.stored |= batch.after
        return answer, Counts()

    def run(
        self, steps: int, postgres_wait_s: float = 60, wait_s: float = 0.1, busy_wait_s: float = 0
    ) -> Ledger:
        made: Any = self
        ledger = Ledger(
            topics=(RATED, REJECTED),
            group=made,
            broker=made,
            store=made,
            limits=Limits(100, 1 << 20, wait_s, postgres_wait_s, busy_wait_s),
            clock=SystemClock(),
            after_commit=lambda: None,
            monitoring=Monitoring.silent("ledger"),
            sleep=lambda _: None,
        )
        left = [None] * steps

        def stopping() -> bool:
            return not left or bool(left.pop())

        ledger.run(stopping)
        return ledger


def assigned(*offsets: int) -> Any:
    """A poll in which the partitions are assigned, after these records were put in its hands."""

    def poll(world: World) -> list[Record]:
        if world.stored:
            world.closed([0])
            world.opened([0])
        return [Record(offset) for offset in offsets]

    return poll


def test_batches_follow_each_other_and_gaps_of_transactions_are_none() -> None:
    world = World([assigned(), [0, 1], [3, 4], [], [9]])
    world.run(5)
    assert world.written == [[0, 1], [3, 4], [9]]
    assert world.stored[RATED, 0] == 10


def test_many_records_are_collected_for_longer_into_one_batch() -> None:
    """Three in 2 ms are more than a thousand a second, one is not."""
    world = World([assigned(), [0, 1, 2], [3, 4], [5], [6, 7, 8], []])
    world.run(4, wait_s=0.002, busy_wait_s=0.01)
    assert world.written == [[0, 1, 2, 3, 4], [5], [6, 7, 8]]


def test_what_was_consumed_before_an_assignment_is_read_again() -> None:
    """Else 3 to 6 would be skipped: the ledger is at 3, and 7 and 8 were in hand already."""
    world = World([assigned(7, 8), [3, 4, 5, 6, 7, 8]], {(RATED, 0): 3, (REJECTED, 0): 0})
    world.run(2)
    assert world.sought == [{(RATED, 0): 3, (REJECTED, 0): 0}]
    assert world.written == [[3, 4, 5, 6, 7, 8]]


def test_positions_that_moved_are_followed_and_what_was_read_ahead_is_dropped() -> None:
    world = World([assigned(), [0, 1], [2, 3], [1, 2]])
    world.answers = [Outcome.MOVED]
    world.stored[RATED, 0] = 0

    def another_worker(_: World) -> list[Record]:
        world.stored[RATED, 0] = 1
        return [Record(2), Record(3)]

    world.polls[2] = another_worker
    ledger = world.run(4)
    assert world.sought[-1] == {(RATED, 0): 1, (REJECTED, 0): 0}
    assert world.written == [[1, 2]]
    assert ledger.counters.moved == 1


def test_positions_that_are_always_others_stop_it() -> None:
    world = World([assigned(), *([number] for number in range(60))])
    world.answers = [Outcome.MOVED] * 60
    with pytest.raises(NotOwnerError, match="rated 0"):
        world.run(61)


def test_positions_that_are_gone_stop_it() -> None:
    """A database put back to before the ledger's start: going on without positions would read nothing."""
    world = World([assigned(), [0], [1]])
    world.answers = [Outcome.MOVED]

    def put_back(_: World) -> list[Record]:
        del world.stored[RATED, 0]
        return [Record(1)]

    world.polls[2] = put_back
    with pytest.raises(PositionsGoneError, match="rated 0"):
        world.run(3)
    assert world.written == []


def test_postgresql_that_comes_back_is_written_to_and_one_that_does_not_stops_it() -> None:
    world = World([assigned(), [0]])
    world.answers = [DatabaseUnavailableError("gone"), DatabaseUnavailableError("gone")]
    world.run(3)
    assert world.written == [[0]]
    away = World([assigned(), [0]])
    away.answers = [DatabaseUnavailableError("gone")]
    with pytest.raises(DatabaseUnavailableError, match="not usable within 0 s: gone"):
        away.run(3, postgres_wait_s=0)
    assert away.written == []


def test_a_lost_reply_is_counted_and_nothing_is_written_again() -> None:
    world = World([assigned(), [0], [1]])
    world.answers = [Outcome.ALREADY]
    ledger = world.run(3)
    assert (world.written, ledger.counters.replies_lost, ledger.counters.transactions) == ([[1]], 1, 2)
