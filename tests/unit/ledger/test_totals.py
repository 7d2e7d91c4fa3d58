"""Sums of a report: what a margin must not mix is kept apart."""

from dataclasses import replace

from ledger.core.totals import Totals
from tests.unit.ledger.world import event, rated


def test_what_is_paid_in_another_currency_is_summed_apart() -> None:
    """Two of six pay in credits, one is included and has no price: 3 x 0.5, 2 x 0.5, 1 x 0.5; 3 x 1.25."""
    totals = Totals()
    prices = (
        [("priced", "1.25", "USD")] * 3 + [("priced", "100.5", "CREDIT")] * 2 + [("included", None, None)]
    )
    for number, (status, amount, currency) in enumerate(prices):
        price = {"status": status, "amount": amount, "currency": currency}
        record = rated(event("a", number + 1), number + 1, number)
        totals.add(replace(record, rating={**record.rating, "price": price}))
    assert totals.sums.as_json()["by_currency"] == [
        {"cost_currency": "USD", "price_currency": "USD", "events": 3, "cost": "1.5", "price": "3.75"},
        {"cost_currency": "USD", "price_currency": "CREDIT", "events": 2, "cost": "1", "price": "201"},
        {"cost_currency": "USD", "price_currency": None, "events": 1, "cost": "0.5", "price": None},
    ]
