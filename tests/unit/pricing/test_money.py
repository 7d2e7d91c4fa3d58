"""Exact numbers: parsing, writing, rounding."""

import pytest

from pricing.compiled import fits
from pricing.errors import UsageError
from pricing.instants import calendar_month, instant_text
from pricing.money import ATTO, format_atto, parse_decimal, parse_signed, round_half_even


@pytest.mark.parametrize(
    ("text", "atto"),
    [
        ("0", 0),
        ("1200", 1200 * ATTO),
        ("0.0065", 6_500_000_000_000_000),
        ("0.000000000000000001", 1),
        ("99999999999999999999.999999999999999999", 10**38 - 1),
        ("007", 7 * ATTO),
        ("1.50", 3 * ATTO // 2),
    ],
)
def test_a_plain_decimal_is_read_exactly(text: str, atto: int) -> None:
    assert parse_decimal(text, "x") == atto


@pytest.mark.parametrize(
    "text",
    [
        "", "-1", "+1", "1e3", "1E3", "NaN", "nan", "inf", " 1", "1 ", "1\n", ".5", "5.", "1_000", "1,000",
        "0x1", "--1", "100000000000000000000", "0.0000000000000000001", "\u0661", "\uff11", "\u00b2",
        "1.\u0662", None, 1, 1.5, True,
    ],
)  # fmt: skip
def test_anything_else_is_refused_by_name(text: object) -> None:
    with pytest.raises(UsageError) as caught:
        parse_decimal(text, "usage.input_tokens")
    assert (caught.value.code, caught.value.field) == ("bad_quantity", "usage.input_tokens")
    assert caught.value.value == repr(text)
    assert caught.value.rule == (
        "must be a plain decimal without sign or exponent, at most 20 digits before the point and 18 after it"
    )


@pytest.mark.parametrize(
    ("text", "atto"),
    [
        ("3.5", 7 * ATTO // 2),
        ("-3.5", -7 * ATTO // 2),
        ("0", 0),
        ("-0", 0),
        ("-0.000000000000000001", -1),
        ("-99999999999999999999.999999999999999999", 1 - 10**38),
    ],
)
def test_a_decimal_with_a_minus_is_read_exactly(text: str, atto: int) -> None:
    assert parse_signed(text, "x") == atto


@pytest.mark.parametrize(("text", "value"), [("--1", "'-1'"), ("+1", "'+1'"), ("-", "''"), ("", "''")])
def test_one_minus_is_all_that_may_stand_before(text: str, value: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_signed(text, "amount")
    assert (caught.value.code, caught.value.field, caught.value.value) == ("bad_quantity", "amount", value)


@pytest.mark.parametrize(
    ("atto", "text"),
    [
        (0, "0"),
        (1, "0.000000000000000001"),
        (-1, "-0.000000000000000001"),
        (6_500_000_000_000_000, "0.0065"),
        (1200 * ATTO, "1200"),
        (-7 * ATTO // 2, "-3.5"),
        (10**38 - 1, "99999999999999999999.999999999999999999"),
    ],
)
def test_a_number_is_written_without_trailing_zeros(atto: int, text: str) -> None:
    assert format_atto(atto) == text


def test_an_amount_of_38_digits_fits_and_one_of_39_does_not_on_either_side_of_nothing() -> None:
    assert [fits(amount) for amount in (10**38 - 1, 10**38)] == [True, False]
    assert [fits(amount) for amount in (1 - 10**38, -(10**38))] == [True, False]


@pytest.mark.parametrize(
    ("numerator", "denominator", "rounded"),
    [
        (1, 2, 0),
        (3, 2, 2),
        (5, 2, 2),
        (7, 2, 4),
        (-1, 2, 0),
        (-3, 2, -2),
        (4, 3, 1),
        (5, 3, 2),
        (-5, 3, -2),
        (6, 3, 2),
    ],
)
def test_a_tie_rounds_to_the_even_number(numerator: int, denominator: int, rounded: int) -> None:
    assert round_half_even(numerator, denominator) == rounded


def test_an_instant_is_written_in_utc() -> None:
    """20,775 days and 12 hours after 1970-01-01 is 2026-11-18T12:00:00Z."""
    assert instant_text((20_775 * 86_400 + 43_200) * 1_000_000) == "2026-11-18T12:00:00Z"
    assert instant_text(-1) == "1969-12-31T23:59:59.999999Z"


def test_a_month_is_half_open() -> None:
    """2024-02 has 29 days and starts 19,754 days after the epoch."""
    day = 86_400_000_000
    february = (19_754 * day, 19_783 * day)
    assert calendar_month(february[0]) == february
    assert calendar_month(february[1] - 1) == february
    assert calendar_month(february[1])[0] == february[1]
    with pytest.raises(ValueError, match="outside the years"):
        calendar_month(10**18)
