"""A generation's state in another number of partitions: nothing lost, nothing doubled, each at its place."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.rate import PoolState
from rater.core.frames import FrameEffects, effects_of_record, frame_record
from rater.core.growth import (
    CARRIED_OFFSET,
    CUSTOMERS_A_FRAME,
    Entry,
    OwnerlessError,
    Repartition,
    Standing,
    living,
    newest,
    offset_before,
    owned,
)
from rater.core.identity import identity_digest, pack_entry, unpack_entries
from rater.core.lateness import Windows
from rater.core.revisions import Revision, RunAt, RunKey
from rater.core.work import BatchResult, Head
from schemas.codec import CODEC
from schemas.partitioning import partition_of

DAY_US = 86_400_000_000
WINDOWS = Windows(35 * DAY_US, 42 * DAY_US, 300_000_000, DAY_US)
NOW_US = 100 * DAY_US
World = dict[str, tuple[int, list[tuple[int, bool]], set[tuple[str, int]], bool]]
CUSTOMERS = st.text("abcäß/-", min_size=1, max_size=6)

worlds = st.dictionaries(
    CUSTOMERS,
    st.tuples(
        st.integers(1, 10**6),  # its last sequence
        st.lists(st.tuples(st.integers(60, 100), st.booleans()), max_size=8),  # days of events, corrected
        st.sets(st.tuples(st.sampled_from(["pool", "a/b"]), st.integers(0, 3)), max_size=4),
        st.booleans(),  # a re-rate is under way
    ),
    max_size=25,
)


def grown(world: World, count: int) -> tuple[list[BatchResult], list[Head], dict[bytes, str]]:
    """Every old partition of four goes through the core; the frames of the new ones, and what went in."""
    frames: list[BatchResult] = []
    growing = Repartition(
        count,
        lambda key: partition_of(key, count),
        newest({0: Head(highest_append_us=NOW_US, book_version=3), 1: Head(highest_append_us=5)}),
        WINDOWS.coverage_us,
        frames.append,
    )
    entries: dict[bytes, str] = {}
    for old in range(4):
        standing = Standing()
        for customer, (last_seq, events, pools, running) in world.items():
            if partition_of(customer.encode(), 4) != old:
                continue
            standing.tell_sequence(customer, last_seq)
            for number, (day, corrected) in enumerate(events):
                digest = identity_digest(customer, "s", str(number))
                entries[digest] = customer
                growing.entry(customer, Entry(day * DAY_US, digest, b"c" * 8))
                if corrected:
                    standing.revisions[digest] = Revision(customer, "s", str(number), 1, "c-1", voided=True)
            for pool, start_us in pools:
                state = PoolState(pool, start_us, start_us + 1, last_seq, 7, "USD")
                standing.tell_period((customer, pool, start_us), state, 1)
                if running:
                    standing.runs[customer, "run", pool, start_us] = RunAt(state)
        for customer, delta in standing.customers():
            growing.customer(customer, delta)
    return frames, growing.finish(), entries


@given(worlds, st.sampled_from([5, 6, 8, 12]))
def test_every_customer_and_id_is_told_once_at_its_partition(world: World, count: int) -> None:
    frames, heads, entries = grown(world, count)
    told = Counter(customer for frame in frames for customer in frame.customers)
    assert told == Counter(dict.fromkeys(world, 1))
    found: list[tuple[bytes, int]] = []
    for frame in frames:
        assert all(partition_of(name.encode(), count) == frame.partition for name in frame.customers)
        for packed in (one for block in frame.digests.values() for one in block):
            ((digest, known),) = unpack_entries(packed)
            found.append((digest, frame.partition))
            assert known == (b"c" * 8, CARRIED_OFFSET)
    assert Counter(found) == Counter(
        {(digest, partition_of(customer.encode(), count)): 1 for digest, customer in entries.items()}
    )
    assert [head.frame_no for head in heads] == [
        sum(frame.partition == number for frame in frames) for number in range(count)
    ]
    assert all((head.highest_append_us, head.book_version) == (NOW_US, 3) for head in heads)


@given(worlds, st.sampled_from([6, 12]))
def test_the_frames_read_back_leave_everybody_where_it_was(world: World, count: int) -> None:
    frames, heads, entries = grown(world, count)
    after = {number: Standing() for number in range(count)}
    reached = dict.fromkeys(range(count), Head(highest_append_us=NOW_US - WINDOWS.coverage_us - 1))
    revisions: dict[bytes, Revision] = {}
    runs: dict[RunKey, RunAt] = {}
    for frame in frames:
        encoded = CODEC.encode("DeltaFrame", frame_record(frame, "p", "b"))
        effects: FrameEffects = effects_of_record(CODEC.decode("DeltaFrame", encoded))
        assert frame.previous == reached[frame.partition]
        after[frame.partition].follow(effects)
        reached[frame.partition] = effects.head
        revisions |= effects.revisions
        runs |= effects.runs
    assert list(reached.values()) == heads
    sequences = {name: seq for one in after.values() for name, seq in one.last_seqs.items()}
    assert sequences == {customer: told[0] for customer, told in world.items()}
    periods = {key: state for one in after.values() for key, state in one.periods.items()}
    assert periods == {
        (customer, pool, start): PoolState(pool, start, start + 1, told[0], 7, "USD")
        for customer, told in world.items()
        for pool, start in told[2]
    }
    assert {digest: it.customer_id for digest, it in revisions.items()} == {
        identity_digest(customer, "s", str(number)): customer
        for customer, told in world.items()
        for number, (_, corrected) in enumerate(told[1])
        if corrected
    }
    assert set(runs) == {
        (customer, "run", pool, start)
        for customer, told in world.items()
        if told[3]
        for pool, start in told[2]
    }
    assert entries.keys() >= revisions.keys()


def test_a_partition_without_anybody_has_a_frame_all_the_same() -> None:
    frames, heads, _ = grown({}, 6)
    assert [(frame.partition, frame.customers, frame.digests) for frame in frames] == [
        (number, {}, {}) for number in range(6)
    ]
    assert [head.frame_no for head in heads] == [1] * 6


def test_frames_are_bounded() -> None:
    frames: list[BatchResult] = []
    growing = Repartition(1, lambda _key: 0, Head(), 0, frames.append)
    standing = Standing()
    for number in range(2 * CUSTOMERS_A_FRAME + 1):
        standing.tell_sequence(f"customer-{number}", 1)
    for customer, delta in standing.customers():
        growing.customer(customer, delta)
    growing.finish()
    assert [len(frame.customers) for frame in frames] == [CUSTOMERS_A_FRAME, CUSTOMERS_A_FRAME, 1]


def test_frames_are_bounded_by_what_their_customers_have() -> None:
    """Corrections are remembered for ever: 3 customers with 15,000 each are two frames."""
    frames: list[BatchResult] = []
    growing = Repartition(1, lambda _key: 0, Head(), 0, frames.append)
    standing = Standing()
    for name in ("a", "b", "c"):
        standing.tell_sequence(name, 1)
        for number in range(15_000):
            digest = b"%s%d" % (name.encode(), number)
            standing.revisions[digest] = Revision(name, "s", str(number), 1, "c-1", voided=True)
    for customer, delta in standing.customers():
        growing.customer(customer, delta)
    growing.finish()
    assert [sorted(frame.customers) for frame in frames] == [["a", "b"], ["c"]]


def test_the_newest_word_counts() -> None:
    """A record of frame 5, then frames 4 and 6 of the log: 6 it is; and a record of frame 9 stays."""

    def state(quantity: int) -> PoolState:
        return PoolState("pool", 0, 1, quantity, 0, "USD")

    def frame(frame_no: int, key: tuple[str, str, int], quantity: int) -> FrameEffects:
        return FrameEffects(Head(frame_no=frame_no), {}, {"a": frame_no}, {key: state(quantity)})

    standing = Standing()
    standing.tell_sequence("a", 5)
    standing.tell_period(("a", "pool", 0), state(50), 5)
    standing.tell_period(("a", "pool", 1), state(90), 9)
    standing.follow(frame(4, ("a", "pool", 0), 40))
    standing.follow(frame(4, ("a", "pool", 1), 40))
    standing.follow(frame(6, ("a", "pool", 0), 60))
    assert standing.last_seqs == {"a": 6}
    assert standing.periods == {("a", "pool", 0): state(60), ("a", "pool", 1): state(90)}


def test_what_nothing_can_repeat_stays_behind() -> None:
    """Bucket 57 ends just before day 58: 100 - 58 = 42 days of replay window are over by a microsecond."""
    packed = pack_entry(b"d" * 16, b"c" * 8, 3)
    assert living({57 * DAY_US: packed}, WINDOWS, NOW_US) == {}
    assert list(living({58 * DAY_US: packed}, WINDOWS, NOW_US)) == [b"d" * 16]


def test_digests_find_their_customers_in_the_order_of_the_log() -> None:
    digests = [bytes([number]) * 16 for number in range(4)]
    originals = iter([(digest, f"customer-{number}") for number, digest in enumerate(digests)])

    def entries(*numbers: int) -> dict[bytes, Entry]:
        return {digests[number]: Entry(0, digests[number], b"") for number in numbers}

    assert [customer for customer, _ in owned(entries(2, 1), originals, "frame 1")] == [
        "customer-1",
        "customer-2",
    ]
    with pytest.raises(OwnerlessError, match="frame 2: 1 events"):
        list(owned(entries(3, 0), originals, "frame 2"))


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(0, 60), st.integers(1, 300))
def test_the_search_passes_over_nothing_that_counts(steps: list[int], at_us: int, gap: int) -> None:
    """Offsets have holes, where transactions' markers stand."""
    times = [sum(steps[: number + 1]) for number in range(len(steps))]
    log = {5 + number * gap: appended for number, appended in enumerate(times)}
    end = 5 + len(times) * gap

    def appended_us(offset: int) -> int | None:
        return next((log[at] for at in sorted(log) if at >= offset), None)

    found = offset_before(5, end, at_us, appended_us)
    assert 5 <= found <= end
    assert all(appended < at_us for offset, appended in log.items() if offset < found)
    left = [offset for offset, appended in log.items() if found <= offset and appended < at_us]
    assert not left or max(left) - found <= 1_000 + gap
