"""A customer's statement of one billing period in one currency: lines that sum to its total exactly; pure.

Amounts and quantities are integers times 10**18. The lines, in this order:
1. what the usage of the period was charged, by plan, product, provider, model and meter;
2. `allowance`: credited, at most the usage U: -min(allowance, U);
3. `commitment`: what the usage lacks of it, before the allowance: commitment - U;
4. `minimum`: what the sum of the lines so far lacks of it;
5. differences: what came to closed periods since they were closed, each naming its statement, and what those
   periods' allowance, commitment and minimum become by it;
6. `rounding`: to the places of the currency, half to even, once, here.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from pricing.money import DIGITS_AFTER, round_half_even

Kind = Literal["usage", "tier", "allowance", "commitment", "minimum", "difference", "rounding"]
TIER_ADJUSTMENT = "tier_adjustment"
"""Meter of the lines that make a period's amount its tiers' price again after a correction."""
UNPRICED = frozenset({"unpriced", "partial"})


class Sum(NamedTuple):
    """What the roll-ups say of a meter. `amount` and `currency` None: it has no amount, which is not 0."""

    service_start_us: int
    plan: str | None
    product: str | None
    provider: str
    model: str | None
    meter: str
    status: str
    currency: str | None
    reason: str | None
    events: int
    quantity: int | None
    amount: int | None


class Terms(NamedTuple):
    """Amounts of a billing period; None: the contract has no such term."""

    allowance: int | None = None
    commitment: int | None = None
    minimum: int | None = None


class Line(NamedTuple):
    """One line. `statement` and `period` say which closed period a difference is of."""

    kind: Kind
    amount: int | None
    plan: str | None = None
    product: str | None = None
    provider: str | None = None
    model: str | None = None
    meter: str | None = None
    quantity: int | None = None
    statement: int | None = None
    period: tuple[int, int] | None = None


NO_TERMS = Terms()


class ClosedPeriod(NamedTuple):
    """A statement of the past: `terms` are those that it was closed with."""

    number: int
    start_us: int
    end_us: int
    currency: str
    terms: Terms


class Known(NamedTuple):
    """What usage of a service period was charged on statements before this one."""

    service_start_us: int
    currency: str
    amount: int


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a statement is made of.

    `main`: it is in the contract's currency; it has the terms, and the lines without an amount. `places`:
    after the point, when paid; None: amounts are not rounded.
    """

    start_us: int
    end_us: int
    currency: str
    main: bool
    places: int | None
    terms: Terms = NO_TERMS
    sums: Sequence[Sum] = ()
    closed: Sequence[ClosedPeriod] = ()
    known: Sequence[Known] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """Lines that sum to `total`; `exact` is their sum before the rounding line."""

    lines: tuple[Line, ...]
    exact: int
    total: int


def draft(facts: Facts) -> Draft:
    """The statement."""
    sums = [item for item in facts.sums if _is_mine(item, facts)]
    own = [item for item in sums if item.service_start_us >= facts.start_us]
    lines = usage_lines(own)
    if facts.main:
        lines += _terms(facts.terms, sum(line.amount or 0 for line in lines))
    lines += _differences([item for item in sums if item.service_start_us < facts.start_us], facts)
    exact = sum(line.amount or 0 for line in lines)
    total = rounded(exact, facts.places)
    if total != exact:
        lines.append(Line("rounding", total - exact))
    return Draft(tuple(lines), exact, total)


def rounded(amount: int, places: int | None) -> int:
    """The amount at so many places after the point, a tie to the even digit; None: as it is."""
    if places is None:
        return amount
    unit = int(10 ** (DIGITS_AFTER - places))
    return round_half_even(amount, unit) * unit


def charges(terms: Terms, usage: int) -> dict[Kind, int]:
    """What the terms add to a period's usage; a term that adds nothing is left out."""
    found: dict[Kind, int] = {}
    due = usage
    if terms.allowance is not None:
        found["allowance"] = -min(terms.allowance, max(usage, 0))
        due += found["allowance"]
    if terms.commitment is not None:
        found["commitment"] = max(terms.commitment - usage, 0)
        due += found["commitment"]
    if terms.minimum is not None:
        found["minimum"] = max(terms.minimum - due, 0)
    return {kind: amount for kind, amount in found.items() if amount}


def currencies(main: str | None, sums: Iterable[Sum]) -> list[str]:
    """The currencies that a period has statements in: the contract's first."""
    others = {item.currency for item in sums if item.currency is not None and _says(item)} - {main}
    return ([main] if main is not None else []) + sorted(others)


class Unpriced(NamedTuple):
    """Usage of the period that has no price, or has one in part only."""

    status: str
    provider: str
    model: str | None
    meter: str
    reason: str | None
    events: int


