"""A book for people: what a version holds, and single cards in full."""

import json
from typing import Any

from pricing.cards import Assignment, BookContent, Contract, PriceCard, RateCard
from pricing.instants import instant_text
from rate_book.content import plain

Item = RateCard | PriceCard | Contract | Assignment


def summary(content: BookContent) -> dict[str, int]:
    """How many of each a book holds."""
    return {
        "provider cards": len(content.provider_cards),
        "providers": len({card.provider for card in content.provider_cards}),
        "price cards": len(content.price_cards),
        "contracts": len(content.contracts),
        "assignments": len(content.assignments),
    }


def find_cards(content: BookContent, name: str) -> list[Item]:
    """Provider cards, price cards and their cards, contracts and assignments of that id."""
    found: list[Item] = [card for card in content.provider_cards if card.card_id == name]
    for price_card in content.price_cards:
        if price_card.price_card_id == name:
            found.append(price_card)
        found += [card for card in price_card.cards if card.card_id == name]
    found += [contract for contract in content.contracts if contract.contract_id == name]
    found += [assignment for assignment in content.assignments if assignment.customer == name]
    return found


def card_as_data(item: Item) -> Any:
    """The item as JSON values, with instants as text."""
    return _readable(json.loads(json.dumps(plain(item))))


def _readable(value: Any) -> Any:
    if isinstance(value, list):
        return [_readable(entry) for entry in value]
    if isinstance(value, dict):
        return {
            key.removesuffix("_us") if key.endswith("_us") else key: (
                instant_text(entry) if key.endswith("_us") and isinstance(entry, int) else _readable(entry)
            )
            for key, entry in value.items()
        }
    return value
