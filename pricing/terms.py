"""Which contract a customer pays by over time, and the billing periods that follow."""

from typing import TYPE_CHECKING

from pricing.calendar import BillingCalendar
from pricing.cards import Contract
from pricing.timeline import Span, Timeline

if TYPE_CHECKING:
    from pricing.cardset import CardSet


class CompiledContract:
    """A contract with its cards and calendar, shared by all its customers."""

    __slots__ = ("calendar", "cards", "contract")

    def __init__(self, contract: Contract, cards: "CardSet", calendar: BillingCalendar) -> None:
        self.contract = contract
        self.cards = cards
        self.calendar = calendar

    def follows(self, other: "CompiledContract") -> bool:
        """Whether the other's periods stay open where this one takes over."""
        mine, theirs = self.contract, other.contract
        return mine.carry_over and (mine.billing_period, mine.anchor_day, mine.zone) == (
            theirs.billing_period,
            theirs.anchor_day,
            theirs.zone,
        )


class Term:
    """The time in which a customer pays by one contract, and the terms beside it that share its periods."""

    __slots__ = ("_period", "_spans", "after", "before", "contract", "span")

    def __init__(self, contract: CompiledContract, span: Span) -> None:
        self.contract = contract
        self.span = span
        self.before: Term | None = None
        self.after: Term | None = None
        self._period = (0, 0)
        self._spans: dict[str | None, Span] = {}

    def service_period(self, at_us: int) -> tuple[int, int]:
        """The billing period of an instant of this term, cut where the contract changes."""
        period = self._period
        if period[0] <= at_us < period[1]:
            return period
        self._period = period = self._cut(None, at_us)
        return period

    def pool_period(self, price_card_id: str, at_us: int) -> tuple[int, int]:
        """The same for a price card's pools: cut as well where the price card is no longer sold."""
        return self._cut(price_card_id, at_us)

    def _cut(self, price_card_id: str | None, at_us: int) -> tuple[int, int]:
        start_us, end_us = self.contract.calendar.period(at_us)
        since, until = self._span(price_card_id)
        return (
            start_us if since is None else max(start_us, since),
            end_us if until is None else min(end_us, until),
        )

    def _span(self, price_card_id: str | None) -> Span:
        found = self._spans.get(price_card_id)
        if found is None:
            first = last = self
            while first.before is not None and first.before.sells(price_card_id):
                first = first.before
            while last.after is not None and last.after.sells(price_card_id):
                last = last.after
            found = self._spans[price_card_id] = (first.span[0], last.span[1])
        return found

    def sells(self, price_card_id: str | None) -> bool:
        return price_card_id is None or price_card_id in self.contract.contract.price_cards


def terms(assigned: Timeline[CompiledContract | None]) -> Timeline[Term | None]:
    """The terms of one customer, each knowing those that share its periods.

    Assignments of one contract that meet (a renewal) are one term: nothing changes where they do.
    """
    spans: list[tuple[int | None, int | None, CompiledContract | None]] = []
    for start, end, contract in assigned.spans():
        if spans and spans[-1][2] is contract:
            start = spans.pop()[0]  # noqa: PLW2901 - the term began with the assignment before
        spans.append((start, end, contract))
    found: list[Term | None] = []
    for start, end, contract in spans:
        term = Term(contract, (start, end)) if contract is not None else None
        before = found[-1] if found else None
        if term is not None and before is not None and term.contract.follows(before.contract):
            term.before, before.after = before, term
        found.append(term)
    return Timeline(tuple(start for start, _, _ in spans if start is not None), tuple(found))
