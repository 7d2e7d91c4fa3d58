"""Laws of prices over a period: exact totals whatever the order, the split, the voids and the re-rates.

What each should be comes from the definition of P(Q), written down a second time, with fractions.
"""

from fractions import Fraction
from itertools import pairwise
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from pricing.cards import Operator, PoolVersion, Shape, Tier
from pricing.corrections import PeriodRun
from pricing.money import ATTO, format_atto
from pricing.pools import PoolPrice, charge
from tests.unit.pricing.pooled import Period

SHAPES: tuple[Shape, ...] = ("graduated", "volume", "package")
OPERATORS: tuple[Operator, ...] = ("gt", "gte")
PERS = ("1", "3", "7", "0.9", "1000", "1000000")

rates = st.one_of(st.integers(0, 10 * ATTO), st.integers(0, 10**6), st.just(ATTO)).map(format_atto)
flats = st.one_of(st.just(0), st.just(0), st.integers(0, 5), st.integers(0, 5 * ATTO)).map(format_atto)
units = st.one_of(
    st.integers(0, 40).map(lambda whole: whole * ATTO), st.integers(0, 30 * ATTO), st.integers(0, 9)
)
"""Quantities in atto that meet the starts, miss them by little, and are mostly no whole numbers."""


@st.composite
def versions(draw: st.DrawFn) -> PoolVersion:
    shape = draw(st.sampled_from(SHAPES))
    count = 1 if shape == "package" else draw(st.integers(1, 4))
    starts = [0, *sorted(draw(st.sets(units.filter(bool), min_size=count - 1, max_size=count - 1)))]
    tiers = [
        Tier(format_atto(start), draw(rates), draw(st.sampled_from(PERS)), draw(flats)) for start in starts
    ]
    free = draw(st.one_of(st.just(0), units))
    return PoolVersion(shape, tuple(tiers), format_atto(free), draw(st.sampled_from(OPERATORS)))


def total(version: PoolVersion, quantity_atto: int) -> int:
    """A(Q) in atto by the definition of P(Q)."""
    beyond = Fraction(quantity_atto, ATTO) - Fraction(version.free)
    if beyond <= 0:
        return 0
    starts = [Fraction(tier.start) for tier in version.tiers]
    reached = [
        tier
        for number, (tier, start) in enumerate(zip(version.tiers, starts, strict=True))
        if number == 0 or beyond > start or (version.operator == "gte" and beyond == start)
    ]
    last = reached[-1]
    if version.shape == "package":
        price = ceil(beyond / Fraction(last.per)) * Fraction(last.rate) + Fraction(last.flat)
    elif version.shape == "volume":
        price = beyond * Fraction(last.rate) / Fraction(last.per) + Fraction(last.flat)
    else:
        ends = [*starts[1:], max(beyond, starts[-1])]
        price = sum((Fraction(tier.flat) for tier in reached), Fraction(0))
        for tier, start, end in zip(version.tiers, starts, ends, strict=True):
            within = max(Fraction(0), min(beyond, end) - start)
            price += within * Fraction(tier.rate) / Fraction(tier.per)
    return round(price * ATTO)  # of a fraction, half to even


@given(versions(), units)
def test_the_amount_is_the_price_of_the_quantity_rounded_once(version: PoolVersion, quantity: int) -> None:
    assert PoolPrice(version).amount(quantity) == total(version, quantity)


@given(versions(), st.lists(units, max_size=8))
def test_the_events_of_a_period_sum_to_its_price_in_any_order(
    version: PoolVersion, quantities: list[int]
) -> None:
    price = PoolPrice(version)
    whole = sum(quantities)
    for ordered in (quantities, sorted(quantities), sorted(quantities, reverse=True), [whole]):
        held = amount = 0
        for quantity in ordered:
            portions, adjustment, after = charge(price, held, amount, quantity)
            assert sum(portion.amount_atto for portion in portions) + adjustment == after - amount
            assert sum(portion.quantity_atto for portion in portions) == quantity
            held, amount = held + quantity, after
        assert (held, amount) == (whole, total(version, whole))


