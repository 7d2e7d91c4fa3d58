"""Prices over a period when the rater dies around its commit: the sum of the amounts is A(Q), always."""

import shutil
import time
from collections import Counter
from fractions import Fraction
from typing import Any

import pytest

from rate_book.store import apply
from runtime.kafka.offsets import list_offsets
from runtime.postgres import connect
from schemas import topics
from schemas.codec import CODEC
from tests.fault.checks import check_closed, verify
from tests.fault.retention import delete_before
from tests.fix_rater import KILLED, PARTITIONS, Pipeline, usage_event, wait_for
from tests.pooled_book import POOLED_BOOK, STEPS_CUSTOMERS, steps_amount


@pytest.fixture
def pipeline(pipeline: Pipeline) -> Pipeline:
    """With customers who pay by the month."""
    with connect(pipeline.dsn) as connection:
        apply(connection, POOLED_BOOK, author="test", retroactive=True)
    return pipeline


def some(first: int, count: int) -> list[dict[str, Any]]:
    """Events of all pooled customers in turn, of many sizes."""
    return [
        usage_event(
            0,
            number,
            customer_id=STEPS_CUSTOMERS[number % len(STEPS_CUSTOMERS)],
            usage={"input_tokens": str(200 + 7 * (number % 31)), "output_tokens": str(10 + number % 23)},
        )
        for number in range(first, first + count)
    ]


def check_periods(pipeline: Pipeline, events: list[dict[str, Any]]) -> None:
    """Every event once; each customer's amounts sum to the price of its months' quantities."""
    rated = pipeline.rated()
    seen = Counter((item["event"]["customer_id"], item["event"]["event_id"]) for item in rated)
    assert seen == Counter({(event["customer_id"], event["event_id"]): 1 for event in events})
    totals: dict[tuple[str, int], list[Fraction]] = {}
    for item in rated:
        key = (item["event"]["customer_id"], item["rating"]["service_period"]["start_us"])
        total = totals.setdefault(key, [Fraction(0)] * 3)
        usage = item["event"]["usage"]
        added = (usage["input_tokens"], usage["output_tokens"], item["rating"]["price"]["amount"])
        for index, text in enumerate(added):
            total[index] += Fraction(text)
    assert {customer for customer, _ in totals} == set(STEPS_CUSTOMERS)
    for given, made, paid in totals.values():
        assert paid == steps_amount(int(given), int(made))


@pytest.mark.parametrize(
    "forget",
    [pytest.param(False, id="state kept"), pytest.param(True, id="state lost", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("name", ["in_commit", "after_commit_before_checkpoint"])
def test_killed_twice_around_the_commit(pipeline: Pipeline, name: str, *, forget: bool) -> None:
    events = some(0, 300)
    pipeline.emit([*events, *events[100:200]])
    for _ in range(2):
        rater = pipeline.start(failpoints=f"{name}:3:kill", rater__batch_records_max=20)
        assert rater.wait_dead() == KILLED, rater.log()
        if forget:
            shutil.rmtree(pipeline.directory / "state")
    last = pipeline.start(rater__batch_records_max=20)
    more = some(300, 60)
    pipeline.emit([*more, *events[:50]])
    pipeline.wait_drained()
    assert last.terminate() == 0
    check_periods(pipeline, [*events, *more])
    check_closed(pipeline)
    verify(pipeline)


def test_an_aborted_transaction_moves_no_pool(pipeline: Pipeline) -> None:
    events = some(0, 200)
    pipeline.emit(events)
    rater = pipeline.start(failpoints="in_commit:2:abort,in_commit:4:abort", rater__batch_records_max=20)
    pipeline.wait_drained()
    assert rater.terminate() == 0
    check_periods(pipeline, events)
    verify(pipeline)


@pytest.mark.slow
def test_periods_survive_expired_frames_by_the_refreshed_records(pipeline: Pipeline) -> None:
    """Frames and state gone, the head older than the window: every pool goes on where it stood."""
    shrunk: dict[str, Any] = {
        "windows__late_s": 4,
        "windows__replay_s": 4,
        "windows__future_s": 1,
        "windows__digest_bucket_s": 1,
        "windows__state_refresh_s": 7,
    }
    first = pipeline.start(**shrunk)
    first.wait_owner()
    events: list[dict[str, Any]] = []
    for turn in range(2):
        # The first of the day is recorded at once; the second turn only by the refresh.
        new = some(100 * turn, 60)
        pipeline.emit(new)
        pipeline.wait_drained()
        events += new
    wait_for(lambda: _recorded(pipeline) == _quantities(events), "every pool's state is in rater.state")
    assert first.terminate() == 0
    wanted = [(pipeline.prefix + topics.USAGE_DELTAS, number) for number in range(PARTITIONS)]
    delete_before(pipeline, list_offsets(pipeline.settings.client_config(), wanted, "latest"))
    shutil.rmtree(pipeline.directory / "state")
    highest_us = max(head["highest_append_us"] for head in pipeline.heads().values())
    wait_for(lambda: time.time_ns() // 1000 > highest_us + 6_000_000, "the window has passed")
    more = some(1000, 60)
    pipeline.emit(more)
    second = pipeline.start(**shrunk)
    pipeline.wait_drained()
    assert second.terminate() == 0
    check_periods(pipeline, [*events, *more])
    check_closed(pipeline)


def _quantities(events: list[dict[str, Any]]) -> dict[tuple[str, str], int]:
    totals: Counter[tuple[str, str]] = Counter()
    for event in events:
        for meter in ("input", "output"):
            totals[event["customer_id"], f"steps/{meter}"] += int(event["usage"][f"{meter}_tokens"])
    return dict(totals)


def _recorded(pipeline: Pipeline) -> dict[tuple[str, str], int]:
    """Each pool's quantity as rater.state has it, all its periods together."""
    newest = {
        message.key(): CODEC.decode("PeriodState", message.value())
        for message in pipeline.read(topics.RATER_STATE)
        if (message.key() or b"").startswith(b"p/")
    }
    totals: Counter[tuple[str, str]] = Counter()
    for state in newest.values():
        totals[state["customer_id"], state["pool"]] += int(state["quantity"])
    return dict(totals)
