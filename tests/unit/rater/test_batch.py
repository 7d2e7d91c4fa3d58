"""One partition's share of a transaction: what is rated, rejected, repeated, what waits; the next head."""

from dataclasses import replace
from typing import Any

import pytest

from rater.adapters.outputs import rejected_output
from rater.core.frames import effects_of_result
from rater.core.identity import FORGOTTEN, identity_digest
from rater.core.work import ORIGINAL_BYTES_MAX, GapError, Head, Record
from schemas.codec import CODEC
from schemas.topics import USAGE_REJECTED, topic
from tests.unit.rater.fakes import (
    DAY_US,
    NOW_US,
    SECOND_US,
    RamMemory,
    event,
    reasons,
    record,
    run,
    sequences,
    tools,
    value_of,
)


def after(*records: Record) -> RamMemory:
    """What is remembered when these were committed."""
    memory = RamMemory()
    memory.apply(effects_of_result(run(records, memory=memory)))
    memory.values = {it.offset: it.value for it in records}
    return memory


def test_each_customer_has_its_own_sequence_in_the_order_of_offsets() -> None:
    customers = ["a", "b", "a", "a", "b"]
    result = run([record(n, event(n, name)) for n, name in enumerate(customers)])
    assert sequences(result) == [(b"a", 1), (b"b", 1), (b"a", 2), (b"a", 3), (b"b", 2)]
    assert {name: (it.first_seq, it.last_seq) for name, it in result.customers.items()} == {
        "a": (1, 3),
        "b": (1, 2),
    }


def test_sequences_go_on_where_the_last_frame_left_them() -> None:
    memory = after(record(0, event(0, "a")), record(1, event(1, "a")))
    result = run([record(2, event(2, "a")), record(3, event(3, "b"))], memory=memory)
    assert sequences(result) == [(b"a", 3), (b"b", 1)]
    assert result.customers["a"].first_seq == 3


@pytest.mark.parametrize("value", [None, b"", b"no record"])
def test_what_cannot_be_decoded_is_rejected_without_an_identity(value: bytes | None) -> None:
    result = run([record(0), record(1, value=value), record(2)])
    assert reasons(result) == [(1, "undecodable")]
    assert result.rejected[0].identity is None
    assert result.rejected[0].record.value == value
    assert len(result.rated) == 2
    assert result.head.events_next == 3


def test_a_record_whose_key_is_not_its_customer_is_misrouted() -> None:
    result = run([record(0, event(0, "a"), key=b"b"), record(1, event(1, "a"), key=None)])
    assert reasons(result) == [(0, "misrouted"), (1, "misrouted")]
    assert result.rejected[0].identity == ("a", "s", "e0")
    assert result.rejected[0].detail == "the record's key is b'b', its customer 'a'"


def test_a_record_on_another_partition_than_murmur2_s_is_misrouted() -> None:
    result = run([record(0, event(0, "other"))])
    assert reasons(result) == [(0, "misrouted")]
    assert "belongs on partition 1 by murmur2, the record came on 0" in result.rejected[0].detail


def test_a_huge_key_does_not_make_a_rejection_too_large_to_write() -> None:
    """A key of 1 MB that is escaped would be 4 MB of detail beside the original: beyond the topic's limit."""
    result = run([record(0, event(0, "a"), key=b"\x00" * 1_000_000)])
    assert len(result.rejected[0].detail) < 1_000


def test_a_repeat_in_the_same_batch_is_a_duplicate_of_the_first() -> None:
    result = run([record(0, event(9)), record(1, event(9)), record(2, event(9))])
    assert len(result.rated) == 1
    digest = identity_digest("c", "s", "e9")
    assert [tuple(it) for it in result.duplicates] == [(digest, 1, 0), (digest, 2, 0)]
    assert result.rejected == []


def test_a_repeat_of_an_earlier_frame_is_a_duplicate_of_its_first_offset() -> None:
    memory = after(record(0, event(8)), record(1, event(9)))
    result = run([record(2, event(9)), record(3, event(10))], memory=memory)
    assert [(it.offset, it.first_offset) for it in result.duplicates] == [(2, 1)]
    assert sequences(result) == [(b"c", 3)]


