"""genai-prices' data into provider files: dated prices, whole-request tiers, variants, names.

The package is a development dependency: the generated files are what ships. Its prices are USD per unit of
its registry, whose meter names are ours. What a book cannot say is refused by name; nothing is dropped in
silence.
"""

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from importlib import metadata
from typing import Any

from rate_book.errors import ImportRefusedError
from rate_book.importers.genai_cells import dated_prices, has_hours
from rate_book.importers.names import Names, names_of
from rate_book.importers.price_list import Card, ProviderList, Refusal

PACKAGE = "genai-prices"

# The package bills at least 10 seconds an event for these in its code; its data does not say so.
_TEN_SECONDS = {"audio_seconds": "10", "input_audio_seconds": "10"}
_HIDDEN_MINIMUM = {
    ("groq", "whisper-large-v3"): _TEN_SECONDS,
    ("groq", "whisper-large-v3-turbo"): _TEN_SECONDS,
}


@dataclass
class Imported:
    """The provider files and the refusals, in the order of the list."""

    lists: list[ProviderList] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)


def import_genai_prices(checked: date) -> Imported:
    """Convert the installed package's data. Raises ImportRefusedError where it is not installed."""
    try:
        providers = importlib.import_module("genai_prices.data").providers
        units = importlib.import_module("genai_prices.data_units").unit_data
    except ModuleNotFoundError as error:
        raise ImportRefusedError(
            f"{PACKAGE} is not installed ({error.name}): install it, then import again"
        ) from error
    source = f"{PACKAGE} {metadata.version(PACKAGE)}"
    return convert(providers, units, source, checked.isoformat())


def convert(providers: Iterable[Any], units: Mapping[str, Any], source: str, checked: str) -> Imported:
    """Convert genai-prices' provider objects."""
    everyone = list(providers)
    result = Imported()
    for provider in everyone:
        cards = _ProviderCards(provider, units, result.refusals)
        for model in provider.models:
            cards.add(model, f"{provider.id}/{model.id}", own=True)
        for other_id in provider.fallback_model_providers or ():
            # A provider that sells another's models at the other's prices: cards of its own, for its own
            # name.
            for model in next((other.models for other in everyone if other.id == other_id), ()):
                cards.add(model, f"{provider.id}/{other_id}/{model.id}", own=False)
        if cards.cards:
            result.lists.append(ProviderList(provider.id, source, checked, cards.finished()))
    return result


class _ProviderCards:
    """The cards of one provider; the list's rule is that the first model that matches a name has it."""

    def __init__(self, provider: Any, units: Mapping[str, Any], refusals: list[Refusal]) -> None:
        self.cards: list[Card] = []
        self._provider = provider
        self._units = units
        self._refusals = refusals
        self._names: set[str] = set()
        self._prefixes: set[str] = set()

    def add(self, model: Any, card_id: str, *, own: bool) -> None:
        names = self._names_of(model, card_id, own=own)
        # The package itself applies no variants to a model that is sold by another provider.
        versions, faults = self._versions(model, variants=own)
        if model.price_variants and not own:
            self._refuse(
                card_id, "prices by context", "unpriced: the list has them for the model's own provider"
            )
        for what, outcome in faults:
            self._refuse(card_id, what, outcome)
        if not versions:
            return
        if not names.exact and not names.prefixes:
            self._refuse(card_id, "no name is left that a book can say", "no card")
            return
        priority = 0 if own else -1
        prefixes = [(prefix, priority, list(unless)) for prefix, unless in names.prefixes]
        self.cards.append(Card(card_id, names.exact, prefixes, versions))

    def finished(self) -> list[Card]:
        """The cards, with priorities where an earlier model's prefix would lose to a later, longer one."""
        ordered = [(card, position) for position, card in enumerate(self.cards) if card.prefixes]
        if any(
            later.startswith(earlier)
            for index, (card, _) in enumerate(ordered)
            for earlier, _, _ in card.prefixes
            for other, _ in ordered[index + 1 :]
            for later, _, _ in other.prefixes
        ):
            for card, position in ordered:
                rank = len(self.cards) - position
                card.prefixes = [(prefix, rank, unless) for prefix, _, unless in card.prefixes]
        return self.cards

    def _versions(self, model: Any, *, variants: bool) -> tuple[list[Any], list[tuple[str, str]]]:
        if not variants and has_hours(model):
            return [], [("prices by the time of day", "no card: another provider's hours")]
        minimum = _HIDDEN_MINIMUM.get((self._provider.id, model.id))
        return dated_prices(self._provider.id, model, self._units, variants=variants, minimum=minimum)

    def _names_of(self, model: Any, card_id: str, *, own: bool) -> Names:
        found = names_of(model.match)
        for what, outcome in found.remarks:
            self._refuse(card_id, what, outcome)
        kept = Names()
        for name in dict.fromkeys(found.exact):
            first = next((other for other in self._provider.models if other.is_match(name)), None)
            if (own and first is not model) or (not own and first is not None) or name in self._names:
                self._refuse(card_id, f"name {name!r}", "left to the model that comes first in the list")
                continue
            self._names.add(name)
            kept.exact.append(name)
        for prefix, unless in dict.fromkeys(found.prefixes):
            if prefix in self._prefixes:
                self._refuse(card_id, f"prefix {prefix!r}", "left to the model that comes first in the list")
                continue
            self._prefixes.add(prefix)
            kept.prefixes.append((prefix, unless))
        return kept

    def _refuse(self, card_id: str, what: str, outcome: str) -> None:
        model = card_id.removeprefix(f"{self._provider.id}/")
        self._refusals.append(Refusal(self._provider.id, model, what, outcome))
