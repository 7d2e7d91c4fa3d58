"""What a retroactive change leaves to be rated again: which events, for which customers or providers."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from pricing.cards import BookContent, PriceCard
from rate_book.changes import Change

_CONTRACT = re.compile(r"(?:^|by )contract (?P<name>.+)$")
_CUSTOMER = re.compile(r"^assignment of customer (?P<name>.+)$")
_PROVIDER_CARD = re.compile(r"^provider card (?P<name>.+)$")


@dataclass(frozen=True, slots=True)
class Rerate:
    """Events in [from_us, until_us) whose `side` (cost, price, or both) was rated by what has changed.

    `whose` names the provider card, the customer (`*`: each without a contract of its own) or, for both
    sides, what changed for everyone.
    """

    side: str
    whose: str
    from_us: int | None
    until_us: int


def rerates(touches: Iterable[Change], content: BookContent, until_us: int) -> tuple[Rerate, ...]:
    """The re-rates that these changes need, the earliest instant of each: of the events before `until_us`,
    which a rater may have rated by an older version.
    """
    whose = _Whose(content)
    earliest: dict[tuple[str, str], int | None] = {}
    for change in touches:
        if change.from_us is not None and change.from_us >= until_us:
            continue
        for key in whose.needing(change.what):
            before = earliest.setdefault(key, change.from_us)
            if before is not None and (change.from_us is None or change.from_us < before):
                earliest[key] = change.from_us
    return tuple(
        Rerate(side, name, from_us, until_us) for (side, name), from_us in sorted(earliest.items(), key=_key)
    )


def _key(item: tuple[tuple[str, str], int | None]) -> tuple[str, str]:
    return item[0]


class _Whose:
    """Who is billed by what: customers by their contracts, and those whose price is a share on our cost."""

    def __init__(self, content: BookContent) -> None:
        self._customers: defaultdict[str, set[str]] = defaultdict(set)
        for assignment in content.assignments:
            self._customers[assignment.contract_id].add(assignment.customer)
        self._providers = {card.card_id: _small(card.provider) for card in content.provider_cards}
        on_cost = {card.price_card_id: _providers_on_cost(card) for card in content.price_cards}
        self._on_cost: dict[str, set[str | None]] = {
            contract.contract_id: set().union(*(on_cost.get(name, ()) for name in contract.price_cards))
            for contract in content.contracts
        }

    def needing(self, what: str) -> list[tuple[str, str]]:
        """(side, whose) of what a change touches."""
        if match := _CUSTOMER.match(what):
            return [("price", match["name"])]
        if match := _CONTRACT.search(what):
            return self._prices(match["name"])
        if match := _PROVIDER_CARD.match(what):
            return [("cost", match["name"]), *self._prices_on_cost(match["name"])]
        return [("cost and price", what)]

    def _prices_on_cost(self, card_id: str) -> list[tuple[str, str]]:
        """A card that is gone may have been of any provider."""
        provider = self._providers.get(card_id)
        return [
            key
            for contract, providers in self._on_cost.items()
            if providers and (provider is None or not providers.isdisjoint({None, provider}))
            for key in self._prices(contract)
        ]

    def _prices(self, contract: str) -> list[tuple[str, str]]:
        return [("price", customer) for customer in self._customers.get(contract, ())]


def _small(provider: str | None) -> str | None:
    return None if provider is None else provider.lower()


def _providers_on_cost(price_card: PriceCard) -> set[str | None]:
    """The providers (None: any) of whose models the price card sells some at a share on their cost."""
    return {
        _small(card.provider)
        for card in price_card.cards
        if any(version.markup_percent is not None for version in card.versions)
    }
