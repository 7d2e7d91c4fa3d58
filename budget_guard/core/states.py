"""The state of each budgeted scope: the worst action of the thresholds that hold in windows that contain now.

A state is published where what a gateway obeys of it changed, not whenever an amount grew.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from budget_guard.core.firings import BudgetLine, Firing, FiringKey, ScopeState, Standing, Totals
from pricing.budgets import CustomerBudgets, Threshold
from pricing.totals import parse_scope_key

_RANK: Final[dict[Standing, int]] = {"ok": 0, "soft": 1, "hard": 2}


@dataclass(slots=True)
class Value:
    """A budget's value in one window; `end_us` is exclusive, None without end."""

    amount_atto: int
    end_us: int | None


Values = dict[tuple[int, int], Value]
"""By the budget's position and the window's start."""


def changed_states(
    totals: Totals,
    budgets: CustomerBudgets,
    values: Mapping[tuple[int, int], Value],
    held: Mapping[FiringKey, Firing],
    *,
    now_us: int,
    published: Mapping[str, ScopeState],
) -> tuple[tuple[ScopeState, ...], int | None]:
    """The states that gateways must be told, and the next instant at which one changes by the clock alone."""
    concerned = {key.scope_key for key in held} | set(published)
    windows: dict[int, list[tuple[int, Value]]] = {}
    for (position, start_us), value in values.items():
        windows.setdefault(position, []).append((start_us, value))
    found: list[ScopeState] = []
    turns: list[int] = []
    for scope in sorted(concerned):
        lines: list[BudgetLine] = []
        for position in budgets.by_scope.get(scope, ()):
            for start_us, value in windows.get(position, ()):
                line = _line(totals.customer_id, budgets, (position, start_us), value, held)
                if line.state != "ok":
                    turns += _turns(line, now_us)
                if _contains(line, now_us):
                    lines.append(line)
        state = _scope_state(totals, scope, lines, now_us)
        before = published.get(scope)
        if _obeyed(state) != (_OK if before is None else _obeyed(before)):
            found.append(state)
    return tuple(found), min(turns, default=None)


_OK: Final = ("ok", None, ())


def _obeyed(state: ScopeState) -> tuple[object, ...]:
    """What a gateway obeys of a state; all that are ok are the same."""
    if state.state == "ok":
        return _OK
    lines = tuple(
        (line.budget_id, line.version, line.window, line.period_start_us, line.state, line.valid_until_us)
        for line in state.budgets
        if line.state != "ok"
    )
    return state.state, state.valid_until_us, lines


def _scope_state(totals: Totals, scope: str, lines: Sequence[BudgetLine], now_us: int) -> ScopeState:
    worst: Standing = max((line.state for line in lines), key=_RANK.__getitem__, default="ok")
    return ScopeState(
        customer_id=totals.customer_id,
        scope=parse_scope_key(scope),
        state=worst,
        valid_until_us=None if worst == "ok" else _last_end(line for line in lines if line.state == worst),
        as_of_seq=totals.as_of_seq,
        budgets=tuple(lines),
        at_us=now_us,
    )


def _last_end(lines: Iterator[BudgetLine]) -> int | None:
    """Until when one of them stands: the latest end, None where one has none."""
    ends = [line.valid_until_us for line in lines]
    known = [end for end in ends if end is not None]
    return max(known) if len(known) == len(ends) else None


def _line(
    customer_id: str,
    budgets: CustomerBudgets,
    place: tuple[int, int],
    value: Value,
    held: Mapping[FiringKey, Firing],
) -> BudgetLine:
    position, start_us = place
    budget = budgets.budgets[position]
    scope, texts = budgets.keys[position]
    state: Standing = "ok"
    for threshold, text in zip(budget.thresholds, texts, strict=True):
        action = _standing(threshold)
        if _RANK[action] > _RANK[state]:
            key = FiringKey(customer_id, budget.budget_id, scope, budget.window, start_us, text)
            if key in held:
                state = action
    return BudgetLine(
        budget_id=budget.budget_id,
        version=budgets.version,
        window=budget.window,
        period_start_us=start_us,
        valid_until_us=value.end_us,
        state=state,
        measure=budget.measure,
        currency=budget.currency,
        amount_atto=value.amount_atto,
        limit_atto=budget.limit_atto,
    )


def _standing(threshold: Threshold) -> Standing:
    return "ok" if threshold.action == "none" else threshold.action


def _contains(line: BudgetLine, now_us: int) -> bool:
    return line.period_start_us <= now_us and (line.valid_until_us is None or now_us < line.valid_until_us)


def _turns(line: BudgetLine, now_us: int) -> list[int]:
    """When the line begins and ends to count, as far as that is to come."""
    return [at for at in (line.period_start_us, line.valid_until_us) if at is not None and at > now_us]
