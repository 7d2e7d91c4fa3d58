"""What a new book changes, and the first instant of it."""

from dataclasses import replace
from typing import Any

import pytest

from pricing.cards import (
    Assignment,
    BookContent,
    CardVersion,
    Cell,
    Contract,
    ExchangeRate,
    ModelAlias,
    ModelPrefix,
    Multiplier,
    NotBilled,
    Pool,
    PoolVersion,
    PriceCard,
    Rate,
    RateCard,
    Schedule,
    Tier,
    Window,
    Zone,
)
from pricing.meters import MeterDefinition
from rate_book.changes import Change, changes


def version(rate: str, start: int | None = None, end: int | None = None) -> CardVersion:
    return CardVersion(Cell((Rate("input_tokens", rate),)), start, end)


def card(*versions: CardVersion, card_id: str = "p/m", models: tuple[str, ...] = ("m",)) -> RateCard:
    return RateCard(card_id, "p", "USD", versions, models=models)


def costs(*cards: RateCard) -> BookContent:
    return BookContent(provider_cards=cards)


def sold(*versions: CardVersion, assignments: tuple[Assignment, ...]) -> BookContent:
    return BookContent(
        price_cards=(PriceCard("list", (card(*versions),)),),
        contracts=(Contract("c", "USD", ("list",)), Contract("d", "USD", ("list",))),
        assignments=assignments,
    )


ONE = costs(card(version("1")))


@pytest.mark.parametrize(
    ("new", "from_us"),
    [
        # the price changes at 100: the old version ends there, the new one begins
        (costs(card(version("1", None, 100), version("2", 100))), 100),
        # the price ends at 100
        (costs(card(version("1", None, 100))), 100),
        # another price since ever
        (costs(card(version("2"))), None),
        # a gap between 100 and 200
        (costs(card(version("1", None, 100), version("1", 200))), 100),
        # a new card from 300
        (costs(card(version("1")), card(version("9", 300), card_id="p/n", models=("n",))), 300),
        # another name for the card: as far back as its prices go
        (costs(card(version("1"), models=("m", "n"))), None),
        # the card is gone
        (costs(), None),
    ],
)
def test_a_provider_card_changes_from_the_first_instant_that_prices_differently(
    new: BookContent, from_us: int | None
) -> None:
    assert [change.from_us for change in changes(ONE, new)] == [from_us] * len(changes(ONE, new))
    assert changes(ONE, new)
    assert [change.from_us for change in changes(new, ONE)][:1] == [from_us]


def test_a_past_version_that_stays_is_no_change_and_a_later_change_is_dated_later() -> None:
    old = costs(card(version("1", None, 100), version("2", 100)))
    new = costs(card(version("1", None, 100), version("2", 100, 500), version("3", 500)))
    assert changes(old, new) == (Change("provider card p/m", 500),)


def test_a_line_names_the_start_of_its_version_so_a_split_version_changes_from_the_split() -> None:
    assert changes(ONE, costs(card(version("1", None, 700), version("1", 700)))) == (
        Change("provider card p/m", 700),
    )


def test_remarks_and_dimensions_change_no_price_and_ignored_keys_and_meters_change_all() -> None:
    remarked = costs(card(replace(version("1"), source="price page", accepted=(("gap", "so it is"),))))
    remarked = replace(remarked, units=("CREDIT",))
    assert changes(ONE, replace(remarked, dimensions=("model",))) == ()
    assert changes(ONE, replace(ONE, context_ignored=("region",))) == (Change("settings", None),)
    meter = MeterDefinition("tiles", (("family", "tiles"),))
    assert changes(ONE, replace(ONE, meters=(meter,))) == (Change("settings", None),)


def test_a_price_card_changes_only_while_a_contract_that_sells_it_is_assigned() -> None:
    """The price changes at 100, the contract is assigned from 400: so from 400. Unassigned: never."""
    assigned = (Assignment("acme", "c", 400),)
    old = sold(version("1"), assignments=assigned)
    new = sold(version("1", None, 100), version("2", 100), assignments=assigned)
    assert changes(old, new) == (Change("price card list, card p/m, by contract c", 400),)
    assert changes(replace(old, assignments=()), replace(new, assignments=())) == ()


def test_a_contract_that_changes_does_so_while_assigned() -> None:
    old = sold(version("1"), assignments=(Assignment("*", "c", 50),))
    new = replace(old, contracts=(Contract("c", "USD", ()), Contract("d", "USD", ("list",))))
    assert changes(old, new) == (Change("contract c", 50),)


def test_a_customer_moves_from_the_common_contract_to_one_of_its_own() -> None:
    old = sold(version("1"), assignments=(Assignment("*", "c"),))
    new = replace(old, assignments=(Assignment("*", "c"), Assignment("acme", "d", 600)))
    assert changes(old, new) == (Change("assignment of customer acme", 600),)
    # The same contract by an assignment of its own begins a billing period at 600: quantities start at 0.
    same = replace(old, assignments=(Assignment("*", "c"), Assignment("acme", "c", 600)))
    assert changes(old, same) == (Change("assignment of customer acme", 600),)
    since_ever = replace(old, assignments=(Assignment("*", "c"), Assignment("acme", "c")))
    assert changes(old, since_ever) == ()


