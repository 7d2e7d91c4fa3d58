"""Questions that roll-ups answer, and their answers as tables; pure.

Amounts and quantities are integers times 10**18, None where there is none. Money of two currencies is never
added: every row is of one currency of cost and one of price.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from ledger.core.amounts import plain
from ledger.core.questions_time import Asked, QuestionError
from pricing.money import round_half_even

Value = str | int | None

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "customer": ("customer",),
    "plan": ("plan",),
    "status": ("cost_status", "price_status"),
    "provider": ("provider",),
    "model": ("model",),
    "meter": ("meter",),
    "currency": (),  # every row tells its currencies
}
"""What every roll-up can be asked by, and the columns of the answer; declared dimensions come beside them."""


COST_STATUS, PRICE_STATUS = "cost status", "price status"
"""Groups of their own for margins: not ones to ask by."""


@dataclass(frozen=True, slots=True)
class Table:
    """An answer: amounts and quantities are plain decimals."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Value, ...]]
    facts: Mapping[str, Value] = field(default_factory=dict)

    def objects(self) -> list[dict[str, Value]]:
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


@dataclass(frozen=True, slots=True)
class Question:
    """What sums are asked for.

    `filters` are (dimension, values), any of which may hold; `as_of` is the UTC day at whose end things were
    known.
    """

    asked: Asked
    by: tuple[str, ...] = ()
    filters: tuple[tuple[str, tuple[str, ...]], ...] = ()
    as_of: date | None = None

    @property
    def by_meter(self) -> bool:
        return "meter" in self.by or any(name == "meter" for name, _ in self.filters)

    @property
    def group_columns(self) -> tuple[str, ...]:
        return tuple(column for name in self.by for column in question_columns(name))


def question_columns(name: str) -> tuple[str, ...]:
    """The columns of the answer to a question by this name."""
    return COLUMNS.get(name, (name,))


class Sums(NamedTuple):
    """What a group sums to."""

    events: int
    cost: int
    price: int
    quantity: int | None = None


_NOTHING = Sums(0, 0, 0)
_PARTIAL = "partial"


class Summed(NamedTuple):
    """One group in one period: what is known now, and what was known then where that was asked."""

    period: int
    group: tuple[str | None, ...]
    cost_currency: str | None
    price_currency: str | None
    now: Sums
    then: Sums | None = None

    @property
    def is_empty(self) -> bool:
        return not any(self.now) and (self.then is None or not any(self.then))


def usage_table(question: Question, found: Sequence[Summed]) -> Table:
    """Usage and money by group and period; what nets to nothing is left out."""
    periods = () if question.asked.every == "all" else ("period",)
    measures = ["events"]
    if question.by_meter:
        measures.append("quantity")
    measures += ["cost", "price"]
    columns = [*periods, *question.group_columns, "cost_currency", "price_currency"]
    if question.as_of is not None:
        columns += [f"{name}_then" for name in measures]
    columns += measures
    rows = []
    for row in sorted(found, key=_in_order):
        if row.is_empty:
            continue
        values: list[Value] = [question.asked.label(row.period)] if periods else []
        values += [*row.group, row.cost_currency, row.price_currency]
        if row.then is not None:
            values += _measured(row, row.then, by_meter=question.by_meter)
        values += _measured(row, row.now, by_meter=question.by_meter)
        rows.append(tuple(values))
    return Table(tuple(columns), rows, _asked_facts(question))


def margin_table(question: Question, found: Sequence[Summed]) -> Table:
    """Price less cost by group, within one currency; what has no margin stands apart with its reason."""
    columns = (
        *question.group_columns,
        "events",
        "cost_currency",
        "cost",
        "price_currency",
        "price",
        "margin",
        "margin_percent",
        "apart",
    )
    rows: list[tuple[Value, ...]] = []
    for row, why in sorted(_by_reason(found), key=lambda item: (item[1] is not None, _in_order(item[0]))):
        margin = percent = None
        if why is None:
            gained = row.now.price - row.now.cost
            margin = plain(gained)
            percent = _percent(gained, row.now.price) if row.now.price > 0 else None
        events, cost, price = _measured(row, row.now, by_meter=False)
        rows.append(
            (*row.group, events, row.cost_currency, cost, row.price_currency, price, margin, percent, why)
        )
    return Table(columns, rows, _asked_facts(question))


def _by_reason(found: Sequence[Summed]) -> list[tuple[Summed, str | None]]:
    """The sums by group and by why they have no margin, instead of by the statuses."""
    joined: dict[tuple[Summed, str | None], Sums] = {}
    for row in found:
        *group, cost_status, price_status = row.group
        why = _apart(row, cost_status or "", price_status or "")
        key = row._replace(group=tuple(group), now=_NOTHING), why
        sums = joined.get(key, _NOTHING)
        joined[key] = Sums(sums.events + row.now.events, sums.cost + row.now.cost, sums.price + row.now.price)
    return [(row._replace(now=sums), why) for (row, why), sums in joined.items() if any(sums)]


