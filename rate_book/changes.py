"""What a new book changes, and from which instant: the first at which an answer may differ.

The two books are compared card by card and contract by contract. A price card counts only while a contract
that sells it is assigned. Where the comparison cannot tell it says "since ever", never later than the truth.
Remarks (`source`) and the dimensions of the running sums change no price and count as no change.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from pricing.cards import ALL, Assignment, BookContent, CardVersion, Contract, PriceCard, RateCard

T = TypeVar("T")

EVER = -(2**62)
NEVER = 2**62

Span = tuple[int, int]
"""Instants [from, to) in microseconds UTC; EVER and NEVER are without end."""
_ALWAYS: tuple[Span, ...] = ((EVER, NEVER),)


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs, from its first instant on; None is since ever."""

    what: str
    from_us: int | None


def changes(old: BookContent, new: BookContent) -> tuple[Change, ...]:
    """Everything that prices differently in `new`, earliest first. Empty: no answer differs at any
    instant.
    """
    found: list[tuple[str, Sequence[Span]]] = []
    if (old.context_ignored, old.meters) != (new.context_ignored, new.meters):
        found.append(("settings", _ALWAYS))
    found += [
        (f"provider card {card_id}", spans)
        for card_id, spans in _changed_cards(old.provider_cards, new.provider_cards).items()
    ]
    found += _changed_contracts(old, new)
    found += _changed_assignments(old.assignments, new.assignments)
    result = [Change(what, _instant(spans[0][0])) for what, spans in found if spans]
    return tuple(
        sorted(result, key=lambda change: (change.from_us is not None, change.from_us or 0, change.what))
    )


def _instant(start_us: int) -> int | None:
    return None if start_us <= EVER else start_us


def _changed_cards(
    old: Iterable[RateCard],
    new: Iterable[RateCard],
    asked_with: tuple[Sequence[RateCard], Sequence[RateCard]] | None = None,
) -> dict[str, Sequence[Span]]:
    """Each changed card's spans; `asked_with` are the cards that models are looked up in together with these,
    in the old and in the new book, where these are not all.
    """
    before = {card.card_id: card for card in old}
    after = {card.card_id: card for card in new}
    together = asked_with or (tuple(before.values()), tuple(after.values()))
    result = {}
    for card_id in before.keys() | after.keys():
        spans = _changed_card(before.get(card_id), after.get(card_id), *together)
        if spans:
            result[card_id] = spans
    return result


def _changed_card(
    old: RateCard | None, new: RateCard | None, all_old: Sequence[RateCard], all_new: Sequence[RateCard]
) -> Sequence[Span]:
    if old == new:
        return ()
    versions = [
        (version.valid_from_us, version.valid_to_us)
        for card in (old, new)
        if card
        for version in card.versions
    ]
    if old is None or new is None or _undated(old) != _undated(new):
        # A model's card is chosen without looking at time. Where another card may have had or may get a name
        # of this one, the name changes hands at every instant, whatever the versions say.
        if any(new is not None and other is not old and _overlap(new, other) for other in all_old):
            return _ALWAYS
        if any(old is not None and other is not new and _overlap(old, other) for other in all_new):
            return _ALWAYS
        return _union(_span(*version) for version in versions)
    return _differing(_priced_as(old.versions), _priced_as(new.versions))


def _overlap(card: RateCard, other: RateCard) -> bool:
    """Whether some call may match both: rather once too often than never (`unless` is not looked at)."""
    if (
        card.provider is not None
        and other.provider is not None
        and card.provider.lower() != other.provider.lower()
    ):
        return False
    names, others = _lower(card.models), _lower(other.models)
    prefixes = _lower(item.prefix for item in card.prefixes)
    other_prefixes = _lower(item.prefix for item in other.prefixes)
    return (
        not names.isdisjoint(others)
        or any(name.startswith(prefix) for name in names for prefix in other_prefixes)
        or any(name.startswith(prefix) for name in others for prefix in prefixes)
        or any(a.startswith(b) or b.startswith(a) for a in prefixes for b in other_prefixes)
    )


def _lower(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)


def _undated(card: RateCard) -> RateCard:
    return dataclasses.replace(card, versions=())


def _priced_as(versions: Iterable[CardVersion]) -> list[tuple[Span, object]]:
    """What prices over time: without the end, which is the span's, and without remarks."""
    return [
        (
            _span(item.valid_from_us, item.valid_to_us),
            dataclasses.replace(item, valid_to_us=None, source=None),
        )
        for item in versions
    ]


