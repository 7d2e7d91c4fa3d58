"""Names that stand for other models for a time: which card prices them, on each side."""

from collections.abc import Sequence

from pricing.cards import (
    Assignment,
    BookContent,
    Contract,
    ModelAlias,
    ModelPrefix,
    PriceCard,
    RateCard,
)
from pricing.compile import CompiledBook
from pricing.rate import Call, Line, rate
from tests.unit.pricing.build import DAY, NOV_18_2026, M, book, card, cost, flat

NOON = NOV_18_2026
USAGE = {"input_tokens": M}
OLD, NEW = card(flat({"input_tokens": "1"}), model="m-1"), card(flat({"input_tokens": "2"}), model="m-2")
MOVES = (
    ModelAlias("p", "M-Latest", "m-1", NOON - DAY, NOON),
    ModelAlias("p", "M-Latest", "m-2", NOON, NOON + DAY),
)


def line_at(priced_by: CompiledBook, at_us: int, model: str = "m-latest", provider: str = "p") -> Line:
    return cost(priced_by, USAGE, model=model, provider=provider, at_us=at_us).lines[0]


def test_the_name_stands_for_one_model_until_the_instant_it_moves() -> None:
    priced_by = book(content=BookContent((OLD, NEW), aliases=MOVES))
    assert [line_at(priced_by, at).rate for at in (NOON - DAY, NOON - 1, NOON, NOON + DAY - 1)] == [
        "1",
        "1",
        "2",
        "2",
    ]
    assert line_at(priced_by, NOON).explain == (
        "M-Latest = m-2, card p/m-2: input_tokens at its own rate; standard context"
    )
    assert line_at(priced_by, NOON, "M-LATEST", "P").rate == "2"  # letter case is ignored
    assert (
        line_at(priced_by, NOON, "m-2").explain
        == "card p/m-2: input_tokens at its own rate; standard context"
    )


def test_outside_its_spans_the_name_stands_for_itself() -> None:
    priced_by = book(content=BookContent((OLD, NEW), aliases=MOVES))
    assert line_at(priced_by, NOON + DAY).explain == "no cost card for p/m-latest"
    itself = card(flat({"input_tokens": "7"}), model="", card_id="m-l*", prefixes=[ModelPrefix("m-l")])
    both = book(content=BookContent((OLD, NEW, itself), aliases=MOVES))
    assert [line_at(both, at).rate for at in (NOON - DAY - 1, NOON - 1, NOON + DAY)] == ["7", "1", "7"]


def test_a_target_without_a_card_has_no_price() -> None:
    priced_by = book(content=BookContent((OLD,), aliases=MOVES))
    assert line_at(priced_by, NOON).explain == "no cost card for p/m-latest = m-2"


def sold_by(*price_cards: Sequence[RateCard]) -> CompiledBook:
    names = [f"list-{number}" for number in range(len(price_cards))]
    return book(
        content=BookContent(
            (),
            tuple(PriceCard(name, tuple(cards)) for name, cards in zip(names, price_cards, strict=True)),
            (Contract("c", "USD", tuple(names)),),
            (Assignment("*", "c"),),
            aliases=MOVES,
        )
    )


def price_at(priced_by: CompiledBook, at_us: int = NOON) -> Line:
    lines = rate(priced_by, Call("acme", "p", "m-latest", at_us, USAGE)).lines
    return next(line for line in lines if line.side == "price")


NAMED = card(flat({"input_tokens": "10"}), model="m-latest")
TARGET = card(flat({"input_tokens": "20"}), model="m-2")
BEGINS = card(flat({"input_tokens": "30"}), model="", card_id="m-2*", prefixes=[ModelPrefix("m-2")])
ANY = card(flat({"input_tokens": "40"}), model="", card_id="any", prefixes=[ModelPrefix("m-l")])


def test_a_customer_is_sold_the_name_then_what_it_stands_for_then_any_such_name() -> None:
    """By exact name; the target by name; the target by prefix; the name by prefix."""
    assert price_at(sold_by([ANY, BEGINS, TARGET, NAMED])).rate == "10"
    assert price_at(sold_by([ANY, BEGINS, TARGET])).rate == "20"
    assert price_at(sold_by([ANY, BEGINS])).rate == "30"
    assert price_at(sold_by([ANY])).rate == "40"


def test_the_line_names_the_alias_only_where_it_led_to_the_card() -> None:
    assert price_at(sold_by([TARGET])).explain.startswith("contract c, M-Latest = m-2, card p/m-2: ")
    assert price_at(sold_by([NAMED])).explain.startswith("contract c, card p/m-latest: ")
    assert price_at(sold_by([ANY])).explain.startswith("contract c, card any: ")


def test_the_first_price_card_with_a_card_still_prices_the_call() -> None:
    """The second list names the alias itself, but the first has a card for its target."""
    assert price_at(sold_by([TARGET], [NAMED])).rate == "20"
    assert price_at(sold_by([TARGET], [NAMED]), NOON - 1).rate == "10"  # m-1: nothing in the first list
