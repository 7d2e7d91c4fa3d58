"""Aborted transactions: the rater goes back to its heads, and nobody who reads committed sees a trace."""

import pytest

from schemas import topics
from tests.fault.checks import check_everything
from tests.fault.load import Load
from tests.fix_rater import Pipeline


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("mid_produce", marks=pytest.mark.slow),
        "before_send_offsets",
        pytest.param("after_send_offsets", marks=pytest.mark.slow),
        pytest.param("in_commit", marks=pytest.mark.slow),
    ],
)
def test_one_aborted_transaction(pipeline: Pipeline, name: str) -> None:
    _aborted(pipeline, f"{name}:3:abort", 1)


@pytest.mark.slow
def test_every_second_transaction_aborted(pipeline: Pipeline) -> None:
    _aborted(pipeline, ",".join(f"in_commit:{nth}:abort" for nth in range(2, 82, 2)), 40)


def _aborted(pipeline: Pipeline, failpoints: str, times: int) -> None:
    load = Load(pipeline, at_once=1500)
    rater = pipeline.start(failpoints=failpoints, rater__batch_records_max=20)
    load.wait_more(50)
    load.stop()
    pipeline.wait_drained()
    assert rater.terminate() == 0
    assert sum(pipeline.seen().values()) == times
    check_everything(pipeline, load)
    # The aborted records are there for who does not read committed: the test has teeth.
    written = len(pipeline.read(topics.USAGE_RATED, committed=False))
    assert written > len(load.events) or "mid_produce" in failpoints
