"""The rate book's YAML files as plain dictionaries of text, read without a line of the project's code."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.oracle.times import in_force, instant_us, period_of

Json = dict[str, Any]
TEXT = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # no scalar becomes a float
EVER = 2**62


class Books:
    """Everything that some texts say, with the short forms (matrix, like, markup) written out."""

    def __init__(self, directories: Iterable[Path] = (), texts: Iterable[str] = ()) -> None:
        self.provider_cards: list[Json] = []
        self.price_cards: dict[str, list[Json]] = {}
        self.pools: dict[tuple[str, str], list[Json]] = {}
        self.contracts: dict[str, Json] = {}
        self.assignments: list[Json] = []
        self.aliases: list[Json] = []
        self.exchange: list[Json] = []
        self.ignored: set[str] = set()
        self._found: dict[tuple[str | None, str, str, str], Json | None] = {}
        for directory in directories:
            for path in sorted(directory.rglob("*.y*ml")):
                self._take(path.read_text(encoding="utf-8"))
        for text in texts:
            self._take(text)

    def _take(self, text: str) -> None:
        document: Json = yaml.load(text, Loader=TEXT)  # noqa: S506  # it makes text, lists and dictionaries
        self.ignored |= set(document.get("settings", {}).get("context_ignored", []))
        self.assignments += document.get("assignments", [])
        self.aliases += document.get("aliases", [])
        self.exchange += document.get("exchange", [])
        for contract in document.get("contracts", []):
            self.contracts[contract["contract"]] = contract
        cards = _written_out(document)
        if "price_card" in document:
            self.price_cards[document["price_card"]] = cards
            for pool in document.get("pools", []):
                self.pools[document["price_card"], pool["pool"]] = pool["versions"]
        elif "provider" in document:
            replaced = {card["card"] for card in cards if "corrects" in card}
            kept = [card for card in self.provider_cards if card["card"] not in replaced]
            self.provider_cards = kept + cards

    def target(self, provider: str, model: str, at_us: int) -> str | None:
        """What an alias stands for at that instant."""
        for alias in self.aliases:
            same = (alias["provider"].lower(), alias["alias"].lower()) == (provider.lower(), model.lower())
            if same and in_force(alias, at_us):
                found: str = alias["model"]
                return found
        return None

    def provider_card(self, provider: str, model: str, at_us: int) -> Json | None:
        """The provider's own card for a model, or for the one that its name stands for."""
        name = self.target(provider, model, at_us) or model
        return self._remembered(None, self.provider_cards, provider, name, "any")

    def customer_card(
        self, names: list[str], provider: str, model: str, at_us: int
    ) -> tuple[str, Json] | None:
        """The first price card with a card: for the name itself, what it stands for, or its beginning."""
        target = self.target(provider, model, at_us)
        tries = [(model, "any")] if target is None else [(model, "exact"), (target, "any"), (model, "any")]
        for price_card in names:
            for name, how in tries:
                card = self._remembered(price_card, self.price_cards[price_card], provider, name, how)
                if card is not None:
                    return price_card, card
        return None

    def _remembered(
        self, name: str | None, cards: list[Json], provider: str, model: str, how: str
    ) -> Json | None:
        key = (name, provider, model, how)
        if key not in self._found:
            self._found[key] = card_for(cards, provider, model, how)
        return self._found[key]

    def assignment_of(self, customer: str, at_us: int) -> int | None:
        """Which assignment holds: the customer's own, else everybody's."""
        for name in (customer, "*"):
            for index, assignment in enumerate(self.assignments):
                if assignment["customer"] == name and in_force(assignment, at_us):
                    return index
        return None

    def contract_of(self, customer: str, at_us: int) -> Json | None:
        """The customer's own contract at that instant, else everybody's."""
        index = self.assignment_of(customer, at_us)
        return None if index is None else self.contracts[self.assignments[index]["contract"]]

    def span_of(self, customer: str, at_us: int, price_card: str | None) -> tuple[int, int]:
        """From when until when one contract holds, with those that carry its quantities over.

        `price_card`: both contracts must sell it. None: of periods, which belong to no price card.
        """
        edges = {-EVER, EVER}
        for assignment in self.assignments:
            if assignment["customer"] in (customer, "*"):
                edges |= {instant_us(assignment[side]) for side in ("from", "to") if side in assignment}
        ordered = sorted(edges)
        start = max(edge for edge in ordered if edge <= at_us)
        end = min(edge for edge in ordered if edge > at_us)
        while start > -EVER and self._goes_on(customer, start, price_card):
            start = max(edge for edge in ordered if edge < start)
        while end < EVER and self._goes_on(customer, end, price_card):
            end = min(edge for edge in ordered if edge > end)
        return start, end

    def _goes_on(self, customer: str, edge: int, price_card: str | None) -> bool:
        """Whether nothing ends at that instant."""
        before, after = self.assignment_of(customer, edge - 1), self.assignment_of(customer, edge)
        if before is None or after is None or before == after:
            return before == after
        old, new = (self.contracts[self.assignments[index]["contract"]] for index in (before, after))
        if old is new:
            return True
        return (
            new.get("carry_over") == "true"
            and _calendar(old) == _calendar(new)
            and all(price_card is None or price_card in contract["price_cards"] for contract in (old, new))
        )

    def period(self, customer: str, at_us: int, price_card: str | None = None) -> tuple[int, int]:
        """The billing period of a customer at an instant, clipped where its contract begins and ends."""
        contract = self.contract_of(customer, at_us)
        start, end = period_of(contract, at_us)
        if contract is None:
            return start, end
        begins, ends = self.span_of(customer, at_us, price_card)
        return max(start, begins), min(end, ends)


