"""The parts of a price against the oracle's: billed quantities, P(Q), billing periods and schedules."""

from fractions import Fraction
from functools import cache
from typing import Any, get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.calendar import BillingCalendar, CompiledSchedule, ZoneTable, zones
from pricing.cards import BillingUnit, PoolVersion, Rate, Schedule, Shape, Tier, TileRule, Window
from pricing.money import ATTO, format_atto
from pricing.pools import PoolPrice, charge
from pricing.quantity import QuantityRule
from pricing.quantity import billed as ours_billed
from rate_book.zones import resolve
from tests.oracle.amounts import billed, period_price, rounded
from tests.oracle.cells import Price
from tests.oracle.times import instant_us, local_of, period_of, schedule_value

ATTO_SMALL = 10**15  # quantities of three places are enough to stand between and on every boundary

decimals = st.integers(1, 10**6).map(lambda n: format_atto(n * ATTO_SMALL))
whole_numbers = st.integers(1, 2000).map(str)
quantities = st.one_of(st.integers(0, 3000).map(lambda n: n * ATTO), st.integers(0, 3 * 10**21))


@given(
    quantities,
    st.one_of(st.none(), decimals, whole_numbers),
    st.one_of(st.none(), decimals, whole_numbers),
)
def test_minimum_and_increment(quantity: int, minimum: str | None, increment: str | None) -> None:
    """A billed quantity is that of the oracle, no less than was counted, and 0 for 0."""
    rule = QuantityRule.of(Rate("m", "1", minimum=minimum, increment=increment))
    theirs = billed(
        Price(minimum=Fraction(minimum or 0), increment=Fraction(increment or 0)),
        Fraction(quantity, ATTO),
        {},
    )
    ours = quantity if rule is None else ours_billed(rule, quantity, {})
    assert isinstance(ours, int)
    assert theirs == Fraction(ours, ATTO)
    assert ours >= quantity
    assert (ours == 0) == (quantity == 0)


sizes = st.tuples(st.integers(1, 5000), st.integers(1, 5000))


@given(
    st.lists(sizes, min_size=1, max_size=4),
    st.sampled_from(["low", "high", None, "auto"]),
    st.sampled_from([-1, 0, 0, 0]),
    st.sampled_from([None, "100", "7.5"]),
)
def test_tiles(
    images: list[tuple[int, int]], detail: str | None, missing: int, increment: str | None
) -> None:
    """Images become the oracle's tokens; what does not say enough is refused by both."""
    said = {"low": "85", "base": "85", "tile": "170", "tile_px": "512", "fit_px": "2048", "short_px": "768"}
    context = {"image_sizes": ",".join(f"{width}x{height}" for width, height in images[missing:] or images)}
    if detail is not None:
        context["image_detail"] = detail
    rule = QuantityRule.of(Rate("m", "1", tiles=TileRule("85", "85", "170"), increment=increment))
    assert rule is not None
    price = Price(tiles=said, increment=Fraction(increment or 0))
    theirs = billed(price, Fraction(len(images)), context)
    ours = ours_billed(rule, len(images) * ATTO, context)
    assert (Fraction(ours, ATTO) if isinstance(ours, int) else None) == theirs


@st.composite
def pool_texts(draw: st.DrawFn) -> dict[str, Any]:
    """A pool version in the words of YAML."""
    shape = draw(st.sampled_from(get_args(Shape)))
    count = 1 if shape == "package" else draw(st.integers(1, 4))
    starts = sorted({0, *draw(st.lists(st.integers(1, 40), min_size=count - 1, max_size=count - 1))})
    per = draw(st.sampled_from(["1", "3", "7", "10", "1000"]))
    tiers = [
        {
            "start": str(start),
            "rate": f"{draw(st.integers(0, 900).map(lambda n: format_atto(n * ATTO // 100)))} per {per}",
        }
        for start in starts
    ]
    for tier in tiers:
        if shape != "package" and draw(st.booleans()):
            tier["flat"] = str(draw(st.integers(0, 9)))
    return {
        "shape": shape,
        "free": str(draw(st.sampled_from([0, 0, 5, 20]))),
        "operator": draw(st.sampled_from(["gt", "gte"])),
        "tiers": tiers,
    }


def pool_of(said: dict[str, Any]) -> PoolPrice:
    tiers = []
    for tier in said["tiers"]:
        rate, _, per = tier["rate"].partition(" per ")
        tiers.append(Tier(tier["start"], rate, per, tier.get("flat", "0")))
    return PoolPrice(PoolVersion(said["shape"], tuple(tiers), said["free"], said["operator"]))


def atto_of(amount: Fraction) -> int:
    exact = rounded(amount) * ATTO
    assert exact.denominator == 1
    return exact.numerator


# On, beside and between the starts of tiers, in whole units and in fractions of them.
units = st.one_of(st.integers(0, 70).map(lambda n: n * ATTO), st.integers(0, 70 * ATTO))


