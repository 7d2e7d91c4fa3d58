"""Which words are currencies, and to how many places they are paid."""

import pytest

from pricing.currencies import ISO_4217, decimal_places, is_currency


@pytest.mark.parametrize("code", ["USD", "EUR", "CNY", "JPY", "XDR", "BGN", "HRK"])
def test_a_code_of_iso_4217_is_a_currency_also_when_it_has_been_withdrawn(code: str) -> None:
    assert is_currency(code, ())


@pytest.mark.parametrize("text", ["usd", "US", "USDT", "X" * 3, "EUR ", "", "credits"])
def test_any_other_word_is_none(text: str) -> None:
    assert not is_currency(text, ())


def test_a_declared_unit_is_one_as_it_is_written() -> None:
    assert is_currency("CREDITS", ("CREDITS",))
    assert not is_currency("Credits", ("CREDITS",))


def test_every_code_is_three_capitals() -> None:
    assert all(len(code) == 3 and code.isalpha() and code.isupper() and code.isascii() for code in ISO_4217)


@pytest.mark.parametrize(
    ("currency", "places"),
    [
        ("USD", 2), ("EUR", 2), ("CNY", 2), ("MGA", 2), ("HUF", 2), ("HRK", 2),
        ("JPY", 0), ("KRW", 0), ("CLP", 0), ("VND", 0), ("ISK", 0), ("UGX", 0),
        ("KWD", 3), ("BHD", 3), ("TND", 3), ("CLF", 4), ("UYW", 4),
        ("XAU", None), ("XDR", None), ("CREDIT", None),
    ],
)  # fmt: skip
def test_amounts_that_are_paid_have_the_places_of_iso_4217(currency: str, places: int | None) -> None:
    """None: gold, drawing rights and declared units have no smaller unit to round to."""
    assert decimal_places(currency) == places
