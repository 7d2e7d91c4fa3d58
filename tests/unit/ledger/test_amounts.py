"""Plain decimals to exact integers and back."""

import pytest

from ledger.core.amounts import atto, plain


@pytest.mark.parametrize(
    ("text", "amount"),
    [("0", 0), ("1", 10**18), ("-3.5", -35 * 10**17), ("0.000000000000000001", 1), ("1200", 1200 * 10**18)],
)
def test_a_plain_decimal_is_exact_both_ways(text: str, amount: int) -> None:
    assert atto(text) == amount
    assert plain(amount) == text


@pytest.mark.parametrize(
    "text", ["", "-", "1.", ".5", "1e3", "+1", "1,0", "0." + "0" * 18 + "1", "NaN", "1.2.3"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="plain decimal"):
        atto(text)
