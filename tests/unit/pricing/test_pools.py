"""Prices over a period: P(Q) at, below and above each boundary, and what one event pays."""

import pytest

from pricing.cards import PoolVersion, Shape, Tier
from pricing.money import format_atto, parse_decimal
from pricing.pools import PoolPrice


def price(shape: Shape, *tiers: Tier, free: str = "0", operator: str = "gt") -> PoolPrice:
    return PoolPrice(PoolVersion(shape, tiers, free, "gte" if operator == "gte" else "gt"))


def amount(of: PoolPrice, quantity: str) -> str:
    return format_atto(of.amount(parse_decimal(quantity, "quantity")))


TWO = (Tier("0", "0.01"), Tier("1000", "0.008"))


@pytest.mark.parametrize(
    ("quantity", "total"),
    [("0", "0"), ("1", "0.01"), ("999", "9.99"), ("1000", "10"), ("1001", "10.008"), ("2000", "18")],
)
def test_graduated_prices_each_unit_at_the_rate_of_its_tier(quantity: str, total: str) -> None:
    """999 x 0.01 = 9.99; 1000 x 0.01 = 10; then 0.008 each: 10 + 1 x 0.008, 10 + 1000 x 0.008."""
    assert amount(price("graduated", *TWO), quantity) == total
    assert amount(price("graduated", *TWO, operator="gte"), quantity) == total
