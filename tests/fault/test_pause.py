"""SIGSTOP past the session time-out at each failpoint, while another rater takes over; then SIGCONT.

A zombie must be fenced or harmless. Two lengths: past the transaction's time-out too, so that the broker has
given its transaction up; and short of it, so that its transaction is still open and its own to end.
"""

import shutil

import pytest

from rater.service import FAILPOINTS
from tests.fault.checks import check_everything, check_rated
from tests.fault.load import Load
from tests.fix_rater import STOPPED_LOUDLY, Pipeline, RaterProcess, wait_for

_NTH = {"after_consume": 60, "after_dedupe": 60, "in_on_revoke": 1, "in_restore": 2}
_SHORT = {"after_dedupe"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in _SHORT else pytest.mark.slow) for name in sorted(FAILPOINTS)],
)
def test_stopped_while_another_takes_over_and_rates(pipeline: Pipeline, name: str) -> None:
    load = Load(pipeline, at_once=1500)
    zombie = _stop_at(pipeline, name)
    other = pipeline.start(slot=1)
    wait_for(lambda: _all_owned(other), "another rater takes over")
    at = _frames(pipeline)
    wait_for(lambda: all(now > at[number] for number, now in _frames(pipeline).items()), "it rates")
    _end(pipeline, zombie, load)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mid_produce", "before_send_offsets", "after_send_offsets", "in_commit"])
def test_stopped_with_its_transaction_open_and_gone_on_while_another_takes_over(
    pipeline: Pipeline, name: str
) -> None:
    pipeline.environment["RATESTREAM_RATER__TRANSACTION_TIMEOUT_MS"] = "60000"
    load = Load(pipeline, at_once=1500)
    zombie = _stop_at(pipeline, name)
    other = pipeline.start(slot=1)
    # It has joined and its generation has begun, and it waits for the zombie's transaction to end.
    wait_for(lambda: pipeline.members() == ["rater-1"], "the zombie is out of the group")
    assert not _all_owned(other)
    _end(pipeline, zombie, load)


@pytest.mark.slow
def test_a_zombie_is_fenced_at_once_by_a_restart_on_its_slot(pipeline: Pipeline) -> None:
    load = Load(pipeline, at_once=1500)
    zombie = _stop_at(pipeline, "in_commit")
    # The same slot on another machine: its own state, the same transactional id.
    other = pipeline.start(slot=0, rater__state_dir=pipeline.directory / "elsewhere")
    wait_for(lambda: _all_owned(other), "the restarted rater owns the partitions")
    zombie.resume()
    assert zombie.wait_dead() == STOPPED_LOUDLY
    assert "FencedError" in zombie.log()
    pipeline.tolerated.add(STOPPED_LOUDLY)
    load.stop()
    pipeline.wait_drained()
    check_everything(pipeline, load)


def _stop_late(pipeline: Pipeline, module: str) -> Load:
    """Stopped between decision and transaction; it goes on when it knows that it is out of its group."""
    load = Load(pipeline, at_once=1500)
    zombie = pipeline.start(
        module=module,
        failpoints="after_dedupe:60:stop,after_dedupe:60:sleep=4",
        rater__batch_records_max=10,
    )
    zombie.wait_stopped()
    other = pipeline.start(slot=1)
    wait_for(lambda: _all_owned(other), "another rater takes over")
    load.wait_more(50)
    load.stop()
    pipeline.wait_drained()
    zombie.resume()
    wait_for(lambda: zombie.exit_code is not None or _gave_up(zombie), "the zombie learns that it is out")
    pipeline.tolerated.add(STOPPED_LOUDLY)
    return load


def test_a_zombie_that_begins_its_transaction_after_the_takeover_is_refused(pipeline: Pipeline) -> None:
    load = _stop_late(pipeline, "rater")
    check_everything(pipeline, load)


@pytest.mark.slow
def test_without_a_generation_the_same_zombie_bills_twice(pipeline: Pipeline) -> None:
    """Why the assignment's metadata is kept: the broker takes offsets without a generation unchecked."""
    load = _stop_late(pipeline, "tests.fault.mutants.no_generation")
    with pytest.raises(AssertionError):
        check_rated(pipeline, load.events)


def _stop_at(pipeline: Pipeline, name: str) -> RaterProcess:
    """A rater that has stopped itself at a failpoint, in the middle of its work."""
    if name == "in_restore":
        first = pipeline.start()
        pipeline.wait_frames(3)
        assert first.terminate() == 0
        shutil.rmtree(pipeline.directory / "state")
    rater = pipeline.start(failpoints=f"{name}:{_NTH.get(name, 4)}:stop", rater__batch_records_max=10)
    if name == "in_on_revoke":
        # Another one that joins takes half of the partitions away.
        rater.wait_owner()
        pipeline.start(slot=2)
    rater.wait_stopped()
    return rater


def _end(pipeline: Pipeline, zombie: RaterProcess, load: Load) -> None:
    """Wake the zombie, let the load end, and check everything."""
    pipeline.tolerated.add(STOPPED_LOUDLY)  # fenced
    zombie.resume()
    load.wait_more(100)
    load.stop()
    pipeline.wait_drained()
    for rater in pipeline.raters:
        if rater.exit_code is None:
            assert rater.terminate() in {0, STOPPED_LOUDLY}, rater.log()
    check_everything(pipeline, load)


def _all_owned(rater: RaterProcess) -> bool:
    assert rater.exit_code is None, rater.log()
    return "owns partitions" in rater.log()


def _gave_up(rater: RaterProcess) -> bool:
    return "gave up partitions" in rater.log()


def _frames(pipeline: Pipeline) -> dict[int, int]:
    return {number: head["frame_no"] for number, head in pipeline.heads().items()}
