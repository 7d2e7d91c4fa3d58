"""Voids and the re-rate of a period, each sum by hand."""

import pytest

from pricing.cards import (
    Assignment,
    BookContent,
    CardVersion,
    Cell,
    Contract,
    Pool,
    PoolVersion,
    PriceCard,
    Rate,
    RateCard,
    Tier,
)
from pricing.compile import compile_book
from pricing.compiled import LineTemplate
from pricing.corrections import PeriodRun, close, prices_in, replaced, reversal, shares, void
from pricing.money import ATTO, format_atto
from pricing.pools import PoolPrice
from pricing.rate import Call, Line, PoolState, Rating, Side, rate
from tests.unit.pricing.pooled import EMPTY, POOL, START_US, TIER, Period, rated

TIERS = PoolPrice(PoolVersion("graduated", (Tier("0", "0.01"), Tier("1000", "0.008"))))
VOLUME = PoolPrice(PoolVersion("volume", (Tier("0", "0.01"), Tier("1000", "0.005"))))
CHEAPER = PoolPrice(PoolVersion("graduated", (Tier("0", "0.009"), Tier("1000", "0.007"))))


def held(period: Period) -> tuple[str, str]:
    """The live quantity and amount; what was written for the period sums to that amount."""
    assert period.written_atto == period.live.amount_atto
    return format_atto(period.live.quantity_atto), format_atto(period.live.amount_atto)


def words(rating: Rating) -> list[str]:
    return [
        f"{line.side} {line.meter}: {format_atto(line.quantity_atto)} = {format_atto(line.amount_atto or 0)}"
        for line in rating.lines
    ]


