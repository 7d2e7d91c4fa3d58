"""Which re-rates a change in the past needs: of whom, and of which event times."""

from dataclasses import replace

from pricing.cards import Assignment, BookContent, CardVersion, Cell, Contract, PriceCard, Rate, RateCard
from rate_book.changes import Change
from rate_book.rerate import Rerate, rerates

COSTS = RateCard("p/m", "p", "USD", (CardVersion(Cell((Rate("input_tokens", "1"),))),), models=("m",))


def shares(provider: str | None) -> PriceCard:
    """A fifth on what a provider (None: any) costs."""
    card = RateCard("plus/m", provider, "USD", (CardVersion(Cell(()), markup_percent="20"),), models=("m",))
    return PriceCard("plus", (card,))


BOOK = BookContent(
    provider_cards=(COSTS,),
    price_cards=(shares("P"), PriceCard("list", (replace(COSTS, card_id="list/m"),))),
    contracts=(Contract("c", "USD", ("list",)), Contract("k", "USD", ("list", "plus"))),
    assignments=(Assignment("acme", "k"), Assignment("*", "c")),
)
COST = Change("provider card p/m", 100)


def test_a_cost_that_changes_changes_the_prices_that_are_a_share_on_it() -> None:
    """acme pays a fifth on cost; whoever has no contract of its own pays by the list."""
    needed = rerates((COST,), BOOK, 200)
    assert needed == (Rerate("cost", "p/m", 100, 200), Rerate("price", "acme", 100, 200))


def test_shares_on_the_cost_of_another_provider_are_left_out() -> None:
    other = replace(BOOK, price_cards=(shares("q"), BOOK.price_cards[1]))
    assert rerates((COST,), other, 200) == (Rerate("cost", "p/m", 100, 200),)
    anyone = replace(BOOK, price_cards=(shares(None), BOOK.price_cards[1]))
    assert [item.whose for item in rerates((COST,), anyone, 200)] == ["p/m", "acme"]


def test_a_card_that_is_gone_may_have_been_of_any_provider() -> None:
    gone = replace(BOOK, provider_cards=())
    assert [item.whose for item in rerates((COST,), gone, 200)] == ["p/m", "acme"]


def test_what_no_rater_has_rated_by_an_older_version_needs_no_rerate() -> None:
    """Events before 200 may have been rated by an older version: one at 199 may, one at 200 may not."""
    assert rerates((Change("provider card p/m", 200),), BOOK, 200) == ()
    assert [item.from_us for item in rerates((Change("provider card p/m", 199),), BOOK, 200)] == [199, 199]