def unpriced(sums: Iterable[Sum]) -> list[Unpriced]:
    """What has to be priced, by a re-rate, before the period can be closed."""
    counted: defaultdict[tuple[str, str, str | None, str, str | None], int] = defaultdict(int)
    for item in sums:
        if item.status in UNPRICED and (item.reason is not None or item.status == "unpriced"):
            counted[item.status, item.provider, item.model, item.meter, item.reason] += item.events
    found = [Unpriced(*key, events) for key, events in counted.items() if events]
    return sorted(found, key=lambda one: (one.provider, one.model or "", one.meter, one.reason or ""))


def _is_mine(item: Sum, facts: Facts) -> bool:
    return _says(item) and (item.currency == facts.currency or (facts.main and item.currency is None))


def _says(item: Sum) -> bool:
    """A record and its reversal leave nothing to be told, nor does a side that reported nothing."""
    return bool(item.quantity or item.amount or (item.events and item.meter))


_Key = tuple[str | None, str | None, str, str | None, str]


def usage_lines(sums: Iterable[Sum]) -> list[Line]:
    """One line for each plan, product, provider, model and meter; what has no amount stands apart."""
    merged = _merged((item, _key(item)) for item in sums)
    return [
        Line("tier" if key[-1] == TIER_ADJUSTMENT else "usage", amount, *key, quantity)
        for (key, _), (quantity, amount) in merged
    ]


def _key(item: Sum) -> _Key:
    return item.plan, item.product, item.provider, item.model, item.meter


def _merged(
    items: Iterable[tuple[Sum, _Key]],
) -> list[tuple[tuple[_Key, bool], tuple[int | None, int | None]]]:
    """Quantity and amount by key, in order."""
    found: dict[tuple[_Key, bool], _Total] = {}
    for item, key in items:
        total = found.setdefault((key, item.amount is not None), _Total())
        total.quantity += item.quantity or 0
        total.amount += item.amount or 0
        total.events += item.events
        total.counted |= item.quantity is not None
    ordered = sorted(found.items(), key=lambda entry: ([part or "" for part in entry[0][0]], entry[0][1]))
    return [
        (key, (total.quantity if total.counted else None, total.amount if key[1] else None))
        for key, total in ordered
        if total.events or total.quantity or total.amount
    ]


@dataclass(slots=True)
class _Total:
    quantity: int = 0
    amount: int = 0
    events: int = 0
    counted: bool = False


def _terms(terms: Terms, usage: int) -> list[Line]:
    return [Line(kind, amount) for kind, amount in charges(terms, usage).items()]


@dataclass(slots=True)
class _Came:
    """What came to one closed period; None: it is older than the first statement."""

    closed: ClosedPeriod | None
    sums: list[Sum] = field(default_factory=list)


def _differences(sums: Iterable[Sum], facts: Facts) -> list[Line]:
    found: dict[int, _Came] = {}
    for item in sums:
        closed = closed_period(facts.closed, item.service_start_us, facts.currency)
        number = closed.number if closed is not None else 0
        found.setdefault(number, _Came(closed)).sums.append(item)
    lines: list[Line] = []
    for number in sorted(found):
        came = found[number]
        told = usage_lines(came.sums)
        if came.closed is None:
            lines += [line._replace(kind="difference") for line in told]
            continue
        told = [line._replace(kind="difference") for line in told]
        told += _changed_terms(came.closed, sum(line.amount or 0 for line in told), facts)
        period = came.closed.start_us, came.closed.end_us
        lines += [line._replace(statement=number, period=period) for line in told]
    return lines


def _changed_terms(closed: ClosedPeriod, change: int, facts: Facts) -> list[Line]:
    """What a closed period's terms are with what is known now, less what they were on statements so far."""
    if closed.currency != facts.currency:
        return []
    before = sum(
        item.amount
        for item in facts.known
        if item.currency == facts.currency and closed.start_us <= item.service_start_us < closed.end_us
    )
    old, new = charges(closed.terms, before), charges(closed.terms, before + change)
    moved: Mapping[Kind, int] = {kind: new.get(kind, 0) - old.get(kind, 0) for kind in _TERMS}
    return [Line(kind, amount) for kind, amount in moved.items() if amount]


_TERMS: tuple[Kind, ...] = ("allowance", "commitment", "minimum")


def closed_period(
    closed: Iterable[ClosedPeriod], service_start_us: int, currency: str
) -> ClosedPeriod | None:
    """The statement that a service period was closed with: the one in this currency where there is one."""
    found = [one for one in closed if one.start_us <= service_start_us < one.end_us]
    same = [one for one in found if one.currency == currency]
    return next(iter(same or found), None)
