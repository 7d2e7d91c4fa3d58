"""The local state: a cache of the log that survives a restart and is thrown away where it is not sound."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rocksdict import Cache, Options, Rdict

from rater.adapters.customers import CustomerEntry
from rater.adapters.meta import FORMAT, LogIdentity, Meta
from rater.adapters.state import StateStore
from rater.core.frames import FrameEffects
from rater.core.identity import FORGOTTEN, Known, pack_entry
from rater.core.lateness import Windows
from rater.core.revisions import Revision
from rater.core.work import Head
from tests.unit.rater.fakes import DAY_US, NOW_US, WINDOWS

LOG = LogIdentity("cluster", "events", "corrections", "deltas", "state")
CACHE = Cache(1 << 20)


def digest(number: int) -> bytes:
    return number.to_bytes(8, "little") * 2


def effects(number: int, bucket_us: int = NOW_US, customers: dict[str, int] | None = None) -> FrameEffects:
    """Frame `number`, with the digest of that number."""
    return FrameEffects(
        Head(number, number * 10, 0, NOW_US, 1),
        {bucket_us: pack_entry(digest(number), b"c" * 8, number)},
        customers if customers is not None else {"a": number},
    )


class Opener:
    """Opens the state of one path again and again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: list[StateStore] = []

    def __call__(self, log: LogIdentity = LOG, windows: Windows = WINDOWS) -> StateStore:
        self.close()
        self._open.append(StateStore(self.path, log, windows, CACHE))
        return self._open[-1]

    def close(self) -> None:
        while self._open:
            self._open.pop().close()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    opener = Opener(tmp_path / "partition-0")
    yield opener
    opener.close()


def known(store: StateStore, *numbers: int, bucket_us: int = NOW_US) -> set[int]:
    digests = [digest(number) for number in numbers]
    found = store.known(digests, [bucket_us] * len(digests))
    return {number for number in numbers if digest(number) in found}


def is_empty(store: StateStore) -> bool:
    return (
        store.meta == Meta(LOG, WINDOWS.replay_us)
        and not known(store, 1, 2)
        and not store.customers(["a", "b"])
    )


def test_a_new_state_knows_nothing(opened: Opener) -> None:
    assert is_empty(opened())


def test_what_was_applied_is_there_after_a_restart(opened: Opener) -> None:
    store = opened()
    store.apply(effects(1), at_us=5, recorded={"a": 1}, recorded_day=7, deltas_next=3, state_next=4)
    store.apply(effects(2, customers={"a": 9, "b": 1}), at_us=6, coverage_from_us=0)
    meta = store.meta
    assert meta == Meta(
        LOG,
        WINDOWS.replay_us,
        head=effects(2).head,
        deltas_next=3,
        state_next=4,
        coverage_from_us=0,
        digests={NOW_US: 2},
        customers=2,
    )
    for _ in range(2):
        assert store.meta == meta
        assert known(store, 1, 2, 3) == {1, 2}
        assert store.known([digest(2)], [NOW_US]) == {digest(2): Known(b"c" * 8, 2)}
        assert store.customers(["a", "b", "nobody"]) == {
            "a": CustomerEntry(9, 1, 7, 6),
            "b": CustomerEntry(1, 0, 0, 6),
        }
        assert store.last_sequences(["a", "nobody"]) == {"a": 9}
        store = opened()


def test_only_the_first_frame_sets_the_coverage(opened: Opener) -> None:
    store = opened()
    store.apply(effects(1), at_us=1, coverage_from_us=50)
    store.apply(effects(2), at_us=1, coverage_from_us=0)
    assert store.meta.coverage_from_us == 50


@pytest.mark.parametrize(
    "other",
    [
        replace(LOG, cluster_id="x"),
        *(replace(LOG, **{f"{name}_topic_id": "x"}) for name in ("events", "corrections", "deltas", "state")),
    ],
)
def test_a_state_of_another_log_is_discarded(opened: Opener, other: LogIdentity) -> None:
    opened(other).apply(effects(1), at_us=1)
    assert is_empty(opened())


