"""Which cards may be asked for the same model: the question behind a name that changes hands."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pricing.cards import ModelAlias, RateCard

Scope = str | None
"""A provider in small letters; None is any provider."""


class Matched(NamedTuple):
    """The names and prefixes of a card, in small letters, with the aliases of what it matches."""

    names: frozenset[str]
    prefixes: frozenset[str]


class Matching:
    """What cards match, aliases included: a customer may be sold an alias by its name or by its model's."""

    def __init__(self, aliases: Iterable[ModelAlias]) -> None:
        self._aliases: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        for alias in aliases:
            self._aliases[alias.provider.lower()].add((alias.alias.lower(), alias.model.lower()))

    def of(self, card: RateCard) -> Matched:
        own = {name.lower() for name in card.models}
        prefixes = {prefix.prefix.lower() for prefix in card.prefixes}
        scope = scope_of(card)
        named = {
            alias
            for provider in (self._aliases if scope is None else (scope,))
            for alias, model in self._aliases.get(provider, ())
            if model in own or model.startswith(tuple(prefixes))
        }
        return Matched(frozenset(own | named), frozenset(prefixes))


def scope_of(card: RateCard) -> Scope:
    return None if card.provider is None else card.provider.lower()


class CardNames:
    """Cards by what they match: whether some call may match one of them and another card, rather once too
    often than never (`unless` is not looked at).
    """

    def __init__(self, cards: Sequence[RateCard], matching: Matching) -> None:
        self._cards = cards
        self._matching = matching
        self._scopes: dict[Scope, _Scope] | None = None  # made when first needed: most changes need none

    def overlapping(self, card: RateCard, but: RateCard | None) -> bool:
        """Whether `card` may match what one of these cards matches, `but` aside."""
        if self._scopes is None:
            self._scopes = self._made()
        scope = scope_of(card)
        asked = self._scopes if scope is None else (scope, None)
        matched = self._matching.of(card)
        return any(
            other is not but
            for name in asked
            if name in self._scopes
            for other in self._scopes[name].overlapping(matched)
        )

    def _made(self) -> "dict[Scope, _Scope]":
        found: defaultdict[Scope, _Scope] = defaultdict(_Scope)
        for card in self._cards:
            found[scope_of(card)].add(card, self._matching.of(card))
        for scope in found.values():
            scope.sort()
        return dict(found)


class _Scope:
    """The names and prefixes of one provider's cards."""

    def __init__(self) -> None:
        self._by_name: defaultdict[str, list[RateCard]] = defaultdict(list)
        self._by_prefix: defaultdict[str, list[RateCard]] = defaultdict(list)
        self._names: list[str] = []
        self._prefixes: list[str] = []

    def add(self, card: RateCard, matched: Matched) -> None:
        for name in matched.names:
            self._by_name[name].append(card)
        for prefix in matched.prefixes:
            self._by_prefix[prefix].append(card)

    def sort(self) -> None:
        self._names, self._prefixes = sorted(self._by_name), sorted(self._by_prefix)

    def overlapping(self, matched: Matched) -> Iterator[RateCard]:
        for name in matched.names:
            yield from self._by_name.get(name, ())
            yield from self._prefixes_of(name)
        for prefix in matched.prefixes:
            yield from self._prefixes_of(prefix)
            for name in _beginning(self._names, prefix):
                yield from self._by_name[name]
            for longer in _beginning(self._prefixes, prefix):
                yield from self._by_prefix[longer]

    def _prefixes_of(self, text: str) -> Iterator[RateCard]:
        for length in range(len(text) + 1):
            yield from self._by_prefix.get(text[:length], ())


def _beginning(texts: list[str], prefix: str) -> Iterator[str]:
    for position in range(bisect_left(texts, prefix), len(texts)):
        if not texts[position].startswith(prefix):
            return
        yield texts[position]
