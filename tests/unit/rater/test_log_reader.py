"""Restoring from a log that is right, shortened, or wrong; the log is a list."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rater.adapters.log_reader import CoverageError, check_coverage, restore
from rater.adapters.state import StateStore
from rater.core.frames import FrameEffects, FrameError, effects_of_result
from rater.core.growth import Entry, Repartition, Standing
from rater.core.identity import Known
from rater.core.work import BatchResult, Head
from schemas.codec import CODEC
from tests.unit.rater.fake_log import CACHE, LOG, TOPICS, FakeLog
from tests.unit.rater.fakes import DAY_US, NOW_US, WINDOWS, RamMemory, event, record, run


@pytest.fixture
def log() -> FakeLog:
    return FakeLog()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    made = StateStore(tmp_path / "p", LOG, WINDOWS, CACHE)
    yield made
    made.close()


def knows(store: StateStore, memory: RamMemory) -> None:
    """The store knows all that the memory does."""
    digests = list(memory.digests)
    assert store.known(digests, [0] * len(digests)) == memory.digests
    assert store.last_sequences(["customer-0", "customer-1"]) == memory.sequences
    assert store.meta.head == memory.head


def test_an_empty_log_is_frame_0(log: FakeLog, store: StateStore) -> None:
    assert log.follow(store) == Head()


@pytest.mark.parametrize("known", [0, 1, 4, 5])
def test_a_restore_goes_on_where_the_local_state_ends(log: FakeLog, store: StateStore, known: int) -> None:
    log.batches(known)
    log.follow(store)
    log.batches(5 - known)
    assert log.follow(store) == log.memory.head
    knows(store, log.memory)
    assert store.meta.coverage_from_us == 0


def test_frames_that_are_known_already_are_passed_over(log: FakeLog, store: StateStore) -> None:
    log.batches(3)
    log.follow(store)
    store.set_positions(deltas_next=0, state_next=0)
    log.batches(1)
    log.follow(store)
    knows(store, log.memory)
    assert sum(store.meta.digests.values()) == 4


def test_a_restore_that_died_half_way_is_begun_again(log: FakeLog, store: StateStore) -> None:
    log.batches(5)
    hits = iter(range(9))

    def die() -> None:
        if next(hits) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(store, log, 0, TOPICS, log.bounds, die)  # type: ignore[arg-type]  # a fake reader
    assert store.meta.head.frame_no == 3
    assert log.follow(store) == log.memory.head
    knows(store, log.memory)


def test_nothing_beyond_the_bounds_is_taken(log: FakeLog, store: StateStore) -> None:
    log.batches(2)
    bounds, head = log.bounds, log.memory.head
    log.batches(2)
    assert log.follow(store, bounds) == head


def test_customers_whose_frames_have_expired_come_from_their_records(log: FakeLog, store: StateStore) -> None:
    log.batches(6)
    log.first["deltas"] = 5  # only frame 6, of customer-1, is left
    log.compact()
    log.follow(store)
    assert store.last_sequences(["customer-0", "customer-1"]) == {"customer-0": 3, "customer-1": 3}
    assert store.meta.coverage_from_us == NOW_US + 1  # frames 1 to 5 held events appended up to then


def test_when_every_frame_has_expired_the_head_remains(log: FakeLog, store: StateStore) -> None:
    log.batches(6)
    log.first["deltas"] = 6
    assert log.follow(store) == log.memory.head
    assert store.meta.head == log.memory.head
    assert store.meta.coverage_from_us == NOW_US + 1  # the head tells
    log.batches(1)
    assert log.follow(store) == log.memory.head


def test_a_local_state_that_ends_before_the_oldest_frame_is_thrown_away(
    log: FakeLog, store: StateStore
) -> None:
    log.batches(2)
    log.follow(store)
    log.batches(4)
    log.first["deltas"] = 4
    assert log.follow(store) == log.memory.head
    assert store.meta.coverage_from_us == NOW_US + 1  # of frame 5: the local state's coverage is gone with it
    assert len(store.known(list(log.memory.digests), [0] * 6)) == 2


def test_the_same_when_no_frame_is_left(log: FakeLog, store: StateStore) -> None:
    log.batches(2)
    log.follow(store)
    log.batches(4)
    log.first["deltas"] = 6
    assert log.follow(store) == log.memory.head
    assert store.meta.coverage_from_us == NOW_US + 1  # the head tells


@pytest.mark.parametrize("when", ["cold", "warm"])
def test_a_partition_used_again_after_all_its_frames_expired_can_be_taken_over(
    log: FakeLog, store: StateStore, when: str
) -> None:
    """Sixty idle days, then one event: nothing from before it can be repeated, so a new owner goes on."""
    log.batches(3)
    log.first["deltas"] = 3  # all expired
    if when == "warm":
        log.follow(store)
    later_us = NOW_US + 60 * DAY_US
    offset = log.memory.head.events_next
    again = record(offset, event(offset, "customer-1") | {"event_time_us": later_us})
    result = run([again._replace(append_us=later_us)], memory=log.memory)
    assert len(result.rated) == 1
    log.memory.apply(effects_of_result(result))
    log.commit(result, at_us=later_us)
    head = log.follow(store)
    check_coverage(store, head, later_us + 60_000_000, NEED_US)


def test_a_frame_without_its_head_stops(log: FakeLog, store: StateStore) -> None:
    log.batches(2)
    log.topics["state"].pop()
    with pytest.raises(FrameError, match=r"the head is Head.frame_no=1.* the frames lead to Head.frame_no=2"):
        log.follow(store)


def test_a_head_without_its_frame_stops(log: FakeLog, store: StateStore) -> None:
    log.batches(2)
    log.topics["deltas"].pop()
    with pytest.raises(FrameError, match=r"the head is Head.frame_no=2.* the frames lead to Head.frame_no=1"):
        log.follow(store)


def test_frames_without_any_head_stop(log: FakeLog, store: StateStore) -> None:
    log.batches(1)
    log.topics["state"].clear()
    with pytest.raises(FrameError, match="the head is"):
        log.follow(store)


def test_a_missing_frame_stops_a_restore_from_the_log_alone(log: FakeLog, store: StateStore) -> None:
    log.batches(3)
    del log.topics["deltas"][1]
    with pytest.raises(FrameError, match="frame 1, the next is 3"):
        log.follow(store)


def test_a_frame_that_does_not_continue_the_input_stops(log: FakeLog, store: StateStore) -> None:
    log.batches(1)
    stray = run([record(7)], head=Head(1, 7, 0, NOW_US, 7))
    log.commit(stray)
    with pytest.raises(FrameError, match="frame 2 starts at events 7, corrections 0; the frame before it"):
        log.follow(store)


def test_an_unfinished_frame_at_the_end_stops(log: FakeLog, store: StateStore) -> None:
    log.batches(1)
    part = {"frame_no": 2, "part_no": 0, "part_count": 2, "chunk": b"x"}
    log.put("deltas", None, CODEC.encode("FramePart", part), NOW_US)
    with pytest.raises(FrameError, match="ends within a frame"):
        log.follow(store)


def test_a_local_state_ahead_of_the_log_stops(log: FakeLog, store: StateStore) -> None:
    log.batches(3)
    log.follow(store)
    log.topics["deltas"].pop()
    with pytest.raises(FrameError, match="the broker has lost committed records"):
        log.follow(store)


@pytest.mark.parametrize("name", ["events", "corrections", "deltas"])
def test_a_head_of_a_topic_that_was_deleted_and_made_anew_stops(
    log: FakeLog, store: StateStore, name: str
) -> None:
    other = replace(LOG, **{f"{name}_topic_id": "old-id"})
    log.commit(run([record(0)]), log=other)
    with pytest.raises(FrameError, match=f"names {name}_topic_id old-id, the topic's id is now {name}-id"):
        log.follow(store)


@pytest.mark.parametrize("key", [b"q/x", b"x/x", b"", b"x"])
def test_a_key_that_this_version_does_not_write_stops(log: FakeLog, store: StateStore, key: bytes) -> None:
    log.put("state", key, b"", NOW_US)
    with pytest.raises(FrameError, match="a newer rater has run"):
        log.follow(store)


NEED_US = WINDOWS.coverage_us  # 42 days and 5 minutes


@pytest.mark.parametrize(
    ("head", "coverage_us", "covered"),
    [
        (Head(), None, True),  # no frame yet: nothing was ever rated
        (Head(1, highest_append_us=NOW_US), 0, True),  # frame 1 is there
        (Head(9, highest_append_us=NOW_US), NOW_US - NEED_US, True),
        (Head(9, highest_append_us=NOW_US), NOW_US - NEED_US + 1, False),
        (Head(9, highest_append_us=NOW_US), None, False),
        (Head(9, highest_append_us=NOW_US - NEED_US), None, False),
        (Head(9, highest_append_us=NOW_US - NEED_US - 1), None, True),  # too old to be repeated
        (Head(9, highest_append_us=NOW_US - NEED_US - 1), NOW_US, True),
    ],
)
def test_what_is_left_of_the_frames_must_reach_back_the_window(
    store: StateStore, head: Head, coverage_us: int | None, covered: bool
) -> None:
    if coverage_us is not None:
        store.apply(FrameEffects(head, {}, {}), at_us=1, coverage_from_us=coverage_us)
    if covered:
        check_coverage(store, head, NOW_US, NEED_US)
    else:
        with pytest.raises(CoverageError, match=r"usage\.deltas was deleted too early; restore it"):
            check_coverage(store, head, NOW_US, NEED_US)


def test_the_day_of_a_customer_s_record_is_its_own(log: FakeLog, store: StateStore) -> None:
    """Not the newest record's: the customer's first activity today would not be written."""
    log.batches(1, at_us=NOW_US - DAY_US)
    log.batches(1)
    log.follow(store)
    days = [it.recorded_day for it in store.customers(["customer-0", "customer-1"]).values()]
    assert days == [NOW_US // DAY_US - 1, NOW_US // DAY_US]


def test_a_generation_that_has_ended_is_not_gone_on_with(log: FakeLog, store: StateStore) -> None:
    log.batches(2)
    end = {"topic_prefix": "g2.", "partitions": 6, "deltas_topic_id": "other"}
    log.put("state", b"g", CODEC.encode("GenerationEnd", end), NOW_US)
    with pytest.raises(FrameError, match=r"grown to 6 partitions: set kafka.topic_prefix = 'g2.' and"):
        log.follow(store)


def test_what_another_generation_knew_is_known_here(log: FakeLog, store: StateStore) -> None:
    """Its frames are restored as any: the id, of which no record is here, and where the customer goes on."""
    frames: list[BatchResult] = []
    at = Head(highest_append_us=NOW_US, book_version=1)
    growing = Repartition(1, lambda _key: 0, at, WINDOWS.coverage_us, frames.append)
    standing = Standing()
    standing.tell_sequence("customer-0", 7)
    growing.entry("customer-0", Entry(0, b"d" * 16, b"c" * 8))
    for customer, delta in standing.customers():
        growing.customer(customer, delta)
    (head,) = growing.finish()
    for frame in frames:
        log.commit(frame)
    assert log.follow(store) == head == Head(1, 0, 0, NOW_US, 1)
    assert store.known([b"d" * 16], [0]) == {b"d" * 16: Known(b"c" * 8, -1)}
    assert store.last_sequences(["customer-0"]) == {"customer-0": 7}
    assert store.customers(["customer-0"])["customer-0"].recorded
    check_coverage(store, head, NOW_US + 1, WINDOWS.coverage_us)
    check_coverage(store, head, NOW_US - 1, WINDOWS.coverage_us)  # of a broker whose clock is behind
    # Ids that were older were left behind: a window that is longer than the growth's would bill them again.
    with pytest.raises(CoverageError):
        check_coverage(store, head, NOW_US + DAY_US - 1, WINDOWS.coverage_us + DAY_US)
    check_coverage(store, head, NOW_US + DAY_US, WINDOWS.coverage_us + DAY_US)
