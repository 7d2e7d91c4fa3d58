"""What the client appended twice: the first copy is the event, whichever of them was acknowledged."""

from typing import Any

from tests.prove.checks.story import with_copies

WHO = {"customer_id": "a", "source": "s", "event_id": "e"}


def published(kind: str, offset: int, **more: Any) -> dict[str, Any]:
    return {"kind": kind, **WHO, "partition": 2, "offset": offset, "append_us": 10 * offset, **more}


def copy(offset: int, of: int) -> dict[str, Any]:
    return {"kind": "copy", "partition": 2, "offset": offset, "of": of, "append_us": 10 * offset}


def by_offset(entries: list[dict[str, Any]]) -> dict[int, tuple[Any, ...]]:
    return {one["offset"]: (one["kind"], one["append_us"], one.get("of")) for one in with_copies(entries)}


def test_a_copy_before_the_acknowledged_one_is_the_event_and_repeats_are_of_it() -> None:
    entries = [published("event", 7), published("repeat", 9, of=7, encoding="other"), copy(5, 7)]
    assert by_offset(entries) == {5: ("event", 50, None), 7: ("repeat", 70, 5), 9: ("repeat", 90, 5)}
    assert entries[0]["kind"] == "event"


def test_a_copy_behind_it_is_a_repeat() -> None:
    assert by_offset([published("event", 7), copy(8, 7)]) == {7: ("event", 70, None), 8: ("repeat", 80, 7)}


def test_two_copies_before_it() -> None:
    found = by_offset([published("event", 7), copy(5, 7), copy(6, 7)])
    assert found == {5: ("event", 50, None), 6: ("repeat", 60, 5), 7: ("repeat", 70, 5)}


def test_a_copy_of_something_else_is_of_its_kind() -> None:
    found = by_offset([published("late", 7), published("repeat", 9, of=3), copy(5, 7), copy(6, 9)])
    assert found[5] == ("late", 50, None)
    assert found[6] == ("repeat", 60, 3)


def test_offsets_of_other_partitions_stay() -> None:
    other = {**published("repeat", 9, of=7), "partition": 1}
    assert by_offset([published("event", 7), other, copy(5, 7)])[9] == ("repeat", 90, 7)