def margin_question(question: Question) -> Question:
    """The sums that a margin needs: statuses tell what is included, unpriced, or in part only."""
    return Question(question.asked, (*question.by, COST_STATUS, PRICE_STATUS), question.filters)


def concentration_table(
    question: Question, found: Sequence[Summed], *, side: str = "cost", share_percent: int = 80
) -> Table:
    """The fewest customers that together make the share of each currency's cost or price."""
    by_currency: dict[str, dict[str, int]] = {}
    for row in found:
        currency = row.cost_currency if side == "cost" else row.price_currency
        if currency is not None:
            customers = by_currency.setdefault(currency, {})
            amount = row.now.cost if side == "cost" else row.now.price
            customers[row.group[0] or ""] = customers.get(row.group[0] or "", 0) + amount
    rows: list[tuple[Value, ...]] = []
    facts = _asked_facts(question)
    for currency, customers in sorted(by_currency.items()):
        total, summed, rank = sum(customers.values()), 0, 0
        for customer, amount in sorted(customers.items(), key=lambda item: (-item[1], item[0])):
            if summed * 100 >= total * share_percent:
                break
            summed += amount
            rank += 1
            shares = _percent(amount, total), _percent(summed, total)
            rows.append((currency, rank, customer, plain(amount), *shares))
        facts |= {
            f"{currency}_customers": rank,
            f"{currency}_customers_in_all": len(customers),
            f"{currency}_total": plain(total),
        }
    return Table(("currency", "rank", "customer", side, "share_percent", "summed_percent"), rows, facts)


class Unpriced(NamedTuple):
    """Usage without a price on one side."""

    side: str
    group: tuple[str | None, ...]
    provider: str
    model: str | None
    meter: str
    reason: str
    events: int
    quantity: int | None


def unpriced_table(question: Question, found: Sequence[Unpriced]) -> Table:
    """Unpriced usage, the most events first."""
    rows: list[tuple[Value, ...]] = [
        (
            it.side,
            *it.group,
            it.provider,
            it.model,
            it.meter or None,
            it.events,
            None if it.quantity is None else plain(it.quantity),
            it.reason,
        )
        for it in sorted(found, key=lambda it: (it.side, -it.events, it.provider, it.model or "", it.meter))
        if it.events or it.quantity
    ]
    names = ("side", *question.group_columns, "provider", "model", "meter", "events", "quantity", "reason")
    return Table(names, rows, _asked_facts(question))


def unknown_dimension(name: str, declared: Sequence[str]) -> QuestionError:
    """What is asked by a name that is no dimension is told."""
    known = ", ".join((*COLUMNS, *sorted(declared)))
    return QuestionError(f"dimension {name}: not declared by any version in the ledger; known: {known}")


def _apart(row: Summed, cost_status: str, price_status: str) -> str | None:
    if row.cost_currency is not None and row.cost_currency == row.price_currency:
        in_part = [
            name for name, status in (("cost", cost_status), ("price", price_status)) if status == _PARTIAL
        ]
        return f"{' and '.join(in_part)} in part only" if in_part else None
    if row.price_currency is not None and row.cost_currency is not None:
        return "price in another currency"
    if row.cost_currency is None and row.price_currency is None:
        return f"no cost, price {price_status}"
    return "no cost" if row.cost_currency is None else f"price {price_status}"


def _measured(row: Summed, sums: Sums, *, by_meter: bool) -> list[Value]:
    values: list[Value] = [sums.events]
    if by_meter:
        values.append(None if sums.quantity is None else plain(sums.quantity))
    values.append(None if row.cost_currency is None else plain(sums.cost))
    values.append(None if row.price_currency is None else plain(sums.price))
    return values


def _percent(part: int, whole: int) -> str | None:
    """Hundredths of a percent, half to even: for reading, not for summing."""
    if whole == 0:
        return None
    sign = -1 if (part < 0) != (whole < 0) else 1
    hundredths = sign * round_half_even(abs(part) * 10_000, abs(whole))
    return plain(hundredths * 10**16)


def _in_order(row: Summed) -> tuple[object, ...]:
    """By period, then the costliest first."""
    return row.period, -row.now.cost, -row.now.price, tuple(value or "" for value in row.group)


def _asked_facts(question: Question) -> dict[str, Value]:
    time = question.asked
    facts: dict[str, Value] = {
        "from": time.label(0),
        "to": time.label(len(time.bounds) - 1),
        "zone": time.zone.name,
    }
    if question.as_of is not None:
        facts["as_of"] = question.as_of.isoformat()
    return facts
