"""What a re-rate changes: sums before and after by customer, model and line, exact. Pure.

Amounts are in atto (10**-18); a sum never mixes sides or currencies.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ledger.core.amounts import atto, plain
from ledger.core.correction import LedgerRecord
from ledger.core.rerate import Step, model_of
from pricing.rate import Rating

SIDES = ("cost", "price")
GROUPINGS = ("customer", "model", "line")
_HAS_PRICE = frozenset({"priced", "included"})


class Amount(NamedTuple):
    """A side in its currency."""

    side: str
    currency: str


@dataclass(slots=True)
class Change:
    """A sum before and after."""

    old: int = 0
    new: int = 0

    @property
    def difference(self) -> int:
        return self.new - self.old

    def as_json(self) -> dict[str, str]:
        return {"old": plain(self.old), "new": plain(self.new), "difference": plain(self.difference)}


Sums = dict[Amount, Change]


class Detail(NamedTuple):
    """The finest sum: one customer, model and line."""

    customer: str
    model: str
    line: str
    amount: Amount


@dataclass(slots=True)
class Difference:
    """Sums over the records that a re-rate replaces; memory: a few for each customer, model and meter."""

    records: int = 0
    priced: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SIDES, 0))
    unpriced: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SIDES, 0))
    total: Sums = field(default_factory=dict)
    by: dict[str, dict[str, Sums]] = field(default_factory=lambda: {name: {} for name in GROUPINGS})
    details: dict[Detail, Change] = field(default_factory=dict)
    """Of the customer at hand: `next_customer` empties it."""

    def add(self, step: Step) -> None:
        """Count one record and what it becomes."""
        record, new = step.record, step.new
        customer, model = record.event["customer_id"], model_of(record.event) or ""
        for side in SIDES:
            told = record.rating[side]
            if told["amount"] is not None:
                amount = Amount(side, told["currency"] or "")
                self._plus(customer, model, amount, old=atto(told["amount"]))
        for line in record.rating["lines"]:
            if line["amount"] is not None:
                amount = Amount(line["side"], line["currency"] or "")
                self._line(customer, model, line["meter"], amount, old=atto(line["amount"]))
        if new is not None:
            self.records += 1
            self._add_new(customer, model, record, new)

    def _add_new(self, customer: str, model: str, record: LedgerRecord, new: Rating) -> None:
        for side, made in zip(SIDES, (new.cost, new.price), strict=True):
            was, now = record.rating[side]["status"] in _HAS_PRICE, made.status in _HAS_PRICE
            self.priced[side] += now and not was
            self.unpriced[side] += was and not now
            if made.amount_atto is not None:
                self._plus(customer, model, Amount(side, made.currency or ""), new=made.amount_atto)
        for line in new.lines:
            if line.amount_atto is not None:
                amount = Amount(line.side, line.currency or "")
                self._line(customer, model, line.meter, amount, new=line.amount_atto)

    def _plus(self, customer: str, model: str, amount: Amount, *, old: int = 0, new: int = 0) -> None:
        by = self.by
        for sums in (self.total, by["customer"].setdefault(customer, {}), by["model"].setdefault(model, {})):
            change = sums.setdefault(amount, Change())
            change.old += old
            change.new += new

    def _line(
        self, customer: str, model: str, meter: str, amount: Amount, *, old: int = 0, new: int = 0
    ) -> None:
        line = self.by["line"].setdefault(meter, {}).setdefault(amount, Change())
        detail = self.details.setdefault(Detail(customer, model, meter, amount), Change())
        for change in (line, detail):
            change.old += old
            change.new += new

    def next_customer(self) -> Iterator[tuple[Detail, Change]]:
        """The sums of the customer that has been added, in order, forgotten afterwards."""
        found, self.details = self.details, {}
        yield from sorted(found.items())

    def groups(self, name: str) -> list[tuple[str, Sums]]:
        """The groups by customer, model or line, the largest difference first, whatever its currency."""
        return sorted(self.by[name].items(), key=lambda item: (-_largest(item[1]), item[0]))

    def as_json(self) -> dict[str, Any]:
        return {
            "records": self.records,
            "newly_priced": dict(self.priced),
            "newly_unpriced": dict(self.unpriced),
            "amounts": sums_json(self.total),
        } | {
            f"by_{name}": [{name: group, "amounts": sums_json(sums)} for group, sums in self.groups(name)]
            for name in GROUPINGS
        }


def sums_json(sums: Mapping[Amount, Change]) -> list[dict[str, str]]:
    """The sums in order, amounts as plain decimals."""
    return [
        {"side": amount.side, "currency": amount.currency} | change.as_json()
        for amount, change in sorted(sums.items())
    ]


def differences(sums: Mapping[Amount, Change]) -> dict[Amount, int]:
    """What changes, without what does not."""
    return {amount: change.difference for amount, change in sums.items() if change.difference}


def amounts_json(amounts: Mapping[Amount, int]) -> list[dict[str, str]]:
    """Amounts that stand alone."""
    return [
        {"side": amount.side, "currency": amount.currency, "amount": plain(value)}
        for amount, value in sorted(amounts.items())
    ]


def summed(records: Sequence[tuple[str, str | None, int | None]]) -> dict[Amount, int]:
    """Sums of (side, currency, amount) without what is None or sums to 0."""
    found: dict[Amount, int] = {}
    for side, currency, value in records:
        if value is not None:
            amount = Amount(side, currency or "")
            found[amount] = found.get(amount, 0) + value
    return {amount: value for amount, value in found.items() if value}


def _largest(sums: Sums) -> int:
    return max((abs(change.difference) for change in sums.values()), default=0)
