"""While a run goes on: who stands still with work to do is found, unless a fault excuses it."""

from typing import Any

import pytest

from tests.prove.checks.facts import Item
from tests.prove.checks.reading import frames
from tests.prove.checks.watching import STUCK_S, Progress, excused
from tests.prove.checks.wire import encoded


def looked(*looks: tuple[float, int, int], excused_until: float = 0.0) -> list[str]:
    """What the last look says; each is (when, records behind, position)."""
    progress, found = Progress(), dict[str, str]()
    for now, lag, position in looks:
        found = progress.look({"rater": lag}, {"rater": position}, excused_until, now)
    return list(found.values())


def test_who_stands_still_with_work_to_do_is_named() -> None:
    found = looked((100.0, 5, 10), (100.0 + STUCK_S + 1, 5, 10))
    assert found == [f"I12: rater is 5 records behind and has stood still for {STUCK_S + 1:.0f} s"]


@pytest.mark.parametrize(
    "second", [(100.0 + STUCK_S + 1, 5, 11), (100.0 + STUCK_S + 1, 0, 10), (100.0 + STUCK_S - 1, 5, 10)]
)
def test_progress_nothing_to_do_and_patience(second: tuple[float, int, int]) -> None:
    assert looked((100.0, 5, 10), second) == []


def test_a_fault_excuses_for_a_while() -> None:
    looks = (100.0, 5, 10), (100.0 + STUCK_S + 1, 5, 10)
    assert looked(*looks, excused_until=120.0) == []
    later = (*looks, (120.0 + STUCK_S + 1, 5, 10))
    assert len(looked(*later, excused_until=120.0)) == 1


def test_the_last_word_of_a_fault_counts() -> None:
    entries: list[dict[str, Any]] = [
        {"kind": "fault", "at": 5.0},
        {"kind": "recovered", "at": 9.0},
        {"kind": "event", "at": 50.0},
    ]
    assert excused(entries) == 9.0
    assert excused([]) == 0.0


def part(offset: int, part_no: int, count: int, chunk: bytes) -> Item:
    value = encoded("FramePart", {"frame_no": 1, "part_no": part_no, "part_count": count, "chunk": chunk})
    return Item(0, offset, 0, None, value)


@pytest.mark.parametrize(
    ("items", "problem"),
    [
        ([part(0, 0, 2, b"a")], "a frame lacks parts"),
        ([part(0, 0, 2, b"a"), part(1, 0, 2, b"a")], "part 0 after 1 parts"),
        ([part(0, 0, 1, b"no frame")], "not a DeltaFrame"),
        ([Item(0, 0, 0, None, None)], "not a FramePart"),
    ],
)
def test_frames_that_are_not_whole_are_told(items: list[Item], problem: str) -> None:
    problems: list[str] = []
    frames(items, problems)
    assert any(problem in told for told in problems)