def test_an_assignment_that_is_split_begins_a_period_at_the_split() -> None:
    old = sold(version("1"), assignments=(Assignment("acme", "c", 100),))
    split = replace(old, assignments=(Assignment("acme", "c", 100, 700), Assignment("acme", "c", 700)))
    assert changes(old, split) == (Change("assignment of customer acme", 700),)
    # The common contract comes back at 300 and begins anew, where it had not been interrupted before.
    common = sold(version("1"), assignments=(Assignment("*", "c"), Assignment("acme", "d", 200, 300)))
    longer = replace(common, assignments=(Assignment("*", "c"), Assignment("acme", "d", 200, 400)))
    assert changes(common, longer) == (Change("assignment of customer acme", 300),)


def test_the_earliest_change_comes_first() -> None:
    old = sold(version("1"), assignments=(Assignment("*", "c"),))
    new = replace(
        old,
        provider_cards=(card(version("1", 900)),),
        assignments=(Assignment("*", "c", None, 800),),
    )
    assert [change.from_us for change in changes(old, new)] == [800, 900]


PREFIXED = RateCard("p/gpt", "p", "USD", (version("1"),), prefixes=(ModelPrefix("gpt"),))


def test_a_card_that_takes_a_model_over_changes_it_at_every_instant() -> None:
    """A card is chosen without looking at time: gpt-mini leaves the prefix card at once, however dated."""
    exact = RateCard("p/gpt-mini", "p", "USD", (version("2", 900),), models=("GPT-mini",))
    taken = Change("provider card p/gpt-mini", None)
    assert taken in changes(costs(PREFIXED), costs(PREFIXED, exact))
    assert taken in changes(costs(PREFIXED, exact), costs(PREFIXED))
    other = RateCard("p/claude", "p", "USD", (version("2", 900),), models=("claude",))
    assert changes(costs(PREFIXED), costs(PREFIXED, other)) == (Change("provider card p/claude", 900),)
    elsewhere = replace(exact, provider="q")
    assert changes(costs(PREFIXED), costs(PREFIXED, elsewhere)) == (Change("provider card p/gpt-mini", 900),)


def test_a_price_card_that_comes_first_takes_a_model_over_at_every_instant() -> None:
    """The first price card of a contract that has a card for the model prices it, or leaves it unpriced."""

    def sold_by(first: tuple[RateCard, ...]) -> BookContent:
        return BookContent(
            price_cards=(PriceCard("first", first), PriceCard("second", (card(version("5")),))),
            contracts=(Contract("c", "USD", ("first", "second")),),
            assignments=(Assignment("*", "c"),),
        )

    before, after = sold_by(()), sold_by((card(version("4", 900), card_id="first/m"),))
    assert [change.from_us for change in changes(before, after)] == [None]


@pytest.mark.parametrize(
    "term",
    [
        {"schedules": (Schedule("hours", "normal", (Window("peak", "09:00", "12:00"),)),)},
        {"multipliers": (Multiplier("eu", "1.1"),)},
        {"not_billed": (NotBilled((("event.status", "refused"),)),)},
        {"included": ("*",)},
        {"markup_percent": "20"},
        {"stated_cost": True},
        {"minimum": "0.01"},
        {"base": Cell((Rate("input_tokens", "1", increment="100"),))},
    ],
)
def test_each_term_of_a_version_prices_from_the_start_of_the_version(term: dict[str, Any]) -> None:
    old = costs(card(version("1", None, 100), version("1", 100)))
    new = costs(card(version("1", None, 100), replace(version("1", 100), **term)))
    assert changes(old, new) == (Change("provider card p/m", 100),)
    assert changes(new, old) == (Change("provider card p/m", 100),)


def with_pool(*versions: PoolVersion, currency: str = "USD") -> BookContent:
    book = sold(version("1"), assignments=(Assignment("acme", "c", 50),))
    pools = (Pool("tokens", currency, versions),) if versions else ()
    return replace(book, price_cards=(replace(book.price_cards[0], pools=pools),))


def graduated(rate: str, start: int | None = None, end: int | None = None) -> PoolVersion:
    return PoolVersion("graduated", (Tier("0", rate),), valid_from_us=start, valid_to_us=end)


def test_a_pool_changes_with_its_versions_while_it_is_sold() -> None:
    one = with_pool(graduated("1"))
    what = "price card list, pool tokens, by contract c"
    assert changes(one, with_pool(graduated("1", None, 90), graduated("2", 90))) == (Change(what, 90),)
    assert changes(one, with_pool(graduated("2"))) == (Change(what, 50),)
    assert changes(with_pool(), one) == (Change(what, 50),)
    assert changes(one, with_pool(graduated("1"), currency="EUR")) == (Change(what, 50),)
    assert changes(one, with_pool(replace(graduated("1"), source="minutes of 3 May"))) == ()
    # Assigned to nobody, it is sold to nobody.
    assert changes(replace(one, assignments=()), replace(with_pool(), assignments=())) == ()


