"""Periods: their keys, the local state, what rater.state gets of them, and coming back from the log."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.rate import PoolState
from rater.adapters import periods as periods_module
from rater.adapters.periods import PeriodEntry, PeriodRecord
from rater.adapters.recording import Recorded, due, recorded_with
from rater.adapters.state import StateStore
from rater.core.frames import FrameEffects, FrameError, effects_of_result
from rater.core.periods import PeriodKey, pack_key, state_fields, state_of_fields, unpack_key
from rater.core.work import Head
from schemas.codec import CODEC
from tests.unit.rater.fake_log import CACHE, LOG, FakeLog
from tests.unit.rater.fakes import NOW_US, WINDOWS, RamMemory, event, record, run
from tests.unit.rater.pooled import POOL, START_US, TOOLS, state

KEY: PeriodKey = ("c", POOL, START_US)
OTHER: PeriodKey = ("d", POOL, START_US)
names = st.one_of(st.text("a/1", max_size=5), st.text(st.characters(codec="utf-8"), max_size=9))
keys = st.tuples(names, names, st.integers(-(2**62), 2**62))


@given(keys, keys)
def test_each_period_has_a_key_of_its_own_whatever_the_names(one: PeriodKey, other: PeriodKey) -> None:
    assert unpack_key(pack_key(one)) == one
    assert (pack_key(one) == pack_key(other)) == (one == other)


def test_a_key_in_plain_text() -> None:
    """Customer a/b with pool c/d is not customer a with pool b/c/d; the length counts bytes."""
    assert pack_key(("a/b", "c/d", 7)) == b"3/a/b/c/d/7"
    assert pack_key(("a", "b/c/d", 7)) == b"1/a/b/c/d/7"
    assert pack_key(("é", "c", 0)) == b"2/\xc3\xa9/c/0"


@pytest.mark.parametrize("packed", [b"", b"x", b"9/a/b/1", b"1/a/b/x", b"01/a/b/1", b"1/axb/1", b"1/a/1"])
def test_what_is_no_key_is_refused(packed: bytes) -> None:
    with pytest.raises(ValueError, match=r"no key of a period|invalid literal"):
        unpack_key(packed)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "partition-0"


@pytest.fixture
def store(path: Path) -> Iterator[StateStore]:
    made = StateStore(path, LOG, WINDOWS, CACHE)
    yield made
    made.close()


def frame(number: int, periods: Mapping[PeriodKey, PoolState]) -> FrameEffects:
    return FrameEffects(Head(number, number * 10, 0, NOW_US, 1), {}, {}, periods)


def reopened(store: StateStore, path: Path) -> StateStore:
    store.close()
    return StateStore(path, LOG, WINDOWS, CACHE)


def test_what_a_frame_tells_is_there_after_a_restart(path: Path) -> None:
    """The greatest numbers, a negative amount, and a currency of any length."""
    store = StateStore(path, LOG, WINDOWS, CACHE)
    great = PoolState("p", 1, 2, 10**38 - 1, -(10**38) + 1, "CREDITS")
    store.apply(frame(1, {KEY: state(2, 4), ("x", "p", 1): great}), at_us=5)
    store.apply(frame(2, {KEY: state(5, 25)}), at_us=6, recorded_periods=[KEY], recorded_day=3)
    for _ in range(2):
        assert store.meta.periods == 2
        assert store.period(KEY) == state(5, 25)
        assert store.period_entry(KEY) == PeriodEntry(state(5, 25), 2, 2, 3, 6)
        assert store.period_entry(("x", "p", 1)) == PeriodEntry(great, 1, last_frame_us=5)
        assert store.period(OTHER) is None
        store = reopened(store, path)
    store.close()


def test_one_missing_period_is_enough_to_discard(path: Path) -> None:
    store = StateStore(path, LOG, WINDOWS, CACHE)
    store.apply(frame(1, {KEY: state(2, 4), OTHER: state(1, 1)}), at_us=5)
    del store._families["periods"][pack_key(KEY)]
    again = reopened(store, path)
    assert again.meta.head == Head()
    assert again.period(OTHER) is None
    again.close()


def test_discard_forgets_periods(store: StateStore) -> None:
    store.apply(frame(1, {KEY: state(2, 4)}), at_us=5)
    store.discard(LOG)
    assert store.period(KEY) is None
    assert store.meta.periods == 0


def test_the_cache_is_bounded_and_changes_no_answer(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(periods_module, "_CACHED_MAX", 3)
    for number in range(1, 9):
        store.apply(frame(number, {("c", POOL, number): state(number, 1, start_us=number)}), at_us=1)
        assert len(store._periods._cache) <= 3
    for number in range(1, 9):
        assert store.period(("c", POOL, number)) == state(number, 1, start_us=number)
        assert len(store._periods._cache) <= 3


# --- what rater.state gets ---


def test_a_period_is_recorded_at_its_first_activity_of_a_day_and_when_its_last_frame_has_aged(
    store: StateStore,
) -> None:
    first = run([record(0, event(0, usage={"a": "2"}))], tools=TOOLS)
    assert recorded_with(store, first, 7, Recorded()) == Recorded({"c": 1}, {KEY: state(2, 4)})
    store.apply(
        effects_of_result(first), at_us=100, recorded={"c": 1}, recorded_periods=[KEY], recorded_day=7
    )
    assert due(store, 1000, 9) == (Recorded(), False)
    memory = RamMemory()
    memory.apply(effects_of_result(first))
    second = run([record(1, event(1, usage={"a": "3"}))], memory=memory, tools=TOOLS)
    # The same day: nothing, unless it was due anyway; then as it stands after this batch. Another day: again.
    assert recorded_with(store, second, 7, Recorded()) == Recorded()
    stale = Recorded({"c": 1}, {KEY: state(2, 4), OTHER: state(1, 1)})
    assert recorded_with(store, second, 7, stale) == Recorded(
        {"c": 2}, {KEY: state(5, 25), OTHER: state(1, 1)}
    )
    assert recorded_with(store, second, 8, Recorded()) == Recorded({"c": 2}, {KEY: state(5, 25)})
    store.apply(effects_of_result(second), at_us=200)
    assert due(store, 200, 9) == (Recorded(), False)
    assert due(store, 201, 9) == (Recorded({"c": 2}, {KEY: state(5, 25)}), False)
    assert due(store, 201, 1)[1], "there may be more"
    store.apply(frame(3, {}), at_us=300, recorded={"c": 2}, recorded_periods=[KEY], recorded_day=8)
    assert due(store, 1000, 9) == (Recorded(), False)
    assert store.period_entry(KEY) == PeriodEntry(state(5, 25), 2, 3, 8, 200)


# --- from the log ---


def filled(log: FakeLog, *quantities: int, record_frames: frozenset[int]) -> None:
    """A frame an event; records of rater.state only in these frames."""
    for quantity in quantities:
        number = log.memory.head.events_next
        result = run(
            [record(number, event(number, usage={"a": str(quantity)}))], memory=log.memory, tools=TOOLS
        )
        log.memory.apply(effects_of_result(result))
        log.commit(result, states=result.head.frame_no in record_frames)


@pytest.mark.parametrize("record_frames", [{1}, {1, 3}, {1, 5}, {1, 2, 3, 4, 5}])
@pytest.mark.parametrize("known", [0, 2, 5])
def test_a_restore_is_rater_state_then_frames_whichever_is_newer(
    store: StateStore, record_frames: set[int], known: int
) -> None:
    """1 + 2 + 3 + 4 + 5 = 15; 15 x 15 = 225. A record of frame 5 is there before frame 1 is read again."""
    log = FakeLog()
    filled(log, *range(1, known + 1), record_frames=frozenset(record_frames))
    log.follow(store)
    filled(log, *range(known + 1, 6), record_frames=frozenset(record_frames))
    log.compact()
    log.follow(store)
    assert store.period(KEY) == state(15, 225)
    entry = store.period_entry(KEY)
    assert entry is not None
    assert (entry.frame_no, entry.recorded_frame_no) == (5, max(record_frames))
    assert store.meta.periods == 1


def test_an_amount_that_falls_is_restored_as_it_fell(store: StateStore) -> None:
    """The greater one does not hold: 3:9 in frame 1, then 1:-4 by frame and record of frame 2."""
    log = FakeLog()
    for number, now in ((1, state(3, 9)), (2, state(1, -4))):
        result = run([record(number - 1, event(number, usage={"a": "1"}))], memory=log.memory, tools=TOOLS)
        result.customers["c"].pools[POOL, START_US] = now
        log.memory.apply(effects_of_result(result))
        log.commit(result)
    log.follow(store)
    assert store.period(KEY) == state(1, -4)


def test_periods_outlive_their_frames(store: StateStore) -> None:
    """Every frame expired: head and records remain."""
    log = FakeLog()
    filled(log, 1, 2, record_frames=frozenset({2}))
    log.compact()
    log.first["deltas"] = log.end("deltas")
    log.follow(store)
    assert store.period(KEY) == state(3, 9)
    assert store.meta.head == log.memory.head


def test_a_record_older_than_a_known_frame_changes_nothing(store: StateStore) -> None:
    store.apply(frame(5, {KEY: state(5, 25)}), at_us=1)
    store.apply_records({}, {KEY: PeriodRecord(state(2, 4), 3, 9)})
    assert store.period_entry(KEY) == PeriodEntry(state(5, 25), 5, 3, 9, 1)
    store.apply_records({}, {KEY: PeriodRecord(state(6, 36), 6, 9)})
    assert store.period(KEY) == state(6, 36)


def test_a_record_under_another_key_stops(store: StateStore) -> None:
    log = FakeLog()
    value = state_fields(state(1, 1)) | {"customer_id": "c", "frame_no": 1}
    log.put("state", b"p/" + pack_key(OTHER), CODEC.encode("PeriodState", value), NOW_US)
    with pytest.raises(FrameError, match="holds the state of"):
        log.follow(store)


def test_a_state_is_the_same_after_the_wire() -> None:
    assert state_of_fields(state_fields(state(5, -25))) == state(5, -25)
