"""What is kept of corrections: keys that no two runs share, and records that are not what their key says."""

from pathlib import Path

import pytest

from rater.adapters.corrected import RunRecord
from rater.adapters.log_reader import REVISION_PREFIX, RUN_PREFIX
from rater.adapters.state import StateStore
from rater.core.frames import FrameError
from rater.core.identity import identity_digest
from rater.core.revisions import Revision, RunAt, pack_run_key, unpack_run_key
from schemas.codec import CODEC
from tests.unit.rater.fake_log import CACHE, LOG, FakeLog
from tests.unit.rater.fakes import NOW_US, WINDOWS
from tests.unit.rater.pooled import START_US, state

RUN = ("c", "run", "card/pool", START_US)
REVISION = Revision("c", "s", "e", 1, "correction", voided=True)
DIGEST = identity_digest("c", "s", "e")


@pytest.mark.parametrize(
    "key", [RUN, ("a/b", "1/c", "d/e", -1), ("1/a", "b", "c", 0), ("", "", "", 0), ("ä", "ö/", "/ü", 5)]
)
def test_a_run_s_key_is_read_back(key: tuple[str, str, str, int]) -> None:
    assert unpack_run_key(pack_run_key(key)) == key


def test_slashes_in_names_make_no_two_keys_alike() -> None:
    keys = [("a", "b/c", "d", 1), ("a/b", "c", "d", 1), ("a", "b", "c/d", 1), ("a", "1/b", "c/d", 1)]
    assert len({pack_run_key(key) for key in keys}) == len(keys)


@pytest.mark.parametrize("packed", [b"", b"1/a/1/b/c", b"9/a/1/b/c/1", b"1/a/1/b/c/01", b"x/a/1/b/c/1"])
def test_what_is_no_key_is_refused(packed: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpack_run_key(packed)


@pytest.fixture
def store(tmp_path: Path) -> StateStore:
    return StateStore(tmp_path / "partition-0", LOG, WINDOWS, CACHE)


def put_revision(log: FakeLog, frame_no: int, revision: Revision = REVISION, digest: bytes = DIGEST) -> None:
    value = CODEC.encode("RevisionState", revision._asdict() | {"frame_no": frame_no})
    log.put("state", REVISION_PREFIX + digest, value, NOW_US)


def test_records_of_another_key_stop(store: StateStore) -> None:
    log = FakeLog()
    put_revision(log, 1, digest=b"d" * 16)
    with pytest.raises(FrameError, match="holds the state of"):
        log.follow(store)


def test_a_closed_run_is_forgotten_and_an_older_record_changes_nothing(store: StateStore) -> None:
    store.apply_records({}, {}, {}, {RUN: RunRecord(RunAt(state(3, 9)), 5)})
    store.apply_records({}, {}, {}, {RUN: RunRecord(RunAt(state(1, 1)), 4)})
    assert (store.run(RUN), store.meta.runs) == (state(3, 9), 1)
    log = FakeLog()
    log.put("state", RUN_PREFIX + pack_run_key(RUN), None, NOW_US)
    log.follow(store)
    assert (store.run(RUN), store.meta.runs) == (None, 0)
