"""What is wrong with a rate book: every fault, each naming card, field, value and rule."""

from functools import partial
from typing import NamedTuple

from pricing.cards import ALL, ATTRIBUTE_PREFIX, BookContent, CardVersion, RateCard
from pricing.check_cells import check_cell, check_variants
from pricing.check_plans import (
    check_aliases,
    check_assignments,
    check_contracts,
    check_exchange,
    check_units,
    known_zones,
)
from pricing.check_pools import check_price_card
from pricing.check_terms import check_multipliers, check_not_billed, check_payment, check_schedules
from pricing.currencies import is_currency
from pricing.errors import CardError
from pricing.faults import NOT_A_CURRENCY, Fault, Faults, meters, repeated, spans
from pricing.meters import DEFAULT_METERS, MeterRegistry
from pricing.pooled import TIER_ADJUSTMENT
from pricing.special import MINIMUM_CHARGE, PROVIDER_COST

_NO_METERS = frozenset({ALL, MINIMUM_CHARGE, PROVIDER_COST, TIER_ADJUSTMENT})


class _Known(NamedTuple):
    """What the book defines and its cards may name."""

    registry: MeterRegistry
    units: tuple[str, ...]
    zones: frozenset[str]


def check_book(content: BookContent) -> tuple[CardError, ...]:
    """Every fault of the book; an empty tuple when it can be compiled."""
    try:
        registry = MeterRegistry((*DEFAULT_METERS, *content.meters))
    except ValueError as error:
        return (CardError("book", "meters", ", ".join(meter.name for meter in content.meters), str(error)),)
    faults = [
        CardError("book", "dimensions", name, "is listed twice") for name in repeated(content.dimensions)
    ]
    faults += [
        CardError("book", "meters", meter.name, "is no name of a meter: it stands for something else")
        for meter in content.meters
        if meter.name in _NO_METERS
    ]
    faults += check_units(content.units)
    zones, zone_faults = known_zones(content)
    faults += zone_faults
    known = _Known(registry, content.units, zones)
    faults += _check_group("book", "provider_cards", content.provider_cards, known, customer=False)
    for price_card in content.price_cards:
        faults += _check_group(price_card.price_card_id, "cards", price_card.cards, known, customer=True)
        faults += check_price_card(price_card, content.units)
    faults += check_contracts(content, zones)
    faults += check_assignments(content)
    faults += check_aliases(content)
    faults += check_exchange(content)
    return tuple(faults)


def _check_group(
    owner: str, field: str, cards: tuple[RateCard, ...], known: _Known, *, customer: bool
) -> Faults:
    """Cards that are asked together: sound each, and never two for one model at the same priority."""
    for card_id in repeated(card.card_id for card in cards):
        yield CardError(owner, field, card_id, "is the id of two cards")
    matched: dict[tuple[str, tuple[str, ...]], str] = {}
    for card in cards:
        yield from _check_card(card, known, customer=customer)
        provider = (card.provider or ALL).lower()
        names: list[tuple[str, tuple[str, ...], str]] = [
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


def _check_card(card: RateCard, known: _Known, *, customer: bool) -> Faults:
    fault = partial(CardError, card.card_id)
    if not card.card_id:
        yield fault("card_id", "''", "must not be empty")
    if card.provider == "" or (card.provider is None and not customer):
        yield fault("provider", repr(card.provider), "a provider card must name its provider")
    if not is_currency(card.currency, known.units):
        yield fault("currency", repr(card.currency), NOT_A_CURRENCY)
    if not card.models and not card.prefixes:
        yield fault("models", "()", "a card must match a model by name or by prefix")
    for name in repeated(model.lower() for model in card.models):
        yield fault("models", name, "is listed twice")
    if not card.versions:
        yield fault("versions", "()", "a card must have a version")
    yield from spans("versions", [(v.valid_from_us, v.valid_to_us) for v in card.versions], fault)
    for position, version in enumerate(card.versions):
        yield from _check_version(f"versions[{position}]", version, known, fault, customer=customer)


def _check_version(
    field: str, version: CardVersion, known: _Known, fault: Fault, *, customer: bool
) -> Faults:
    registry = known.registry
    yield from check_cell(f"{field}.base", version.base, registry, fault)
    yield from meters(f"{field}.parts_at_whole_rate", version.parts_at_whole_rate, registry, fault)
    for name in repeated(key.key for key in version.context):
        yield fault(f"{field}.context", name, "is declared twice")
    for key in version.context:
        where = f"{field}.context.{key.key}"
        if key.key in ("", ATTRIBUTE_PREFIX):
            yield fault(where, repr(key.key), "must have a name")
        if not key.values:
            yield fault(where, "()", "must have a value")
        for value in repeated(key.values):
            yield fault(where, value, "is listed twice")
        if key.default is not None and key.values and key.default not in key.values:
            yield fault(where, key.default, "the default must be one of the values")
    yield from check_schedules(field, version, known.zones, fault)
    yield from check_variants(field, version, registry, fault)
    yield from check_multipliers(field, version, registry, fault)
    yield from check_not_billed(field, version, registry, fault)
    yield from check_payment(field, version, registry, fault, customer=customer)
