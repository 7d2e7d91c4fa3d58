"""The rater is killed in the middle of a re-rate of whole periods: every sum is exact, nothing is doubled."""

import shutil
from collections import Counter
from typing import Any

import pytest

from rate_book.store import apply
from runtime.postgres import connect
from schemas import topics
from tests.commands import apply_changed, cheaper_amount, corrections_pending, current, paid, run_of
from tests.fault.checks import check_closed, verify
from tests.fix_rater import KILLED, Pipeline, usage_event, wait_for
from tests.pooled_book import POOLED_BOOK, STEPS_CUSTOMERS, steps_amount

ENOUGH_S = 240.0


@pytest.fixture
def pipeline(pipeline: Pipeline) -> Pipeline:
    """With customers who pay by the month: version 2."""
    with connect(pipeline.dsn) as connection:
        apply(connection, POOLED_BOOK, author="test", retroactive=True)
    return pipeline


def some(first: int, count: int) -> list[dict[str, Any]]:
    """Events of the pooled customers in turn, of many sizes."""
    return [
        usage_event(
            0,
            number,
            customer_id=STEPS_CUSTOMERS[number % len(STEPS_CUSTOMERS)],
            usage={"input_tokens": str(200 + 7 * (number % 31)), "output_tokens": str(10 + number % 23)},
        )
        for number in range(first, first + count)
    ]


def used(events: list[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    """Input and output tokens by customer. All are of one instant, so of one month."""
    found: dict[str, tuple[int, int]] = {}
    for event in events:
        given, made = found.get(event["customer_id"], (0, 0))
        usage = event["usage"]
        found[event["customer_id"]] = (
            given + int(usage["input_tokens"]),
            made + int(usage["output_tokens"]),
        )
    return found


@pytest.mark.parametrize(
    ("count", "batch", "forget"),
    [
        pytest.param(300, 20, False, id="300 events"),
        pytest.param(300, 20, True, id="300 events, state lost", marks=pytest.mark.slow),
        pytest.param(10_000, 400, True, id="10000 events, state lost", marks=pytest.mark.slow),
    ],
)
def test_killed_in_the_middle_of_a_rerate(
    pipeline: Pipeline, count: int, batch: int, *, forget: bool
) -> None:
    """Killed at three steps in the middle of the run; 60 events arrive meanwhile, commands come twice."""
    at_us = usage_event(0, 0)["event_time_us"]
    events = [event | {"event_time_us": at_us} for event in some(0, count)]
    pipeline.emit(events)
    rater = pipeline.start(rater__batch_records_max=batch)
    pipeline.wait_drained(ENOUGH_S)
    assert paid(pipeline) == {who: steps_amount(*amounts) for who, amounts in used(events).items()}
    apply_changed(pipeline)
    assert rater.terminate() == 0
    records = current(pipeline)
    commands = [command for customer in STEPS_CUSTOMERS for command in run_of(records, customer, 3, "run-1")]
    pipeline.emit_raw([*commands, *commands[: count // 3]], topic=topics.USAGE_CORRECTIONS)
    for name in ("mid_produce", "in_commit", "after_commit_before_checkpoint"):
        killed = pipeline.start(failpoints=f"{name}:4:kill", rater__batch_records_max=batch)
        assert killed.wait_dead(ENOUGH_S) == KILLED, killed.log()
        if forget:
            shutil.rmtree(pipeline.directory / "state")
    assert corrections_pending(pipeline) > 0
    late = [event | {"event_time_us": at_us} for event in some(count, 60)]
    pipeline.emit(late)
    last = pipeline.start(rater__batch_records_max=batch)
    pipeline.wait_drained(ENOUGH_S)
    wait_for(lambda: corrections_pending(pipeline) == 0, "every command is covered", ENOUGH_S)
    assert last.terminate() == 0
    assert paid(pipeline) == {
        who: cheaper_amount(*amounts) for who, amounts in used([*events, *late]).items()
    }
    legs = Counter(
        (it["event"]["customer_id"], it["event"]["event_id"], it["rating"]["leg"], it["rating"]["revision"])
        for it in pipeline.rated()
    )
    assert set(legs.values()) == {1}
    assert Counter(leg for _, _, leg, _ in legs) == {
        "original": count + 60,
        "reversal": count,
        "replacement": count,
    }
    assert pipeline.rejected() == []
    check_closed(pipeline)
    verify(pipeline)
