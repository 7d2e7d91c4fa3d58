"""Cards in another currency than the contract: the rate of exchange of the day, on rates and minimums."""

from dataclasses import replace

import pytest

from pricing.cards import (
    Assignment,
    BookContent,
    CardVersion,
    Contract,
    ExchangeRate,
    Multiplier,
    PriceCard,
)
from pricing.compile import CompiledBook
from pricing.errors import BookError
from pricing.money import ATTO
from pricing.rate import Call, Line, Rating, rate
from tests.unit.pricing.build import DAY, NOV_18_2026, M, book, by_meter, card, cell, flat

NOON = NOV_18_2026
DATED = (
    ExchangeRate("USD", "EUR", "0.92", NOON - DAY, NOON),
    ExchangeRate("USD", "EUR", "0.9", NOON, NOON + DAY),
)
USAGE = {"input_tokens": M}


def in_euro(version: CardVersion, rates: tuple[ExchangeRate, ...] = DATED) -> CompiledBook:
    return book(
        content=BookContent(
            (),
            (PriceCard("list", (card(version),)),),
            (Contract("contract", "EUR", ("list",)),),
            (Assignment("*", "contract"),),
            exchange=rates,
        )
    )


def rated(priced_by: CompiledBook, at_us: int, usage: dict[str, str] | None = None) -> Rating:
    return rate(priced_by, Call("acme", "p", "m", at_us, usage or USAGE))


def price_line(priced_by: CompiledBook, at_us: int) -> Line:
    return by_meter(rated(priced_by, at_us), "price")["input_tokens"]


@pytest.mark.parametrize(
    ("at_us", "made"),
    [
        (NOON - DAY - 1, None),
        (NOON - DAY, "2.76"),  # 3 x 0.92
        (NOON - 1, "2.76"),
        (NOON, "2.7"),  # 3 x 0.9
        (NOON + DAY - 1, "2.7"),
        (NOON + DAY, None),
    ],
)
def test_the_rate_in_force_at_the_time_of_the_event(at_us: int, made: str | None) -> None:
    line = price_line(in_euro(flat({"input_tokens": "3"})), at_us)
    assert (line.rate, line.currency) == (made, "EUR" if made else None)
    if made is None:
        assert line.explain == "contract contract, card p/m: no rate of exchange USD to EUR in force"


def test_the_line_names_the_rate_of_exchange_after_the_multipliers() -> None:
    """3 x 1.1 x 0.92 = 3.036."""
    version = replace(flat({"input_tokens": "3"}), multipliers=(Multiplier("uplift", "1.1"),))
    line = price_line(in_euro(version), NOON - 1)
    assert line.rate == "3.036"
    assert line.explain == (
        "contract contract, card p/m: input_tokens at its own rate, 3 x 1.1 (uplift) x 0.92 "
        "(USD to EUR from 2026-11-17T12:00:00Z); standard context"
    )


def test_a_rate_is_never_used_the_other_way_round() -> None:
    """A contract in EUR on a card in USD, with EUR to USD alone: no such book."""
    with pytest.raises(BookError, match="USD"):
        in_euro(flat({"input_tokens": "3"}), (ExchangeRate("EUR", "USD", "1.1"),))


def test_a_least_amount_is_exchanged_as_rates_are() -> None:
    """1 token at 3 per million is 0.0000027 EUR; at least 0.5 USD x 0.9 = 0.45 EUR, so 0.4499973 more."""
    version = replace(flat({"input_tokens": "3"}), minimum="0.5")
    rating = rated(in_euro(version), NOON, {"input_tokens": "1"})
    assert rating.price == ("priced", 45 * ATTO // 100, "EUR")
    least = rating.lines[-1]
    assert (least.meter, least.amount_atto) == ("minimum_charge", 4_499_973 * ATTO // 10**7)
    assert "at least 0.5 a call x 0.9 (USD to EUR from 2026-11-18T12:00:00Z)" in least.explain


def test_the_cost_stays_in_the_currency_of_its_card() -> None:
    priced_by = book(content=BookContent((card(flat({"input_tokens": "3"})),), exchange=DATED))
    assert rated(priced_by, NOON).cost == ("priced", 3 * ATTO, "USD")


def test_each_price_card_of_a_contract_is_exchanged_from_its_own_currency() -> None:
    """m is sold in EUR at 5, n in USD at 3 x 0.9 = 2.7."""
    cards = (
        card(CardVersion(cell({"input_tokens": "5"})), currency="EUR"),
        card(flat({"input_tokens": "3"}), model="n"),
    )
    priced_by = book(
        content=BookContent(
            (),
            (PriceCard("a", cards[:1]), PriceCard("b", cards[1:])),
            (Contract("contract", "EUR", ("a", "b")),),
            (Assignment("*", "contract"),),
            exchange=DATED,
        )
    )
    amounts = [rate(priced_by, Call("acme", "p", model, NOON, USAGE)).price for model in ("m", "n")]
    assert amounts == [("priced", 5 * ATTO, "EUR"), ("priced", 27 * ATTO // 10, "EUR")]
