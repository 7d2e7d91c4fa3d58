"""Frames: what is written is what is read back, whole or in parts, and it continues the frame before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rater.core.frames import (
    CHUNK_BYTES_MAX,
    Assembler,
    FrameError,
    Part,
    check_follows,
    effects_of_record,
    effects_of_result,
    frame_record,
    split,
)
from rater.core.work import Head
from schemas.codec import CODEC
from schemas.topics import USAGE_DELTAS, topic
from tests.unit.rater.fakes import DAY_US, NOW_US, event, record, run

BATCH = [
    record(0, event(0, "b", project="p")),
    record(1, event(1, "a")),
    record(2, event(1, "a")),
    record(3, value=b""),
    record(4, event(4, "b", event_time_us=NOW_US - DAY_US)),
]


def test_the_effects_read_back_are_those_of_the_commit() -> None:
    result = run(BATCH, [record(0)])
    whole = CODEC.encode("DeltaFrame", frame_record(result, "rater-0", "1"))
    assert effects_of_record(CODEC.decode("DeltaFrame", whole)) == effects_of_result(result)


def test_received_is_rated_and_rejected_and_duplicates() -> None:
    frame = frame_record(run(BATCH, [record(0)]), "rater-0", "1")
    assert frame["events"] == {"from_offset": 0, "to_offset": 5}
    assert (frame["rated"], frame["rejected"], len(frame["duplicates"])) == (3, 1, 1)
    assert frame["corrections"] == {"from_offset": 0, "to_offset": 1}
    assert (frame["corrections_applied"], frame["corrections_rejected"], frame["corrections_repeated"]) == (
        0,
        1,
        0,
    )
    assert frame["rejected_by_reason"] == {"undecodable": 2}


def test_the_same_batch_gives_the_same_frame() -> None:
    assert frame_record(run(BATCH), "p", "1") == frame_record(run(BATCH), "p", "1")


def test_customers_and_rows_of_a_frame() -> None:
    """Each event costs 0.5 USD: two of b in different buckets, one of a."""
    frame = frame_record(run(BATCH), "rater-0", "1")
    assert [(it["customer_id"], it["first_seq"], it["last_seq"]) for it in frame["customers"]] == [
        ("a", 1, 1),
        ("b", 1, 2),
    ]
    assert [
        (row["bucket_us"], row["dimensions"], row["cost"], row["price"], row["events"], row["quantities"])
        for row in frame["customers"][1]["rows"]
    ] == [
        (NOW_US, ("p",), "0.5", "0.5", 1, {"tokens": "1"}),
        (NOW_US - DAY_US, (None,), "0.5", "0.5", 1, {"tokens": "1"}),
    ]


def test_a_frame_follows_only_the_one_before() -> None:
    result = run(BATCH)
    frame = frame_record(result, "p", "1")
    check_follows(Head(), frame)
    for head in (Head(frame_no=1), Head(events_next=1), Head(corrections_next=1)):
        with pytest.raises(FrameError, match="frame 1 starts at events 0, corrections 0; the frame before"):
            check_follows(head, frame)


def test_parts_fit_the_topic() -> None:
    parts = split(7, b"x" * (2 * CHUNK_BYTES_MAX + 1))
    assert [len(it.chunk) for it in parts] == [CHUNK_BYTES_MAX, CHUNK_BYTES_MAX, 1]
    largest = CODEC.encode(
        "FramePart",
        {"frame_no": 2**62, "part_no": 2**31, "part_count": 2**31, "chunk": b"x" * CHUNK_BYTES_MAX},
    )
    assert len(largest) <= topic(USAGE_DELTAS).value_bytes_max


@given(
    st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=6),
    st.integers(min_value=1, max_value=9),
)
def test_what_is_split_is_put_together(frames: list[bytes], chunk_bytes: int) -> None:
    assembler = Assembler()
    parts = [part for number, whole in enumerate(frames, 1) for part in split(number, whole, chunk_bytes)]
    assert [whole for part in parts if (whole := assembler.add(part)) is not None] == frames
    assert not assembler.incomplete


@given(st.integers(min_value=1, max_value=3))
def test_a_log_may_begin_within_a_frame(missing: int) -> None:
    """The older segments were deleted: what is left of their last frame is skipped."""
    parts = split(1, b"abcd", 1)[missing:] + split(2, b"efgh", 2)
    assembler = Assembler()
    assert [whole for part in parts if (whole := assembler.add(part)) is not None] == [b"efgh"]


def test_an_unfinished_frame_is_told() -> None:
    assembler = Assembler()
    assert assembler.add(Part(1, 0, 2, b"a")) is None
    assert list(assembler.incomplete) == [b"a"]


@pytest.mark.parametrize(
    "order",
    [
        [(1, 0), (1, 2)],  # a part is missing
        [(1, 0), (1, 1), (1, 1)],  # repeated
        [(1, 0), (2, 0)],  # the next frame begins too early
        [(1, 0), (2, 1)],  # a part of another frame
        [(1, 0), (1, 1), (1, 2), (2, 1)],  # the next frame lacks its beginning
    ],
)
def test_parts_out_of_order_stop(order: list[tuple[int, int]]) -> None:
    assembler = Assembler()
    *good, bad = order
    for frame_no, part_no in good:
        assembler.add(Part(frame_no, part_no, 3, b"x"))
    with pytest.raises(FrameError):
        assembler.add(Part(*bad, 3, b"x"))
