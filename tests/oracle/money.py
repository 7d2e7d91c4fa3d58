"""What a call costs and what it is worth, in exact fractions: a second opinion that shares no code.

Written from the documents: counts are split into disjoint leaves, a card is found, its version by event time,
its cell by exact context, its step by the whole request's total, and each leaf is charged.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

from tests.oracle.amounts import billed, period_price, rounded
from tests.oracle.books import Books, Json
from tests.oracle.cells import Cell, Price, cell_for, has_quantity_of, value_of
from tests.oracle.meters import COUNTED_ONCE, Impossible, split
from tests.oracle.times import in_force, instant_us

__all__ = ["Amount", "Impossible", "Pools", "Sides", "expected", "in_detail", "totals"]

HUNDRED = Fraction(100)


class Amount(NamedTuple):
    """One side: its status, and its amount where anything could be priced."""

    status: str
    amount: Fraction | None
    currency: str | None


class Charge(NamedTuple):
    """One leaf: what it owes (None: unpriced or included), and how much of it was billed at what."""

    meter: str
    quantity: Fraction
    amount: Fraction | None
    status: str = "priced"
    exact: Fraction | None = None
    pool: str | None = None


UNPRICED = Amount("unpriced", None, None)
Pools = dict[tuple[str, str, int], tuple[Fraction, Fraction]]
"""Quantity and amount so far of (customer, pool, start of its period)."""


class Sides(NamedTuple):
    """Both sides of a call, and what each of its meters owes; all of one pool together under its name."""

    cost: Amount
    price: Amount
    costs: dict[str, Fraction | None]
    prices: dict[str, Fraction | None]


@dataclass
class _Side:
    """What pricing one side of one call needs to know."""

    books: Books
    event: Mapping[str, Any]
    leaves: Mapping[str, Fraction]
    version: Json
    cell: Cell
    exchange: Fraction = Fraction(1)
    price_card: str | None = None
    costs: list[Charge] = field(default_factory=list)
    cost_currency: str | None = None
    currency: str = ""
    pools: Pools = field(default_factory=dict)


def expected(books: Books, event: Mapping[str, Any]) -> tuple[Amount, Amount]:
    """Cost and price of an event in the form of the wire, nothing of its period being used.

    Raises Impossible where parts exceed their whole, or where their whole is missing.
    """
    return in_detail(books, event, {})[:2]


def totals(
    books: Books, events: Iterable[Mapping[str, Any]]
) -> tuple[dict[str, Fraction], dict[str, Fraction]]:
    """Sums of cost and of price by currency; what has no amount adds nothing."""
    sums: tuple[dict[str, Fraction], dict[str, Fraction]] = ({}, {})
    pools: Pools = {}
    for event in events:
        for side, total in zip(in_detail(books, event, pools)[:2], sums, strict=True):
            if side.amount is not None and side.currency is not None:
                total[side.currency] = total.get(side.currency, Fraction(0)) + side.amount
    return sums


def in_detail(books: Books, event: Mapping[str, Any], pools: Pools) -> Sides:
    """Both sides with their parts; what the call adds to its pools is added to `pools`."""
    leaves = split(event["usage_semantics"], event["usage"])
    nothing = [Charge(meter, quantity, None, "unpriced") for meter, quantity in leaves.items()]
    costs, cost_currency = _cost(books, event, leaves) or (nothing, None)
    prices, price_currency = _price(books, event, leaves, costs, cost_currency, pools) or (nothing, None)
    return Sides(
        _sum(costs, cost_currency), _sum(prices, price_currency), _by_meter(costs), _by_meter(prices)
    )


def _by_meter(charges: list[Charge]) -> dict[str, Fraction | None]:
    found: dict[str, Fraction | None] = {}
    for charge in charges:
        name = f"pool {charge.pool}" if charge.pool else charge.meter
        before = found.get(name)
        found[name] = charge.amount if before is None else before + (charge.amount or Fraction(0))
    return found


def _sum(charges: list[Charge], currency: str | None) -> Amount:
    """A side's status and amount. What has no quantity owes nothing at any rate."""
    if not charges or currency is None:
        return UNPRICED  # nothing was reported, which is not a quantity of 0; or there is no cell
    statuses = {charge.status for charge in charges if charge.quantity} or {"priced"}
    if "priced" not in statuses:
        return Amount("included", None, None) if statuses == {"included"} else UNPRICED
    status = "partial" if "unpriced" in statuses else "priced"
    return Amount(status, sum((charge.amount or Fraction(0) for charge in charges), Fraction(0)), currency)


def _model(event: Mapping[str, Any]) -> str:
    for name in ("billed_model", "served_model", "requested_model"):
        if event[name]:
            model: str = event[name]
            return model
    return ""


def _version(card: Json | None, at_us: int) -> Json | None:
    return next((v for v in card["versions"] if in_force(v, at_us)), None) if card is not None else None


def _cost(
    books: Books, event: Mapping[str, Any], leaves: Mapping[str, Fraction]
) -> tuple[list[Charge], str] | None:
    at_us = event["event_time_us"]
    card = books.provider_card(event["provider"], _model(event), at_us)
    version = _version(card, at_us)
    cell = None if version is None else cell_for(books.ignored, version, event, leaves)
    if card is None or version is None or cell is None:
        return None
    if version.get("stated_cost") == "true":
        return [_stated(event, card["currency"], cell)], card["currency"]
    return _charges(_Side(books, event, leaves, version, cell)), card["currency"]


