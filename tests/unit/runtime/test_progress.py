"""What counts as a stall, look by look, with a clock of the test's own."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from runtime.progress import Lag, LagUnknownError, Progress, ProgressWatchdog, Where

HERE = ("usage.events", 3)
OTHER = ("usage.events", 1)


@dataclass
class World:
    """A clock, a broker and a watchdog that looks each 5 s."""

    now_s: float = 1000.0
    behind: dict[Where, int] = field(default_factory=lambda: {HERE: 7})
    away: bool = False

    def __post_init__(self) -> None:
        self.progress = Progress(self)
        self.watchdog = ProgressWatchdog(self.progress, self.lag, self, limit_s=60)

    def now_us(self) -> int:
        return int(self.now_s) * 1_000_000

    def monotonic_s(self) -> float:
        return self.now_s

    def lag(self, positions: Mapping[Where, int]) -> Mapping[Where, Lag]:
        if self.away:
            raise LagUnknownError("no broker")
        return {where: Lag(self.behind.get(where, 0), 1.0) for where in positions}

    def look(self, seconds: float, position: int | None = None) -> str | None:
        """Look each 5 s for so long, at an unchanged position unless told; the last answer."""
        told = None
        for _ in range(int(seconds / 5)):
            self.now_s += 5
            if position is not None:
                self.progress.stands({HERE: position})
            told = told or self.watchdog.look()
        return told


def test_lag_without_progress_for_the_limit_is_a_stall_and_names_it() -> None:
    world = World()
    assert world.look(60, position=41) is None
    told = world.look(5)
    assert told == (
        "no progress for 60 s: usage.events 3 at 41 with a lag of 7 (the oldest of 1 s); "
        "the loop last moved 65 s ago"
    )


def test_a_position_that_moves_is_no_stall() -> None:
    world = World()
    for position in range(10):
        assert world.look(55, position) is None


def test_without_lag_nothing_is_stuck() -> None:
    world = World(behind={})
    assert world.look(600, position=41) is None
    world.behind[HERE] = 1
    assert world.look(60) is None, "lag counts from when it is seen"
    assert world.look(5) is not None


def test_one_partition_that_stands_is_found_beside_others_that_move() -> None:
    world = World(behind={HERE: 7, OTHER: 7})
    told = None
    for moving in range(13):
        world.now_s += 5
        world.progress.turned()
        world.progress.stands({HERE: 5, OTHER: moving})
        told = world.watchdog.look()
    assert told is not None
    assert "usage.events 3 at 5" in told
    assert "usage.events 1" not in told


def test_a_broker_that_is_away_is_no_stall() -> None:
    world = World()
    assert world.look(55, position=1) is None
    world.away = True
    assert world.look(600) is None
    world.away = False
    assert world.look(5) is None, "of the time without answers at most two looks' worth counts"
    assert world.look(10) is not None


def test_a_machine_that_slept_is_no_stall() -> None:
    world = World()
    assert world.look(5, position=1) is None
    world.now_s += 3600
    assert world.watchdog.look() is None


def test_a_restore_that_advances_is_progress() -> None:
    world = World()
    for _ in range(100):
        world.progress.advance()
        assert world.look(5, position=1) is None


def test_a_budget_is_respected_and_then_over() -> None:
    world = World()
    with world.progress.budget("PostgreSQL is waited for", 300):
        assert world.look(300, position=1) is None
        assert world.look(50) is None
        told = world.look(10)
    assert told is not None
    assert "beyond its budget: PostgreSQL is waited for" in told
    assert world.progress.over_budget() is None


def test_budgets_that_come_and_go_do_not_hide_a_stall() -> None:
    world = World()
    told = None
    for _ in range(12):
        assert told is None
        assert world.look(5, position=1) is None
        with world.progress.budget("PostgreSQL is waited for", 300):
            told = world.look(5)
    assert world.look(5) is not None


def test_a_take_over_that_hangs_is_a_stall_though_nothing_is_owned_yet() -> None:
    world = World()
    with world.progress.budget("partitions are taken over", 100):
        assert world.look(150) is None
        told = world.look(20)
    assert told is not None
    assert "partitions are taken over" in told


def test_an_excused_partition_waits_for_ever_and_only_that() -> None:
    world = World(behind={HERE: 7, OTHER: 7})
    world.progress.stands({HERE: 1, OTHER: 1})
    world.progress.excuse({HERE[1]: "waits for the rate book"})
    told = world.look(600)
    assert told is not None
    assert "usage.events 1 at 1" in told
    assert "usage.events 3" not in told


@pytest.mark.parametrize("answer", [None, {HERE: Lag(7, 1.0)}])
def test_each_look_is_told(answer: object) -> None:
    seen: list[object] = []
    world = World(away=answer is None)
    world.progress.stands({HERE: 1})
    ProgressWatchdog(world.progress, world.lag, world, looked=seen.append).look()
    assert seen == [answer]
