"""What a new book changes, and from which instant: the first at which an answer may differ.

The two books are compared card by card and contract by contract. A price card counts only while a contract
that sells it is assigned. Where the comparison cannot tell it says "since ever", never later than the truth.
Remarks (`source`, `accepted`), target margins, declared units, the dimensions of the running sums and what
only a statement reads of a contract change no price and count as no change; neither does it that a billing
period, once begun, will be cut short.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pricing.cards import (
    ALL,
    Assignment,
    BookContent,
    CardVersion,
    Contract,
    ModelAlias,
    Pool,
    PriceCard,
    RateCard,
)
from rate_book.overlap import CardNames, Matching
from rate_book.spans import ALWAYS, EVER, NEVER, Span, at, differing, intersect, span, union
from rate_book.zone_changes import changed_zones

__all__ = ["EVER", "NEVER", "Change", "changes"]

Found = list[tuple[str, Sequence[Span]]]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs, from its first instant on; None is since ever."""

    what: str
    from_us: int | None


def changes(old: BookContent, new: BookContent) -> tuple[Change, ...]:
    """Everything that prices differently in `new`, earliest first. Empty: no answer differs at any
    instant.
    """
    found: Found = []
    if (old.context_ignored, old.meters) != (new.context_ignored, new.meters):
        found.append(("settings", ALWAYS))
    matching = Matching({*old.aliases, *new.aliases})
    together = CardNames(old.provider_cards, matching), CardNames(new.provider_cards, matching)
    found += [
        (f"provider card {card_id}", spans)
        for card_id, spans in _changed_cards(old.provider_cards, new.provider_cards, together).items()
    ]
    found += _Sales(old, new, matching).changed()
    found += _changed_assignments(old.assignments, new.assignments)
    found += _changed_aliases(old.aliases, new.aliases)
    found += changed_zones(old, new)
    result = [Change(what, _instant(spans[0][0])) for what, spans in found if spans]
    return tuple(
        sorted(result, key=lambda change: (change.from_us is not None, change.from_us or 0, change.what))
    )


def _instant(start_us: int) -> int | None:
    return None if start_us <= EVER else start_us


Together = tuple[CardNames, CardNames]
"""The cards that models are looked up in together, in the old and in the new book."""


def _changed_cards(
    old: Iterable[RateCard], new: Iterable[RateCard], together: Together
) -> dict[str, Sequence[Span]]:
    """Each changed card's spans."""
    before = {card.card_id: card for card in old}
    after = {card.card_id: card for card in new}
    result = {}
    for card_id in before.keys() | after.keys():
        spans = _changed_card(before.get(card_id), after.get(card_id), together)
        if spans:
            result[card_id] = spans
    return result


def _changed_card(old: RateCard | None, new: RateCard | None, together: Together) -> Sequence[Span]:
    if old == new:
        return ()
    if old is None or new is None or _undated(old) != _undated(new):
        # A model's card is chosen without looking at time. Where another card may have had or may get a name
        # of this one, the name changes hands at every instant, whatever the versions say.
        all_old, all_new = together
        if new is not None and all_old.overlapping(new, but=old):
            return ALWAYS
        if old is not None and all_new.overlapping(old, but=new):
            return ALWAYS
        return union(
            span(version.valid_from_us, version.valid_to_us)
            for card in (old, new)
            if card
            for version in card.versions
        )
    return differing(_priced_as(old.versions), _priced_as(new.versions))


def _undated(card: RateCard) -> RateCard:
    return dataclasses.replace(card, versions=())


def _priced_as(versions: Iterable[CardVersion]) -> list[tuple[Span, object]]:
    """What prices over time: without the end, which is the span's, and without remarks."""
    return [
        (
            span(item.valid_from_us, item.valid_to_us),
            dataclasses.replace(item, valid_to_us=None, source=None, accepted=()),
        )
        for item in versions
    ]


