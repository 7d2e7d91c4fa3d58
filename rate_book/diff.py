"""Which prices differ between two books: each one, from when, and by how much.

Both books are read as values over time: what a card, contract, pool, alias or rate of exchange says at a
place (the cell of a context, a step, a meter) in a span. A variant's and a step's inherited rates stand at
their places too, since they change with what they are inherited from.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

from pricing.cards import BookContent, RateCard
from pricing.instants import instant_text
from rate_book.places import Dated, Place, Things, Value, places_of, places_of_cards

_PERCENT_PLACES, _DIFFERENCE_PLACES = Decimal("0.01"), Decimal("1e-18")
_DIGITS = 80  # of the sums: more than any two rates of 38 digits need


@dataclass(frozen=True, slots=True)
class PriceChange:
    """What one place said and says, in [from_us, to_us); None is since ever, and until further notice.

    `old` or `new` None: it said nothing. `difference` (per `per` units) and `percent` stand where both are
    numbers; no percentage of 0.
    """

    what: str
    place: Place
    from_us: int | None
    to_us: int | None
    old: str | None
    new: str | None
    difference: str | None = None
    percent: str | None = None

    def as_data(self) -> dict[str, Any]:
        """As JSON values, with instants as text."""
        return {
            "what": self.what,
            "context": self.place.context,
            "step": self.place.step,
            "item": self.place.item,
            "from": None if self.from_us is None else instant_text(self.from_us),
            "to": None if self.to_us is None else instant_text(self.to_us),
            "old": self.old,
            "new": self.new,
            "difference": self.difference,
            "percent": self.percent,
        }


class _Differing(NamedTuple):
    old: Value | None
    new: Value | None


def diff(old: BookContent, new: BookContent) -> tuple[PriceChange, ...]:
    """Everything that `new` says otherwise, thing by thing and place by place, each in order of time."""
    return _diff(places_of(_but_same(old, new)), places_of(_but_same(new, old)))


def _but_same(content: BookContent, other: BookContent) -> BookContent:
    """The content without the cards that the other has alike: in most comparisons nearly all of them; and
    without the zones that only one of them has, since those come with what names them.
    """
    owned = {item.price_card_id: item.cards for item in other.price_cards}
    price_cards = tuple(
        replace(item, cards=_unlike(item.cards, owned.get(item.price_card_id, ())))
        for item in content.price_cards
    )
    cards = _unlike(content.provider_cards, other.provider_cards)
    both = {zone.name for zone in other.zones}
    zones = tuple(zone for zone in content.zones if zone.name in both)
    return replace(content, provider_cards=cards, price_cards=price_cards, zones=zones)


def _unlike(cards: Iterable[RateCard], others: Iterable[RateCard]) -> tuple[RateCard, ...]:
    known = {card.card_id: card for card in others}
    return tuple(card for card in cards if known.get(card.card_id) != card)


def diff_of_cards(
    old: Mapping[tuple[str, str], RateCard], new: Mapping[tuple[str, str], RateCard]
) -> tuple[PriceChange, ...]:
    """The same for cards by (group, card id)."""
    return _diff(places_of_cards(old), places_of_cards(new))


def _diff(before: Things, after: Things) -> tuple[PriceChange, ...]:
    result: list[PriceChange] = []
    for what in sorted(before.keys() | after.keys()):
        result += _changes(what, before.get(what, ()), after.get(what, ()))
    return tuple(result)


def _changes(what: str, old: Sequence[Dated], new: Sequence[Dated]) -> Iterator[PriceChange]:
    if old == new:
        return
    edges = sorted({edge for item in (*old, *new) for edge in (item.from_us, item.to_us)})
    spans: dict[Place, list[tuple[int, int, _Differing]]] = {}
    for start, end in pairwise(edges):
        was, says = _at(old, start), _at(new, start)
        for place in sorted(was.keys() | says.keys()):
            differing = _Differing(was.get(place), says.get(place))
            if differing.old == differing.new:
                continue
            mine = spans.setdefault(place, [])
            if mine and mine[-1][1] == start and mine[-1][2] == differing:
                mine[-1] = (mine[-1][0], end, differing)
            else:
                mine.append((start, end, differing))
    for place in sorted(spans):
        for start, end, differing in spans[place]:
            yield _change(what, place, (start, end), differing)


def _at(dated: Iterable[Dated], instant_us: int) -> Mapping[Place, Value]:
    return next((item.values for item in dated if item.from_us <= instant_us < item.to_us), {})


def _change(what: str, place: Place, span: tuple[int, int], differing: _Differing) -> PriceChange:
    old, new = differing
    difference = percent = None
    if old is not None and new is not None and old.number is not None and new.number is not None:
        per = new.per or Fraction(1)
        difference = _signed((new.number - old.number) * per, _DIFFERENCE_PLACES)
        if new.per not in (None, 1):
            difference += f" per {_plain(per)}"
        if old.number:
            percent = _signed((new.number / old.number - 1) * 100, _PERCENT_PLACES)
    return PriceChange(
        what,
        place,
        None if span[0] == Dated.EVER else span[0],
        None if span[1] == Dated.NEVER else span[1],
        old.text if old else None,
        new.text if new else None,
        difference,
        percent,
    )


def _signed(value: Fraction, places: Decimal) -> str:
    with localcontext(prec=_DIGITS):
        rounded = (Decimal(value.numerator) / Decimal(value.denominator)).quantize(places, ROUND_HALF_EVEN)
    return f"{'+' if value >= 0 else '-'}{_trimmed(abs(rounded))}"


def _plain(value: Fraction) -> str:
    with localcontext(prec=_DIGITS):
        return _trimmed(Decimal(value.numerator) / Decimal(value.denominator))


def _trimmed(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