def test_a_state_of_another_format_is_discarded(opened: Opener) -> None:
    store = opened()
    store.apply(effects(1), at_us=1)
    said = json.loads(store._db[b"meta"] or b"")
    store._db[b"meta"] = json.dumps(said | {"format": FORMAT + 1}).encode()
    assert is_empty(opened())


def files(pattern: str) -> Callable[[Path], list[Path]]:
    return lambda path: sorted(path.glob(pattern))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def scribble(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 3)
        file.write(b"\xff" * 64)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def flush(store: StateStore) -> None:
    for family in (store._db, *store._families.values()):
        family.flush()


@pytest.mark.parametrize("harm", [cut, scribble, empty, Path.unlink])
@pytest.mark.parametrize("pattern", ["*.sst", "MANIFEST-*", "CURRENT", "OPTIONS-*", "*.log"])
def test_a_damaged_state_is_discarded_or_as_it_was_never_half(
    opened: Opener, pattern: str, harm: Callable[[Path], None]
) -> None:
    """400 frames, each with a digest and a customer, in files; then one kind of file is damaged."""
    store = opened()
    for number in range(1, 401):
        store.apply(effects(number, customers={f"customer-{number}": 1}), at_us=1)
        if number == 300:
            flush(store)  # the last 100 stay in the write-ahead log
    store.close()
    opened._open.clear()
    for path in files(pattern)(opened.path):
        harm(path)
    store = opened()
    last = store.meta.head.frame_no
    assert known(store, *range(1, 401)) == set(range(1, last + 1))
    names = [f"customer-{number}" for number in range(1, 401)]
    assert set(store.customers(names)) == set(names[:last])
    store.apply(effects(last + 1), at_us=1)  # and it can be written to
    assert known(opened(), last + 1)


@pytest.mark.parametrize(("family", "key"), [("customers", b"b"), (f"d{NOW_US}", digest(2))])
def test_one_missing_entry_is_enough_to_discard(opened: Opener, family: str, key: bytes) -> None:
    store = opened()
    store.apply(effects(1), at_us=1)
    store.apply(effects(2, customers={"b": 1}), at_us=1)
    del store._families[family][key]
    assert is_empty(opened())


@pytest.mark.parametrize("text", [b"", b"{}", b"no json", b"[]", b'{"format": 1}'])
def test_a_meta_that_makes_no_sense_is_discarded(opened: Opener, text: bytes) -> None:
    store = opened()
    store.apply(effects(1), at_us=1)
    store._db[b"meta"] = text
    assert is_empty(opened())


def test_a_directory_of_something_else_is_discarded(opened: Opener) -> None:
    other = Rdict(str(opened.path), Options(raw_mode=True))
    other[b"meta"] = b"of something else"
    other.close()
    assert is_empty(opened())


def test_a_state_that_is_open_already_is_left_alone(opened: Opener) -> None:
    store = opened()
    store.apply(effects(1), at_us=1)
    with pytest.raises(Exception, match="lock hold"):
        StateStore(opened.path, LOG, WINDOWS, CACHE)
    assert known(store, 1) == {1}


def test_a_digest_is_found_under_another_event_day(opened: Opener) -> None:
    """The same identity sent again with another event time is the same identity."""
    store = opened()
    store.apply(effects(1, NOW_US - DAY_US), at_us=1)
    store.apply(effects(2, NOW_US), at_us=1)
    assert known(store, 1, 2, 3, bucket_us=NOW_US) == {1, 2}
    assert known(store, 1, 2, 3, bucket_us=NOW_US + DAY_US) == {1, 2}


def test_expired_buckets_are_dropped_for_good(opened: Opener) -> None:
    store = opened()
    old_us = NOW_US - 44 * DAY_US  # its last event is 43 days old; 42 count
    edge_us = NOW_US - 42 * DAY_US
    store.apply(effects(1, old_us), at_us=1)
    store.apply(effects(2, edge_us), at_us=1)
    assert store.drop_expired() == [old_us]
    assert store.drop_expired() == []
    assert known(store, 1, 2, bucket_us=old_us) == {2}
    assert known(opened(), 1, 2, bucket_us=old_us) == {2}


