"""What is wrong with contracts, assignments, aliases, exchange rates, zones and units."""

import re
from collections.abc import Iterable, Iterator
from functools import partial
from typing import get_args

from pricing.calendar import ZoneTable, zones
from pricing.cards import (
    CALENDAR_MONTH_UTC,
    STATEMENT_TERMS,
    UTC,
    BillingUnit,
    BookContent,
    Contract,
    PriceCard,
)
from pricing.check_cells import pooled_rates
from pricing.currencies import ISO_4217, is_currency
from pricing.errors import CardError
from pricing.faults import NOT_A_CURRENCY, Fault, Faults, Span, number, repeated, spans

_UNIT = re.compile(r"[A-Z][A-Z0-9_]{2,15}")
_ANCHORS = {"week": 7, "month": 31, "quarter": 31, "year": 31}


def check_units(units: Iterable[str]) -> Faults:
    units = tuple(units)
    for unit in repeated(units):
        yield CardError("book", "units", unit, "is listed twice")
    for unit in units:
        if _UNIT.fullmatch(unit) is None or unit in ISO_4217:
            rule = "must be 3 to 16 capitals, digits or _, and no code of ISO 4217"
            yield CardError("book", "units", repr(unit), rule)


def known_zones(content: BookContent) -> tuple[frozenset[str], tuple[CardError, ...]]:
    """The known ones among the zones that schedules and contracts name; and the faults of the book's own."""
    faults = [
        CardError("book", "zones", name, "is listed twice")
        for name in repeated(z.name for z in content.zones)
    ]
    sound = []
    for zone in content.zones:
        try:
            ZoneTable(zone)
        except ValueError as error:
            faults.append(CardError("book", "zones", zone.name, str(error)))
        else:
            sound.append(zone)
    table = zones(sound)
    known = set()
    for name in {contract.zone for contract in content.contracts} | set(_schedule_zones(content)):
        try:
            table(name)
        except ValueError:
            continue
        known.add(name)
    return frozenset(known), tuple(faults)


def _schedule_zones(content: BookContent) -> Iterator[str]:
    groups = (content.provider_cards, *(price_card.cards for price_card in content.price_cards))
    return (
        schedule.zone
        for cards in groups
        for card in cards
        for version in card.versions
        for schedule in version.schedules
    )


def check_contracts(content: BookContent, known: frozenset[str]) -> Faults:
    """`known`: the zones that may be named."""
    for card_id in repeated(card.price_card_id for card in content.price_cards):
        yield CardError("book", "price_cards", card_id, "is the id of two price cards")
    for contract_id in repeated(contract.contract_id for contract in content.contracts):
        yield CardError("book", "contracts", contract_id, "is the id of two contracts")
    price_cards = {card.price_card_id: card for card in content.price_cards}
    exchanged = {(rate.currency, rate.to) for rate in content.exchange}
    for contract in content.contracts:
        fault = partial(CardError, contract.contract_id)
        if not is_currency(contract.currency, content.units):
            yield fault("currency", repr(contract.currency), NOT_A_CURRENCY)
        yield from _check_billing(contract, known, fault)
        for field in STATEMENT_TERMS:
            amount = getattr(contract, field)
            if amount is not None:
                yield from number(field, amount, fault, above_0=True)
        for card_id in repeated(contract.price_cards):
            yield fault("price_cards", card_id, "is listed twice")
        for card_id in dict.fromkeys(contract.price_cards):
            if card_id not in price_cards:
                yield fault("price_cards", card_id, "is not a price card of the book")
            else:
                yield from _check_sold(contract, price_cards[card_id], exchanged, fault)


