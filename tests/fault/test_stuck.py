"""A service that stands still though it has work ends by itself, with a message; one that waits does not."""

from typing import Any

import pytest

from tests.fault.ledger_checks import check_ledger, wait_rows
from tests.fault.load import Load
from tests.fix_aggregator import AggregatorRun, frame, frame_row
from tests.fix_rater import Pipeline, wait_for

STUCK = 70  # exit code: no progress for the limit
_MORE = [pytest.param(name, marks=pytest.mark.slow) for name in ("after_dedupe", "mid_checkpoint")]
_SHORT: dict[str, Any] = {"telemetry__stuck_s": 3, "telemetry__look_s": 0.2}


@pytest.mark.parametrize("name", ["in_commit", *_MORE])
def test_a_rater_that_hangs_ends_itself(pipeline: Pipeline, name: str) -> None:
    pipeline.tolerated.add(STUCK)
    load = Load(pipeline, at_once=100, paced=False)
    rater = pipeline.start(failpoints=f"{name}:1:sleep=600", **_SHORT)
    assert rater.wait_dead() == STUCK
    assert "no progress for 3 s: " in rater.log()
    assert f"{pipeline.prefix}usage.events" in rater.log()
    last = pipeline.start(**_SHORT)
    pipeline.wait_drained()
    assert len(pipeline.rated()) == len(load.events)
    assert last.terminate() == 0


def test_a_ledger_that_hangs_ends_itself(pipeline: Pipeline) -> None:
    pipeline.tolerated.add(STUCK)
    load = Load(pipeline, at_once=100, paced=False)
    rater = pipeline.start()
    pipeline.wait_drained()
    assert rater.terminate() == 0
    sink = pipeline.start(module="ledger", failpoints="before_pg_commit:1:sleep=600", **_SHORT)
    assert sink.wait_dead() == STUCK
    assert f"{pipeline.prefix}usage.rated" in sink.log()
    last = pipeline.start(module="ledger", **_SHORT)
    wait_rows(pipeline, len(load.events))
    check_ledger(pipeline)
    assert last.terminate() == 0


def test_an_aggregator_that_hangs_ends_itself(pipeline: Pipeline, aggregators: AggregatorRun) -> None:
    """In its event loop, before it has released anything."""
    partition = aggregators.partition("customer-1")
    aggregators.emit(frame(1, partition, {"customer-1": (1, 2, [frame_row(events=2)])}))
    process = aggregators.start(failpoints="after_read:1:sleep=600", **_SHORT)
    assert process.wait_dead() == STUCK
    assert f"{pipeline.prefix}usage.deltas {partition} at 0 with a lag" in process.log()
    aggregators.processes.remove(process)
    last = aggregators.start(**_SHORT)
    aggregators.wait_seq({"customer-1": 2})
    assert last.terminate() == 0


def test_a_guard_that_hangs_ends_itself(pipeline: Pipeline, aggregators: AggregatorRun) -> None:
    pipeline.tolerated.add(STUCK)
    partition = aggregators.partition("customer-1")
    aggregators.emit(frame(1, partition, {"customer-1": (1, 2, [frame_row(events=2)])}))
    aggregators.start()
    guard = pipeline.start(module="budget_guard", failpoints="after_consume:1:sleep=600", **_SHORT)
    assert guard.wait_dead() == STUCK
    assert f"{pipeline.prefix}usage.totals {partition} at 0 with a lag" in guard.log()


@pytest.mark.slow
def test_a_restore_longer_than_the_limit_is_no_stall(pipeline: Pipeline) -> None:
    """The restore sleeps for longer than the limit, within its own budget."""
    load = Load(pipeline, at_once=100, paced=False)
    first = pipeline.start()
    pipeline.wait_drained()
    first.kill9()
    Load(pipeline, at_once=10, paced=False)
    second = pipeline.start(slot=1, failpoints="in_restore:1:sleep=8", **_SHORT)
    pipeline.wait_drained()
    assert second.terminate() == 0
    assert load.events


@pytest.mark.slow
def test_a_ledger_waits_for_postgresql_longer_than_the_limit(pipeline: Pipeline) -> None:
    """Within `postgres_wait_s`: nothing answers at its address, and it ends by that budget, not as stuck."""
    load = Load(pipeline, at_once=20, paced=False)
    rater = pipeline.start()
    pipeline.wait_drained()
    assert rater.terminate() == 0
    pipeline.tolerated.add(3)
    sink = pipeline.start(
        module="ledger",
        postgres__dsn="postgresql://nobody@127.0.0.1:1/none?connect_timeout=2",
        ledger__postgres_wait_s=8,
        **_SHORT,
    )
    assert sink.wait_dead() == 3
    wait_for(lambda: "not usable within 8 s" in sink.log(), "the budget is named")
    assert load.events
