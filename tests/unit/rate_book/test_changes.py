"""What a new book changes, and the first instant of it."""

from dataclasses import replace

import pytest

from pricing.cards import (
    Assignment,
    BookContent,
    CardVersion,
    Cell,
    Contract,
    ModelPrefix,
    PriceCard,
    Rate,
    RateCard,
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
    remarked = costs(card(replace(version("1"), source="price page")))
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
    same = replace(old, assignments=(Assignment("*", "c"), Assignment("acme", "c", 600)))
    assert changes(old, same) == ()


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
