"""Prices over a period through a real broker: exact across batches, deaths and lost local state."""

import shutil
import time
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import pytest

from rate_book.store import apply
from runtime.postgres import connect
from schemas import topics
from schemas.codec import CODEC
from tests.fault.checks import verify
from tests.fix_rater import Pipeline, usage_event
from tests.pooled_book import POOLED_BOOK, packs_amount, steps_amount

pytestmark = [pytest.mark.broker, pytest.mark.postgres]

DAY_US = 86_400_000_000


@pytest.fixture
def pooled(pipeline: Pipeline) -> Pipeline:
    """The pipeline, with customers who pay by the period."""
    with connect(pipeline.dsn) as connection:
        apply(connection, POOLED_BOOK, author="test", retroactive=True)
    return pipeline


def events_of(customer: str, numbers: range, at_us: int, **fields: Any) -> list[dict[str, Any]]:
    """1000 input and 100 output tokens each."""
    return [usage_event(0, number, customer_id=customer, event_time_us=at_us, **fields) for number in numbers]


def prices(pipeline: Pipeline) -> dict[str, list[Fraction]]:
    found: dict[str, list[Fraction]] = {}
    for item in pipeline.rated():
        amount = Fraction(item["rating"]["price"]["amount"])
        found.setdefault(item["event"]["customer_id"], []).append(amount)
    return found


def period_records(pipeline: Pipeline) -> dict[bytes, Mapping[str, Any]]:
    """The newest record of each period in rater.state."""
    return {
        message.key() or b"": CODEC.decode("PeriodState", message.value())
        for message in pipeline.read(topics.RATER_STATE)
        if (message.key() or b"").startswith(b"p/")
    }


def test_customers_cross_tiers_over_batches_deaths_and_lost_state_and_pay_the_period_s_price(
    pooled: Pipeline,
) -> None:
    """9 events a customer, 3 of them before each death; the files are lost at the second one.

    steps: 9000 input tokens are 2500 x 0.003 + 1 + 3500 x 0.002 + 3000 x 0.001 = 7.5 + 1 + 7 + 3 = 18.5;
    900 output tokens are 900 x 0.004 = 3.6; together 22.1. packs: 9000 x 0.003 = 27; 900 - 150 = 750 output
    tokens are 8 packages, 8 x 0.7 = 5.6; together 32.6. The others: 9 x 0.0045.
    """
    noon_us = time.time_ns() // 1000 // DAY_US * DAY_US - DAY_US // 2  # of yesterday: one day, one month
    customers = ("steps", "steps-1", "packs", "customer-7")
    for turn in range(3):
        new = [
            event
            for customer in customers
            for event in events_of(customer, range(3 * turn, 3 * turn + 3), noon_us)
        ]
        again = [event for customer in customers for event in events_of(customer, range(3 * turn), noon_us)]
        pooled.emit([*again, *new, *new])
        rater = pooled.start(rater__batch_records_max=2)
        pooled.wait_drained()
        rater.kill9()
        if turn == 1:
            shutil.rmtree(pooled.directory / "state")
    found = prices(pooled)
    assert {customer: len(amounts) for customer, amounts in found.items()} == dict.fromkeys(customers, 9)
    assert sum(found["steps"]) == sum(found["steps-1"]) == Fraction(221, 10) == steps_amount(9000, 900)
    assert sum(found["packs"]) == Fraction(326, 10) == packs_amount(9000, 900)
    assert set(found["customer-7"]) == {Fraction(45, 10_000)}
    # The sixth event: 5000 to 6000 tokens at 0.002, and 600 output tokens are 2.4 where 500 were 5.
    assert found["steps"][5] == Fraction(2) + Fraction(24, 10) - Fraction(5)
    verify(pooled)


def test_a_period_is_recorded_at_its_first_activity_of_a_day_under_its_key(pooled: Pipeline) -> None:
    """As it stood then: 1000 input tokens are 3, 100 output tokens are 1."""
    noon_us = time.time_ns() // 1000 // DAY_US * DAY_US - DAY_US // 2
    rater = pooled.start(rater__batch_records_max=1)
    pooled.emit(events_of("steps", range(3), noon_us))
    pooled.wait_drained()
    assert rater.terminate() == 0
    records = period_records(pooled)
    start_us = pooled.rated()[0]["rating"]["service_period"]["start_us"]
    assert {key: (state["quantity"], state["amount"]) for key, state in records.items()} == {
        f"p/5/steps/steps/input/{start_us}".encode(): ("1000", "3"),
        f"p/5/steps/steps/output/{start_us}".encode(): ("100", "1"),
    }


def test_a_rejected_event_moves_no_pool(pooled: Pipeline) -> None:
    """Two of three count: 2000 input tokens are 6, 200 output tokens are 2."""
    noon_us = time.time_ns() // 1000 // DAY_US * DAY_US - DAY_US // 2
    bad = events_of("steps", range(1, 2), noon_us, usage={"input_tokens": "5000", "output_tokens": "-1"})
    pooled.emit([*events_of("steps", range(1), noon_us), *bad, *events_of("steps", range(2, 3), noon_us)])
    rater = pooled.start()
    pooled.wait_drained()
    assert rater.terminate() == 0
    assert [item["reason"] for item in pooled.rejected()] == ["bad_quantity"]
    assert sum(prices(pooled)["steps"]) == 8
    verify(pooled)
