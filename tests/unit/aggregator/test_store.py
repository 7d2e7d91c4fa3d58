"""The local table: what a restore keeps, what it leaves out, and what is closed."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP
from rocksdict import Cache

from aggregator.adapters.identity import give_up, prepared
from aggregator.adapters.live_codec import reached
from aggregator.adapters.states import head_bytes
from aggregator.adapters.table import LiveStore
from runtime.kafka.topology import Topology

KEY = b"h/0"


class Store(LiveStore):
    """A store without a Faust app."""

    def __init__(self, directory: Path, failures: list[BaseException]) -> None:
        self._dbs = {}
        self._cache = Cache(1 << 20)
        self._sequence = reached
        self._between = lambda: None
        self._failed = failures.append
        self.app: Any = SimpleNamespace(conf=SimpleNamespace(tabledir=directory))
        self.url: Any = SimpleNamespace(path="live")


@pytest.fixture
def failures() -> list[BaseException]:
    return []


@pytest.fixture
def store(tmp_path: Path, failures: list[BaseException]) -> Iterator[Store]:
    made = Store(tmp_path, failures)
    made._db_for_partition(0)
    yield made
    for number in list(made._dbs):
        made._close(number)


def record(offset: int, frame_no: int, partition: int = 0, key: bytes | None = KEY) -> Any:
    value = head_bytes(frame_no, partition, f"written at {offset}")
    where = TP("state", partition)
    return SimpleNamespace(
        message=SimpleNamespace(tp=where, partition=partition, offset=offset, key=key, value=value)
    )


def restore(store: Store, *records: Any) -> None:
    store.apply_changelog_batch(records, lambda key: key, lambda value: value)


def test_of_two_values_the_one_further_on_holds_and_the_later_one_of_equals(store: Store) -> None:
    restore(store, record(0, 7), record(1, 5))  # the second from a worker that was paused
    assert store.local(0, KEY) == head_bytes(7, 0, "written at 0")
    restore(store, record(2, 6))
    assert store.local(0, KEY) == head_bytes(7, 0, "written at 0")
    restore(store, record(3, 7))
    assert store.local(0, KEY) == head_bytes(7, 0, "written at 3")
    assert store.persisted_offset(TP("state", 0)) == 3


def test_a_record_of_a_partition_that_is_not_held_is_left_out(store: Store) -> None:
    restore(store, record(0, 1, partition=1))
    store.wrote(1, 1, 0)
    assert (store.held(1), list(store._dbs)) == (False, [0])


def test_what_another_wrote_between_is_still_to_be_read(store: Store) -> None:
    where = TP("state", 0)
    store.wrote(0, 2, 1)  # the first two of an empty changelog
    assert store.persisted_offset(where) == 1
    store.wrote(0, 1, 2)
    assert store.persisted_offset(where) == 2
    store.wrote(0, 1, 5)  # paused meanwhile: 3 and 4 are of whoever had the partition
    store.wrote(0, 1, 6)
    assert store.persisted_offset(where) == 2
    restore(store, record(3, 9), record(4, 9), record(5, 4), record(6, 4))
    assert store.local(0, KEY) == head_bytes(9, 0, "written at 4")
    store.wrote(0, 1, 7)
    assert store.persisted_offset(where) == 7


def test_an_error_in_a_restore_ends_the_process(store: Store, failures: list[BaseException]) -> None:
    bad = record(0, 1)
    restore(store, record(0, 1))
    bad.message.value = b"no record"
    restore(store, bad)
    assert len(failures) == 1


def test_a_partition_that_is_given_away_is_closed_and_can_be_opened_elsewhere(
    store: Store, tmp_path: Path, failures: list[BaseException]
) -> None:
    restore(store, record(0, 1))
    table: Any = SimpleNamespace(changelog_topic=SimpleNamespace(topics=["state"]))
    store.revoke_partitions(table, {TP("state", 0), TP("deltas", 0)})
    assert not store.held(0)
    other = Store(tmp_path, failures)
    assert other.local(0, KEY) is not None
    other._close(0)


def test_a_database_that_cannot_be_opened_is_begun_anew(
    store: Store, tmp_path: Path, failures: list[BaseException]
) -> None:
    restore(store, record(0, 1))
    store._close(0)
    (store.partition_path(0) / "CURRENT").write_bytes(b"torn")
    assert store.local(0, KEY) is None
    assert failures == []


def test_keys_are_told_in_order_without_the_store_s_own(store: Store) -> None:
    store.keep(0, {b"c/a": b"1", b"c/b": b"2", b"c/c": b"3", b"h/0": b"4"})
    store.wrote(0, 10, 9)
    assert store.stored(0, b"c/", 2) == [(b"c/a", b"1"), (b"c/b", b"2")]
    assert store.stored(0, b"c/b", 9) == [(b"c/c", b"3"), (b"h/0", b"4")]


def topology(changelog_id: str) -> Topology:
    return Topology("cluster", {"deltas": "d", "state": changelog_id}, {"deltas": 1, "state": 1})


def test_the_directory_of_another_changelog_or_one_that_was_given_up_is_discarded(tmp_path: Path) -> None:
    tables = prepared(tmp_path, topology("s"), "deltas", "state")
    kept = tables / "kept"
    kept.touch()
    assert prepared(tmp_path, topology("s"), "deltas", "state") == tables
    assert kept.exists()
    prepared(tmp_path, topology("anew"), "deltas", "state")
    assert not kept.exists()
    kept.touch()
    give_up(tmp_path)
    prepared(tmp_path, topology("anew"), "deltas", "state")
    assert not kept.exists()
