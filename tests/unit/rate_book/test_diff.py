"""Differences of two books: each price, from when, by how much."""

from dataclasses import replace

import pytest

from pricing.cards import (
    Assignment,
    BookContent,
    CardVersion,
    Cell,
    ContextKey,
    Contract,
    ExchangeRate,
    ModelAlias,
    Multiplier,
    Pool,
    PoolVersion,
    PriceCard,
    Rate,
    RateCard,
    Schedule,
    Step,
    Thresholds,
    Tier,
    Variant,
    Window,
    Zone,
)
from rate_book.diff import PriceChange, diff
from rate_book.places import Place, Value, number

MILLION = "1000000"
BATCH = ContextKey("processing", ("standard", "batch"), "standard")


def card(*versions: CardVersion) -> RateCard:
    return RateCard("p/m", "p", "USD", versions, models=("m",))


def book(*versions: CardVersion) -> BookContent:
    return BookContent(provider_cards=(card(*versions),))


def priced(rate: str, start: int | None = None, end: int | None = None, per: str = MILLION) -> CardVersion:
    return CardVersion(Cell((Rate("input_tokens", rate, per),)), start, end)


def only(old: BookContent, new: BookContent) -> PriceChange:
    (change,) = diff(old, new)
    return change


def test_the_same_book_differs_in_nothing() -> None:
    assert diff(book(priced("1")), book(priced("1"))) == ()


def test_a_rate_that_changes_from_an_instant_on() -> None:
    """3 -> 2.5 for a million: 0.5 less, a sixth of 3, 16.666... %."""
    change = only(book(priced("3")), book(priced("3", None, 100), priced("2.5", 100)))
    assert change == PriceChange(
        "provider card p/m",
        Place("", "", "input_tokens"),
        100,
        None,
        "3 per 1000000",
        "2.5 per 1000000",
        "-0.5 per 1000000",
        "-16.67",
    )


def test_the_same_price_for_another_number_of_units_is_no_change() -> None:
    assert diff(book(priced("3")), book(priced("0.003", per="1000"))) == ()


def test_the_difference_is_for_as_many_units_as_the_new_rate() -> None:
    """3 a million are 0.003 a thousand; 0.004 are 0.001 more, a third."""
    change = only(book(priced("3")), book(priced("0.004", per="1000")))
    assert (change.difference, change.percent) == ("+0.001 per 1000", "+33.33")


def test_from_nothing_there_is_no_percentage() -> None:
    change = only(book(priced("0")), book(priced("2")))
    assert (change.difference, change.percent) == ("+2 per 1000000", None)


def test_spans_of_the_same_change_are_one_and_others_are_told_apart() -> None:
    """Old: 1 for ever. New: 2 in [10, 20) and in [20, 30), 1 in [30, 40), nothing from 40 on."""
    new = book(priced("1", None, 10), priced("2", 10, 20), priced("2", 20, 30), priced("1", 30, 40))
    assert [(item.from_us, item.to_us, item.old, item.new) for item in diff(book(priced("1")), new)] == [
        (10, 30, "1 per 1000000", "2 per 1000000"),
        (40, None, "1 per 1000000", None),
    ]


def test_a_new_card_tells_its_names_and_its_prices() -> None:
    found = diff(BookContent(), book(priced("1")))
    assert {(item.what, item.place.item): item.new for item in found} == {
        ("provider card p/m", "input_tokens"): "1 per 1000000",
        ("provider card p/m: names", "provider"): "p",
        ("provider card p/m: names", "currency"): "USD",
        ("provider card p/m: names", "models"): "m",
    }
    assert all(item.old is None for item in found)


def test_steps_and_variants_have_places_and_what_they_inherit_changes_with_them() -> None:
    """Output 5 -> 6 below and (inherited) above 100, and in batch (inherited); input 4 -> 3 above 100."""

    def version(output: str, above: str) -> CardVersion:
        step = Step("100", (Rate("input_tokens", above),), inherit=("*",))
        cell = Cell((Rate("input_tokens", "2"), Rate("output_tokens", output)), Thresholds((step,)))
        batch = Variant((("processing", "batch"),), Cell((Rate("input_tokens", "1"),)), ("output_tokens",))
        return CardVersion(cell, context=(BATCH,), variants=(batch,))

    found = diff(book(version("5", "4")), book(version("6", "3")))
    above, batch = "input_tokens > 100", "processing=batch"
    assert {(item.place, item.old, item.new) for item in found} == {
        (Place("", "", "output_tokens"), "5", "6"),
        (Place("", above, "output_tokens"), "5", "6"),
        (Place("", above, "input_tokens"), "4", "3"),
        (Place(batch, "", "output_tokens"), "5", "6"),
        (Place(batch, above, "output_tokens"), "5", "6"),
    }


def test_what_a_version_says_beside_rates() -> None:
    night = Schedule("hours", "day", (Window("night", "22:00", "06:00"),))
    old = replace(priced("1"), multipliers=(Multiplier("eu", "1.1", (("region", "eu"),)),), minimum="0.01")
    new = replace(
        priced("1"),
        multipliers=(Multiplier("eu", "1.2", (("region", "eu"),)),),
        minimum="0.02",
        schedules=(night,),
    )
    found = {item.place: (item.old, item.new, item.difference) for item in diff(book(old), book(new))}
    assert found[Place("region=eu", "", "multiplier 1 eu")] == ("1.1", "1.2", "+0.1")
    assert found[Place("", "", "minimum")] == ("0.01", "0.02", "+0.01")
    assert found[Place("", "", "schedules")][0] is None
    assert len(found) == 3