def test_a_void_of_the_last_event_negates_its_lines() -> None:
    """900 at 0.01 = 9, then 200 more: 100 x 0.01 + 100 x 0.008 = 1.8. Without them it is 9 again."""
    period = Period()
    period.rate(TIERS, 900 * ATTO)
    period.rate(TIERS, 200 * ATTO)
    undone = period.void(TIERS, 1)
    assert words(undone) == [
        "cost input_tokens: -200 = -400",
        "price input_tokens: -100 = -1",
        "price input_tokens: -100 = -0.8",
    ]
    assert (undone.cost, undone.price) == (
        Side("priced", -400 * ATTO, "USD"),
        Side("priced", -18 * ATTO // 10, "USD"),
    )
    assert undone.leaves == (("input_tokens", -200 * ATTO),)
    assert held(period) == ("900", "9")


def test_a_void_of_an_earlier_event_adjusts_what_the_later_ones_would_have_paid() -> None:
    """900 paid 9 and 200 paid 1.8. Without the 900 the 200 cost 2 in the first tier: 0.2 more.

    The void is -9 + 0.2 = -8.8.
    """
    period = Period()
    period.rate(TIERS, 900 * ATTO)
    period.rate(TIERS, 200 * ATTO)
    undone = period.void(TIERS, 0)
    assert words(undone)[1:] == ["price input_tokens: -900 = -9", "price tier_adjustment: 0 = 0.2"]
    assert undone.price.amount_atto == -88 * ATTO // 10
    assert held(period) == ("200", "2")
    assert (undone.pools_before[0].quantity_atto, undone.pools_after[0].quantity_atto) == (
        1100 * ATTO,
        200 * ATTO,
    )


def test_a_void_takes_a_volume_price_back_to_the_tier_below() -> None:
    """1000 paid 10; one more paid 0.005 - 5. Without the first 1000 one unit costs 0.01.

    What is left of the amounts is -4.995, so 5.005 are to be paid.
    """
    period = Period()
    period.rate(VOLUME, 1000 * ATTO)
    period.rate(VOLUME, 1 * ATTO)
    undone = period.void(VOLUME, 0)
    assert words(undone)[1:] == ["price input_tokens: -1000 = -10", "price tier_adjustment: 0 = 5.005"]
    assert held(period) == ("1", "0.01")


def test_voids_of_everything_leave_nothing() -> None:
    """1000 pay 10, 1 pays 0.005 - 5; in this order the voids are -10 + 5.005 and 4.995 - 5.005."""
    period = Period()
    for units in (1000, 1):
        period.rate(VOLUME, units * ATTO)
    period.void(VOLUME, 0)
    undone = period.void(VOLUME, 0)
    assert words(undone)[1:] == [
        "price input_tokens: -1 = -0.005",
        "price tier_adjustment: 0 = 5",
        "price tier_adjustment: 0 = -5.005",
    ]
    assert held(period) == ("0", "0")


def test_a_void_negates_billed_quantities_too() -> None:
    """Packages of 1000 at 25: the first event paid for one that the second, which stays, uses as well."""
    packages = PoolPrice(PoolVersion("package", (Tier("0", "25", "1000"),)))
    period = Period()
    period.rate(packages, ATTO)
    period.rate(packages, ATTO)
    undone = period.void(packages, 0)
    assert [(line.quantity_atto, line.billed_atto, line.amount_atto) for line in undone.lines[1:]] == [
        (-ATTO, -1000 * ATTO, -25 * ATTO),
        (0, None, 25 * ATTO),
    ]
    assert held(period) == ("1", "25")


def test_a_reversal_leaves_unpriced_what_is_unpriced() -> None:
    unpriced = LineTemplate("price", "output_tokens", "unpriced", "by hand")
    record = Rating(
        Side("unpriced", None, None),
        Side("partial", 3, "USD"),
        (Line(TIER, 3, 3), Line(unpriced, 5, None)),
        (("input_tokens", 3), ("output_tokens", 5)),
        (0, 1),
    )
    undone = reversal(record)
    assert (undone.cost, undone.price) == (Side("unpriced", None, None), Side("partial", -3, "USD"))
    assert undone.lines == (Line(TIER, -3, -3), Line(unpriced, -5, None))
    assert (undone.pools_before, undone.pools_after) == ((), ())


def test_a_record_without_a_pool_is_voided_by_its_reversal_alone() -> None:
    record = rated(TIERS, ATTO)._replace(pools_before=(), pools_after=())
    assert void(record, lambda *_: (0, 0), lambda _: TIERS) == reversal(record)


def test_shares_are_what_the_record_moved() -> None:
    before = EMPTY._replace(quantity_atto=900 * ATTO, amount_atto=9 * ATTO)
    assert shares(rated(TIERS, 200 * ATTO, before)) == (
        EMPTY._replace(quantity_atto=200 * ATTO, amount_atto=18 * ATTO // 10),
    )


def test_a_re_rate_of_a_period_replaces_each_record_and_needs_no_adjustment_when_nothing_came_between() -> (
    None
):
    """900 x 0.009 = 8.1; 100 x 0.009 + 100 x 0.007 = 1.6. In all 9.7, instead of 9 + 1.8."""
    period = Period()
    period.rate(TIERS, 900 * ATTO)
    period.rate(TIERS, 200 * ATTO)
    run = PeriodRun()
    period.replace(run, CHEAPER, 0)
    period.replace(run, CHEAPER, 1)
    assert [format_atto(record.price.amount_atto or 0) for record in period.records] == ["8.1", "1.6"]
    assert period.close(CHEAPER) is None
    assert held(period) == ("1100", "9.7")
    assert run.periods() == (EMPTY._replace(quantity_atto=1100 * ATTO, amount_atto=97 * ATTO // 10),)


def test_the_end_of_a_re_rate_settles_what_arrived_meanwhile() -> None:
    """900 paid 9. While the run replaces them by 8.1, 200 arrive and pay the new price of 1100 less the 9.

    A_new(1100) = 9 + 0.7 = 9.7, so they pay 0.7. The run gives 0.9 back: 8.8 stand for 9.7, 0.9 are owed.
    """
    period = Period()
    period.rate(TIERS, 900 * ATTO)
    period.rate(CHEAPER, 200 * ATTO)
    assert period.records[1].price.amount_atto == 7 * ATTO // 10
    run = PeriodRun()
    period.replace(run, CHEAPER, 0)
    line = period.close(CHEAPER)
    assert line is not None
    assert (line.side, line.meter, line.quantity_atto, line.rate, line.status) == (
        "price",
        "tier_adjustment",
        0,
        None,
        "priced",
    )
    assert (format_atto(line.amount_atto or 0), line.currency) == ("0.9", "USD")
    assert held(period) == ("1100", "9.7")


def test_a_call_that_leaves_one_period_for_another_moves_both() -> None:
    """In the new book the call belongs to the period that begins at 10: 5 leave the old one, 5 enter it."""
    old = rated(TIERS, 5 * ATTO)
    elsewhere = PoolState(POOL, 10, 20, 0, 0, "USD")
    new = rated(CHEAPER, 5 * ATTO, elsewhere)
    live = {START_US: (8 * ATTO, 8 * ATTO // 100), 10: (1 * ATTO, 9 * ATTO // 1000)}
    left, entered = replaced(old, new, lambda _pool, start_us: live[start_us])
    assert left == EMPTY._replace(quantity_atto=3 * ATTO, amount_atto=3 * ATTO // 100)
    assert entered == elsewhere._replace(quantity_atto=6 * ATTO, amount_atto=54 * ATTO // 1000)


def test_close_writes_nothing_where_nothing_is_owed_and_one_object_for_lines_alike() -> None:
    exact = EMPTY._replace(quantity_atto=10 * ATTO, amount_atto=ATTO // 10)
    assert close(exact, TIERS) == (None, exact)
    first, _ = close(exact._replace(amount_atto=0), TIERS)
    second, _ = close(exact._replace(amount_atto=ATTO), TIERS)
    assert first is not None
    assert second is not None
    assert first.template is second.template
    assert (first.amount_atto, second.amount_atto) == (ATTO // 10, -9 * ATTO // 10)


def book_with(version: PoolVersion, *more: PoolVersion) -> BookContent:
    """Input and output of model m at one pool, for everybody."""
    rates = (Rate("input_tokens", pool="tokens"), Rate("output_tokens", pool="tokens"))
    card = RateCard("m", None, "USD", (CardVersion(Cell(rates)),), ("m",))
    pool = Pool("tokens", "USD", (version, *more))
    return BookContent(
        price_cards=(PriceCard("list", (card,), (pool,)),),
        contracts=(Contract("contract", "USD", ("list",)),),
        assignments=(Assignment("*", "contract"),),
    )


def test_what_rate_has_written_is_voided_and_re_rated() -> None:
    """Two calls of 600 in and 100 out: 700 at 0.01 = 7, then 300 at 0.01 and 400 at 0.008: 3 + 3.2 = 6.2.

    The first one voided: -7, and 0.8 more for the 400 that are now in the first tier: 700 cost 7. The second
    re-rated: 700 x 0.009 = 6.3 for 6.2; that makes 7.1, and the end of the run gives the 0.8 back.
    """
    old = book_with(TIERS.version)
    book = compile_book(old, 1, "hash")
    call = Call("c", "p", "m", 0, {"input_tokens": "600", "output_tokens": "100"})
    first = rate(book, call)
    second = rate(book, call, lambda _pool, _start_us: first.pools_after[0][3:5])
    assert [record.price.amount_atto for record in (first, second)] == [7 * ATTO, 62 * ATTO // 10]
    undone = void(first, lambda _pool, _start_us: second.pools_after[0][3:5], prices_in(old))
    assert undone.price.amount_atto == -62 * ATTO // 10
    assert sum(line.amount_atto or 0 for line in undone.lines) == -62 * ATTO // 10
    assert undone.pools_after[0][3:5] == (700 * ATTO, 7 * ATTO)
    new = book_with(CHEAPER.version)
    run = PeriodRun()
    again = rate(compile_book(new, 2, "hash"), call, run.pools)
    run.add(again)
    (live,) = replaced(second, again, lambda _pool, _start_us: undone.pools_after[0][3:5])
    assert live[3:5] == (700 * ATTO, 71 * ATTO // 10)  # 7 - 6.2 + 6.3
    line, live = close(live, prices_in(new)(live))
    assert (line and line.amount_atto, live[3:5]) == (-8 * ATTO // 10, (700 * ATTO, 63 * ATTO // 10))
    assert run.periods() == (live,)


def test_prices_are_those_of_the_version_in_force_when_the_period_begins() -> None:
    """One version until 10, another from 10 until 20, then none; and a pool that the book does not have."""
    until = PoolVersion("graduated", (Tier("0", "1"),), valid_to_us=10)
    after = PoolVersion("graduated", (Tier("0", "2"),), valid_from_us=10, valid_to_us=20)
    price_of = prices_in(book_with(until, after))
    at = [price_of(EMPTY._replace(start_us=start_us)).version for start_us in (0, 9, 10, 19)]
    assert at == [until, until, after, after]
    with pytest.raises(ValueError, match=r"pool list/tokens: no prices at 1970-01-01T00:00:00.000020Z"):
        price_of(EMPTY._replace(start_us=20))
    with pytest.raises(ValueError, match="pool list/images: no prices"):
        price_of(EMPTY._replace(pool="list/images"))
