"""Finds the card for a provider and a model."""

from collections import defaultdict
from collections.abc import Iterable

from pricing.cards import ModelPrefix, RateCard


class CardIndex:
    """Cards by exact name, then by prefix; those that name the provider before those for any provider.

    Letter case is ignored in providers and models.
    """

    __slots__ = ("_exact", "_prefixes")

    def __init__(self, cards: Iterable[RateCard]) -> None:
        self._exact: dict[tuple[str | None, str], RateCard] = {}
        prefixes: defaultdict[str | None, list[tuple[ModelPrefix, RateCard]]] = defaultdict(list)
        for card in cards:
            provider = card.provider.lower() if card.provider is not None else None
            for model in card.models:
                self._exact[provider, model.lower()] = card
            prefixes[provider] += [(prefix, card) for prefix in card.prefixes]
        self._prefixes = {
            provider: sorted(found, key=lambda pair: (-pair[0].priority, -len(pair[0].prefix)))
            for provider, found in prefixes.items()
        }

    def find_exact(self, provider: str, model: str) -> RateCard | None:
        """The card that names the model itself, or None."""
        name = model.lower()
        found = self._exact.get((provider.lower(), name))
        return found if found is not None else self._exact.get((None, name))

    def find(self, provider: str, model: str) -> RateCard | None:
        """The card, or None where no card is for this model."""
        name = model.lower()
        for scope in (provider.lower(), None):
            exact = self._exact.get((scope, name))
            if exact is not None:
                return exact
            for prefix, card in self._prefixes.get(scope, ()):
                if name.startswith(prefix.prefix.lower()) and not any(
                    part.lower() in name for part in prefix.unless
                ):
                    return card
        return None
