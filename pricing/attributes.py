"""Which attributes of events a book reads: only these enter a call's context."""

from collections.abc import Iterator

from pricing.cards import ATTRIBUTE_PREFIX, BookContent, CardVersion

HAS_QUERY = "event.has_query"
"""`yes` where the event names a query, else `no`."""


def attributes_of(content: BookContent) -> tuple[str, ...]:
    """The `event.` keys that some card of the book names, sorted; `event.has_query` where a query may pay."""
    groups = (content.provider_cards, *(price_card.cards for price_card in content.price_cards))
    versions = (version for group in groups for card in group for version in card.versions)
    return tuple(sorted({key for version in versions for key in attributes_of_version(version)}))


def attributes_of_version(version: CardVersion) -> Iterator[str]:
    """The `event.` keys that the version names."""
    named = [key.key for key in version.context]
    named += [key for multiplier in version.multipliers for key, _ in multiplier.when]
    named += [key for rule in version.not_billed for key, _ in rule.when]
    yield from (key for key in named if key.startswith(ATTRIBUTE_PREFIX))
    if version.included:
        yield HAS_QUERY
