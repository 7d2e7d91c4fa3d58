"""Attributes of the event: which a book reads, who ignores them; values without end cost no memory."""

from pricing.cards import (
    Assignment,
    BookContent,
    CardVersion,
    ContextKey,
    Contract,
    Multiplier,
    NotBilled,
    PriceCard,
    Variant,
)
from pricing.cardset import CardSet
from pricing.rate import Call, rate
from tests.unit.pricing.build import M, book, card, cell, cost, flat, sold

QUALITY = ContextKey("event.quality_tier", ("economy", "premium"), "economy")
BY_QUALITY = CardVersion(
    cell({"input_tokens": "2"}),
    context=(QUALITY,),
    variants=(Variant((("event.quality_tier", "premium"),), cell({"input_tokens": "6"})),),
)
USAGE = {"input_tokens": M}


def test_a_book_reads_the_attributes_that_its_cards_name() -> None:
    """By a context key, by a multiplier's context, by a rule of what is not billed, and by `included`."""
    area = ContextKey("event.compliance.eu", ("no", "yes"), "no")
    priced_by = sold(
        [
            card(BY_QUALITY),
            card(
                CardVersion(
                    cell({"input_tokens": "1"}),
                    context=(area,),
                    multipliers=(Multiplier("eu", "1.1", (("event.compliance.eu", "yes"),)),),
                    not_billed=(NotBilled((("event.status", "refused"),)),),
                    included=("output_tokens",),
                ),
                model="other",
            ),
        ]
    )
    assert priced_by.attributes == (
        "event.compliance.eu",
        "event.has_query",
        "event.quality_tier",
        "event.status",
    )
    assert book(card(flat({"input_tokens": "1"}))).attributes == ()


def test_a_card_prices_by_an_attribute_and_defaults_where_the_event_has_none() -> None:
    priced_by = book(card(BY_QUALITY))
    assert cost(priced_by, USAGE).lines[0].rate == "2"
    premium = cost(priced_by, USAGE, context={"event.quality_tier": "premium"}).lines[0]
    assert (premium.rate, premium.explain) == (
        "6",
        "card p/m: input_tokens at its own rate; event.quality_tier=premium",
    )
    strange = cost(priced_by, USAGE, context={"event.quality_tier": "gold"}).lines[0]
    assert strange.explain == "card p/m: value gold of context key event.quality_tier is unknown"


def test_a_card_that_does_not_name_an_attribute_of_the_book_ignores_it() -> None:
    priced_by = book(card(BY_QUALITY), card(flat({"input_tokens": "9"}), model="plain"))
    said = {"event.quality_tier": "premium"}
    assert cost(priced_by, USAGE, model="plain", context=said).lines[0].rate == "9"


def test_an_attribute_that_no_card_of_the_book_names_is_unknown() -> None:
    line = cost(book(card(BY_QUALITY)), USAGE, context={"event.status": "failed"}).lines[0]
    assert line.explain == "card p/m: context key event.status (value failed) is unknown"


def test_a_version_without_tiles_does_not_know_sizes_of_images() -> None:
    line = cost(book(card(BY_QUALITY)), USAGE, context={"image_sizes": "2x2"}).lines[0]
    assert line.explain == "card p/m: context key image_sizes (value 2x2) is unknown"


def test_values_without_end_that_no_price_reads_are_compiled_once() -> None:
    """Users are named by a card of the provider; the contract's cards and the other model read none of them.

    A rule of what is not billed reads one user: every other is alike to it.
    """
    by_user = CardVersion(
        cell({"input_tokens": "1"}), not_billed=(NotBilled((("event.user_id", "tester"),)),)
    )
    customer_card = card(flat({"input_tokens": "2"}))
    priced_by = book(
        content=BookContent(
            (card(by_user),),
            (PriceCard("list", (customer_card,)),),
            (Contract("contract", "USD", ("list",)),),
            (Assignment("*", "contract"),),
        )
    )

    def called(user: str) -> list[str | None]:
        rating = rate(priced_by, Call("acme", "p", "m", 0, USAGE, context={"event.user_id": user}))
        return [line.rate for line in rating.lines]

    assert called("tester") == ["0", "2"]
    assert all(called(f"user-{number}") == ["1", "2"] for number in range(50))
    term = priced_by.term("acme", 0)
    assert term is not None
    assert compiled(term.contract.cards) == 1
    assert compiled(priced_by._provider) == 2


def compiled(cards: CardSet) -> int:
    return len(cards._read)


def test_all_contracts_together_remember_no_more_than_so_much() -> None:
    """Contexts without end (the id of a request) at two contracts: 3 remembered, and nothing differs."""
    contracts = [Contract(name, "USD", ("list",)) for name in ("one", "two")]
    priced_by = book(
        content=BookContent(
            (card(flat({"input_tokens": "1"})),),
            (PriceCard("list", (card(flat({"input_tokens": "2"})),)),),
            tuple(contracts),
            tuple(Assignment(contract.contract_id, contract.contract_id) for contract in contracts),
            context_ignored=("request",),
        )
    )
    sets = [priced_by._provider, *(contract.cards for contract in priced_by._contracts.values())]
    facts = priced_by._provider._facts
    facts.told._most = facts.read._most = 3
    for number in range(20):
        for contract in contracts:
            strange = {"id": str(number)} if number % 2 else {"request": str(number)}
            rating = rate(priced_by, Call(contract.contract_id, "p", "m", 0, USAGE, context=strange))
            assert [line.rate for line in rating.lines] == ([None, None] if number % 2 else ["1", "2"])
            assert sum(len(cards._read) for cards in sets) <= 3
            assert sum(len(cards._memo) for cards in sets) <= 3