@pytest.mark.parametrize("apart", [False, True])
def test_the_same_content_in_other_bytes_is_a_duplicate(*, apart: bool) -> None:
    """Maps have no order, and another writer's schema says the same."""
    turned = event(9, usage={"b": "2", "a": "1"})
    first = record(0, event(9))
    again = [record(1, turned), record(2, event(9), value=value_of(event(9), "older"))]
    result = run(again, memory=after(first)) if apart else run([first, *again])
    assert [(it.offset, it.first_offset) for it in result.duplicates] == [(1, 0), (2, 0)]
    assert result.rejected == []


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("other", [{"usage": {"a": "2"}}, {"event_time_us": NOW_US + 1}, {"project": "p"}])
def test_other_content_under_the_same_identity_is_a_conflict(*, apart: bool, other: dict[str, Any]) -> None:
    first, second = record(0, event(9)), record(1, event(9, **other))
    result = run([second], memory=after(first)) if apart else run([first, second])
    assert reasons(result) == [(1, "id_conflict")]
    assert result.rejected[0].identity == ("c", "s", "e9")
    assert "rated with other content from offset 0" in result.rejected[0].detail
    assert result.duplicates == []


def test_other_bytes_whose_first_record_is_gone_are_a_conflict() -> None:
    memory = after(record(0, event(9)))
    memory.values.clear()
    result = run([record(1, event(9), value=value_of(event(9), "older"))], memory=memory)
    assert reasons(result) == [(1, "id_conflict")]


def test_an_event_that_was_corrected_long_ago_is_never_new_again() -> None:
    memory = after(record(0, event(9)))
    memory.digests = dict.fromkeys(memory.digests, FORGOTTEN)
    result = run([record(1, event(9))], memory=memory)
    assert reasons(result) == [(1, "id_conflict")]
    assert "was rated and corrected long ago" in result.rejected[0].detail


def test_equal_bytes_need_no_first_record() -> None:
    memory = after(record(0, event(9)))
    memory.values.clear()
    assert [it.offset for it in run([record(1, event(9))], memory=memory).duplicates] == [1]


def test_other_bytes_whose_first_record_no_longer_decodes_are_a_conflict() -> None:
    memory = after(record(0, event(9)))
    memory.values[0] = b"no record"
    result = run([record(1, event(9), value=value_of(event(9), "older"))], memory=memory)
    assert reasons(result) == [(1, "id_conflict")]


def test_a_conflict_does_not_become_what_is_remembered() -> None:
    result = run([record(0, event(9)), record(1, event(9, project="p")), record(2, event(9))])
    assert reasons(result) == [(1, "id_conflict")]
    assert [(it.offset, it.first_offset) for it in result.duplicates] == [(2, 0)]


def test_rejected_ids_are_not_remembered() -> None:
    bad = event(9, usage={"bad": "x"})
    result = run([record(0, bad), record(1, event(9)), record(2, event(9))])
    assert reasons(result) == [(0, "bad_quantity")]
    assert sequences(result) == [(b"c", 1)]
    assert [(it.offset, it.first_offset) for it in result.duplicates] == [(2, 1)]


def test_a_rejected_event_takes_no_sequence_and_leaves_its_neighbours_alone() -> None:
    result = run([record(0), record(1, event(1, usage={"bad": "x"})), record(2)])
    assert sequences(result) == [(b"c", 1), (b"c", 2)]
    assert result.reasons == {"bad_quantity": 1}


def test_digests_lie_under_the_day_of_their_event() -> None:
    result = run([record(0, event(0, event_time_us=NOW_US - 1)), record(1, event(1))])
    assert {bucket: len(entries) for bucket, entries in result.digests.items()} == {
        NOW_US - DAY_US: 1,
        NOW_US: 1,
    }


@pytest.mark.parametrize("offsets", [[1], [0, 2], [0, 0], [-1]])
def test_a_gap_in_the_events_stops(offsets: list[int]) -> None:
    with pytest.raises(GapError, match=r"usage\.events: expected offset "):
        run([record(n) for n in offsets])


def test_a_gap_in_the_corrections_stops() -> None:
    with pytest.raises(GapError, match=r"usage\.corrections: expected offset 4, got 5"):
        run([], [record(5)], head=Head(corrections_next=4))


def test_the_head_of_a_batch() -> None:
    before = Head(
        frame_no=3, events_next=10, corrections_next=4, highest_append_us=NOW_US - 5, book_version=6
    )
    result = run([record(10), record(11, value=b"")], [record(4)], head=before)
    assert result.previous == before
    assert result.head == Head(4, 12, 5, NOW_US, 7)


