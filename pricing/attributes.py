"""Which of a call's context a book reads: the attributes of the event that enter it, and what a set of cards
makes of it.
"""

from collections.abc import Iterable, Iterator

from pricing.cards import ATTRIBUTE_PREFIX, BookContent, CardVersion, Cell, Rate, RateCard
from pricing.compiled import Context
from pricing.quantity import TILE_KEYS

HAS_QUERY = "event.has_query"
"""`yes` where the event names a query, else `no`."""

_ANY_VALUE = "..."  # stands for values without end that make no difference


def attributes_of(content: BookContent) -> tuple[str, ...]:
    """The `event.` keys that some card of the book names, sorted; `event.has_query` where a query may pay."""
    groups = (content.provider_cards, *(price_card.cards for price_card in content.price_cards))
    versions = (version for group in groups for card in group for version in card.versions)
    return tuple(sorted({key for version in versions for key in _attributes_of(version)}))


def _attributes_of(version: CardVersion) -> Iterator[str]:
    named = [key.key for key in version.context]
    named += [key for multiplier in version.multipliers for key, _ in multiplier.when]
    named += [key for rule in version.not_billed for key, _ in rule.when]
    yield from (key for key in named if key.startswith(ATTRIBUTE_PREFIX))
    if version.included:
        yield HAS_QUERY


def counts_tiles(version: CardVersion) -> bool:
    """Whether a rate of the version turns images into tokens, so that it reads their sizes and detail."""
    cells = (version.base, *(variant.cell for variant in version.variants))
    return any(rate.tiles is not None for cell in cells for rate in _rates_of(cell))


def _rates_of(cell: Cell) -> Iterator[Rate]:
    yield from cell.rates
    for step in cell.thresholds.steps if cell.thresholds is not None else ():
        yield from step.rates


class Reading:
    """What a set of cards reads of a context: calls that it cannot tell apart read alike.

    So what is remembered for each context does not grow with values that no price depends on.
    """

    def __init__(self, cards: Iterable[RateCard], unread: frozenset[str]) -> None:
        """`unread`: the keys that a card that does not name them ignores."""
        versions = [version for card in cards for version in card.versions]
        self._keys = {key.key for version in versions for key in version.context}
        self._keys |= {schedule.key for version in versions for schedule in version.schedules}
        self._pairs = {pair for version in versions for rule in version.not_billed for pair in rule.when}
        self._pairs |= {(HAS_QUERY, "yes") for version in versions if version.included}
        self._unread = unread
        self._measured = TILE_KEYS if any(map(counts_tiles, versions)) else frozenset[str]()

    def of(self, context: Context) -> Context:
        """What the cards read, sorted; a key that no card knows stays, since it makes the call unpriced."""
        read = []
        for pair in context:
            key = pair[0]
            if key in self._keys or pair in self._pairs:
                read.append(pair)
            elif key in self._unread:
                continue
            elif key in self._measured:
                read.append((key, _ANY_VALUE))
            else:
                read.append(pair)
        return tuple(sorted(read))
