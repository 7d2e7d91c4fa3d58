"""What is wrong with a rate book: every fault, each naming card, field, value and rule."""

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from functools import partial
from typing import TypeVar

from pricing.cards import (
    ALL,
    CALENDAR_MONTH_UTC,
    BookContent,
    CardVersion,
    Cell,
    Rate,
    RateCard,
    Variant,
)
from pricing.errors import CardError, UsageError
from pricing.meters import DEFAULT_METERS, MeterRegistry
from pricing.money import parse_decimal

_CURRENCY = re.compile(r"[A-Z][A-Z0-9_]{2,15}")

_H = TypeVar("_H", bound=Hashable)
_Fault = Callable[[str, str, str], CardError]


def check_book(content: BookContent) -> tuple[CardError, ...]:
    """Every fault of the book; an empty tuple when it can be compiled."""
    try:
        registry = MeterRegistry((*DEFAULT_METERS, *content.meters))
    except ValueError as error:
        return (CardError("book", "meters", ", ".join(meter.name for meter in content.meters), str(error)),)
    faults = [
        CardError("book", "dimensions", name, "is listed twice") for name in _repeated(content.dimensions)
    ]
    faults += _check_group("book", "provider_cards", content.provider_cards, registry, any_provider=False)
    for price_card in content.price_cards:
        faults += _check_group(
            price_card.price_card_id, "cards", price_card.cards, registry, any_provider=True
        )
    faults += _check_contracts(content)
    faults += _check_assignments(content)
    return tuple(faults)


def _check_group(
    owner: str, field: str, cards: tuple[RateCard, ...], registry: MeterRegistry, *, any_provider: bool
) -> Iterator[CardError]:
    """Cards that are asked together: sound each, and never two for one model at the same priority."""
    for card_id in _repeated(card.card_id for card in cards):
        yield CardError(owner, field, card_id, "is the id of two cards")
    matched: dict[Hashable, str] = {}
    for card in cards:
        yield from _check_card(card, registry, any_provider=any_provider)
        provider = (card.provider or ALL).lower()
        names: list[tuple[str, Hashable, str]] = [
            ("models", (provider, model.lower()), model) for model in card.models
        ]
        names += [
            ("prefixes", (provider, prefix.prefix.lower(), str(prefix.priority)), prefix.prefix)
            for prefix in card.prefixes
        ]
        for kind, key, text in names:
            other = matched.setdefault((kind, key), card.card_id)
            if other != card.card_id:
                rule = f"card {other} matches the same at the same priority: it must be one of them"
                yield CardError(card.card_id, kind, text, rule)


def _check_card(card: RateCard, registry: MeterRegistry, *, any_provider: bool) -> Iterator[CardError]:
    def fault(field: str, value: str, rule: str) -> CardError:
        return CardError(card.card_id, field, value, rule)

    if not card.card_id:
        yield fault("card_id", "''", "must not be empty")
    if card.provider == "" or (card.provider is None and not any_provider):
        yield fault("provider", repr(card.provider), "a provider card must name its provider")
    if not _CURRENCY.fullmatch(card.currency):
        yield fault(
            "currency", repr(card.currency), "must be an ISO 4217 code or a declared unit in capitals"
        )
    if not card.models and not card.prefixes:
        yield fault("models", "()", "a card must match a model by name or by prefix")
    for name in _repeated(model.lower() for model in card.models):
        yield fault("models", name, "is listed twice")
    if not card.versions:
        yield fault("versions", "()", "a card must have a version")
    yield from _check_spans("versions", [(v.valid_from_us, v.valid_to_us) for v in card.versions], fault)
    for position, version in enumerate(card.versions):
        yield from _check_version(f"versions[{position}]", version, registry, fault)


def _check_spans(
    field: str, spans: list[tuple[int | None, int | None]], fault: _Fault
) -> Iterator[CardError]:
    """Spans [from, to) that hold an instant each and do not overlap."""
    previous: tuple[int | None, int | None] | None = None
    for span in sorted(spans, key=lambda span: (span[0] is not None, span[0] or 0)):
        start, end = span
        if start is not None and end is not None and start >= end:
            yield fault(field, f"[{start}, {end})", "valid_from must be before valid_to")
        if previous is not None and (previous[1] is None or start is None or start < previous[1]):
            yield fault(field, f"[{start}, {end})", f"overlaps [{previous[0]}, {previous[1]})")
        if previous is None or (previous[1] is not None and (end is None or end > previous[1])):
            previous = span


def _check_version(
    field: str, version: CardVersion, registry: MeterRegistry, fault: _Fault
) -> Iterator[CardError]:
    yield from _check_cell(f"{field}.base", version.base, registry, fault)
    yield from _check_meters(f"{field}.parts_at_whole_rate", version.parts_at_whole_rate, registry, fault)
    for name in _repeated(key.key for key in version.context):
        yield fault(f"{field}.context", name, "is declared twice")
    for key in version.context:
        where = f"{field}.context.{key.key}"
        for value in _repeated(key.values):
            yield fault(where, value, "is listed twice")
        if key.default is not None and key.default not in key.values:
            yield fault(where, key.default, "the default must be one of the values")
    for when in _repeated(frozenset(variant.when) for variant in version.variants):
        yield fault(f"{field}.variants", _words(when), "two variants are for the same context")
    for variant in version.variants:
        yield from _check_variant(
            f"{field}.variants[{_words(variant.when)}]", version, variant, registry, fault
        )


