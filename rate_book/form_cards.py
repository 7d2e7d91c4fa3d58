"""Cards and their versions as they stand in a file, and cards that are like another one."""

import dataclasses
from collections.abc import Sequence

from pricing.cards import CardVersion, Cell, ContextKey, ModelPrefix, Multiplier, Rate, RateCard, Variant
from rate_book.fields import Fields
from rate_book.form_rates import read_cell, read_matrix
from rate_book.form_terms import (
    known_key,
    read_accepted,
    read_markup,
    read_multiplier,
    read_not_billed,
    read_schedule,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Like:
    """A card whose versions are another card's, at a factor."""

    fields: Fields
    card: RateCard
    other: str
    factor: str | None


def read_cards(
    items: Sequence[Fields], provider: str | None, currency: str, source: str | None
) -> tuple[RateCard, ...]:
    """The cards of one file. Without `provider`, each card may name its own."""
    cards: dict[str, RateCard] = {}
    likes = []
    result = []
    for item in items:
        owner = provider if provider is not None else item.optional_text("provider")
        card = _card(item, owner, currency, source)
        result.append(card)
        if isinstance(card, RateCard):
            cards[card.card_id] = card
        else:
            likes.append(card)
    return tuple(card if isinstance(card, RateCard) else _copied(card, cards) for card in result)


def _card(fields: Fields, provider: str | None, currency: str, source: str | None) -> RateCard | Like:
    with fields.inside():
        card = RateCard(
            card_id=fields.text("card"),
            provider=provider,
            currency=currency,
            versions=tuple(_version(item, source) for item in fields.children("versions", "from")),
            models=fields.texts("models"),
            prefixes=tuple(_prefix(item) for item in fields.children("prefixes", "prefix")),
        )
        if not fields.has("like"):
            return card
        if card.versions:
            raise fields.refuse(
                "versions", len(card.versions), "a card that is `like` another has its versions"
            )
        return Like(fields, card, fields.text("like"), fields.optional_decimal("factor"))


def _copied(like: Like, cards: dict[str, RateCard]) -> RateCard:
    other = cards.get(like.other)
    if other is None:
        rule = "must be a card of the same file with versions of its own"
        raise like.fields.refuse("like", like.other, rule)
    factors = () if like.factor is None else (Multiplier(f"like {like.other}", like.factor),)
    versions = (
        dataclasses.replace(version, multipliers=(*version.multipliers, *factors))
        for version in other.versions
    )
    return dataclasses.replace(like.card, versions=tuple(versions))


def _prefix(fields: Fields) -> ModelPrefix:
    with fields.inside():
        # "" would be hard to see in a review: any model is written `*`.
        prefix = fields.text("prefix")
        return ModelPrefix(
            "" if prefix == "*" else prefix, fields.integer("priority", 0), fields.texts("unless")
        )


def _version(fields: Fields, source: str | None) -> CardVersion:
    with fields.inside():
        base = read_cell(fields)
        context = tuple(_context_key(name, item) for name, item in fields.mappings("context"))
        table: tuple[tuple[Rate, ...], tuple[Variant, ...]] = ((), ())
        if fields.has("matrix"):
            table = read_matrix(fields.child("matrix"), context)
        markup = read_markup(fields)
        return CardVersion(
            base=Cell((*base.rates, *table[0], *markup.fixed), base.thresholds),
            valid_from_us=fields.instant("from"),
            valid_to_us=fields.instant("to"),
            context=context,
            variants=(*(_variant(item) for item in fields.children("variants", "name")), *table[1]),
            parts_at_whole_rate=fields.texts("parts_at_whole_rate"),
            source=fields.text("source") if fields.has("source") else source,
            schedules=tuple(read_schedule(item) for item in fields.children("schedules", "key")),
            multipliers=tuple(read_multiplier(item) for item in fields.children("multipliers", "name")),
            not_billed=tuple(read_not_billed(item) for item in fields.children("not_billed", "name")),
            included=fields.texts("included"),
            markup_percent=markup.percent,
            stated_cost=fields.boolean("stated_cost"),
            minimum=markup.minimum,
            accepted=read_accepted(fields),
        )


def _context_key(name: str, fields: Fields) -> ContextKey:
    with fields.inside():
        known_key(fields, "key", name)
        return ContextKey(name, fields.texts("values"), fields.optional_text("default"))


def _variant(fields: Fields) -> Variant:
    with fields.inside():
        return Variant(fields.pairs("when"), read_cell(fields), fields.texts("inherit"))
