"""Budgets by their YAML, and what each of them amounts to as a customer's sequence goes on."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from operator import itemgetter
from typing import NamedTuple

from tests.oracle.totals import spans
from tests.prove.checks.facts import Json

ESCAPES = {"%": "%25", "=": "%3D", ";": "%3B", "\n": "%0A"}
RANK = {"none": 0, "ok": 0, "soft": 1, "hard": 2}


class Mark(NamedTuple):
    """One threshold of one budget in one window: what an alert is about."""

    customer_id: str
    budget_id: str
    scope: str
    window: str
    start_us: int
    measure: str
    currency: str | None
    amount: Fraction


def scope_key(scope: Iterable[tuple[str, str]]) -> str:
    """The scope as one text, as docs/reference/wire.md says."""
    return ";".join(
        "=".join("".join(ESCAPES.get(c, c) for c in text) for text in pair) for pair in sorted(scope)
    )


def budgets_of(budgets: Iterable[Json], customer_id: str) -> list[Json]:
    """Those that name the customer, and everybody's."""
    return [one for one in budgets if {customer_id, "*"} & set(one["customers"])]


def scopes_of(budgets: Iterable[Json], customer_id: str) -> list[dict[str, str]]:
    """The scopes that the customer's budgets name, each once."""
    found = {
        scope_key(scope.items()): scope
        for one in budgets_of(budgets, customer_id)
        for scope in [one.get("scope") or {}]
    }
    return list(found.values())


def thresholds_of(budget: Json) -> list[tuple[Fraction, Json]]:
    """Amounts in the measure's unit, with what the YAML says of each."""
    found = []
    for one in budget["thresholds"]:
        if "at" in one:
            amount = Fraction(str(budget["limit"])) * Fraction(str(one["at"]).removesuffix("%")) / 100
        else:
            amount = Fraction(str(one["amount"]))
        found.append((amount, one))
    return found


@dataclass(slots=True)
class Series:
    """A budget's value in one window, after each sequence that moved it."""

    seqs: list[int] = field(default_factory=list)
    values: list[Fraction] = field(default_factory=list)
    end_us: int | None = None

    def add(self, seq: int, amount: Fraction, end_us: int | None) -> None:
        """One more record."""
        self.seqs.append(seq)
        self.values.append((self.values[-1] if self.values else Fraction(0)) + amount)
        if end_us is not None:
            self.end_us = max(end_us, self.end_us or end_us)

    def at(self, seq: int) -> Fraction:
        """The value up to a sequence."""
        place = bisect_right(self.seqs, seq)
        return self.values[place - 1] if place else Fraction(0)

    def reached(self, amount: Fraction, after: int, until: int) -> int | None:
        """The first sequence in (after, until] that takes it from below the amount to it, or beyond."""
        below = self.at(after) < amount
        for seq, value in zip(self.seqs, self.values, strict=True):
            if after < seq <= until:
                if value >= amount and below:
                    return seq
                below = value < amount
        return None


@dataclass(slots=True)
class Values:
    """Of one customer: what each budget was worth in each window, and which windows are the newest two."""

    series: dict[tuple[str, int], Series] = field(default_factory=lambda: defaultdict(Series))
    """By the budget's name and measure as one text, and the start of the window."""
    newest: dict[str, list[tuple[int, list[int]]]] = field(default_factory=lambda: defaultdict(list))
    """By window: (sequence, the two newest starts from then on)."""

    def live(self, window: str, seq: int) -> list[int]:
        """The two newest starts after a sequence."""
        known = self.newest[window]
        place = bisect_right(known, seq, key=itemgetter(0))
        return known[place - 1][1] if place else []


def name_of(budget: Json) -> str:
    """What makes two budgets count the same: scope, window, measure and currency."""
    scope = scope_key((budget.get("scope") or {}).items())
    return "\n".join([scope, budget["window"], budget["measure"], budget.get("currency") or ""])


def values_of(rows: Sequence[tuple[int, Json]], budgets: Sequence[Json], zone: str) -> Values:
    """Fold a customer's rows for these budgets, none of them twice."""
    found = Values()
    different = {name_of(budget): budget for budget in budgets}
    for seq, row in rows:
        placed = spans(row, zone)
        for window, (start_us, _) in placed.items():
            known = found.newest[window]
            starts = known[-1][1] if known else []
            if start_us not in starts:
                newer = sorted({*starts, start_us})[-2:]
                if newer != starts:
                    known.append((seq, newer))
        for name, budget in different.items():
            scope = budget.get("scope") or {}
            if all(row["dimensions"].get(key) == value for key, value in scope.items()):
                start_us, end_us = placed[budget["window"]]
                found.series[name, start_us].add(seq, _amount(budget, row), end_us)
    return found


def _amount(budget: Json, row: Json) -> Fraction:
    measure = budget["measure"]
    if measure in {"price", "cost"}:
        return (
            (row[measure] or Fraction(0)) if row[f"{measure}_currency"] == budget["currency"] else Fraction(0)
        )
    if measure == "events":
        return Fraction(row["events"])
    return Fraction(row["quantities"].get(measure.removeprefix("quantity:"), 0))


def marks_of(
    budgets: Iterable[Json], customer_id: str, values: Values
) -> Iterator[tuple[Mark, Json, Json, Series]]:
    """Every threshold in every window that had a record, with its budget."""
    for budget in budgets_of(budgets, customer_id):
        scope = scope_key((budget.get("scope") or {}).items())
        for (name, start_us), series in values.series.items():
            if name == name_of(budget):
                for amount, threshold in thresholds_of(budget):
                    mark = Mark(
                        customer_id, budget["budget"], scope, budget["window"], start_us, budget["measure"],
                        budget.get("currency"), amount,
                    )  # fmt: skip
                    yield mark, budget, threshold, series
