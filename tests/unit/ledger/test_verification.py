"""Each check finds the violation planted for it, and a sound world has none."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ledger.core.model import InputRecord, content_digest
from ledger.core.streams import Whole
from tests.unit.ledger.world import World, entry, event, rated, sound, value_of

Plant = Callable[[World], Any]


def test_a_sound_world_is_verified_and_counted() -> None:
    """6 x 0.5 = 3 and 6 x 1.25 = 7.5; 10 received = 6 rated + 2 rejected + 2 duplicates."""
    world = sound()
    summary = world.run()
    assert world.findings.kept == []
    assert (summary.received, summary.rated, summary.rejected, summary.duplicates) == (10, 6, 2, 2)
    assert (summary.from_frame, summary.to_frame, summary.inputs_compared) == (1, 2, 6)
    assert summary.pending == {"events": 0, "corrections": 0}
    sums = world.totals.sums.as_json()
    assert (sums["cost"], sums["price"]) == ({"USD": "3"}, {"USD": "7.5"})
    assert world.totals.by["customer"]["a"].as_json()["price"] == {"USD": "3.75"}


def test_what_waits_in_the_input_is_pending_and_no_finding() -> None:
    world = sound()
    world.inputs_end = 17
    assert world.run().pending == {"events": 7, "corrections": 0}
    assert not world.findings.total


def _edit_rating(world: World, index: int, **fields: Any) -> World:
    record = world.rated[index]
    world.rated[index] = replace(record, rating={**record.rating, **fields})
    return world


def _edit_input(world: World, offset: int, value: bytes | None) -> None:
    world.inputs[offset] = replace(world.inputs[offset], value=value)


def _edit_rejected(world: World, index: int, **fields: Any) -> None:
    record = world.rejected[index]
    world.rejected[index] = replace(record, record={**record.record, **fields})


def _row(world: World) -> dict[str, Any]:
    found: dict[str, Any] = world.frames[1]["customers"][0]["rows"][0]
    return found


def _swap_in_frame(world: World) -> None:
    """Customer a's records of frame 1 change places in usage.rated."""
    world.rated[0], world.rated[2] = world.rated[2], world.rated[0]


def _swap_sequences(world: World) -> None:
    """Offset 2 gets sequence 1, and offset 0 gets sequence 2, written in the order of sequences."""
    first, second = world.rated[0].event, world.rated[2].event
    world.rated[0], world.rated[2] = rated(second, 1, 0), rated(first, 2, 2)


def _conflict_as_duplicate(world: World) -> None:
    """Offset 7 repeats b-1's id with another product, and the frame calls it a duplicate."""
    _edit_input(world, 7, value_of(event("b", 1, product="other")))


def _other_partition(world: World) -> None:
    world.partition_of = 1


def _lost_input(world: World) -> None:
    """The broker lost the newest event."""
    world.inputs.pop()
    world.inputs_end = 9


def _twice_in_frames(world: World) -> None:
    """Frame 2 lists a-1 again, in the place of a-3, and usage.rated holds it again."""
    again = event("a", 1)
    packed = world.frames[1]["digests"][0]["packed"]
    world.frames[1]["digests"][0]["packed"] = entry(again, 5) + packed[32:]
    world.rated[3] = rated(again, 3, 3)
    _edit_input(world, 5, value_of(again))


