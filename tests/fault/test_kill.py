"""SIGKILL at each named failpoint, twice in a row, under load with duplicates; and without the state."""

import shutil
import signal

import pytest

from rater.service import FAILPOINTS
from tests.fault.checks import check_everything
from tests.fault.load import Load
from tests.fix_rater import KILLED, Pipeline, RaterProcess

# Passed once a transaction; the others are passed once a poll, a frame of the log, or a partition given up.
_NTH = {"after_consume": 60, "after_dedupe": 60, "in_on_revoke": 1, "in_restore": 2}
_SHORT = {"mid_produce", "in_commit", "after_commit_before_checkpoint"}


def _points() -> list[object]:
    return [
        pytest.param(name, marks=() if name in _SHORT else pytest.mark.slow) for name in sorted(FAILPOINTS)
    ]


@pytest.mark.parametrize("name", _points())
def test_killed_twice_at_a_failpoint_under_load(pipeline: Pipeline, name: str) -> None:
    _kill_twice(pipeline, name, forget=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FAILPOINTS))
def test_killed_twice_at_a_failpoint_and_its_state_deleted_in_between(pipeline: Pipeline, name: str) -> None:
    _kill_twice(pipeline, name, forget=True)


def _kill_twice(pipeline: Pipeline, name: str, *, forget: bool) -> None:
    load = Load(pipeline, at_once=500)
    if name == "in_restore":
        # Something to restore: frames, and no state that has them already.
        first = pipeline.start()
        pipeline.wait_frames(3)
        assert first.terminate() == 0
    for _ in range(2):
        if forget or name == "in_restore":
            shutil.rmtree(pipeline.directory / "state", ignore_errors=True)
        rater = pipeline.start(failpoints=f"{name}:{_NTH.get(name, 4)}:kill", rater__batch_records_max=20)
        if name == "in_on_revoke":
            _leave(rater)
        assert rater.wait_dead() == KILLED, rater.log()
    if forget:
        shutil.rmtree(pipeline.directory / "state")
    last = pipeline.start()
    load.wait_more(50)
    load.stop()
    pipeline.wait_drained()
    assert last.terminate() == 0
    assert pipeline.seen() == {(name, "kill"): 2}
    check_everything(pipeline, load)


def _leave(rater: RaterProcess) -> None:
    """Make it give up its partitions by leaving the group."""
    rater.wait_owner()
    rater.process.send_signal(signal.SIGTERM)