class _Sales:
    """What contracts sell, compared while they are assigned."""

    def __init__(self, old: BookContent, new: BookContent, matching: Matching) -> None:
        self._old, self._new = old, new
        self._matching = matching
        self._cards = (
            {item.price_card_id: item for item in old.price_cards},
            {item.price_card_id: item for item in new.price_cards},
        )
        self._together: dict[tuple[str, ...], Together] = {}
        self._assigned: defaultdict[str, list[Span]] = defaultdict(list)
        for item in {*old.assignments, *new.assignments}:
            self._assigned[item.contract_id].append(span(item.valid_from_us, item.valid_to_us))

    def changed(self) -> Found:
        old = {item.contract_id: item for item in self._old.contracts}
        new = {item.contract_id: item for item in self._new.contracts}
        result: Found = []
        for contract_id in sorted(old.keys() & new.keys()):
            assigned = union(self._assigned[contract_id])
            if not assigned:
                continue
            if _pricing_terms(old[contract_id]) != _pricing_terms(new[contract_id]):
                result.append((f"contract {contract_id}", assigned))
                continue
            result += [
                (f"{what}, by contract {contract_id}", intersect(spans, assigned))
                for what, spans in self._sold(new[contract_id])
            ]
        return result + self._exchanged((*old.values(), *new.values()))

    def _sold(self, contract: Contract) -> Found:
        result: Found = []
        for price_card in contract.price_cards:
            before, after = (cards.get(price_card) for cards in self._cards)
            if before == after:
                continue
            cards = _changed_cards(
                before.cards if before else (),
                after.cards if after else (),
                self._asked_together(contract.price_cards),
            )
            result += [
                (f"price card {price_card}, card {card_id}", spans)
                for card_id, spans in sorted(cards.items())
            ]
            result += _changed_pools(price_card, before, after)
        return result

    def _asked_together(self, price_cards: tuple[str, ...]) -> Together:
        """All cards of a contract: the first price card that has a card for a model prices it."""
        found = self._together.get(price_cards)
        if found is None:
            old, new = (
                [card for name in price_cards if name in cards for card in cards[name].cards]
                for cards in self._cards
            )
            found = CardNames(old, self._matching), CardNames(new, self._matching)
            self._together[price_cards] = found
        return found

    def _exchanged(self, contracts: Iterable[Contract]) -> Found:
        """Rates of exchange, while some contract in the currency that they lead to is assigned."""
        assigned: defaultdict[str, list[Span]] = defaultdict(list)
        for contract in contracts:
            assigned[contract.currency] += self._assigned[contract.contract_id]
        old, new = (
            _by_key(
                (
                    (item.currency, item.to),
                    span(item.valid_from_us, item.valid_to_us),
                    (item.rate, item.valid_from_us),
                )
                for item in content.exchange
            )
            for content in (self._old, self._new)
        )
        return [
            (
                f"exchange {key[0]} to {key[1]}",
                intersect(differing(old[key], new[key]), union(assigned[key[1]])),
            )
            for key in sorted(old.keys() | new.keys())
        ]


def _pricing_terms(contract: Contract) -> Contract:
    """Without what only a statement reads."""
    return dataclasses.replace(contract, minimum=None, commitment=None, allowance=None)


def _changed_pools(price_card: str, before: PriceCard | None, after: PriceCard | None) -> Found:
    old = {pool.pool: pool for pool in before.pools} if before else {}
    new = {pool.pool: pool for pool in after.pools} if after else {}
    return [
        (f"price card {price_card}, pool {name}", _changed_pool(old.get(name), new.get(name)))
        for name in sorted(old.keys() | new.keys())
    ]


def _changed_pool(old: Pool | None, new: Pool | None) -> Sequence[Span]:
    """A version's end is the span's: what ends a period early changes nothing before that end."""
    if old is not None and new is not None and old.currency != new.currency:
        return ALWAYS
    before, after = (
        [
            (
                span(item.valid_from_us, item.valid_to_us),
                dataclasses.replace(item, valid_to_us=None, source=None),
            )
            for item in (pool.versions if pool else ())
        ]
        for pool in (old, new)
    )
    return differing(before, after)


def _changed_aliases(old: Iterable[ModelAlias], new: Iterable[ModelAlias]) -> Found:
    before, after = (
        _by_key(
            (
                (item.provider.lower(), item.alias.lower()),
                span(item.valid_from_us, item.valid_to_us),
                (item.alias, item.model),
            )
            for item in aliases
        )
        for aliases in (old, new)
    )
    return [
        (f"alias {key[0]}/{key[1]}", differing(before[key], after[key]))
        for key in sorted(before.keys() | after.keys())
    ]


def _by_key(
    dated: Iterable[tuple[tuple[str, str], Span, object]],
) -> defaultdict[tuple[str, str], list[tuple[Span, object]]]:
    result: defaultdict[tuple[str, str], list[tuple[Span, object]]] = defaultdict(list)
    for key, when, value in dated:
        result[key].append((when, value))
    return result


def _changed_assignments(old: Sequence[Assignment], new: Sequence[Assignment]) -> Found:
    """Each customer's contract over time, a customer without its own being `*`."""
    before, after = _by_customer(old), _by_customer(new)
    result: Found = []
    for customer in sorted(before.keys() | after.keys()):
        mine = before.get(customer, ()), after.get(customer, ())
        others = (before.get(ALL, ()), after.get(ALL, ())) if customer != ALL else ((), ())
        if mine[0] == mine[1] and others[0] == others[1]:
            continue
        spans = differing(_terms(mine[0], others[0]), _terms(mine[1], others[1]))
        result.append((f"assignment of customer {customer}", spans))
    return result


def _by_customer(assignments: Iterable[Assignment]) -> dict[str, list[Assignment]]:
    result: defaultdict[str, list[Assignment]] = defaultdict(list)
    for item in assignments:
        result[item.customer].append(item)
    return dict(result)


def _terms(own: Sequence[Assignment], others: Sequence[Assignment]) -> list[tuple[Span, object]]:
    """A customer's contract over time and when each term began, since that is where its period begins."""
    edges = sorted(
        {
            EVER,
            NEVER,
            *(bound for item in (*own, *others) for bound in span(item.valid_from_us, item.valid_to_us)),
        }
    )
    mine = [(span(item.valid_from_us, item.valid_to_us), item) for item in own]
    theirs = [(span(item.valid_from_us, item.valid_to_us), item) for item in others]
    result: list[tuple[Span, object]] = []
    held: Assignment | None = None
    since = EVER
    for start, end in pairwise(edges):
        item = at(mine, start) or at(theirs, start)
        if item is None:
            held = None
            continue
        if item is not held:
            held, since = item, start
        result.append(((start, end), (item.contract_id, since)))
    return result
