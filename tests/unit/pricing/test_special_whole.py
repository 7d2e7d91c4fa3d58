"""What a call costs as a whole: not billed, at least so much, paid for by its query, as stated, marked up."""

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
    Multiplier,
    NotBilled,
    PriceCard,
    Rate,
)
from pricing.compile import CompiledBook
from pricing.money import ATTO
from pricing.rate import Call, Rating, rate
from tests.unit.pricing.build import M, book, by_meter, card, cell, cost, flat, sold, variant

PLAIN = flat({"input_tokens": "2", "output_tokens": "8"})
REFUSED = (("event.status", "refused"),)


def price(priced_by: CompiledBook, usage: dict[str, str], **attributes: str) -> Rating:
    context = {f"event.{name}": value for name, value in attributes.items()}
    return rate(priced_by, Call("acme", "p", "m", 0, usage, "exclusive", context))


NOT_BILLED = replace(
    PLAIN,
    base=Cell((*PLAIN.base.rates, Rate("events", "0.5"))),
    not_billed=(NotBilled(REFUSED, ("output_tokens",)),),
    minimum="0.1",
)


def test_a_refused_call_without_output_costs_nothing() -> None:
    """Nothing per event and no least amount either; unknown meters cost nothing as well."""
    rating = price(sold([card(NOT_BILLED)]), {"input_tokens": M, "zebras": "3"}, status="refused")
    assert rating.price == ("priced", 0, "USD")
    lines = by_meter(rating, "price")
    assert set(lines) == {"input_tokens", "zebras"}
    assert {(line.rate, line.per, line.amount_atto, line.status) for line in lines.values()} == {
        ("0", "1", 0, "priced")
    }
    assert lines["input_tokens"].explain == (
        "contract contract, card p/m: not billed: event.status=refused without output_tokens; "
        "standard context"
    )


@pytest.mark.parametrize("output", ["output_tokens", "output_reasoning_tokens"])
def test_a_refused_call_is_billed_as_soon_as_there_is_output_of_any_kind(output: str) -> None:
    """2 for input, 8 for output (reasoning at its rate), 0.5 an event."""
    priced_by = sold([card(replace(NOT_BILLED, parts_at_whole_rate=("*",)))])
    refused = {"status": "refused"}
    assert price(priced_by, {"input_tokens": M, output: M}, **refused).price.amount_atto == 105 * ATTO // 10
    assert price(priced_by, {"input_tokens": M, output: "0"}, **refused).price.amount_atto == 0
    tiny = price(priced_by, {"input_tokens": M, output: "0.000001"}, **refused).price
    assert tiny.amount_atto == 25 * ATTO // 10 + 8 * 10**6  # 10^-6 at 8 for 10^6: 8 x 10^-12


def test_a_call_that_the_rule_does_not_name_is_billed() -> None:
    priced_by = sold([card(NOT_BILLED)])
    assert price(priced_by, {"input_tokens": M}, status="completed").price.amount_atto == 25 * ATTO // 10
    assert price(priced_by, {"input_tokens": M}).price.amount_atto == 25 * ATTO // 10


def test_an_absent_key_has_its_default_in_a_rule() -> None:
    mode = ContextKey("mode", ("trial", "live"), "trial")
    version = CardVersion(
        cell({"input_tokens": "2"}),
        context=(mode,),
        variants=(variant({"input_tokens": "2"}, mode="live"),),
        not_billed=(NotBilled((("mode", "trial"),)),),
    )
    priced_by = book(card(version))
    assert cost(priced_by, {"input_tokens": M}).cost == ("priced", 0, "USD")
    assert cost(priced_by, {"input_tokens": M}, mode="live").cost == ("priced", 2 * ATTO, "USD")


