"""Who may rate what: members that come, go, die, and do not know yet that they are out."""

import pytest

from tests.fault.checks import check_everything
from tests.fault.load import Load
from tests.fix_rater import Pipeline, RaterProcess, wait_for


def test_raters_one_two_one_under_load(pipeline: Pipeline) -> None:
    load = Load(pipeline, at_once=500)
    first = pipeline.start(slot=0, rater__batch_records_max=50)
    first.wait_owner()
    second = pipeline.start(slot=1, rater__batch_records_max=50)
    second.wait_owner()
    load.wait_more(50)
    second.kill9()
    wait_for(lambda: _owned(first) == [0, 1, 2, 3], "the first takes over from the killed one")
    third = pipeline.start(slot=1, rater__batch_records_max=50)
    third.wait_owner()
    load.wait_more(50)
    assert first.terminate() == 0
    wait_for(lambda: _owned(third) == [0, 1, 2, 3], "the third takes over from the ended one")
    load.stop()
    pipeline.wait_drained()
    assert third.terminate() == 0
    check_everything(pipeline, load)


@pytest.mark.slow
def test_many_changes_of_membership_with_a_backlog(pipeline: Pipeline) -> None:
    load = Load(pipeline, at_once=5000)
    pipeline.start(slot=0, rater__batch_records_max=20).wait_owner()
    for turn in range(4):
        joined = pipeline.start(slot=1, rater__batch_records_max=20)
        joined.wait_owner()
        if turn % 2:
            joined.kill9()
        else:
            assert joined.terminate() == 0
    load.stop()
    pipeline.wait_drained()
    check_everything(pipeline, load)


@pytest.mark.slow
def test_two_raters_started_at_once_on_empty_topics(pipeline: Pipeline) -> None:
    both = [pipeline.start(slot=0), pipeline.start(slot=1)]
    load = Load(pipeline)
    for rater in both:
        rater.wait_owner()
    load.wait_more(300)
    load.stop()
    pipeline.wait_drained()
    assert [rater.terminate() for rater in both] == [0, 0]
    check_everything(pipeline, load)


@pytest.mark.slow
def test_another_joins_while_one_restores(pipeline: Pipeline) -> None:
    load = Load(pipeline, at_once=1500)
    first = pipeline.start(rater__batch_records_max=20)
    pipeline.wait_frames(10)
    first.kill9()
    # On another machine, so without the state: it restores slowly, and is asked to share in the midst of it.
    restoring = pipeline.start(
        failpoints="in_restore:3:sleep=4", rater__state_dir=pipeline.directory / "elsewhere"
    )
    wait_for(lambda: pipeline.seen()["in_restore", "sleep=4"] == 1, "it restores")
    joining = pipeline.start(slot=1)
    joining.wait_owner()
    wait_for(lambda: sorted(_owned(restoring) + _owned(joining)) == [0, 1, 2, 3], "they share")
    load.stop()
    pipeline.wait_drained()
    check_everything(pipeline, load)


@pytest.mark.slow
def test_a_member_that_is_put_out_as_it_begins_is_harmless(pipeline: Pipeline) -> None:
    """Put out between its first poll and the next, whether its partitions came in the one or in the other."""
    load = Load(pipeline, at_once=1500)
    late = pipeline.start(
        failpoints="after_consume:1:sleep=4,after_consume:1:stop,after_consume:1:sleep=4",
        rater__batch_records_max=10,
        rater__batch_wait_ms=1,
    )
    wait_for(lambda: pipeline.members() == ["rater-0"], "it is a member")
    late.wait_stopped()
    other = pipeline.start(slot=1)
    other.wait_owner()
    load.wait_more(50)
    late.resume()
    wait_for(lambda: pipeline.members() == ["rater-0", "rater-1"], "it joins again")
    wait_for(lambda: sorted(_owned(late) + _owned(other)) == [0, 1, 2, 3], "they share")
    load.stop()
    pipeline.wait_drained()
    check_everything(pipeline, load)


def _owned(rater: RaterProcess) -> list[int]:
    """The partitions that its log says it has now."""
    owned: list[int] = []
    for line in rater.log().splitlines():
        if "owns partitions" in line:
            owned = [int(number) for number in line.split("owns partitions")[1].split(",")]
        elif "gave up partitions" in line:
            owned = []
    return owned