def _check_billing(contract: Contract, known: frozenset[str], fault: Fault) -> Faults:
    units = get_args(BillingUnit)
    if contract.billing_period not in units:
        yield fault("billing_period", repr(contract.billing_period), f"must be one of {', '.join(units)}")
    elif not 1 <= contract.anchor_day <= _ANCHORS.get(contract.billing_period, 1):
        last = _ANCHORS.get(contract.billing_period, 1)
        rule = f"must be from 1 to {last} for a billing period of a {contract.billing_period}"
        if last == 1:
            rule = f"means nothing for the billing period {contract.billing_period}: must be 1"
        yield fault("anchor_day", str(contract.anchor_day), rule)
    if contract.zone not in known:
        rule = "is not a known zone: UTC, an offset such as +08:00, or an IANA name"
        yield fault("zone", contract.zone, rule)
    elif contract.billing_period == CALENDAR_MONTH_UTC and contract.zone != UTC:
        rule = f"must be UTC for the billing period {CALENDAR_MONTH_UTC}: `month` is in a zone"
        yield fault("zone", contract.zone, rule)


def _check_sold(
    contract: Contract, price_card: PriceCard, exchanged: set[tuple[str, str]], fault: Fault
) -> Faults:
    """What is in another currency than the contract can be exchanged into it."""
    mine = contract.currency
    for currency in sorted({card.currency for card in price_card.cards} - {mine}):
        if (currency, mine) not in exchanged:
            rule = (
                f"price card {price_card.price_card_id} is in {currency}, and the book has no"
                f" rate of exchange {currency} to {mine}"
            )
            yield fault("currency", mine, rule)
    for card in price_card.cards:
        if card.currency == mine:
            continue
        if any(map(pooled_rates, card.versions)):
            rule = f"card {card.card_id} is in {card.currency} and has a pool: pools are not exchanged"
            yield fault("currency", mine, rule)
        if any(version.markup_percent is not None for version in card.versions):
            rule = f"card {card.card_id} is in {card.currency} and marks up the cost: must be the contract's"
            yield fault("currency", mine, rule)


def check_assignments(content: BookContent) -> Faults:
    contracts = {contract.contract_id for contract in content.contracts}
    dated: dict[str, list[Span]] = {}
    for assignment in content.assignments:
        who = f"assignment of {assignment.customer}"
        if not assignment.customer:
            yield CardError("assignment", "customer", "''", "must not be empty")
        if assignment.contract_id not in contracts:
            yield CardError(who, "contract_id", assignment.contract_id, "is not a contract of the book")
        dated.setdefault(assignment.customer, []).append((assignment.valid_from_us, assignment.valid_to_us))
    for customer, mine in dated.items():
        yield from spans("valid", mine, partial(CardError, f"assignment of {customer}"))


def check_aliases(content: BookContent) -> Faults:
    names = {
        ((card.provider or "").lower(), model.lower()): card.card_id
        for card in content.provider_cards
        for model in card.models
    }
    aliases = {(item.provider.lower(), item.alias.lower()) for item in content.aliases}
    dated: dict[tuple[str, str], list[Span]] = {}
    for item in content.aliases:
        key = (item.provider.lower(), item.alias.lower())
        fault = partial(CardError, f"alias {item.provider}/{item.alias}")
        if not (item.provider and item.alias and item.model):
            yield fault("alias", repr(item.alias), "needs a provider, the alias and the model")
        if (item.provider.lower(), item.model.lower()) in aliases:
            yield fault("model", item.model, "is an alias itself: an alias names the model")
        if key not in dated and key in names:
            rule = f"is the exact name of card {names[key]}: a name is an alias or a model"
            yield fault("alias", item.alias, rule)
        dated.setdefault(key, []).append((item.valid_from_us, item.valid_to_us))
    for (provider, alias), mine in dated.items():
        yield from spans("valid", mine, partial(CardError, f"alias {provider}/{alias}"))


def check_exchange(content: BookContent) -> Faults:
    dated: dict[tuple[str, str], list[Span]] = {}
    for item in content.exchange:
        fault = partial(CardError, f"exchange {item.currency} to {item.to}")
        for field, text in (("currency", item.currency), ("to", item.to)):
            if not is_currency(text, content.units):
                yield fault(field, repr(text), NOT_A_CURRENCY)
        if item.currency == item.to:
            yield fault("to", item.to, "must be another currency")
        yield from number("rate", item.rate, fault, above_0=True)
        dated.setdefault((item.currency, item.to), []).append((item.valid_from_us, item.valid_to_us))
    for (currency, to), mine in dated.items():
        yield from spans("valid", mine, partial(CardError, f"exchange {currency} to {to}"))