def _calendar(contract: Json) -> tuple[str, str, str]:
    unit = contract.get("billing_period", "calendar_month_utc")
    return unit, contract.get("anchor_day", "1"), contract.get("zone", "UTC")


def _written_out(document: Json) -> list[Json]:
    """Cards with their currency and provider; `like` and the short forms of versions are gone."""
    cards: dict[str, Json] = {}
    for said in document.get("cards", []):
        card = {"provider": document.get("provider"), **said, "currency": document.get("currency")}
        cards[card["card"]] = card
    for card in cards.values():
        if "like" in card:
            factor = {"name": f"like {card['like']}", "factor": card.get("factor", "1")}
            card["versions"] = [
                {**version, "multipliers": [*version.get("multipliers", []), factor]}
                for version in cards[card["like"]]["versions"]
            ]
    for card in cards.values():
        card["versions"] = [_version(version) for version in card["versions"]]
    return list(cards.values())


def _version(said: Json) -> Json:
    version = {**said, "rates": dict(said.get("rates", {})), "variants": list(said.get("variants", []))}
    if "markup" in said:
        version["percent"] = said["markup"].get("percent", "0")
        version["minimum"] = said["markup"].get("minimum", said.get("minimum"))
        if "fixed" in said["markup"]:
            version["rates"]["events"] = said["markup"]["fixed"]
    for when, rates in _matrix(said):
        if when:
            version["variants"].append({"when": when, "rates": rates, "inherit": ["*"]})
        else:
            version["rates"] |= rates
    return version


def _matrix(version: Json) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    matrix: Json = version.get("matrix", {})
    for cell in matrix.get("cells", []):
        named = zip(matrix["keys"], cell["values"], strict=True)
        when = {key: value for key, value in named if value != version["context"][key].get("default")}
        yield when, {matrix["meter"]: f"{cell['rate']} per {matrix.get('per', '1')}"}


def card_for(cards: Iterable[Json], provider: str, model: str, how: str = "any") -> Json | None:
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
        if fitting and how == "any":
            return mine[max(fitting)[2]]
    return None
