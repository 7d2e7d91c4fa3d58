"""Factors on rates at the edge of what can be written, and how they name themselves."""

import pytest

from pricing.cards import ExchangeRate, Rate
from pricing.compiled import compile_rate
from pricing.factors import Exchange, Factor, scale
from pricing.money import ATTO, format_atto


@pytest.mark.parametrize(
    ("rate", "per", "factor", "fits"),
    [
        # 10**10 x 9999999999 = 99999999990000000000 has 20 digits; x 10**10 = 10**20 has 21.
        ("10000000000", "1", 9_999_999_999 * ATTO, True),
        ("10000000000", "1", 10**10 * ATTO, False),
        # 10**-18 x 10**-18 has 18 places too many: per becomes 10**18 times as much, 10**19 or 10**20.
        ("0.000000000000000001", "10", 1, True),
        ("0.000000000000000001", "100", 1, False),
    ],
)
def test_a_rate_of_more_than_20_digits_cannot_be_written(
    rate: str, per: str, factor: int, *, fits: bool
) -> None:
    scaled = scale(compile_rate(Rate("dbus", rate, per)), (Factor(factor, "f"),))
    if fits:
        assert not isinstance(scaled, str)
    else:
        assert scaled == f"{rate} x {format_atto(factor)} (f) has more than 38 digits"


def test_a_rate_of_exchange_names_its_currencies_and_since_when_it_holds() -> None:
    """From 2026-01-01T00:00:00Z, 20,454 days after 1970-01-01; the other one since ever."""
    new_year = 20_454 * 86_400 * 10**6
    exchange = Exchange(
        (ExchangeRate("USD", "EUR", "0.92", new_year, None), ExchangeRate("GBP", "EUR", "1.2", None, None))
    )
    assert exchange.timeline("USD", "EUR").at(new_year) == Factor(
        92 * ATTO // 100, "USD to EUR from 2026-01-01T00:00:00Z"
    )
    assert exchange.timeline("GBP", "EUR").at(0) == Factor(12 * ATTO // 10, "GBP to EUR")