def test_a_call_that_reports_nothing_owes_no_fee_where_it_is_not_billed() -> None:
    """Its usage may be lost, so it is unpriced and not 0; another call owes its 0.5."""
    refused = price(sold([card(NOT_BILLED)]), {}, status="refused")
    assert (refused.price, by_meter(refused, "price")) == (("unpriced", None, None), {})
    assert price(sold([card(NOT_BILLED)]), {}).price == ("priced", ATTO // 2, "USD")


@pytest.mark.parametrize(
    ("tokens", "total", "last"),
    [
        ("0", 0, "input_tokens"),  # nothing was used
        ("1", 5, "minimum_charge"),
        ("249999", 5, "minimum_charge"),  # 0.499998
        ("250000", 5, "input_tokens"),  # 0.5 exactly
        ("300000", 6, "input_tokens"),
    ],
)
def test_a_call_owes_at_least_the_minimum_where_it_used_anything(tokens: str, total: int, last: str) -> None:
    """2 a million, at least 0.5; totals in tenths."""
    rating = cost(book(card(replace(PLAIN, minimum="0.5"))), {"input_tokens": tokens})
    assert rating.cost == ("priced", total * ATTO // 10, "USD")
    line = rating.lines[-1]
    assert line.meter == last
    if last == "minimum_charge":
        assert (line.quantity_atto, line.rate, line.per, line.status) == (0, None, None, "priced")
        assert line.amount_atto == 5 * ATTO // 10 - 2 * int(tokens) * ATTO // 10**6
        assert line.explain == "card p/m: at least 0.5 a call; standard context"


def test_a_call_with_a_part_that_has_no_price_has_no_least_amount() -> None:
    rating = cost(book(card(replace(PLAIN, minimum="5"))), {"input_tokens": M, "zebras": "1"})
    assert rating.cost == ("partial", 2 * ATTO, "USD")


QUERY_PLAN = CardVersion(Cell((Rate("queries", "0.05"),)), included=("*",))


def test_a_query_pays_for_its_calls() -> None:
    priced_by = sold([card(QUERY_PLAN)])
    root = price(priced_by, {"queries": "1"}, has_query="yes")
    assert root.price == ("priced", 5 * ATTO // 100, "USD")
    call = price(priced_by, {"input_tokens": M, "output_tokens": "5"}, has_query="yes")
    assert call.price == ("included", None, None)
    line = by_meter(call, "price")["input_tokens"]
    assert (line.status, line.amount_atto, line.rate, line.currency) == ("included", None, None, None)
    assert line.explain == (
        "contract contract, card p/m: input_tokens is paid for by the query; standard context"
    )


@pytest.mark.parametrize("said", [{"has_query": "no"}, {}])
def test_a_call_of_no_query_is_unpriced(said: dict[str, str]) -> None:
    rating = price(sold([card(QUERY_PLAN)]), {"input_tokens": M}, **said)
    assert rating.price == ("unpriced", None, None)
    assert "the call names no query_id" in by_meter(rating, "price")["input_tokens"].explain


def test_included_beside_what_has_a_price_and_what_has_none() -> None:
    """The query's own 0.05 stays; an unknown meter makes it partial; alone beside included it is unpriced."""
    priced_by = sold([card(QUERY_PLAN)])
    both = price(priced_by, {"queries": "1", "input_tokens": M}, has_query="yes")
    assert both.price == ("priced", 5 * ATTO // 100, "USD")
    with_zebras = price(priced_by, {"queries": "1", "input_tokens": M, "zebras": "1"}, has_query="yes")
    assert with_zebras.price == ("partial", 5 * ATTO // 100, "USD")
    no_price = price(priced_by, {"input_tokens": M, "zebras": "1"}, has_query="yes")
    assert no_price.price == ("unpriced", None, None)
    assert price(priced_by, {"input_tokens": "0"}, has_query="yes").price == ("priced", 0, "USD")


def test_a_rate_goes_before_what_the_query_pays_its_own_and_a_wholes() -> None:
    version = CardVersion(
        cell({"output_tokens": "8"}), included=("*",), parts_at_whole_rate=("output_reasoning_tokens",)
    )
    rating = price(sold([card(version)]), {"output_reasoning_tokens": M, "input_tokens": M}, has_query="yes")
    assert rating.price == ("priced", 8 * ATTO, "USD")


STATED = CardVersion(Cell(()), stated_cost=True, multipliers=(Multiplier("fee", "1.055"),))


def stated(version: CardVersion, cost_told: tuple[int, str] | None, usage: dict[str, str]) -> Rating:
    return rate(book(card(version)), Call(None, "p", "m", 0, usage, stated_cost=cost_told))


def test_the_cost_is_what_the_provider_said() -> None:
    """0.02 USD x 1.055 = 0.0211; no line of a leaf."""
    rating = stated(STATED, (2 * ATTO // 100, "USD"), {"input_tokens": M})
    assert rating.cost == ("priced", 211 * ATTO // 10**4, "USD")
    (line,) = rating.lines
    assert (line.meter, line.rate, line.per, line.quantity_atto) == (
        "provider_cost",
        "1.055",
        "1",
        2 * ATTO // 100,
    )
    assert line.explain == ("card p/m: the cost that the provider stated, 1 x 1.055 (fee); standard context")
    assert stated(STATED, (0, "USD"), {"input_tokens": M}).cost == ("priced", 0, "USD")
    assert stated(STATED, (ATTO, "USD"), {}).cost == ("priced", 1055 * ATTO // 1000, "USD")


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (None, "the event states no cost"),
        ((ATTO, "EUR"), "the event states the cost in EUR, the card is in USD"),
    ],
)
def test_a_cost_that_is_not_stated_in_the_cards_currency_is_unpriced(
    told: tuple[int, str] | None, why: str
) -> None:
    rating = stated(STATED, told, {"input_tokens": M})
    assert rating.cost == ("unpriced", None, None)
    assert [(line.meter, line.status, line.explain) for line in rating.lines] == [
        ("provider_cost", "unpriced", f"card p/m: {why}; standard context")
    ]


def marked_up(
    cost_version: CardVersion,
    price_version: CardVersion,
    usage: dict[str, str],
    *,
    currency: str = "USD",
    told: tuple[int, str] | None = None,
) -> Rating:
    priced_by = book(
        content=BookContent(
            (card(cost_version),),
            (PriceCard("list", (card(price_version, currency=currency),)),),
            (Contract("contract", currency, ("list",)),),
            (Assignment("*", "contract"),),
            exchange=(ExchangeRate("USD", "EUR", "0.9", 0),),
        )
    )
    return rate(priced_by, Call("acme", "p", "m", 0, usage, "exclusive", stated_cost=told))


FIFTH = CardVersion(Cell(()), markup_percent="20")


def test_each_leaf_costs_the_customer_what_it_costs_us_and_a_fifth_more() -> None:
    """Input 2 x 1.2 = 2.4 and output 8 x 1.2 = 9.6 a million."""
    rating = marked_up(PLAIN, FIFTH, {"input_tokens": M, "output_tokens": "500000"})
    assert (rating.cost.amount_atto, rating.price) == (6 * ATTO, ("priced", 72 * ATTO // 10, "USD"))
    line = by_meter(rating, "price")["input_tokens"]
    assert (line.rate, line.per) == ("2.4", M)
    assert line.explain == (
        "contract contract, card p/m: input_tokens at its cost, 2 x 1.2 (markup of 20 percent); "
        "standard context"
    )


def test_a_share_on_cost_is_rounded_once_from_the_rate_and_not_from_the_rounded_cost() -> None:
    """1 unit at 1 for 3 costs 0.333...3; times 1.5 it is 0.5, and not 0.4999...95."""
    third = CardVersion(Cell((Rate("input_tokens", "1", "3"),)))
    rating = marked_up(third, replace(FIFTH, markup_percent="50"), {"input_tokens": "1"})
    assert rating.price == ("priced", ATTO // 2, "USD")


def test_a_rate_of_its_own_is_not_marked_up() -> None:
    """Input at 3 of its own; output at 8 x 1.2; the fixed 0.001 an event."""
    version = replace(FIFTH, base=Cell((Rate("input_tokens", "3", M), Rate("events", "0.001"))))
    rating = marked_up(PLAIN, version, {"input_tokens": M, "output_tokens": M})
    assert rating.price.amount_atto == 3 * ATTO + 96 * ATTO // 10 + ATTO // 1000


def test_what_has_no_cost_has_no_price() -> None:
    rating = marked_up(PLAIN, FIFTH, {"input_tokens": M, "web_searches": "1"})
    assert rating.price == ("partial", 24 * ATTO // 10, "USD")
    line = by_meter(rating, "price")["web_searches"]
    assert line.explain == (
        "contract contract, card p/m: the cost of web_searches is not known; standard context"
    )
    assert marked_up(PLAIN, FIFTH, {"web_searches": "1"}).price == ("unpriced", None, None)
    assert marked_up(PLAIN, FIFTH, {}).price == ("unpriced", None, None)


def test_a_share_is_exchanged_into_the_contracts_currency() -> None:
    """2 x 1.2 x 0.9 = 2.16 EUR."""
    rating = marked_up(PLAIN, FIFTH, {"input_tokens": M}, currency="EUR")
    assert rating.price == ("priced", 216 * ATTO // 100, "EUR")
    assert "2 x 1.2 (markup of 20 percent) x 0.9 (USD to EUR from 1970-01-01T00:00:00Z)" in (
        by_meter(rating, "price")["input_tokens"].explain
    )


def test_a_stated_cost_and_fees_of_the_provider_are_marked_up_too() -> None:
    """0.02 stated, x 1.055 x 1.2 = 0.02532. And a provider's fee of 0.01 a request: 0.012."""
    rating = marked_up(STATED, FIFTH, {"input_tokens": M}, told=(2 * ATTO // 100, "USD"))
    assert rating.price == ("priced", 2532 * ATTO // 10**5, "USD")
    assert list(by_meter(rating, "price")) == ["provider_cost"]
    fee = replace(PLAIN, base=Cell((*PLAIN.base.rates, Rate("requests", "0.01"))))
    rating = marked_up(fee, FIFTH, {"input_tokens": M})
    assert rating.price.amount_atto == 24 * ATTO // 10 + 12 * ATTO // 1000
    assert marked_up(STATED, FIFTH, {"input_tokens": M}).price == ("unpriced", None, None)


def test_a_meter_of_that_name_hides_no_stated_cost() -> None:
    """7 stated, x 1.055 x 1.2 = 8.862; what the event reports as `provider_cost` is an unknown meter."""
    rating = marked_up(STATED, FIFTH, {"provider_cost": "0"}, told=(7 * ATTO, "USD"))
    assert rating.price == ("priced", 8862 * ATTO // 1000, "USD")
    rating = marked_up(STATED, FIFTH, {"provider_cost": "1"}, told=(7 * ATTO, "USD"))
    assert rating.price == ("partial", 8862 * ATTO // 1000, "USD")


def test_a_share_is_of_the_billed_quantity() -> None:
    """4 seconds are billed to us as 10 at 0.5; the customer pays 10 x 0.6 = 6."""
    audio = CardVersion(Cell((Rate("audio_seconds", "0.5", minimum="10"),)))
    rating = marked_up(audio, FIFTH, {"audio_seconds": "4"})
    line = by_meter(rating, "price")["audio_seconds"]
    assert (line.rate, line.quantity_atto, line.billed_atto, line.amount_atto) == (
        "0.6",
        4 * ATTO,
        10 * ATTO,
        6 * ATTO,
    )


def test_a_share_on_a_least_amount_is_of_what_it_makes_up() -> None:
    """1 token costs 0.000002, made up to 0.5; all of it times 1.2 is 0.6."""
    rating = marked_up(replace(PLAIN, minimum="0.5"), FIFTH, {"input_tokens": "1"})
    assert rating.cost == ("priced", ATTO // 2, "USD")
    assert rating.price == ("priced", 6 * ATTO // 10, "USD")
