"""Recorded events and drafts of a book for the tests of `simulate`."""

from typing import Any

from ledger.core.explain import Rated
from ledger.core.simulate import Draft, Names, Simulation, compare
from pricing.cards import (
    Assignment,
    BookContent,
    CardVersion,
    Cell,
    Contract,
    Pool,
    PoolVersion,
    PriceCard,
    Rate,
    RateCard,
)
from pricing.compile import compile_book
from pricing.rate import Call

M = "1000000"
DAY_US = 86_400_000_000
NOV_1_US, NOV_10_US, DEC_1_US = 1_793_491_200_000_000, 1_794_268_800_000_000, 1_796_083_200_000_000


def flat(card_id: str, provider: str, model: str, rate: str) -> RateCard:
    version = CardVersion(Cell((Rate("input_tokens", rate, M),)))
    return RateCard(card_id, provider, "USD", (version,), (model,))


def book(cost: str, price: str, *more: RateCard) -> BookContent:
    """One model `one` at these rates a million, for every customer; `more` are further cost cards."""
    return BookContent(
        (flat("acme/one", "acme", "one", cost), *more),
        (PriceCard("list", (flat("list/one", "acme", "one", price),)),),
        (Contract("standard", "USD", ("list",)),),
        (Assignment("*", "standard"),),
    )


def pooled(*versions: PoolVersion) -> BookContent:
    """The customer pays input tokens by a pool over the calendar month."""
    version = CardVersion(Cell((Rate("input_tokens", pool="tokens"),)))
    card = RateCard("list/one", "acme", "USD", (version,), ("one",))
    return BookContent(
        (flat("acme/one", "acme", "one", "0"),),
        (PriceCard("list", (card,), (Pool("tokens", "USD", versions),)),),
        (Contract("standard", "USD", ("list",)),),
        (Assignment("*", "standard"),),
    )


def draft_of(content: BookContent, from_us: int = NOV_1_US, to_us: int = DEC_1_US) -> Draft:
    return Draft(content, compile_book(content, 0, "draft"), from_us, to_us)


def side(amount: str | None, currency: str | None = "USD") -> dict[str, Any]:
    if amount is None:
        return {"status": "unpriced", "amount": None, "currency": None}
    return {"status": "priced", "amount": amount, "currency": currency}


def record(number: int, cost: str | None, price: str | None, **event: Any) -> Rated:
    fields = {
        "customer_id": "c",
        "source": "s",
        "event_id": f"e-{number}",
        "event_time_us": NOV_10_US,
    } | event
    rating = {"leg": "original", "revision": 0, "cost": side(cost), "price": side(price), "pools_before": []}
    return Rated(0, number, NOV_10_US, fields, rating)


def add(
    simulation: Simulation,
    draft: Draft,
    rated: Rated,
    tokens: str,
    *,
    model: str = "one",
    feature: str = "chat",
) -> None:
    customer = rated.event["customer_id"]
    call = Call(customer, "acme", model, rated.event["event_time_us"], {"input_tokens": tokens})
    compare(simulation, draft, rated, call, Names(customer, f"acme: {model}", feature))


def sums(found: Any) -> dict[str, tuple[str, str, str]]:
    return {
        f"{item['side']} {item['currency']}": (item["recorded"], item["draft"], item["difference"])
        for item in found["amounts"]
    }
