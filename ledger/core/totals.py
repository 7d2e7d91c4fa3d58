"""What was counted and summed by reading rated records, exact, for the report."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ledger.core.amounts import atto, plain
from ledger.core.model import ORIGINAL, RatedRecord

_UNPRICED = frozenset({"unpriced", "partial"})
BREAKDOWNS = ("model", "product", "customer")


class _Facts(NamedTuple):
    """What one record adds to every group that it belongs to."""

    original: bool
    currencies: tuple[str | None, str | None]
    cost: tuple[tuple[str, int], ...]
    price: tuple[tuple[str, int], ...]
    unpriced_cost: int
    unpriced_price: int


@dataclass(slots=True)
class Pair:
    """Events and amounts (times 10**18) whose cost is in one currency and whose price in one, or in none."""

    events: int = 0
    cost: int = 0
    price: int = 0


@dataclass(slots=True)
class Sums:
    """Events and amounts (times 10**18, by currency) of one group.

    `pairs` keeps apart what a margin must not mix: by the currencies of cost and price, None where a side has
    no amount.
    """

    events: int = 0
    pairs: dict[tuple[str | None, str | None], Pair] = field(default_factory=dict)
    cost: Counter[str] = field(default_factory=Counter)
    price: Counter[str] = field(default_factory=Counter)
    unpriced_cost_events: int = 0
    unpriced_price_events: int = 0

    def add(self, facts: _Facts) -> None:
        self.events += facts.original
        pair = self.pairs.get(facts.currencies)
        if pair is None:
            pair = self.pairs[facts.currencies] = Pair()
        pair.events += facts.original
        pair.cost += sum(amount for _, amount in facts.cost)  # one at most
        pair.price += sum(amount for _, amount in facts.price)
        for currency, amount in facts.cost:
            self.cost[currency] += amount
        for currency, amount in facts.price:
            self.price[currency] += amount
        self.unpriced_cost_events += facts.unpriced_cost
        self.unpriced_price_events += facts.unpriced_price

    def as_json(self) -> dict[str, Any]:
        return {
            "events": self.events,
            "cost": {currency: plain(amount) for currency, amount in sorted(self.cost.items())},
            "price": {currency: plain(amount) for currency, amount in sorted(self.price.items())},
            "unpriced_cost_events": self.unpriced_cost_events,
            "unpriced_price_events": self.unpriced_price_events,
            "by_currency": [
                {
                    "cost_currency": cost_currency,
                    "price_currency": price_currency,
                    "events": pair.events,
                    "cost": None if cost_currency is None else plain(pair.cost),
                    "price": None if price_currency is None else plain(pair.price),
                }
                for (cost_currency, price_currency), pair in sorted(self.pairs.items(), key=_pair_order)
            ],
        }


@dataclass(slots=True)
class Totals:
    """Counts and sums of everything verified."""

    received: int = 0
    rated: int = 0
    rejected: int = 0
    duplicates: int = 0
    corrections: int = 0
    rejected_by_reason: Counter[str] = field(default_factory=Counter)
    sums: Sums = field(default_factory=Sums)
    by: dict[str, dict[str, Sums]] = field(default_factory=lambda: {name: {} for name in BREAKDOWNS})

    def add(self, record: RatedRecord) -> None:
        event = record.event
        model = event["billed_model"] or event["served_model"] or event["requested_model"]
        groups = {"model": model, "product": event["product"], "customer": event["customer_id"]}
        rating = record.rating
        events = -1 if rating["leg"] == "reversal" else 1
        facts = _Facts(
            rating["leg"] == ORIGINAL,
            (rating["cost"]["currency"], rating["price"]["currency"]),
            _amount(rating["cost"]),
            _amount(rating["price"]),
            events * (rating["cost"]["status"] in _UNPRICED),
            events * (rating["price"]["status"] in _UNPRICED),
        )
        self.sums.add(facts)
        for name, value in groups.items():
            self.by[name].setdefault(value or "(none)", Sums()).add(facts)


def _pair_order(item: tuple[tuple[str | None, str | None], Pair]) -> tuple[int, str, str]:
    """The most events first."""
    (cost, price), pair = item
    return -pair.events, cost or "", price or ""


def _amount(side: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    """Currency and amount, nothing where the side has none."""
    return () if side["amount"] is None else ((side["currency"], atto(side["amount"])),)
