"""Entries of running totals to the dictionaries of the wire's TotalsEntry and back."""

from collections.abc import Iterable, Mapping
from typing import Any

from pricing.money import format_atto
from pricing.totals import Key, Live, Scope, Sums, parse_sum


def entry_record(key: Key, sums: Sums) -> dict[str, Any]:
    """The entry as a TotalsEntry."""
    window, start_us, scope, cost_currency, price_currency = key
    return {
        "window": window,
        "start_us": start_us,
        "end_us": sums.end_us,
        "scope": dict(scope),
        "cost_currency": cost_currency,
        "price_currency": price_currency,
        "cost": None if sums.cost_atto is None else format_atto(sums.cost_atto),
        "price": None if sums.price_atto is None else format_atto(sums.price_atto),
        "events": sums.events,
        "unpriced_cost_events": sums.unpriced_cost_events,
        "unpriced_price_events": sums.unpriced_price_events,
        "quantities": {meter: format_atto(quantity) for meter, quantity in sums.quantities.items()},
    }


def entry_of(record: Mapping[str, Any]) -> tuple[Key, Sums]:
    """Key and sums of a TotalsEntry. Raises ValueError for a number that is not a plain decimal."""
    scope = scope_of(record["scope"])
    key = (record["window"], record["start_us"], scope, record["cost_currency"], record["price_currency"])
    cost, price = record["cost"], record["price"]
    return key, Sums(
        None if cost is None else parse_sum(cost),
        None if price is None else parse_sum(price),
        record["events"],
        record["unpriced_cost_events"],
        record["unpriced_price_events"],
        {meter: parse_sum(quantity) for meter, quantity in record["quantities"].items()},
        record["end_us"],
    )


def live_of(records: Iterable[Mapping[str, Any]]) -> Live:
    """The totals of a list of TotalsEntry. Raises ValueError for an unknown window or a malformed number."""
    return Live(dict(map(entry_of, records)))


def scope_of(pairs: Mapping[str, str]) -> Scope:
    """The scope of the wire's dimension-to-value map."""
    return tuple(sorted(pairs.items()))