def _check_variant(
    field: str, version: CardVersion, variant: Variant, registry: MeterRegistry, fault: _Fault
) -> Iterator[CardError]:
    known = {key.key: key for key in version.context}
    if not variant.when:
        yield fault(field, "()", "a variant must name a context value; the standard context is the base")
    for name in _repeated(name for name, _ in variant.when):
        yield fault(field, name, "is named twice")
    for name, value in variant.when:
        key = known.get(name)
        if key is None:
            yield fault(field, name, "is not a context key of this version")
        elif value not in key.values:
            yield fault(field, f"{name}={value}", f"must be one of {', '.join(key.values)}")
        elif value == key.default:
            yield fault(field, f"{name}={value}", "is the default: a variant names only values that are not")
    yield from _check_cell(field, variant.cell, registry, fault)
    yield from _check_meters(f"{field}.inherit", variant.inherit, registry, fault)
    mine, base = variant.cell.thresholds, version.base.thresholds
    if variant.inherit and mine and base and (mine.selector, mine.operator) != (base.selector, base.operator):
        rule = (
            f"must be those of the base ({base.selector} {base.operator}), since the variant inherits from it"
        )
        yield fault(f"{field}.thresholds", f"{mine.selector} {mine.operator}", rule)


def _check_cell(field: str, cell: Cell, registry: MeterRegistry, fault: _Fault) -> Iterator[CardError]:
    yield from _check_rates(field, cell.rates, registry, fault)
    thresholds = cell.thresholds
    if thresholds is None:
        return
    where = f"{field}.thresholds"
    if thresholds.selector not in registry:
        yield fault(f"{where}.selector", thresholds.selector, "is not a known meter")
    if thresholds.operator not in ("gt", "gte"):
        yield fault(f"{where}.operator", repr(thresholds.operator), "must be gt or gte")
    if not thresholds.steps:
        yield fault(f"{where}.steps", "()", "thresholds must have a step")
    previous = -1
    for position, step in enumerate(thresholds.steps):
        start = _decimal(step.start)
        if start is None:
            yield fault(f"{where}.steps[{position}].start", repr(step.start), "must be a plain decimal")
        elif start <= previous:
            yield fault(f"{where}.steps[{position}].start", step.start, "starts must ascend")
        previous = start if start is not None else previous
        yield from _check_rates(f"{where}.steps[{position}]", step.rates, registry, fault)
        yield from _check_meters(f"{where}.steps[{position}].inherit", step.inherit, registry, fault)


def _check_rates(
    field: str, rates: tuple[Rate, ...], registry: MeterRegistry, fault: _Fault
) -> Iterator[CardError]:
    for meter in _repeated(rate.meter for rate in rates):
        yield fault(f"{field}.rates", meter, "has two rates")
    yield from _check_meters(
        f"{field}.rates", tuple(rate.meter for rate in rates), registry, fault, every=False
    )
    for rate in rates:
        if _decimal(rate.rate) is None:
            yield fault(
                f"{field}.rates.{rate.meter}.rate", repr(rate.rate), "must be a plain decimal, 0 or more"
            )
        if not _decimal(rate.per):
            yield fault(f"{field}.rates.{rate.meter}.per", repr(rate.per), "must be a plain decimal above 0")


def _check_meters(
    field: str, meters: tuple[str, ...], registry: MeterRegistry, fault: _Fault, *, every: bool = True
) -> Iterator[CardError]:
    for meter in meters:
        if meter not in registry and not (every and meter == ALL):
            yield fault(field, meter, "is not a known meter: a new one is defined in the book's meters")


def _check_contracts(content: BookContent) -> Iterator[CardError]:
    for card_id in _repeated(card.price_card_id for card in content.price_cards):
        yield CardError("book", "price_cards", card_id, "is the id of two price cards")
    for contract_id in _repeated(contract.contract_id for contract in content.contracts):
        yield CardError("book", "contracts", contract_id, "is the id of two contracts")
    price_cards = {card.price_card_id: card for card in content.price_cards}
    for contract in content.contracts:
        if contract.billing_period != CALENDAR_MONTH_UTC:
            rule = f"must be {CALENDAR_MONTH_UTC}"
            yield CardError(contract.contract_id, "billing_period", contract.billing_period, rule)
        for card_id in _repeated(contract.price_cards):
            yield CardError(contract.contract_id, "price_cards", card_id, "is listed twice")
        for card_id in contract.price_cards:
            if card_id not in price_cards:
                yield CardError(
                    contract.contract_id, "price_cards", card_id, "is not a price card of the book"
                )
                continue
            for currency in sorted(
                {card.currency for card in price_cards[card_id].cards} - {contract.currency}
            ):
                rule = f"price card {card_id} is in {currency}: a contract has one currency"
                yield CardError(contract.contract_id, "currency", contract.currency, rule)


def _check_assignments(content: BookContent) -> Iterator[CardError]:
    contracts = {contract.contract_id for contract in content.contracts}
    spans: dict[str, list[tuple[int | None, int | None]]] = {}
    for assignment in content.assignments:
        who = f"assignment of {assignment.customer}"
        if not assignment.customer:
            yield CardError("assignment", "customer", "''", "must not be empty")
        if assignment.contract_id not in contracts:
            yield CardError(who, "contract_id", assignment.contract_id, "is not a contract of the book")
        span = (assignment.valid_from_us, assignment.valid_to_us)
        spans.setdefault(assignment.customer, []).append(span)
    for customer, mine in spans.items():
        yield from _check_spans("valid", mine, partial(CardError, f"assignment of {customer}"))


def _decimal(text: str) -> int | None:
    try:
        return parse_decimal(text, "")
    except UsageError:
        return None


def _repeated(items: Iterable[_H]) -> list[_H]:
    """What occurs more than once, in order of appearance."""
    counts = Counter(items)
    return [item for item, count in counts.items() if count > 1]


def _words(when: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(when))
