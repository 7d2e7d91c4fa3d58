"""The rate book's YAML files as plain dictionaries of text, read without a line of the project's code."""

from collections.abc import Iterable
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]
TEXT = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # no scalar becomes a float


class Books:
    """Everything that some directories say: cards, contracts, assignments and ignored context keys."""

    def __init__(self, directories: Iterable[Path]) -> None:
        self.provider_cards: list[Json] = []
        self.price_cards: dict[str, list[Json]] = {}
        self.contracts: dict[str, Json] = {}
        self.assignments: list[Json] = []
        self.ignored: set[str] = set()
        self._found: dict[tuple[str | None, str, str], Json | None] = {}
        for directory in directories:
            for path in sorted(directory.rglob("*.y*ml")):
                with path.open(encoding="utf-8") as file:
                    self._take(yaml.load(file, Loader=TEXT))  # noqa: S506  # it makes text, lists and dictionaries

    def _take(self, document: Json) -> None:
        self.ignored |= set(document.get("settings", {}).get("context_ignored", []))
        self.assignments += document.get("assignments", [])
        for contract in document.get("contracts", []):
            self.contracts[contract["contract"]] = contract
        currency = document.get("currency")
        cards = [
            {"provider": document.get("provider"), **card, "currency": currency}
            for card in document.get("cards", [])
        ]
        if "price_card" in document:
            self.price_cards[document["price_card"]] = cards
        elif "provider" in document:
            self.provider_cards += cards

    def provider_card(self, provider: str, model: str) -> Json | None:
        """The provider's own card for a model."""
        return self._remembered(None, self.provider_cards, provider, model)

    def customer_card(self, price_card: str, provider: str, model: str) -> Json | None:
        """The card for a model in a customer price card."""
        return self._remembered(price_card, self.price_cards[price_card], provider, model)

    def _remembered(self, name: str | None, cards: list[Json], provider: str, model: str) -> Json | None:
        key = (name, provider, model)
        if key not in self._found:
            self._found[key] = card_for(cards, provider, model)
        return self._found[key]

    def contract_of(self, customer: str, at_us: int) -> Json | None:
        """The customer's own contract at that instant, else everybody's."""
        for name in (customer, "*"):
            for assignment in self.assignments:
                if assignment["customer"] == name and in_force(assignment, at_us):
                    return self.contracts[assignment["contract"]]
        return None


def in_force(dated: Json, at_us: int) -> bool:
    """Whether from <= instant < to; what is not said is open."""
    begins, ends = dated.get("from"), dated.get("to")
    return (begins is None or instant_us(begins) <= at_us) and (ends is None or at_us < instant_us(ends))


def instant_us(text: str) -> int:
    at = datetime.fromisoformat(text)
    since = (at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def card_for(cards: Iterable[Json], provider: str, model: str) -> Json | None:
    """Exact name, then highest priority, then longest prefix; a card of the provider before one of any."""
    name = model.lower()
    for scope in (provider.lower(), None):
        mine = [card for card in cards if (card["provider"].lower() if card["provider"] else None) == scope]
        for card in mine:
            if name in {known.lower() for known in card.get("models", [])}:
                return card
        fitting = [
            (int(entry.get("priority", 0)), len(prefix), index)
            for index, card in enumerate(mine)
            for entry in card.get("prefixes", [])
            for prefix in ["" if entry["prefix"] == "*" else entry["prefix"].lower()]
            if name.startswith(prefix) and not any(word.lower() in name for word in entry.get("unless", []))
        ]
        if fitting:
            return mine[max(fitting)[2]]
    return None


def rates_of(said: Json | None) -> dict[str, Fraction]:
    """Price of one unit of each meter: `2.5 per 1000000` is 2.5/1000000."""
    rates = {}
    for meter, text in (said or {}).items():
        amount, _, per = text.partition(" per ")
        rates[meter] = Fraction(amount) / Fraction(per or "1")
    return rates