PLANTED: dict[str, tuple[Plant, set[str]]] = {
    "a frame is missing": (
        lambda w: [w.frames[1].update(frame_no=3), w.head.update(frame_no=3)],
        {"frame_gap"},
    ),
    "the first frame is not number 1": (
        lambda w: [w.frames[0].update(frame_no=2), w.frames[1].update(frame_no=3), w.head.update(frame_no=3)],
        {"frame_gap"},
    ),
    "an offset lies between two frames": (
        lambda w: w.frames[1]["events"].update(from_offset=6),
        {"range_gap", "conservation", "offset_unaccounted"},
    ),
    "a correction's offset lies between two frames": (
        lambda w: [
            w.frames[1]["corrections"].update(from_offset=1, to_offset=1),
            w.head.update(corrections_next=1),
        ],
        {"range_gap", "position"},
    ),
    "a frame's counts do not add up": (
        lambda w: w.frames[0].update(rated=4),
        {"conservation", "rated_count"},
    ),
    "a correction is not accounted for": (
        lambda w: w.frames[1].update(corrections_repeated=1),
        {"conservation"},
    ),
    "a frame tells a rejected record that is not there": (
        lambda w: w.rejected.pop(0),
        {"rejected_by_reason", "rejected_count", "offset_unaccounted"},
    ),
    "a rejected record stands twice": (
        lambda w: w.rejected.insert(1, w.rejected[0]),
        {"rejected_again"},
    ),
    "a rejected record has another reason": (
        lambda w: _edit_rejected(w, 0, reason="in_future"),
        {"rejected_by_reason"},
    ),
    "a rejected record has other bytes": (
        lambda w: _edit_rejected(w, 1, original=b"other"),
        {"rejected_bytes"},
    ),
    "a rejected record is of no frame": (
        lambda w: w.rejected.append(
            replace(w.rejected[1], offset=2, record={**w.rejected[1].record, "offset": 12})
        ),
        {"rejected_without_frame"},
    ),
    "an offset is told twice": (
        lambda w: w.frames[1]["duplicates"][0].update(offset=8),
        {"offset_unaccounted", "duplicate"},
    ),
    "a rated record is missing": (
        lambda w: w.rated.pop(3),
        {"sequence_missing", "id_without_record", "rated_count", "rows"},
    ),
    "a rated record stands again in a later frame": (
        lambda w: w.rated.insert(4, w.rated[0]),
        {"rated_again"},
    ),
    "a rated record is of no frame": (
        lambda w: w.rated.append(rated(event("z", 1), 1, 9)),
        {"rated_without_frame"},
    ),
    "a rated record of no frame stands in the middle": (
        lambda w: w.rated.insert(2, rated(event("z", 1), 1, 9)),
        {"rated_without_frame"},
    ),
    "an event is rated twice, in two frames": (_twice_in_frames, {"id_twice"}),
    "a frame's digest is of another event": (
        lambda w: w.frames[0]["digests"][0].update(
            packed=entry(event("x", 9), 0) + w.frames[0]["digests"][0]["packed"][32:]
        ),
        {"id_unlisted", "id_without_record", "duplicate"},
    ),
    "a digest block is cut": (
        lambda w: w.frames[1]["digests"][0].update(packed=w.frames[1]["digests"][0]["packed"][:-1]),
        {"digests", "id_unlisted", "offset_unaccounted"},
    ),
    "a sequence is given twice": (
        lambda w: _edit_rating(w, 2, customer_seq=1),
        {"sequence_twice", "sequence_missing", "order"},
    ),
    "a customer's sequence has a gap between frames": (
        lambda w: [
            w.frames[1]["customers"][0].update(first_seq=4, last_seq=4),
            _edit_rating(w, 3, customer_seq=4),
            w.customers["a"].update(last_seq=4),
        ],
        {"sequence_gap"},
    ),
    "records stand in another order than their sequences": (_swap_in_frame, {"order"}),
    "sequences do not follow the input": (_swap_sequences, {"order"}),
    "a duplicate names an event that was never rated": (
        lambda w: w.frames[1]["duplicates"][0].update(digest=b"0" * 16),
        {"duplicate"},
    ),
    "a duplicate names another first offset": (
        lambda w: w.frames[1]["duplicates"][0].update(first_offset=0),
        {"duplicate"},
    ),
    "a duplicate has another id than its event": (
        lambda w: _edit_input(w, 7, value_of(event("q", 1))),
        {"duplicate"},
    ),
    "an id conflict is called a duplicate": (_conflict_as_duplicate, {"duplicate"}),
    "a rated event is not the one that came": (
        lambda w: _edit_input(w, 5, value_of(event("a", 3, product="other"))),
        {"content", "event_bytes"},
    ),
    "a rated record has another key": (
        lambda w: w.rated.__setitem__(0, replace(w.rated[0], key=b"b")),
        {"rated_key"},
    ),
    "a rated record has headers": (
        lambda w: w.rated.__setitem__(0, replace(w.rated[0], has_headers=True)),
        {"rated_headers"},
    ),
    "an amount is wrong": (
        lambda w: _edit_rating(w, 3, cost={"status": "priced", "amount": "0.6", "currency": "USD"}),
        {"amount", "rows"},
    ),
    "a rated field other than an amount is wrong": (
        lambda w: _edit_rating(w, 3, lines=[{"meter": "tokens"}]),
        {"amount"},
    ),
    "an event is rated with another version": (
        lambda w: _edit_rating(w, 3, book_version=2),
        {"book_version", "amount"},
    ),
    "the version of a partition falls": (
        lambda w: [
            w.frames[0].update(book_version=2),
            *(_edit_rating(w, i, book_version=2) for i in range(3)),
        ],
        {"book_version_falls", "amount"},
    ),
    "the highest append time falls": (
        lambda w: w.frames[0].update(highest_append_us=20_000),
        {"highest_append_us_falls"},
    ),
    "an event was appended after the highest append time": (
        lambda w: w.inputs.__setitem__(4, replace(w.inputs[4], append_us=5_001)),
        {"highest_append"},
    ),
    "usage.events has a gap": (lambda w: w.inputs.pop(4), {"input_gap"}),
    "a row's cost is wrong": (lambda w: _row(w).update(cost="0.4"), {"rows"}),
    "a row's price is null": (lambda w: _row(w).update(price=None), {"rows"}),
    "a row's events are wrong": (lambda w: _row(w).update(events=2), {"rows"}),
    "a row's unpriced events are wrong": (lambda w: _row(w).update(unpriced_cost_events=1), {"rows"}),
    "a row's quantities are wrong": (lambda w: _row(w).update(quantities={"tokens": "999"}), {"rows"}),
    "a row is in another bucket": (lambda w: _row(w).update(bucket_us=0), {"rows"}),
    "a row has other dimensions": (lambda w: _row(w).update(dimensions=["q"]), {"rows"}),
    "a row has another currency": (lambda w: _row(w).update(cost_currency="EUR"), {"rows"}),
    "a row stands twice": (lambda w: w.frames[1]["customers"][0]["rows"].append(_row(w)), {"rows"}),
    "a row's amount is no decimal": (lambda w: _row(w).update(cost="1e3"), {"rows"}),
    "a customer is of another partition": (_other_partition, {"misrouted"}),
    "a frame is of another partition": (lambda w: w.frames[0].update(partition=3), {"partition"}),
    "the head is behind": (lambda w: w.head.update(frame_no=1, events_next=5), {"head"}),
    "the head is ahead": (lambda w: w.head.update(frame_no=3), {"head"}),
    "the head says another position": (lambda w: w.head.update(events_next=9), {"head"}),
    "the head says another version": (lambda w: w.head.update(book_version=2), {"head"}),
    "there is no head": (lambda w: setattr(w, "head", None), {"head"}),
    "the position is beyond the log": (_lost_input, {"position"}),
    "the state is ahead of the frames": (lambda w: w.customers["a"].update(last_seq=4), {"state_ahead"}),
    "the state is of a frame to come": (lambda w: w.customers["a"].update(frame_no=3), {"state_ahead"}),
    "the state names a customer of no frame": (
        lambda w: w.customers.update(z={"last_seq": 1, "frame_no": 1}),
        {"state_ahead"},
    ),
    "the state is behind its own frame": (lambda w: w.customers["a"].update(last_seq=2), {"state"}),
    "a customer has no state": (lambda w: w.customers.pop("b"), {"state_missing"}),
    "a record of the state cannot be decoded": (lambda w: setattr(w, "broken", ("key x",)), {"state"}),
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_violation_is_found(what: str) -> None:
    plant, expected = PLANTED[what]
    world = sound()
    plant(world)
    assert set(world.found()) == expected, world.findings.kept


def test_the_position_that_the_broker_no_longer_holds_is_found() -> None:
    world = sound()
    world.inputs_first, world.inputs_end = 12, 15
    assert set(world.found()) == {"position"}


def test_a_second_schema_of_the_same_event_is_no_finding() -> None:
    """The event came in other bytes with the same meaning (an older writer); its digest is of those bytes."""
    world = sound()
    came = value_of(dict(reversed(event("a", 3).items())))
    world.inputs[5] = InputRecord(5, 5000, b"k", came)
    original = world.frames[1]["digests"][0]["packed"]
    world.frames[1]["digests"][0]["packed"] = original[:16] + content_digest(came) + original[24:]
    assert not world.found()


def test_inputs_that_retention_removed_are_not_compared() -> None:
    world = sound()
    world.inputs_first = 6
    summary = world.run()
    assert not world.findings.total
    assert summary.inputs_compared == 2  # offsets 6 and 8


class TestBeyondTheCut:
    """A transaction that was committed while the cut was made."""

    def _later(self, world: World) -> dict[str, Any]:
        """Frame 2 was committed after the end of usage.deltas was asked for."""
        return world.frames.pop()

    def test_records_and_head_of_a_frame_that_came_since_are_no_finding(self) -> None:
        world = sound()
        world.tail = [self._later(world)]
        summary = world.run()
        assert not world.findings.total, world.findings.kept
        assert (summary.rated, summary.to_frame) == (3, 1)

    def test_without_that_frame_they_are(self) -> None:
        world = sound()
        self._later(world)
        found = world.found()
        assert found["rated_without_frame"] == 3
        assert found["rejected_without_frame"] == 1
        assert found["head"] == 1

    def test_a_repeated_record_at_the_end_is_found_although_frames_came_since(self) -> None:
        world = sound()
        world.tail = [self._later(world)]
        world.rated.append(world.rated[0])
        assert set(world.found()) == {"rated_without_frame"}


class TestAfterRetention:
    """Old records are gone; what is left is verified from the first frame of which everything is there."""

    def _verified_from(self, world: World) -> int | None:
        summary = world.run()
        assert not world.findings.total, world.findings.kept
        assert summary.notes
        return summary.from_frame

    def test_the_first_frame_is_gone_and_its_records_are_not(self) -> None:
        world = sound()
        del world.frames[0]
        world.whole = Whole(frames=False)
        assert self._verified_from(world) == 2

    def test_the_first_frames_rated_records_are_half_gone(self) -> None:
        world = sound()
        del world.rated[:2]
        world.whole = Whole(rated=False)
        assert self._verified_from(world) == 2

    def test_the_first_frames_rejected_records_are_gone(self) -> None:
        """The oldest one left is of frame 2, and there might have been more of frame 2 before it."""
        world = sound()
        del world.rejected[0]
        world.whole = Whole(rejected=False)
        assert self._verified_from(world) is None

    def test_everything_but_the_head_is_gone(self) -> None:
        world = sound()
        world.frames, world.rated, world.rejected = [], [], []
        world.whole = Whole(frames=False, rated=False, rejected=False)
        assert self._verified_from(world) is None

    def test_a_violation_after_the_start_is_still_found(self) -> None:
        world = sound()
        del world.frames[0]
        world.whole = Whole(frames=False)
        del world.rated[4]
        assert set(world.found()) == {"sequence_missing", "id_without_record", "rated_count", "rows"}

    def test_a_duplicate_of_an_event_whose_frame_is_gone_is_no_finding(self) -> None:
        world = sound()
        del world.frames[0]
        world.whole = Whole(frames=False)
        assert world.frames[0]["duplicates"][0]["first_offset"] == 1
        assert not world.found()


def test_findings_are_counted_whole_and_kept_in_part() -> None:
    world = sound()
    for _ in range(30):
        world.findings.add("head", 0, "x", "y")
    assert world.findings.total == 30
    assert len(world.findings.kept) == 20