def _stated(event: Mapping[str, Any], currency: str, cell: Cell) -> Charge:
    stated = event["provider_cost"]
    if stated is None or stated["currency"] != currency:
        return Charge("provider_cost", Fraction(1), None, "unpriced")
    exact = quantity = Fraction(stated["amount"])
    for factor, meters in cell.factors:
        if "*" in meters:
            exact *= factor
    return Charge("provider_cost", quantity, rounded(exact), exact=exact)


def _price(  # noqa: PLR0917  # one step of many, all its inputs named
    books: Books,
    event: Mapping[str, Any],
    leaves: Mapping[str, Fraction],
    costs: list[Charge],
    cost_currency: str | None,
    pools: Pools,
) -> tuple[list[Charge], str] | None:
    at_us, customer = event["event_time_us"], event["customer_id"]
    contract = books.contract_of(customer, at_us)
    found = contract and books.customer_card(contract["price_cards"], event["provider"], _model(event), at_us)
    if not found or contract is None:
        return None
    price_card, card = found
    version = _version(card, at_us)
    cell = None if version is None else cell_for(books.ignored, version, event, leaves)
    rate = _exchange(books, card["currency"], contract["currency"], at_us)
    if version is None or cell is None or rate is None:
        return None
    side = _Side(
        books,
        event,
        leaves,
        version,
        cell,
        rate,
        price_card,
        costs,
        cost_currency,
        contract["currency"],
        pools,
    )
    return _charges(side), contract["currency"]


def _exchange(books: Books, currency: str, to: str, at_us: int) -> Fraction | None:
    if currency == to:
        return Fraction(1)
    for one in books.exchange:
        if (one["currency"], one["to"]) == (currency, to) and in_force(one, at_us, ends="until"):
            return Fraction(one["rate"])
    return None


def _charges(side: _Side) -> list[Charge]:
    if any(_is_free(side, rule) for rule in side.version.get("not_billed", [])):
        return [Charge(meter, q, Fraction(0), exact=Fraction(0)) for meter, q in side.leaves.items()]
    percent = side.version.get("percent")
    counted = dict(side.leaves)
    if percent is not None:  # what the provider counts once per event is marked up too
        for cost in side.costs:
            counted.setdefault(cost.meter, cost.quantity)
        if any(cost.meter == "provider_cost" for cost in side.costs):  # it is for all without a rate
            counted = {
                meter: q for meter, q in counted.items() if _own(side, meter) or meter == "provider_cost"
            }
    for meter in COUNTED_ONCE:
        if meter in side.cell.rates:
            counted.setdefault(meter, Fraction(1))
    charges = [_charge(side, meter, quantity) for meter, quantity in counted.items()]
    least = side.version.get("minimum")
    total = _sum(charges, "")
    owes = any(side.leaves.values())
    if least is not None and total.status == "priced" and owes and total.amount is not None:
        missing = rounded(Fraction(least) * side.exchange) - total.amount
        if missing > 0 and total.amount >= 0:  # what a falling price gives back stays given
            charges.append(Charge("minimum_charge", Fraction(0), missing, exact=missing))
    return charges


def _is_free(side: _Side, rule: Json) -> bool:
    for key, wanted in rule.get("when", {}).items():
        value = value_of(side.event, key)
        if value is None:
            value = side.version.get("context", {}).get(key, {}).get("default")
        if value != wanted:
            return False
    return not any(has_quantity_of(side.leaves, meter) for meter in rule.get("without", []))


def _own(side: _Side, meter: str) -> bool:
    return side.cell.price_of(meter, side.version) is not None


def _charge(side: _Side, meter: str, quantity: Fraction) -> Charge:
    unpriced = Charge(meter, quantity, None, "unpriced")
    price = side.cell.price_of(meter, side.version)
    if price is None:
        return _without_rate(side, meter, quantity)
    used = billed(price, quantity, side.event["context"])
    if used is None:
        return unpriced
    if price.pool is not None:
        return _pooled(side, price, unpriced, used)
    exact = used * price.unit * side.exchange
    return Charge(meter, quantity, rounded(exact), exact=exact)


def _without_rate(side: _Side, meter: str, quantity: Fraction) -> Charge:
    percent, included = side.version.get("percent"), side.version.get("included", [])
    if percent is not None:
        cost = next((cost for cost in side.costs if cost.meter == meter), None)
        rate = _exchange(side.books, side.cost_currency or "", side.currency, side.event["event_time_us"])
        if cost is not None and cost.exact is not None and rate is not None:
            exact = cost.exact * (1 + Fraction(percent) / HUNDRED) * rate
            return Charge(meter, quantity, rounded(exact), exact=exact)
    elif ("*" in included or meter in included) and side.event["query_id"] is not None:
        return Charge(meter, quantity, None, "included")
    return Charge(meter, quantity, None, "unpriced")


def _pooled(side: _Side, price: Price, leaf: Charge, quantity: Fraction) -> Charge:
    """A(Q + q) less the amount so far of the pool's period at event time."""
    customer, at_us = side.event["customer_id"], side.event["event_time_us"]
    versions = side.books.pools.get((side.price_card or "", price.pool or ""), [])
    version = next((version for version in versions if in_force(version, at_us)), None)
    if version is None:
        return leaf
    start, _ = side.books.period(customer, at_us, side.price_card)
    if "from" in version:
        start = max(start, instant_us(version["from"]))
    name = f"{side.price_card}/{price.pool}"
    before, amount_before = side.pools.get((customer, name, start), (Fraction(0), Fraction(0)))
    after = rounded(period_price(version, before + quantity))
    side.pools[customer, name, start] = before + quantity, after
    return Charge(leaf.meter, leaf.quantity, after - amount_before, pool=name)
