"""Rows of sums: their keys and what is added up."""

import pytest

from pricing.rate import Side
from rater.core.rows import CustomerDelta, Row, RowKey
from tests.unit.rater.fakes import DAY_US, rating

QUARTER_US = 900_000_000  # 15 * 60 * 1,000,000
USD = Side("priced", 2 * 10**18, "USD")
FREE = Side("priced", 0, "USD")
EUR = Side("priced", 3 * 10**18, "EUR")
PART = Side("partial", 10**18, "USD")
NONE = Side("unpriced", None, None)


def the_row(customer: CustomerDelta) -> tuple[RowKey, Row]:
    ((key, row),) = customer.rows.items()
    return key, row


@pytest.mark.parametrize(
    ("time_us", "bucket_us"),
    [
        (0, 0),
        (QUARTER_US - 1, 0),
        (QUARTER_US, QUARTER_US),
        (7 * QUARTER_US + 1, 7 * QUARTER_US),
        (-1, -QUARTER_US),
    ],
)
def test_buckets_are_quarters_of_an_hour_of_event_time(time_us: int, bucket_us: int) -> None:
    customer = CustomerDelta(1)
    customer.add(time_us, ("p",), rating(USD, EUR))
    assert the_row(customer)[0] == (bucket_us, 0, 31 * DAY_US, "USD", "EUR", ("p",))


def test_amounts_counts_and_quantities_are_added() -> None:
    customer = CustomerDelta(5)
    customer.add(0, (None,), rating(USD, EUR, [("in", 10**18), ("out", 0)]))
    customer.add(1, (None,), rating(FREE, EUR, [("in", 10**17)]))
    _, row = the_row(customer)
    assert (row.cost_atto, row.price_atto, row.events) == (2 * 10**18, 6 * 10**18, 2)
    assert row.quantities == {"in": 11 * 10**17, "out": 0}
    assert (row.unpriced_cost_events, row.unpriced_price_events) == (0, 0)


def test_no_sum_mixes_currencies_periods_or_dimensions() -> None:
    customer = CustomerDelta(1)
    customer.add(0, ("p",), rating(USD, USD))
    customer.add(0, ("p",), rating(USD, EUR))
    customer.add(0, ("q",), rating(USD, USD))
    customer.add(0, ("p",), rating(USD, USD)._replace(service_period=(0, DAY_US)))
    assert [row.events for row in customer.rows.values()] == [1, 1, 1, 1]


def test_what_has_no_amount_has_none_and_not_zero() -> None:
    customer = CustomerDelta(1)
    customer.add(0, (), rating(NONE, NONE))
    _, row = the_row(customer)
    assert (row.cost_atto, row.price_atto) == (None, None)
    assert (row.unpriced_cost_events, row.unpriced_price_events) == (1, 1)


def test_a_free_event_has_the_amount_zero() -> None:
    customer = CustomerDelta(1)
    customer.add(0, (), rating(FREE, FREE))
    assert the_row(customer)[1].cost_atto == 0


def test_cost_and_price_are_counted_apart_and_partial_is_unpriced_with_an_amount() -> None:
    customer = CustomerDelta(1)
    customer.add(0, (), rating(PART, USD))
    customer.add(0, (), rating(USD, USD))
    _, row = the_row(customer)
    assert (row.cost_atto, row.price_atto) == (3 * 10**18, 4 * 10**18)
    assert (row.unpriced_cost_events, row.unpriced_price_events, row.events) == (1, 0, 2)
