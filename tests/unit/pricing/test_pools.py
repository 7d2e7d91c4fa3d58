"""Prices over a period: P(Q) at, below and above each boundary, and what one event pays."""

import pytest

from pricing.cards import PoolVersion, Shape, Tier
from pricing.errors import UsageError
from pricing.money import format_atto, parse_decimal
from pricing.pools import PoolPrice, charge


def price(shape: Shape, *tiers: Tier, free: str = "0", operator: str = "gt") -> PoolPrice:
    return PoolPrice(PoolVersion(shape, tiers, free, "gte" if operator == "gte" else "gt"))


def amount(of: PoolPrice, quantity: str) -> str:
    return format_atto(of.amount(parse_decimal(quantity, "quantity")))


def pays(
    of: PoolPrice, before: str, quantity: str, amount_before: str | None = None
) -> tuple[list[str], str]:
    """Each portion as `kind tier: quantity (billed) = amount`, and the adjustment, of one event."""
    held = parse_decimal(before, "before")
    paid = of.amount(held) if amount_before is None else parse_decimal(amount_before, "amount")
    portions, adjustment, after = charge(of, held, paid, parse_decimal(quantity, "quantity"))
    assert sum(portion.amount_atto for portion in portions) + adjustment == after - paid
    words = []
    for kind, tier, units, billed, owed in portions:
        bill = "" if billed is None else f" ({format_atto(billed)})"
        words.append(f"{kind} {tier}: {format_atto(units)}{bill} = {format_atto(owed)}")
    return words, format_atto(adjustment)


TWO = (Tier("0", "0.01"), Tier("1000", "0.008"))
FLAT = (Tier("0", "0.01", flat="5"), Tier("1000", "0.008", flat="2"))


# --- graduated


@pytest.mark.parametrize(
    ("quantity", "total"),
    [("0", "0"), ("1", "0.01"), ("999", "9.99"), ("1000", "10"), ("1001", "10.008"), ("2000", "18")],
)
def test_graduated_prices_each_unit_at_the_rate_of_its_tier(quantity: str, total: str) -> None:
    """999 x 0.01 = 9.99; 1000 x 0.01 = 10; then 0.008 each: 10 + 1 x 0.008, 10 + 1000 x 0.008.

    With the same flat in each tier the operator changes nothing.
    """
    assert amount(price("graduated", *TWO), quantity) == total
    assert amount(price("graduated", *TWO, operator="gte"), quantity) == total


@pytest.mark.parametrize(
    ("quantity", "above", "at"),
    [
        ("0", "0", "0"),
        ("0.000000000000000001", "5.00000000000000000", "5.00000000000000000"),
        ("999", "14.99", "14.99"),
        ("1000", "15", "17"),
        ("1001", "17.008", "17.008"),
    ],
)
def test_a_flat_is_paid_once_when_its_tier_is_reached(quantity: str, above: str, at: str) -> None:
    """The first flat with the first unit: 5 + 999 x 0.01 = 14.99.

    At 1000 units: 5 + 10 = 15 where a tier is reached above its start, 15 + 2 = 17 where it is reached at it.
    At 1001 either way: 15 + 2 + 0.008 = 17.008. One atto x 0.01 is a hundredth of an atto, rounded to none.
    """
    plain = format_atto(parse_decimal(above, "x")), format_atto(parse_decimal(at, "x"))
    found = (
        amount(price("graduated", *FLAT), quantity),
        amount(price("graduated", *FLAT, operator="gte"), quantity),
    )
    assert found == plain


def test_graduated_lines_tell_each_tier_and_the_flats_apart() -> None:
    """From 900 by 200 more: 100 x 0.01 = 1, 100 x 0.008 = 0.8, and the second tier's flat, 2."""
    assert pays(price("graduated", *FLAT), "900", "200") == (["tier 0: 100 = 1", "tier 1: 100 = 0.8"], "2")


def test_an_event_can_cross_several_tiers_at_once() -> None:
    """10 x 3 = 30, 20 x 2 = 40, 70 x 1 = 70: in all 140 for 100 units."""
    steps = price("graduated", Tier("0", "3"), Tier("10", "2"), Tier("30", "1"))
    assert pays(steps, "0", "100") == (["tier 0: 10 = 30", "tier 1: 20 = 40", "tier 2: 70 = 70"], "0")
    assert amount(steps, "100") == "140"


