"""Recorded events priced by a draft of the rate book, and how that differs: sums only, no event is kept but
the few that change most.

Pure. Records of one customer come in the order of their sequences. A customer whose draft contract sells
prices over a period is compared over whole billing periods: a price there depends on everything before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import heappush, heapreplace
from typing import Any, NamedTuple

from ledger.core.amounts import atto, plain
from ledger.core.explain import Rated
from ledger.core.explain_cards import find_contracts
from ledger.core.explain_pools import find_pool, period_price
from pricing.cards import BookContent
from pricing.compile import CompiledBook
from pricing.errors import UsageError
from pricing.instants import instant_text
from pricing.rate import Call, Rating, rate

SIDES = ("cost", "price")
_HAS_PRICE = frozenset({"priced", "included"})


class SideOf(NamedTuple):
    """Status, amount (in atto, or None) and currency of one side of an event."""

    status: str
    amount_atto: int | None
    currency: str | None


class Names(NamedTuple):
    """What an event is counted under."""

    customer: str
    model: str
    feature: str


@dataclass(slots=True)
class Sum:
    """One side of a group in one currency, in atto."""

    recorded: int = 0
    draft: int = 0


@dataclass(slots=True)
class Group:
    """The difference of one customer, model or feature.

    `unpriced` and `priced` count by side the events that newly are.
    """

    events: int = 0
    changed: int = 0
    unpriced: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SIDES, 0))
    priced: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SIDES, 0))
    sums: dict[tuple[str, str], Sum] = field(default_factory=dict)

    def add(self, recorded: Mapping[str, SideOf], draft: Mapping[str, SideOf]) -> bool:
        """Count one event; whether anything about it changed."""
        changed = False
        for side in SIDES:
            was, now = recorded[side], draft[side]
            changed = changed or was != now
            self.unpriced[side] += was.status in _HAS_PRICE and now.status not in _HAS_PRICE
            self.priced[side] += was.status not in _HAS_PRICE and now.status in _HAS_PRICE
            if was.amount_atto is not None:
                self._sum(side, was.currency).recorded += was.amount_atto
            if now.amount_atto is not None:
                self._sum(side, now.currency).draft += now.amount_atto
        self.events += 1
        self.changed += changed
        return changed

    def _sum(self, side: str, currency: str | None) -> Sum:
        return self.sums.setdefault((side, currency or ""), Sum())

    @property
    def largest(self) -> int:
        """By how much the sum that changes most changes, whatever its currency: an order, not an amount."""
        return max((abs(found.draft - found.recorded) for found in self.sums.values()), default=0)

    def as_json(self) -> dict[str, Any]:
        """Counts and sums; amounts as plain decimals."""
        return {
            "events": self.events,
            "changed": self.changed,
            "newly_unpriced": dict(self.unpriced),
            "newly_priced": dict(self.priced),
            "amounts": [
                {
                    "side": side,
                    "currency": currency,
                    "recorded": plain(found.recorded),
                    "draft": plain(found.draft),
                    "difference": plain(found.draft - found.recorded),
                }
                for (side, currency), found in sorted(self.sums.items())
            ],
        }


@dataclass(frozen=True, slots=True)
class Changed:
    """One event that the draft prices otherwise."""

    names: Names
    source: str
    event_id: str
    at_us: int
    recorded: Mapping[str, SideOf]
    draft: Mapping[str, SideOf]

    @property
    def largest(self) -> int:
        """By how much it changes: a side that had no amount, or has none any more, by the other amount."""
        return max(abs(_difference(self.recorded[side], self.draft[side])) for side in SIDES)

    def as_json(self) -> dict[str, Any]:
        sides = {
            f"{side}_{name}": {
                "status": told.status,
                "amount": None if told.amount_atto is None else plain(told.amount_atto),
                "currency": told.currency,
            }
            for name, both in (("recorded", self.recorded), ("draft", self.draft))
            for side, told in both.items()
        }
        return {
            "customer_id": self.names.customer,
            "source": self.source,
            "event_id": self.event_id,
            "event_time": instant_text(self.at_us),
            "model": self.names.model,
        } | sides


def _difference(was: SideOf, now: SideOf) -> int:
    if was.currency != now.currency:
        return max(abs(was.amount_atto or 0), abs(now.amount_atto or 0))
    return (now.amount_atto or 0) - (was.amount_atto or 0)


@dataclass(frozen=True, slots=True)
class Span:
    """The event times compared for one customer, [from_us, to_us). `whole`: widened to billing periods."""

    from_us: int
    to_us: int
    whole: bool = False

    def holds(self, at_us: int) -> bool:
        return self.from_us <= at_us < self.to_us


@dataclass(slots=True)
class Simulation:
    """What came out, for [from_us, to_us). `widened` names the customers compared over whole periods."""

    from_us: int
    to_us: int
    kept: int
    total: Group = field(default_factory=Group)
    by: dict[str, dict[str, Group]] = field(
        default_factory=lambda: {"customer": {}, "model": {}, "feature": {}}
    )
    widened: dict[str, Span] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _top: list[tuple[int, int, Changed]] = field(default_factory=list)

    def add(self, changed: Changed) -> None:
        """Count one event, in its groups and among those that change most."""
        self.total.add(changed.recorded, changed.draft)
        differs = False
        for name, value in zip(self.by, changed.names, strict=True):
            differs = self.by[name].setdefault(value, Group()).add(changed.recorded, changed.draft)
        if not differs or not self.kept:
            return
        # The count breaks ties, so that the first of equals is kept.
        entry = (changed.largest, -self.total.events, changed)
        if len(self._top) < self.kept:
            heappush(self._top, entry)
        elif entry[:2] > self._top[0][:2]:
            heapreplace(self._top, entry)

    @property
    def top(self) -> list[Changed]:
        """The events that change most, the largest change first."""
        return [entry[2] for entry in sorted(self._top, key=lambda entry: entry[:2], reverse=True)]

    def groups(self, name: str) -> list[tuple[str, Group]]:
        """The groups by customer, model or feature, the largest change first."""
        return sorted(self.by[name].items(), key=lambda item: (-item[1].largest, item[0]))

    def as_json(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        return {
            "from": instant_text(self.from_us),
            "to": instant_text(self.to_us),
            "total": self.total.as_json(),
            **{
                f"by_{name}": [{name: value} | group.as_json() for value, group in self.groups(name)]
                for name in self.by
            },
            "top_changes": [changed.as_json() for changed in self.top],
            "whole_periods": [
                {
                    "customer": customer,
                    "from": instant_text(span.from_us),
                    "to": instant_text(span.to_us),
                }
                for customer, span in sorted(self.widened.items())
            ],
            "refused_by_draft": dict(sorted(self.refused.items())),
            "notes": self.notes,
        }


class Draft:
    """A draft book that prices recorded events, keeping the period quantities that it arrives at."""

    def __init__(self, content: BookContent, book: CompiledBook, from_us: int, to_us: int) -> None:
        self._content = content
        self._book = book
        self._asked = Span(from_us, to_us)
        self._spans: dict[str, Span] = {}
        self._pools: dict[tuple[str, str, int], tuple[int, int]] = {}

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attributes of events that the draft reads."""
        return self._book.attributes

    def span(self, customer: str) -> Span:
        """What of this customer is compared: whole billing periods where the draft sells prices over one."""
        found = self._spans.get(customer)
        if found is None:
            found = self._spans[customer] = self._span(customer)
        return found

    def _span(self, customer: str) -> Span:
        asked = self._asked
        contracts = find_contracts(self._content, customer, asked.from_us, asked.to_us)
        sold = {card for contract in contracts for card in contract.price_cards}
        if not any(card.pools for card in self._content.price_cards if card.price_card_id in sold):
            return asked
        first, last = self._period(customer, asked.from_us), self._period(customer, asked.to_us - 1)
        return Span(first[0], last[1], whole=(first[0], last[1]) != (asked.from_us, asked.to_us))

    def _period(self, customer: str, at_us: int) -> tuple[int, int]:
        """The customer's billing period at that instant, as a call without usage tells it."""
        return rate(self._book, Call(customer, "", "", at_us, {})).service_period

    def begin(self, customer: str, pools_before: Mapping[tuple[str, int], int], at_us: int) -> None:
        """Start periods of this customer at recorded quantities (in atto), where the draft has none yet.

        Only where older records are gone: otherwise each period starts at 0 and fills from its records.
        """
        for (pool, start_us), quantity in pools_before.items():
            version = find_pool(self._content, pool, at_us)
            if version is not None and (customer, pool, start_us) not in self._pools:
                amount = atto(period_price(version, quantity).amount)
                self._pools[customer, pool, start_us] = (quantity, amount)

    def price(self, call: Call) -> Rating:
        """The call under the draft; its pools are moved on.

        Raises:
            pricing.errors.UsageError: the draft cannot rate it.
        """
        customer = call.customer_id or ""

        def pools(pool: str, start_us: int) -> tuple[int, int]:
            return self._pools.get((customer, pool, start_us), (0, 0))

        rating = rate(self._book, call, pools)
        for pool in rating.pools_after:
            self._pools[customer, pool.pool, pool.start_us] = (pool.quantity_atto, pool.amount_atto)
        return rating


def compare(simulation: Simulation, draft: Draft, record: Rated, call: Call, names: Names) -> None:
    """Price one recorded event, which `call` says again, by the draft and count the difference."""
    event = record.event
    recorded = {side: _recorded(record.rating[side]) for side in SIDES}
    try:
        again = draft.price(call)
        now = {"cost": SideOf(*again.cost), "price": SideOf(*again.price)}
    except UsageError as error:
        simulation.refused[error.code] = simulation.refused.get(error.code, 0) + 1
        now = dict.fromkeys(SIDES, SideOf("unpriced", None, None))
    span = draft.span(names.customer)
    if span.whole:
        simulation.widened.setdefault(names.customer, span)
    simulation.add(Changed(names, event["source"], event["event_id"], event["event_time_us"], recorded, now))


def _recorded(side: Mapping[str, Any]) -> SideOf:
    amount = side["amount"]
    return SideOf(side["status"], None if amount is None else atto(amount), side["currency"])