@given(pool_texts(), st.lists(units, max_size=8))
def test_a_period_costs_p_of_its_quantity(said: dict[str, Any], shares: list[int]) -> None:
    """In any parts: what the events pay is A(Q), and what their lines say is what they pay."""
    price = pool_of(said)
    quantity = amount = 0
    for share in shares:
        portions, adjustment, after = charge(price, quantity, amount, share)
        assert sum(portion.amount_atto for portion in portions) + adjustment == after - amount
        assert sum(portion.quantity_atto for portion in portions) == share
        quantity, amount = quantity + share, after
        assert amount == atto_of(period_price(said, Fraction(quantity, ATTO))) == price.amount(quantity)


@given(pool_texts(), units, units)
def test_graduated_and_package_prices_never_fall(said: dict[str, Any], one: int, other: int) -> None:
    if said["shape"] == "volume":
        return
    price = pool_of(said)
    assert price.amount(min(one, other)) <= price.amount(max(one, other))


@given(pool_texts(), st.lists(units, min_size=1, max_size=6), st.data())
def test_the_order_within_a_period_changes_no_total(
    said: dict[str, Any], shares: list[int], data: st.DataObject
) -> None:
    price = pool_of(said)
    totals = set()
    for order in (shares, data.draw(st.permutations(shares))):
        quantity = amount = 0
        for share in order:
            _, _, amount = charge(price, quantity, amount, share)
            quantity += share
        totals.add(amount)
    assert len(totals) == 1


ZONES = (
    *("UTC", "+05:30", "-03:30", "America/New_York", "Europe/Berlin", "Asia/Shanghai", "Australia/Lord_Howe"),
    *(
        "America/Havana",
        "Asia/Beirut",
        "Africa/Cairo",
        "Pacific/Apia",
        "America/Sao_Paulo",
        "Pacific/Chatham",
    ),
)
DAY_US = 86_400_000_000
HOUR_US = DAY_US // 24


def table(zone: str) -> ZoneTable:
    """The zone as a book has it."""
    return zones(resolve([zone]))(zone)


@cache
def edges(zone: str) -> tuple[int, ...]:
    """Instants at which the zone's clock changes in 2010 to 2040; of the others, the beginnings of years."""
    years = tuple(instant_us(f"{year}-01-01T00:00:00+00:00") for year in range(2010, 2041))
    changes = (at for known in resolve([zone]) for at, _ in known.transitions)
    return tuple(at for at in changes if years[0] <= at < years[-1]) + years


@st.composite
def instants(draw: st.DrawFn, zone: str) -> int:
    """Any instant from 2010 to 2040, half of them within a day of a change of the clock."""
    at = draw(st.sampled_from(edges(zone)))
    if draw(st.booleans()):
        return at + draw(st.integers(-30, 30)) * HOUR_US + draw(st.sampled_from([-1, 0, 0, 1, HOUR_US // 2]))
    return at + draw(st.integers(0, 365 * DAY_US))


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from(ZONES), st.sampled_from(get_args(BillingUnit)))
def test_billing_periods(data: st.DataObject, zone: str, unit: BillingUnit) -> None:
    """The periods of the standard library's zones, at clock changes too; each holds its instant."""
    at_us = data.draw(instants(zone))
    anchor = data.draw(st.integers(1, 7 if unit == "week" else 31)) if unit != "day" else 1
    zone = "UTC" if unit == "calendar_month_utc" else zone
    anchor = 1 if unit == "calendar_month_utc" else anchor
    start, end = BillingCalendar(unit, anchor, table(zone)).period(at_us)
    contract = {"billing_period": unit, "anchor_day": str(anchor), "zone": zone}
    assert (start, end) == period_of(contract, at_us)
    assert start <= at_us < end


clocks = st.integers(0, 47).map(lambda half: f"{half // 2:02}:{half % 2 * 30:02}")
DAY_NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun", "holiday")


@settings(max_examples=300, deadline=None)
@given(
    st.data(),
    st.sampled_from(ZONES),
    clocks,
    st.one_of(clocks, st.just("24:00")),
    st.lists(st.sampled_from(DAY_NAMES), unique=True, max_size=4),
)
def test_schedules(data: st.DataObject, zone: str, begin: str, end: str, days: list[str]) -> None:
    """The value of an hour, a weekday and a holiday on the wall clock of the zone."""
    at_us = data.draw(instants(zone))
    holidays = data.draw(
        st.lists(st.integers(-1, 1).map(lambda n: local_of(at_us + n * DAY_US, zone).date().isoformat()))
    )
    schedule = Schedule(
        "hours", "off", (Window("on", begin, end, tuple(days)),), zone, tuple(sorted(set(holidays)))
    )
    said: dict[str, Any] = {"key": "hours", "default": "off", "zone": zone, "holidays": holidays}
    said["windows"] = [{"value": "on", "from": begin, "to": end, "days": days}]
    assert CompiledSchedule(schedule, table(zone)).value_at(at_us) == schedule_value(said, at_us)