def _changed_contracts(old: BookContent, new: BookContent) -> list[tuple[str, Sequence[Span]]]:
    old_cards = {item.price_card_id: item for item in old.price_cards}
    new_cards = {item.price_card_id: item for item in new.price_cards}
    old_contracts = {item.contract_id: item for item in old.contracts}
    new_contracts = {item.contract_id: item for item in new.contracts}
    result: list[tuple[str, Sequence[Span]]] = []
    for contract_id in sorted(old_contracts.keys() & new_contracts.keys()):
        assigned = _union(
            _span(item.valid_from_us, item.valid_to_us)
            for item in (*old.assignments, *new.assignments)
            if item.contract_id == contract_id
        )
        before, after = old_contracts[contract_id], new_contracts[contract_id]
        if before != after:
            result.append((f"contract {contract_id}", assigned))
            continue
        sold = (_sold(old_cards, before), _sold(new_cards, after))
        for price_card in after.price_cards:
            cards = _changed_price_card(old_cards, new_cards, price_card, sold)
            result += [
                (
                    f"price card {price_card}, card {card_id}, by contract {contract_id}",
                    _intersect(spans, assigned),
                )
                for card_id, spans in sorted(cards.items())
            ]
    return result


def _changed_price_card(
    old: dict[str, PriceCard],
    new: dict[str, PriceCard],
    price_card: str,
    sold: tuple[Sequence[RateCard], Sequence[RateCard]],
) -> dict[str, Sequence[Span]]:
    before, after = old.get(price_card), new.get(price_card)
    return _changed_cards(before.cards if before else (), after.cards if after else (), sold)


def _sold(price_cards: dict[str, PriceCard], contract: Contract) -> tuple[RateCard, ...]:
    """The cards of all price cards of a contract: the first that has a card for a model prices it."""
    return tuple(
        card for name in contract.price_cards if name in price_cards for card in price_cards[name].cards
    )


def _changed_assignments(
    old: Sequence[Assignment], new: Sequence[Assignment]
) -> list[tuple[str, Sequence[Span]]]:
    """Each customer's contract over time, a customer without its own being `*`."""
    result: list[tuple[str, Sequence[Span]]] = []
    for customer in sorted({item.customer for item in (*old, *new)}):
        spans = _differing_by(_contract_at(old, customer), _contract_at(new, customer), _bounds((*old, *new)))
        result.append((f"assignment of customer {customer}", spans))
    return result


def _contract_at(assignments: Sequence[Assignment], customer: str) -> Callable[[int], str | None]:
    own = [_assigned(item) for item in assignments if item.customer == customer]
    others = [_assigned(item) for item in assignments if item.customer == ALL]
    return lambda instant_us: _at(own, instant_us) or _at(others, instant_us)


def _assigned(item: Assignment) -> tuple[Span, str]:
    return _span(item.valid_from_us, item.valid_to_us), item.contract_id


def _bounds(assignments: Iterable[Assignment]) -> list[int]:
    return [bound for item in assignments for bound in _span(item.valid_from_us, item.valid_to_us)]


def _differing(old: list[tuple[Span, object]], new: list[tuple[Span, object]]) -> Sequence[Span]:
    bounds = [bound for span, _ in (*old, *new) for bound in span]
    return _differing_by(lambda at: _at(old, at), lambda at: _at(new, at), bounds)


def _differing_by(
    old: Callable[[int], object], new: Callable[[int], object], bounds: Iterable[int]
) -> Sequence[Span]:
    """The spans between bounds in which the two give different values."""
    edges = sorted({EVER, NEVER, *bounds})
    return _union((start, end) for start, end in pairwise(edges) if old(start) != new(start))


def _at(timeline: Iterable[tuple[Span, T]], instant_us: int) -> T | None:
    for (start, end), value in timeline:
        if start <= instant_us < end:
            return value
    return None


def _span(from_us: int | None, to_us: int | None) -> Span:
    return EVER if from_us is None else from_us, NEVER if to_us is None else to_us


def _union(spans: Iterable[Span]) -> Sequence[Span]:
    result: list[Span] = []
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def _intersect(left: Sequence[Span], right: Sequence[Span]) -> Sequence[Span]:
    pairs = ((max(a, c), min(b, d)) for a, b in left for c, d in right)
    return _union((start, end) for start, end in pairs if start < end)