def test_each_of_three_tiers_brings_its_flat() -> None:
    """20 units: 10 x 3 + 10 x 2 + 1 + 10 = 61; 40 units: 10 x 3 + 20 x 2 + 10 x 1 + 1 + 10 + 100 = 191.

    So 20 more from 20 on: 10 x 2 = 20, 10 x 1 = 10, and the last flat, 100.
    """
    steps = price(
        "graduated", Tier("0", "3", flat="1"), Tier("10", "2", flat="10"), Tier("30", "1", flat="100")
    )
    assert (amount(steps, "20"), amount(steps, "40")) == ("61", "191")
    assert pays(steps, "0", "20") == (["tier 0: 10 = 30", "tier 1: 10 = 20"], "11")
    assert pays(steps, "20", "20") == (["tier 1: 10 = 20", "tier 2: 10 = 10"], "100")


def test_an_event_that_ends_at_a_start_has_no_line_of_the_next_tier() -> None:
    """990 + 10 = 1000: 10 x 0.01 = 0.1. The next unit then is of the second tier: 0.008."""
    assert pays(price("graduated", *TWO), "990", "10") == (["tier 0: 10 = 0.1"], "0")
    assert pays(price("graduated", *TWO), "1000", "1") == (["tier 1: 1 = 0.008"], "0")


def test_at_the_operator_gte_the_flat_comes_with_the_unit_that_reaches_the_start() -> None:
    """999 + 1 = 1000: one unit at 0.01, and the second tier's flat, 2; the next event pays 0.008 alone."""
    flat = price("graduated", *FLAT, operator="gte")
    assert pays(flat, "999", "1") == (["tier 0: 1 = 0.01"], "2")
    assert pays(flat, "1000", "1") == (["tier 1: 1 = 0.008"], "0")


def test_tiers_may_count_by_different_numbers_of_units() -> None:
    """1,000,000 x 3 / 1,000,000 = 3, then 500 x 0.002 / 1000 = 0.001: in all 3.001."""
    mixed = price("graduated", Tier("0", "3", "1000000"), Tier("1000000", "0.002", "1000"))
    assert amount(mixed, "1000500") == "3.001"


# --- free


@pytest.mark.parametrize(
    ("quantity", "total"), [("99", "0"), ("100", "0"), ("101", "0.01"), ("1100", "10"), ("1101", "10.008")]
)
def test_the_first_units_are_free_and_the_tiers_count_what_is_beyond(quantity: str, total: str) -> None:
    """100 free: unit 101 is the first at 0.01; 1100 - 100 = 1000 x 0.01 = 10; unit 1101 at 0.008."""
    assert amount(price("graduated", *TWO, free="100"), quantity) == total


def test_an_event_that_crosses_the_free_quantity_has_a_line_for_each_side() -> None:
    """From 90 by 20: 10 of the 100 free ones are left, 10 x 0.01 = 0.1 for the rest."""
    free = price("graduated", *TWO, free="100")
    assert pays(free, "90", "20") == (["free 0: 10 = 0", "tier 0: 10 = 0.1"], "0")
    assert pays(free, "90", "10") == (["free 0: 10 = 0"], "0")
    assert pays(free, "100", "10") == (["tier 0: 10 = 0.1"], "0")


def test_a_flat_waits_for_the_first_unit_beyond_the_free_ones() -> None:
    """100 free units cost 0, the 101st 5 + 0.01, whatever the operator."""
    for operator in ("gt", "gte"):
        free = price("graduated", *FLAT, free="100", operator=operator)
        assert pays(free, "0", "100") == (["free 0: 100 = 0"], "0")
        assert pays(free, "100", "1") == (["tier 0: 1 = 0.01"], "5")


# --- volume

VOLUME = (Tier("0", "0.01"), Tier("1000", "0.005"))