def test_a_target_margin_prices_nothing() -> None:
    book = with_pool(graduated("1"))
    aimed = replace(book, price_cards=(replace(book.price_cards[0], target_margin="0.3"),))
    assert changes(book, aimed) == ()


@pytest.mark.parametrize(
    "field", [{"billing_period": "week"}, {"anchor_day": 7}, {"zone": "+01:00"}, {"carry_over": True}]
)
def test_a_contract_changes_with_its_billing_period(field: dict[str, Any]) -> None:
    old = sold(version("1"), assignments=(Assignment("*", "c", 50),))
    new = replace(old, contracts=(replace(old.contracts[0], **field), old.contracts[1]))
    assert changes(old, new) == (Change("contract c", 50),)


def test_an_alias_changes_where_it_stands_for_another_model() -> None:
    old = replace(ONE, aliases=(ModelAlias("P", "latest", "m"),))
    moved = (ModelAlias("p", "latest", "m", None, 80), ModelAlias("p", "latest", "n", 80))
    assert changes(old, replace(old, aliases=moved)) == (Change("alias p/latest", 80),)
    assert changes(replace(ONE, aliases=moved[1:]), ONE) == (Change("alias p/latest", 80),)


def test_a_card_that_is_named_as_an_alias_takes_it_over_at_every_instant() -> None:
    """`latest` was sold as m by card p/m; a card of that name is asked first, at 10 as at 900."""

    def sold_by(*cards: RateCard) -> BookContent:
        book = sold(version("1"), assignments=(Assignment("*", "c"),))
        return replace(
            book, price_cards=(PriceCard("list", cards),), aliases=(ModelAlias("p", "Latest", "M"),)
        )

    named = card(version("2", 900), card_id="p/latest", models=("latest",))
    assert changes(sold_by(card(version("1"))), sold_by(card(version("1")), named)) == (
        Change("price card list, card p/latest, by contract c", None),
    )


@pytest.mark.parametrize("field", ["allowance", "commitment", "minimum"])
def test_what_only_a_statement_reads_changes_no_price(field: str) -> None:
    """The price card's change at 100 is found all the same."""
    assignments = (Assignment("*", "c", 50),)
    old = sold(version("1"), assignments=assignments)
    terms: dict[str, Any] = {field: "10"}
    new = replace(old, contracts=(replace(old.contracts[0], **terms), old.contracts[1]))
    assert changes(old, new) == ()
    cards = sold(version("1", None, 100), version("2", 100), assignments=assignments).price_cards
    found = changes(old, replace(new, price_cards=cards))
    assert found == (Change("price card list, card p/m, by contract c", 100),)


def test_a_rate_of_exchange_changes_what_contracts_in_its_currency_owe_while_assigned() -> None:
    def exchanged(*rates: ExchangeRate) -> BookContent:
        book = sold(version("1"), assignments=(Assignment("acme", "c", 50),))
        return replace(book, contracts=(Contract("c", "EUR", ("list",)),), exchange=rates)

    one = exchanged(ExchangeRate("USD", "EUR", "0.9"))
    two = exchanged(ExchangeRate("USD", "EUR", "0.9", None, 70), ExchangeRate("USD", "EUR", "0.8", 70))
    assert changes(one, two) == (Change("exchange USD to EUR", 70),)
    assert changes(one, exchanged(ExchangeRate("USD", "EUR", "0.8"))) == (Change("exchange USD to EUR", 50),)
    assert changes(one, exchanged(replace(one.exchange[0], source="central bank"))) == ()
    yen = exchanged(*one.exchange, ExchangeRate("USD", "JPY", "150"))
    assert changes(one, yen) == ()  # nobody pays in JPY


DAY = 86_400_000_000


@pytest.mark.parametrize(
    ("contract", "from_us"),
    [
        # hours of a schedule: a day before the offsets differ
        (Contract("c", "USD", ("list",)), 400 * DAY - DAY),
        # a month may have begun 31 days before, at another midnight
        (Contract("c", "USD", ("list",), "month", 1, "Z"), 400 * DAY - 32 * DAY),
        (Contract("c", "USD", ("list",), "year", 1, "Z"), 400 * DAY - 367 * DAY),
    ],
)
def test_a_zone_changes_from_where_its_offsets_differ(contract: Contract, from_us: int) -> None:
    hours = Schedule("hours", "normal", (Window("peak", "09:00", "12:00"),), "Z")
    old = BookContent(
        (card(replace(version("1"), schedules=(hours,))),),
        (PriceCard("list", ()),),
        (contract,),
        zones=(Zone("Z", ((0, 0), (400 * DAY, 3600))),),
    )
    new = replace(old, zones=(Zone("Z", ((0, 0), (401 * DAY, 3600))),))
    assert changes(old, new) == (Change("zone Z", from_us),)
    same = replace(old, zones=(Zone("Z", ((5, 0), (400 * DAY, 3600))),))
    assert changes(old, same) == ()  # the first offset holds before its instant too
