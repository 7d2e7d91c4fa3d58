"""Which words are currencies."""

import pytest

from pricing.currencies import ISO_4217, is_currency


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