def test_a_least_quantity_is_part_of_a_price() -> None:
    rate = Rate("audio_seconds", "1", minimum="10")
    old = book(CardVersion(Cell((replace(rate, minimum=None),))))
    change = only(old, book(CardVersion(Cell((rate,)))))
    assert (change.old, change.new, change.difference) == ("1", "1, at least 10", "+0")


def test_begun_packages_of_another_size_are_another_price() -> None:
    """1,500 units are two packages of 1,000 at 10, which is 20; one package of 2,000 at 20 is 20 as well, but
    500 units are 10 and 20.
    """

    def sold(tier: Tier) -> BookContent:
        pool = Pool("packs", "USD", (PoolVersion("package", (tier,)),))
        return BookContent(price_cards=(PriceCard("list", (), (pool,)),))

    change = only(sold(Tier("0", "10", "1000")), sold(Tier("0", "20", "2000")))
    assert change.what == "price card list, pool packs"
    assert (change.place.item, change.difference, change.percent) == ("rate", "+0 per 2000", "+0")
    assert (change.old, change.new) == ("10 per 1000, each begun 1000", "20 per 2000, each begun 2000")


def test_a_zone_that_both_books_have_differs_where_its_offset_does() -> None:
    """An hour east of UTC until 50, then two; the other data keep the one hour until 70."""
    old = BookContent(zones=(Zone("Europe/Berlin", ((0, 3600), (50, 7200))),))
    change = only(old, BookContent(zones=(Zone("Europe/Berlin", ((0, 3600), (70, 7200))),)))
    assert (change.what, change.place.item) == ("zone Europe/Berlin", "offset")
    assert (change.from_us, change.to_us) == (50, 70)
    assert (change.old, change.new) == ("7200 s east of UTC", "3600 s east of UTC")
    assert diff(BookContent(), old) == ()


PLAN = BookContent(
    price_cards=(
        PriceCard(
            "list",
            (replace(card(priced("1")), card_id="list/m"),),
            (
                Pool(
                    "words",
                    "USD",
                    (PoolVersion("graduated", (Tier("0", "2", "1000"), Tier("5000", "1", "1000"))),),
                ),
            ),
        ),
    ),
    contracts=(Contract("c", "USD", ("list",)),),
    assignments=(Assignment("acme", "c", None, 50), Assignment("acme", "d", 50)),
    aliases=(ModelAlias("p", "latest", "m"),),
    exchange=(ExchangeRate("EUR", "USD", "1.1"),),
)


@pytest.mark.parametrize(
    ("new", "told"),
    [
        (
            replace(PLAN, contracts=(Contract("c", "USD", ("list",), billing_period="month"),)),
            ("contract c", "billing_period", None, "calendar_month_utc", "month"),
        ),
        (
            replace(PLAN, assignments=(Assignment("acme", "c", None, 70), Assignment("acme", "d", 70))),
            ("assignment of customer acme", "assignment", 50, "d", "c"),
        ),
        (
            replace(
                PLAN, aliases=(ModelAlias("p", "latest", "m", None, 5), ModelAlias("p", "latest", "n", 5))
            ),
            ("alias p/latest", "alias", 5, "m", "n"),
        ),
        (
            replace(PLAN, exchange=(ExchangeRate("EUR", "USD", "1.21"),)),
            ("exchange EUR to USD", "exchange", None, "1.1", "1.21"),
        ),
        (replace(PLAN, units=("CREDIT",)), ("settings", "units", None, None, "CREDIT")),
        (
            replace(PLAN, price_cards=(replace(PLAN.price_cards[0], target_margin="0.3"),)),
            ("price card list", "target_margin", None, None, "0.3"),
        ),
    ],
)
def test_plans_contracts_and_rates_of_exchange(new: BookContent, told: tuple[object, ...]) -> None:
    change = only(PLAN, new)
    assert (change.what, change.place.item, change.from_us, change.old, change.new) == told


def test_the_rates_of_a_pool_by_tier() -> None:
    """From 90 on the second tier costs 0.5 a thousand in place of 1: half."""
    (price_card,) = PLAN.price_cards
    (pool,) = price_card.pools
    (version,) = pool.versions
    cheaper = replace(version, tiers=(version.tiers[0], Tier("5000", "0.5", "1000")), valid_from_us=90)
    pools = (replace(pool, versions=(replace(version, valid_to_us=90), cheaper)),)
    change = only(PLAN, replace(PLAN, price_cards=(replace(price_card, pools=pools),)))
    assert (change.what, change.place) == ("price card list, pool words", Place("", "> 5000", "rate"))
    assert (change.from_us, change.old, change.new) == (90, "1 per 1000", "0.5 per 1000")
    assert (change.difference, change.percent) == ("-0.5 per 1000", "-50")


def test_a_rate_that_does_not_end_is_rounded_in_the_difference_only() -> None:
    """1/3 -> 2/3: a third more, 0.333... to 18 places, and 100 % more."""
    change = only(book(priced("1", per="3")), book(priced("2", per="3")))
    assert (change.difference, change.percent) == ("+1 per 3", "+100")
    change = only(book(priced("1", per="3")), book(priced("1", per="1")))
    assert change.difference == "+0.666666666666666667"


def test_values_are_the_same_price_by_number_and_rest() -> None:
    assert number("2", "1000") == number("0.002")
    assert number("2") != number("2", rest=", at least 3")
    assert Value("a") != Value("b")
    assert hash(number("2", "1000")) == hash(number("0.002"))