@pytest.mark.parametrize(
    ("quantity", "above", "at"),
    [("999", "9.99", "9.99"), ("1000", "10", "5"), ("1001", "5.005", "5.005")],
)
def test_volume_prices_all_units_at_the_rate_of_the_tier_reached(quantity: str, above: str, at: str) -> None:
    """999 x 0.01; 1000 x 0.01 = 10 (gt) or 1000 x 0.005 = 5 (gte); 1001 x 0.005 = 5.005."""
    assert amount(price("volume", *VOLUME), quantity) == above
    assert amount(price("volume", *VOLUME, operator="gte"), quantity) == at


def test_a_volume_price_that_falls_gives_back_what_the_units_before_paid_too_much() -> None:
    """One more than 1000: its own price 0.005, and the 1000 before now cost 5 instead of 10: -5.

    In all 0.005 - 5 = -4.995: the period's amount falls from 10 to 5.005.
    """
    assert pays(price("volume", *VOLUME), "1000", "1") == (["tier 1: 1 = 0.005"], "-5")
    assert pays(price("volume", *VOLUME, operator="gte"), "999", "1") == (["tier 1: 1 = 0.005"], "-4.995")


def test_a_volume_tier_brings_its_own_flat_and_leaves_the_one_before() -> None:
    """999 units: 7 + 9.99; 1001: 1 + 5.005, so two units from 999 pay 6.005 - 16.99 = -10.985.

    Their own price is 2 x 0.005 = 0.01, so the adjustment is -10.995.
    """
    flat = price("volume", Tier("0", "0.01", flat="7"), Tier("1000", "0.005", flat="1"))
    assert (amount(flat, "999"), amount(flat, "1001")) == ("16.99", "6.005")
    assert pays(flat, "999", "2") == (["tier 1: 2 = 0.01"], "-10.995")


def test_volume_counts_its_tiers_beyond_the_free_units() -> None:
    """100 free: at 1100 units 1000 x 0.01 = 10, at 1101 units 1001 x 0.005 = 5.005."""
    free = price("volume", *VOLUME, free="100")
    assert (amount(free, "1100"), amount(free, "1101")) == ("10", "5.005")
    assert pays(free, "50", "60") == (["free 0: 50 = 0", "tier 0: 10 = 0.1"], "0")


# --- package


@pytest.mark.parametrize(
    ("quantity", "total"),
    [
        ("0", "0"),
        ("1", "25"),
        ("999", "25"),
        ("1000", "25"),
        ("1000.5", "50"),
        ("1001", "50"),
        ("2000", "50"),
    ],
)
def test_a_package_is_paid_when_its_first_unit_is_used(quantity: str, total: str) -> None:
    """Packages of 1000 at 25: one up to 1000 units, two from the first bit beyond."""
    assert amount(price("package", Tier("0", "25", "1000")), quantity) == total


def test_package_lines_bill_the_packages_newly_begun() -> None:
    """From 900 by 99 or 100: within the first package. By 101: one more. By 1200, to 2100: two more."""
    packages = price("package", Tier("0", "25", "1000"))
    assert pays(packages, "900", "99") == (["package 0: 99 (0) = 0"], "0")
    assert pays(packages, "900", "100") == (["package 0: 100 (0) = 0"], "0")
    assert pays(packages, "900", "101") == (["package 0: 101 (1000) = 25"], "0")
    assert pays(packages, "900", "1200") == (["package 0: 1200 (2000) = 50"], "0")


def test_packages_begin_beyond_the_free_units() -> None:
    """1,000 free, packages of 1,000 at 25: unit 1001 begins the first, unit 2001 the second."""
    packages = price("package", Tier("0", "25", "1000"), free="1000")
    assert [amount(packages, units) for units in ("1000", "1001", "2000", "2001")] == ["0", "25", "25", "50"]
    assert pays(packages, "990", "20") == (["free 0: 10 = 0", "package 0: 10 (1000) = 25"], "0")


def test_a_package_may_hold_a_part_of_a_unit() -> None:
    """Packages of half a unit at 0.1: 1.2 units begin the third, 3 x 0.1."""
    assert amount(price("package", Tier("0", "0.1", "0.5")), "1.2") == "0.3"


# --- rounding

