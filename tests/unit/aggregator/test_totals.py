"""The loop that takes usage.totals over, over a group and a store that a test plays."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from aggregator.adapters.totals_sink import Newest, TotalsUnreadableError
from aggregator.totals import Limits, Totals
from runtime.clock import SystemClock
from runtime.monitoring import Monitoring
from runtime.postgres import DatabaseUnavailableError
from schemas.codec import CODEC

TOPIC = "usage.totals"


def value(customer: str, seq: int, zone: str = "UTC") -> bytes:
    told = {
        "customer_id": customer,
        "as_of_seq": seq,
        "as_of_us": 0,
        "zone": zone,
        "watched": "",
        "entries": [],
    }
    return CODEC.encode("RunningTotals", told)


@dataclass
class Record:
    """As librdkafka's."""

    at: int
    held: bytes | None

    def topic(self) -> str:
        return TOPIC

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.at

    def value(self) -> bytes | None:
        return self.held


@dataclass
class World:
    """Group and store: records by poll, failures by write, and what happened in its order."""

    polls: list[list[Record]]
    failures: int = 0
    happened: list[Any] = field(default_factory=list)
    assigned: bool = True
    opened: Any = None
    closed: Any = None

    def __call__(self, *, opened: Any, closed: Any) -> "World":
        self.opened, self.closed = opened, closed
        return self

    def poll(self, *_: object) -> list[Record]:
        return self.polls.pop(0) if self.polls else []

    def commit(self, positions: dict[tuple[str, int], int]) -> None:
        self.happened.append(("commit", positions[TOPIC, 0]))

    def write(self, totals: list[dict[str, Any]]) -> int:
        if self.failures:
            self.failures -= 1
            raise DatabaseUnavailableError("away")
        self.happened.append(("write", [(told["customer_id"], told["as_of_seq"]) for told in totals]))
        return len(totals)

    def close(self) -> None:
        self.happened.append("closed")


def sink(world: Any, *, wait_s: float = 100, write_s: float = 0, records_max: int = 100) -> Totals:
    return Totals(
        group=world,
        store=world,
        limits=Limits(write_s=write_s, records_max=records_max, bytes_max=1 << 20, postgres_wait_s=wait_s),
        clock=SystemClock(),
        monitoring=Monitoring.silent("totals"),
        after_commit=lambda: world.happened.append("after"),
        sleep=lambda _s: None,
    )


def test_positions_are_committed_after_the_newest_values_are_stored() -> None:
    world = World([[Record(4, value("b", 1)), Record(5, value("a", 3)), Record(6, value("a", 2))]])
    sink(world).step()
    assert world.happened == [("write", [("a", 3), ("b", 1)]), "after", ("commit", 7)]


def test_a_database_that_comes_back_is_waited_for() -> None:
    world = World([[Record(4, value("a", 1))]], failures=3)
    sink(world).step()
    assert world.happened == [("write", [("a", 1)]), "after", ("commit", 5)]


def test_one_that_stays_away_ends_it_and_nothing_is_committed() -> None:
    world = World([[Record(4, value("a", 1))]], failures=10**9)
    with pytest.raises(DatabaseUnavailableError, match="not usable within 0 s"):
        sink(world, wait_s=0).step()
    assert world.happened == []


def test_what_comes_within_the_time_is_written_together_unless_it_is_much() -> None:
    polls = [[Record(number, value("a", number))] for number in range(4)]
    world = World(polls)
    totals = sink(world, write_s=3_600, records_max=3)
    for _ in range(4):
        totals.step()
    assert world.happened == [
        ("write", [("a", 0)]), "after", ("commit", 1),  # the first at once
        ("write", [("a", 3)]), "after", ("commit", 4),  # then three, which are as many as may be
    ]  # fmt: skip


def test_a_deleted_customer_moves_the_position_only() -> None:
    world = World([[Record(4, None)]])
    sink(world).step()
    assert world.happened == ["after", ("commit", 5)]


def test_what_was_read_of_partitions_that_went_away_is_left_to_their_owner() -> None:
    world = World([[], [Record(4, value("a", 1))], []])
    totals = sink(world, write_s=3_600)
    totals._due_s += 3_600
    totals.step()
    totals.step()
    world.closed()
    totals._due_s = 0
    totals.step()
    assert world.happened == []


def test_stopping_leaves_what_is_not_written_to_the_next_start() -> None:
    world = World([[Record(4, value("a", 1))]])
    sink(world).run(lambda: True)
    assert world.happened == ["closed", "closed"]  # the group, the store


def test_of_equal_sequences_the_last_value_counts() -> None:
    found = Newest().of([value("a", 1, "UTC"), value("a", 1, "Europe/Berlin")])
    assert [told["zone"] for told in found] == ["Europe/Berlin"]


def test_a_value_of_another_kind_is_named() -> None:
    with pytest.raises(TotalsUnreadableError, match=r"usage\.totals: fingerprint"):
        Newest().of([value("a", 1)[:2] + b"\0" * 8 + b"rest"])