def test_an_empty_batch_records_the_book_version_and_nothing_else() -> None:
    before = Head(3, 10, 4, NOW_US, 6)
    result = run([], head=before)
    assert result.head == replace(before, frame_no=4, book_version=7)
    assert (result.rated, result.rejected, result.duplicates) == ([], [], [])


def test_a_correction_that_is_none_is_rejected_and_moves_no_lateness() -> None:
    early = record(0, append_us=NOW_US + DAY_US)
    result = run([record(0)], [early])
    assert [(it.topic, it.reason, it.identity) for it in result.rejected] == [
        ("usage.corrections", "undecodable", None)
    ]
    assert (result.corrections_rejected, result.events_rejected) == (1, 0)
    assert result.head.highest_append_us == NOW_US
    assert result.head.corrections_next == 1


def test_rejections_stand_in_the_order_of_offsets_whichever_step_rejected() -> None:
    result = run(
        [
            record(0, event(0)),
            record(1, event(0, project="p")),  # found when settling
            record(2, value=b""),  # found when screening, which comes first
            record(3, event(3, usage={"bad": "x"})),
        ]
    )
    assert reasons(result) == [(1, "id_conflict"), (2, "undecodable"), (3, "bad_quantity")]


class TestPause:
    """The first event at or beyond the horizon of the confirmed book ends the batch."""

    HORIZON_US = NOW_US + SECOND_US

    def batch(self, times: list[int], appends: list[int]) -> list[Record]:
        return [
            record(n, event(n, event_time_us=time_us), append_us=append_us)
            for n, (time_us, append_us) in enumerate(zip(times, appends, strict=True))
        ]

    def test_it_cuts_the_batch_and_is_not_counted(self) -> None:
        records = self.batch(
            [NOW_US, self.HORIZON_US - 1, self.HORIZON_US, NOW_US],
            [NOW_US, NOW_US + 1, NOW_US + 9, NOW_US + 9],
        )
        result = run(records, tools=tools(horizon_us=self.HORIZON_US))
        assert result.paused_at == 2
        assert result.head.events_next == 2
        assert result.head.highest_append_us == NOW_US + 1
        assert len(result.rated) == 2

    def test_at_the_first_record_nothing_moves(self) -> None:
        records = self.batch([self.HORIZON_US], [NOW_US])
        result = run(records, tools=tools(horizon_us=self.HORIZON_US))
        assert (result.paused_at, result.head.events_next, result.head.highest_append_us) == (0, 0, 0)

    def test_a_rejected_record_beyond_it_is_rejected_and_does_not_wait(self) -> None:
        records = [record(0, event(0, event_time_us=self.HORIZON_US), key=b"wrong"), record(1)]
        result = run(records, tools=tools(horizon_us=self.HORIZON_US))
        assert result.paused_at is None
        assert reasons(result) == [(0, "misrouted")]
        assert len(result.rated) == 1

    def test_corrections_go_on(self) -> None:
        records = self.batch([self.HORIZON_US], [NOW_US])
        result = run(records, [record(0)], tools=tools(horizon_us=self.HORIZON_US))
        assert (result.head.events_next, result.head.corrections_next) == (0, 1)

    def test_the_same_records_are_rated_alike_when_the_book_is_confirmed(self) -> None:
        records = self.batch([NOW_US, self.HORIZON_US], [NOW_US, NOW_US])
        memory = RamMemory()
        cut = run(records, memory=memory, tools=tools(horizon_us=self.HORIZON_US))
        memory.apply(effects_of_result(cut))
        rest = run(records[1:], memory=memory)
        assert cut.rated + rest.rated == run(records).rated


def test_a_record_too_large_to_keep_is_rejected_by_its_coordinates() -> None:
    largest = record(0, key=b"", value=b"x" * ORIGINAL_BYTES_MAX)
    larger = record(1, key=b"k", value=b"x" * ORIGINAL_BYTES_MAX)
    result = run([largest, larger])
    assert reasons(result) == [(0, "undecodable"), (1, "too_large")]
    for rejected, kept in zip(result.rejected, (True, False), strict=True):
        value = rejected_output("usage.rejected", 0, rejected).value
        assert value is not None
        assert len(value) <= topic(USAGE_REJECTED).value_bytes_max
        written = CODEC.decode("RejectedUsage", value)
        assert (written["original"] is not None) == kept
        assert written["offset"] == rejected.record.offset