THIRD = Tier("0", "1", "3")


def test_a_rate_that_does_not_terminate_is_rounded_cumulatively() -> None:
    """1/3 + 1/3 + 1/3 is 1, not 0.999...: the events pay A(1) - A(0), A(2) - A(1), A(3) - A(2).

    A(1) = 0.333333333333333333 (down), A(2) = 0.666666666666666667 (up), A(3) = 1, so the middle one pays
    0.333333333333333334 and the last 0.333333333333333333.
    """
    third = price("graduated", THIRD)
    assert [pays(third, str(units), "1") for units in range(3)] == [
        (["tier 0: 1 = 0.333333333333333333"], "0"),
        (["tier 0: 1 = 0.333333333333333334"], "0"),
        (["tier 0: 1 = 0.333333333333333333"], "0"),
    ]


def test_tiers_that_do_not_terminate_are_summed_before_they_are_rounded() -> None:
    """One unit at 1/3, the next at 4/3: 5/3 = 1.666666666666666667, where rounding each gives ...666.

    The line of the second tier is A(2) - A(1) = 1.666666666666666667 - 0.333333333333333333.
    """
    tiers = price("graduated", THIRD, Tier("1", "4", "3"))
    assert amount(tiers, "2") == "1.666666666666666667"
    lines = ["tier 0: 1 = 0.333333333333333333", "tier 1: 1 = 1.333333333333333334"]
    assert pays(tiers, "0", "2") == (lines, "0")


def test_a_tie_goes_to_the_even_last_place() -> None:
    """Rate 0.5 on quantities of one, three and five atto: 0.5 -> 0, 1.5 -> 2, 2.5 -> 2 atto."""
    half = price("graduated", Tier("0", "0.5"))
    assert [half.amount(atto) for atto in (1, 3, 5)] == [0, 2, 2]


def test_an_odd_flat_turns_a_tie_and_the_adjustment_says_so() -> None:
    """1 atto at 0.5 and a flat of 1 atto: P = 1.5 -> 2 atto, of which the unit is 0.5 -> 0; the rest is 2."""
    flat = price("graduated", Tier("0", "0.5", flat="0.000000000000000001"))
    portions, adjustment, after = charge(flat, 0, 0, 1)
    assert ([portion.amount_atto for portion in portions], adjustment, after) == ([0], 2, 2)


# --- states that are not A(Q), and nothing


def test_the_adjustment_settles_what_the_period_has_paid_too_little() -> None:
    """A(10) = 0.1, but only 0.04 was paid: one more unit pays its 0.01 and the 0.06 that is missing."""
    assert pays(price("graduated", *TWO), "10", "1", "0.04") == (["tier 0: 1 = 0.01"], "0.06")


def test_nothing_counted_is_one_portion_of_nothing_where_the_next_unit_would_be() -> None:
    free = price("graduated", *FLAT, free="100")
    assert pays(free, "0", "0") == (["free 0: 0 = 0"], "0")
    assert pays(free, "99", "0") == (["free 0: 0 = 0"], "0")
    assert pays(free, "100", "0") == (["tier 0: 0 = 0"], "0")
    assert pays(free, "1100", "0") == (["tier 1: 0 = 0"], "0")
    assert pays(price("volume", *VOLUME), "0", "0") == (["tier 0: 0 = 0"], "0")
    assert pays(price("volume", *VOLUME), "1001", "0") == (["tier 1: 0 = 0"], "0")
    assert pays(price("package", Tier("0", "25", "1000")), "10", "0") == (["package 0: 0 (0) = 0"], "0")


def test_a_tier_at_no_price_is_a_price() -> None:
    """1000 at 0.01, whatever is beyond at 0: the period never costs more than 10."""
    capped = price("graduated", Tier("0", "0.01"), Tier("1000", "0"))
    assert amount(capped, "123456789") == "10"
    assert pays(capped, "999", "10") == (["tier 0: 1 = 0.01", "tier 1: 9 = 0"], "0")


def test_a_malformed_decimal_is_named() -> None:
    with pytest.raises(UsageError, match=r"bad_quantity: rate = '-1'"):
        price("graduated", Tier("0", "-1"))
