"""What a call costs and what it is worth, in exact fractions: a second opinion that shares no code.

Written from the documents: counts are split into disjoint leaves, a card is found, its version by event time,
its cell by exact context, its step by the whole request's total, and each leaf is charged.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from tests.oracle.books import Books, Json, in_force, rates_of

PLACES = 10**18
COUNTED_ONCE = ("requests", "events")


def _tokens(direction: str, *kinds: str) -> frozenset[str]:
    return frozenset((direction, *kinds))


# What each meter counts; one whose set holds another's is a part of that one.
METERS: dict[str, frozenset[str]] = {
    "input_tokens": _tokens("in"),
    "cache_read_tokens": _tokens("in", "read"),
    "cache_write_tokens": _tokens("in", "write"),
    "cache_write_5m_tokens": _tokens("in", "write", "5m"),
    "cache_write_1h_tokens": _tokens("in", "write", "1h"),
    "input_audio_tokens": _tokens("in", "audio"),
    "input_text_tokens": _tokens("in", "text"),
    "cache_audio_read_tokens": _tokens("in", "read", "audio"),
    "cache_text_read_tokens": _tokens("in", "read", "text"),
    "cache_audio_write_tokens": _tokens("in", "write", "audio"),
    "cache_text_write_tokens": _tokens("in", "write", "text"),
    "cache_audio_write_5m_tokens": _tokens("in", "write", "5m", "audio"),
    "cache_text_write_5m_tokens": _tokens("in", "write", "5m", "text"),
    "cache_audio_write_1h_tokens": _tokens("in", "write", "1h", "audio"),
    "cache_text_write_1h_tokens": _tokens("in", "write", "1h", "text"),
    "output_tokens": _tokens("out"),
    "output_reasoning_tokens": _tokens("out", "reasoning"),
    "output_audio_tokens": _tokens("out", "audio"),
    "output_audio_reasoning_tokens": _tokens("out", "audio", "reasoning"),
    "web_searches": frozenset({"searches"}),
    "requests": frozenset({"requests"}),
    "events": frozenset({"events"}),
}
NAMED = {counted: meter for meter, counted in METERS.items()}
TOTALS = {"in": "input_tokens", "out": "output_tokens"}


class Amount(NamedTuple):
    """One side: its status, and its amount where anything could be priced."""

    status: str
    amount: Fraction | None
    currency: str | None


UNPRICED = Amount("unpriced", None, None)


class Impossible(Exception):
    """The counts contradict each other: the event must be rejected."""


def expected(books: Books, event: Mapping[str, Any]) -> tuple[Amount, Amount]:
    """Cost and price of an event in the form of the wire.

    Raises Impossible where parts exceed their whole, or where their whole is missing.
    """
    leaves = split(event["usage_semantics"], event["usage"])
    provider, model = event["provider"], _model(event)
    at_us = event["event_time_us"]
    context = dict(event["context"])
    context |= {name: event[name] for name in ("region", "endpoint") if event[name] is not None}
    cost = _side(books, books.provider_card(provider, model), at_us, context, leaves)
    contract = books.contract_of(event["customer_id"], at_us)
    if contract is None:
        return cost, UNPRICED
    for name in contract["price_cards"]:
        card = books.customer_card(name, provider, model)
        if card is not None:
            return cost, _side(books, card, at_us, context, leaves)
    return cost, UNPRICED


def totals(
    books: Books, events: Iterable[Mapping[str, Any]]
) -> tuple[dict[str, Fraction], dict[str, Fraction]]:
    """Sums of cost and of price by currency; what has no amount adds nothing."""
    sums: tuple[dict[str, Fraction], dict[str, Fraction]] = ({}, {})
    for event in events:
        for side, total in zip(expected(books, event), sums, strict=True):
            if side.amount is not None and side.currency is not None:
                total[side.currency] = total.get(side.currency, Fraction(0)) + side.amount
    return sums


def split(semantics: str, usage: Mapping[str, str]) -> dict[str, Fraction]:
    """Disjoint quantities: inclusive, what is counted in a reported part is taken out of its whole.

    The two cases of docs/decisions/0003: some of a part without its total is refused; where the parts come to
    more than their whole, what must lie in two of them is counted there, once nothing else is possible.
    """
    told = {meter: Fraction(text) for meter, text in usage.items()}
    if semantics == "exclusive":
        return told
    for meter, quantity in told.items():
        for direction, total in TOTALS.items():
            if quantity and direction in METERS[meter] and total not in told:
                raise Impossible(meter)
    leaves = _apart(told)
    while min(leaves.values(), default=0) < 0:
        shared = _shared(told)
        if not shared:
            raise Impossible(usage)
        told |= shared
        leaves = _apart(told)
    return leaves


def _apart(told: Mapping[str, Fraction]) -> dict[str, Fraction]:
    leaves: dict[str, Fraction] = {}
    for meter in sorted(told, key=lambda name: -len(METERS[name])):
        leaves[meter] = told[meter] - sum(leaves[part] for part in leaves if METERS[meter] < METERS[part])
    return leaves


def _shared(told: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """What nobody reported and yet is certain: all of a whole is in one part, so any other part is in it."""
    shared = {}
    for whole, total in told.items():
        inside = [part for part in told if METERS[whole] < METERS[part] and told[part]]
        for everything in (part for part in inside if told[part] == total):
            for part in inside:
                both = NAMED.get(METERS[everything] | METERS[part])
                if both is not None and both not in told:
                    shared[both] = told[part]
    return shared


def _model(event: Mapping[str, Any]) -> str:
    for name in ("billed_model", "served_model", "requested_model"):
        if event[name]:
            model: str = event[name]
            return model
    return ""


def _side(
    books: Books, card: Json | None, at_us: int, context: Mapping[str, str], leaves: Mapping[str, Fraction]
) -> Amount:
    version = next((v for v in card["versions"] if in_force(v, at_us)), None) if card is not None else None
    rates = _rates(books, version, context, leaves) if version is not None else None
    if card is None or version is None or rates is None:
        return UNPRICED
    counted = dict(leaves)
    for meter in COUNTED_ONCE:
        if meter in rates:
            counted.setdefault(meter, Fraction(1))
    if not counted:
        return UNPRICED  # nothing was reported, which is not a quantity of 0
    amounts = {meter: _charged(meter, quantity, rates, version) for meter, quantity in counted.items()}
    owing = [amounts[meter] for meter, quantity in counted.items() if quantity]
    priced = [amount for amount in owing if amount is not None]
    if owing and not priced:
        return UNPRICED
    status = "priced" if len(priced) == len(owing) else "partial"
    return Amount(status, sum(priced, Fraction(0)), card["currency"])


def _rates(
    books: Books, version: Json, context: Mapping[str, str], leaves: Mapping[str, Fraction]
) -> dict[str, Fraction] | None:
    """The rates for this context and size of request; None where the card does not know the context."""
    keys = version.get("context", {})
    if any(name not in keys and name not in books.ignored for name in context):
        return None
    special = {}
    for name, key in keys.items():
        value = context.get(name, key.get("default"))
        if value is None or value not in key["values"]:
            return None
        if value != key.get("default"):
            special[name] = value
    base = _at_step(version, leaves)
    if not special:
        return base
    for variant in version.get("variants", []):
        if variant["when"] == special:
            own = {meter for cell in _cells(variant) for meter in rates_of(cell.get("rates"))}
            kept = _kept(base, variant.get("inherit", []))
            return {meter: rate for meter, rate in kept.items() if meter not in own} | _at_step(
                variant, leaves
            )
    return None


def _cells(cell: Json) -> list[Json]:
    """A cell and its steps."""
    return [cell, *(cell.get("thresholds") or {}).get("steps", [])]


def _at_step(cell: Json, leaves: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """The rates below the first threshold, or of the last step that the request's total is beyond."""
    base = rates = rates_of(cell.get("rates"))
    thresholds = cell.get("thresholds")
    if thresholds is None:
        return rates
    whole = METERS[thresholds.get("selector", "input_tokens")]
    total = sum((quantity for meter, quantity in leaves.items() if whole <= METERS[meter]), Fraction(0))
    for step in thresholds["steps"]:
        start = Fraction(step["start"])
        if total > start or (total == start and thresholds.get("operator", "gt") == "gte"):
            rates = _kept(base, step.get("inherit", [])) | rates_of(step.get("rates"))
    return rates


def _kept(rates: dict[str, Fraction], meters: list[str]) -> dict[str, Fraction]:
    return {meter: rate for meter, rate in rates.items() if "*" in meters or meter in meters}


def _charged(meter: str, quantity: Fraction, rates: Mapping[str, Fraction], version: Json) -> Fraction | None:
    """The leaf's amount, at its own rate or where the card says so at that of its nearest whole."""
    rate = rates.get(meter)
    listed = version.get("parts_at_whole_rate", [])
    if rate is None and ("*" in listed or meter in listed):
        wholes = [other for other in rates if other in METERS and METERS[other] < METERS[meter]]
        nearest = [w for w in wholes if not any(METERS[w] < METERS[other] for other in wholes)]
        found = {rates[whole] for whole in nearest}
        rate = found.pop() if len(found) == 1 else None
    # Python rounds a fraction half to even.
    return None if rate is None else Fraction(round(quantity * rate * PLACES), PLACES)