@given(versions(), units, units)
def test_portions_lie_side_by_side_at_their_own_rate(
    version: PoolVersion, before: int, quantity: int
) -> None:
    """Each portion's amount is its quantity (a package: as billed) at its tier's rate, to one atto."""
    portions = PoolPrice(version).portions(before, quantity)
    assert all(portion.quantity_atto > 0 for portion in portions) or len(portions) == 1
    assert [portion.kind == "free" for portion in portions[1:]] == [False] * (len(portions) - 1)
    assert all(a.tier < b.tier for a, b in pairwise(portions) if a.kind == "tier")
    for portion in portions:
        tier = version.tiers[portion.tier]
        bill = portion.quantity_atto if portion.billed_atto is None else portion.billed_atto
        rate = Fraction(0) if portion.kind == "free" else Fraction(tier.rate) / Fraction(tier.per)
        assert abs(portion.amount_atto - bill * rate) <= 1
        assert (portion.billed_atto is not None) == (portion.kind == "package")


@given(versions(), units, units)
def test_only_a_volume_price_ever_falls(version: PoolVersion, before: int, quantity: int) -> None:
    price = PoolPrice(version)
    if version.shape != "volume":
        assert price.amount(before) <= price.amount(before + quantity)


@given(versions(), units)
def test_without_flats_and_volume_there_is_nothing_to_adjust(version: PoolVersion, quantity: int) -> None:
    plain = PoolVersion(
        "graduated" if version.shape == "volume" else version.shape,
        tuple(Tier(tier.start, tier.rate, tier.per) for tier in version.tiers),
        version.free,
        version.operator,
    )
    price = PoolPrice(plain)
    assert charge(price, quantity, price.amount(quantity), quantity)[1] == 0


@given(versions(), st.lists(units, min_size=1, max_size=6), st.data())
def test_after_voids_of_any_events_in_any_order_the_rest_has_its_price(
    version: PoolVersion, quantities: list[int], data: st.DataObject
) -> None:
    """Voids and events that arrive in between: what is live is what was never voided, at P of its sum."""
    price = PoolPrice(version)
    period = Period()
    waiting = list(quantities)
    live: list[int] = []
    for _ in range(2 * len(quantities)):
        if waiting and (not live or data.draw(st.booleans(), "arrives")):
            live.append(waiting.pop())
            period.rate(price, live[-1])
        elif live:
            index = data.draw(st.integers(0, len(live) - 1), "voided")
            live.pop(index)
            period.void(price, index)
        assert period.live.quantity_atto == sum(live)
        assert period.live.amount_atto == period.written_atto == total(version, sum(live))


@given(versions(), versions(), st.lists(units, min_size=1, max_size=6), st.data())
def test_a_re_rate_ends_at_the_new_price_whatever_arrived_meanwhile(
    old: PoolVersion, new: PoolVersion, quantities: list[int], data: st.DataObject
) -> None:
    """Between its steps events arrive, at the old price or the new one, and any record is voided."""
    before, after = PoolPrice(old), PoolPrice(new)
    period = Period()
    for quantity in quantities:
        period.rate(before, quantity)
    run = PeriodRun()
    planned = list(period.records)
    ran: list[int] = []
    for record in planned:
        twist = data.draw(st.sampled_from(("nothing", "event", "void")), "meanwhile")
        price = data.draw(st.sampled_from((before, after)), "in force")
        if twist == "event":
            period.rate(price, data.draw(units, "arrives"))
        elif twist == "void" and period.records:
            period.void(price, data.draw(st.integers(0, len(period.records) - 1), "voided"))
        place = [index for index, current in enumerate(period.records) if current is record]
        if place:  # a record that was voided meanwhile is no longer the run's
            period.replace(run, after, place[0])
            ran.append(record.leaves[0][1])
        assert period.live.amount_atto == period.written_atto
    assert run.pools(period.live.pool, period.live.start_us) == (sum(ran), total(new, sum(ran)))
    period.close(after)
    left = sum(record.leaves[0][1] for record in period.records)
    assert period.live.quantity_atto == left
    assert period.live.amount_atto == period.written_atto == total(new, left)