def test_a_wider_window_than_digests_were_kept_for_discards_the_state(opened: Opener) -> None:
    """A longer time back from then to now would let what was dropped pass as new."""
    narrow = replace(WINDOWS, late_us=10 * DAY_US, replay_us=12 * DAY_US)
    store = opened(windows=narrow)
    store.apply(effects(1, NOW_US - 14 * DAY_US), at_us=1)
    store.apply(effects(2), at_us=1)
    assert store.drop_expired() == [NOW_US - 14 * DAY_US]
    assert known(opened(windows=narrow), 1, 2) == {2}
    assert is_empty(opened(windows=WINDOWS))


def test_a_window_that_was_narrow_for_a_while_discards_the_state_too(opened: Opener) -> None:
    opened().apply(effects(1), at_us=1)
    narrow = replace(WINDOWS, late_us=10 * DAY_US, replay_us=12 * DAY_US)
    store = opened(windows=narrow)
    assert known(store, 1) == {1}
    store.apply(effects(2), at_us=1)
    assert is_empty(opened(windows=WINDOWS))


def test_a_death_while_a_bucket_is_dropped_or_made_does_no_harm(opened: Opener) -> None:
    store = opened()
    store.apply(effects(1), at_us=1)
    store._ensure_digest_family(NOW_US - 50 * DAY_US)
    store = opened()
    assert list(store._digest_families()) == [NOW_US]
    assert known(store, 1) == {1}


def test_customers_without_a_record_of_their_last_sequence(opened: Opener) -> None:
    store = opened()
    store.apply(effects(1, customers={"old": 1, "written": 1}), at_us=100, recorded={"written": 1})
    store.apply(effects(2, customers={"new": 1}), at_us=200)
    assert [name for name, _ in store.unrecorded_since(100, 9)] == []
    assert [name for name, _ in store.unrecorded_since(101, 9)] == ["old"]
    assert [name for name, _ in store.unrecorded_since(201, 9)] == ["new", "old"]
    assert [name for name, _ in store.unrecorded_since(201, 1)] == ["new"]
    # A refresh without activity: the time of the last frame stays.
    store.apply(effects(3, customers={}), at_us=300, recorded={"old": 1}, recorded_day=8)
    assert store.customers(["old"]) == {"old": CustomerEntry(1, 1, 8, 100)}
    assert [name for name, _ in store.unrecorded_since(201, 9)] == ["new"]


def test_activity_after_its_record_makes_a_customer_unrecorded_again(opened: Opener) -> None:
    store = opened()
    store.apply(effects(1, customers={"a": 1}), at_us=1, recorded={"a": 1}, recorded_day=3)
    store.apply(effects(2, customers={"a": 2}), at_us=2)
    assert store.unrecorded_since(3, 9) == [("a", CustomerEntry(2, 1, 3, 2))]


def test_records_read_back_never_lower_a_sequence(opened: Opener) -> None:
    store = opened()
    store.apply(effects(1, customers={"a": 5}), at_us=1)
    store.apply_records({"a": (3, 9), "b": (2, 9)}, {})
    assert store.last_sequences(["a", "b"]) == {"a": 5, "b": 2}
    assert [name for name, _ in store.unrecorded_since(2, 9)] == ["a"]


def test_a_corrected_event_is_known_when_its_digest_has_expired(opened: Opener) -> None:
    """An amend may give it a later time, at which it could come again."""
    store = opened()
    store.apply(effects(1), at_us=1)
    revision = Revision("c", "s", "e1", 1, "amend", voided=False)
    later = Head(2, 20, 1, NOW_US + WINDOWS.replay_us + 2 * DAY_US, 1)
    store.apply(FrameEffects(later, {}, {}, revisions={digest(1): revision}), at_us=2)
    assert store.drop_expired() == [NOW_US]
    for _ in range(2):
        assert store.known([digest(1), digest(2)], [NOW_US + 43 * DAY_US] * 2) == {digest(1): FORGOTTEN}
        store = opened()


def test_discard_starts_again_from_nothing(opened: Opener) -> None:
    store = opened()
    store.apply(effects(1), at_us=1)
    store.discard(LOG)
    assert is_empty(store)
    store.apply(effects(2), at_us=1)
    assert known(opened(), 1, 2) == {2}
