"""What follows from a customer's totals: alerts, retractions and the states that gateways obey.

Level-triggered: a threshold fires where the value is its amount or more and it does not hold already, so it
does not matter which totals were seen before, or twice. Both kept windows are looked at, since events may be
late; states are those of the windows that contain now. A money budget sums only its currency.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

from budget_guard.core.alert_ids import alert_id, retraction_id
from budget_guard.core.firings import (
    NO_FIRINGS,
    NO_STATES,
    NOTHING,
    STALE,
    Alert,
    Decision,
    Firing,
    FiringKey,
    ScopeState,
    Totals,
)
from budget_guard.core.notices import notices
from budget_guard.core.states import Value, Values, changed_states
from budget_guard.core.wording import crossed_text, retracted_text, share_text, usage_command
from pricing.budgets import COST, EVENTS, PRICE, QUANTITY, Budget, CustomerBudgets, Threshold
from pricing.money import ATTO
from pricing.totals import Key, Sums


def evaluate(
    totals: Totals,
    budgets: CustomerBudgets,
    fired: Mapping[FiringKey, Firing],
    corrected: Callable[[int], bool],
    now_us: int,
    *,
    seen_seq: int | None = None,
    published: Mapping[str, ScopeState] = NO_STATES,
) -> Decision:
    """What to store and tell.

    Args:
        totals: of the customer.
        budgets: of the customer, of the newest version.
        fired: the newest episode of each of the customer's keys, those of notices too.
        corrected: whether the ledger has a reversal with a sequence above the given one and not above that of
            the totals; asked only where a value is below the amount of a threshold that fired.
        now_us: microseconds UTC.
        seen_seq: the highest as_of_seq evaluated before: the crossing lies after it. Older totals are stale,
            and so are those older than what fired, was retracted or was published, whoever did it.
        published: the newest state of each scope of the customer by scope key; what is not there is ok.
    """
    if _is_stale(totals.as_of_seq, fired, seen_seq, published):
        return STALE
    round_ = _Round(totals, budgets, fired, corrected, now_us=now_us, seen_seq=seen_seq)
    values = _values(totals.entries, budgets)
    for (position, start_us), value in values.items():
        round_.look(position, start_us, value)
    round_.notice()
    held = round_.held()
    if not held and not published:
        return round_.decision() if round_.alerts else NOTHING
    states, next_us = changed_states(totals, budgets, values, held, now_us=now_us, published=published)
    if not (round_.alerts or round_.awaiting or states) and next_us is None:
        return NOTHING
    return replace(round_.decision(), states=states, next_us=next_us)


def _is_stale(
    as_of_seq: int,
    fired: Mapping[FiringKey, Firing],
    seen_seq: int | None,
    published: Mapping[str, ScopeState],
) -> bool:
    """Whether something newer was evaluated: by this guard, or by another one that stored what it found."""
    return (
        (seen_seq is not None and as_of_seq < seen_seq)
        or any(as_of_seq < max(one.fired_seq, one.retracted_seq or 0) for one in fired.values())
        or any(as_of_seq < state.as_of_seq for state in published.values())
    )


def _values(entries: Mapping[Key, Sums], budgets: CustomerBudgets) -> Values:
    """The value of each budget in each window that the totals have, by position and start."""
    values: Values = {}
    places = budgets.places
    if not places:
        return values
    for key, sums in entries.items():
        for position in places.get((key[0], key[2]), ()):
            value = values.get((position, key[1]))
            if value is None:
                value = values[position, key[1]] = Value(0, sums.end_us)
            value.amount_atto += _amount(budgets.budgets[position], key, sums)
            if sums.end_us is not None and (value.end_us is None or sums.end_us > value.end_us):
                value.end_us = sums.end_us
    return values


def _amount(budget: Budget, key: Key, sums: Sums) -> int:
    measure = budget.measure
    if measure == PRICE:
        return (sums.price_atto or 0) if key[4] == budget.currency else 0
    if measure == COST:
        return (sums.cost_atto or 0) if key[3] == budget.currency else 0
    if measure == EVENTS:
        return sums.events * ATTO
    return sums.quantities.get(measure[len(QUANTITY) :], 0)


class _Crossing(NamedTuple):
    """A threshold in one window, and the value there."""

    budget: Budget
    threshold: Threshold
    key: FiringKey
    end_us: int | None
    amount_atto: int


class _Round:
    """One evaluation: what it knows, and what it finds."""

    __slots__ = (
        "alerts",
        "awaiting",
        "budgets",
        "corrected",
        "fired",
        "firings",
        "now_us",
        "retracted",
        "seen_seq",
        "totals",
    )

    def __init__(
        self,
        totals: Totals,
        budgets: CustomerBudgets,
        fired: Mapping[FiringKey, Firing],
        corrected: Callable[[int], bool],
        *,
        now_us: int,
        seen_seq: int | None,
    ) -> None:
        self.totals, self.budgets, self.fired = totals, budgets, fired
        self.corrected, self.now_us, self.seen_seq = corrected, now_us, seen_seq
        self.alerts: list[Alert] = []
        self.firings: list[Firing] = []
        self.retracted: list[Firing] = []
        self.awaiting: list[FiringKey] = []

    def decision(self) -> Decision:
        return Decision(
            tuple(self.alerts), tuple(self.firings), tuple(self.retracted), awaiting=tuple(self.awaiting)
        )

    def held(self) -> Mapping[FiringKey, Firing]:
        """What holds after this round."""
        if not self.fired and not self.firings:
            return NO_FIRINGS
        after = {**self.fired}
        after.update((one.key, one) for one in (*self.retracted, *self.firings))
        return {key: one for key, one in after.items() if one.holds}

    def look(self, position: int, start_us: int, value: Value) -> None:
        """At the thresholds of one budget in one window."""
        budget = self.budgets.budgets[position]
        amount_atto = value.amount_atto
        if not self.fired and amount_atto < budget.thresholds[0].amount_atto:
            return
        scope, texts = self.budgets.keys[position]
        customer_id = self.totals.customer_id
        for threshold, text in zip(budget.thresholds, texts, strict=True):
            key = FiringKey(customer_id, budget.budget_id, scope, budget.window, start_us, text)
            last = self.fired.get(key)
            holds = last is not None and last.holds
            if amount_atto >= threshold.amount_atto:
                if not holds:
                    self._fire(_Crossing(budget, threshold, key, value.end_us, amount_atto), last)
            elif last is not None and holds:
                self._take_back(_Crossing(budget, threshold, key, value.end_us, amount_atto), last)

    def notice(self) -> None:
        """What is said once a billing period, beside the thresholds."""
        for alert, firing in notices(self.totals, self.budgets, self.fired):
            self.alerts.append(replace(alert, first_seq=self.seen_seq, raised_at_us=self.now_us))
            self.firings.append(firing)

    def _fire(self, crossing: _Crossing, last: Firing | None) -> None:
        budget, threshold, key = crossing.budget, crossing.threshold, crossing.key
        episode = 1 if last is None else last.episode + 1
        made = alert_id(
            key, version=self.budgets.version, threshold_atto=threshold.amount_atto, episode=episode
        )
        self.firings.append(
            Firing(
                key=key,
                episode=episode,
                alert_id=made,
                fired_seq=self.totals.as_of_seq,
                budget_version=self.budgets.version,
                threshold_atto=threshold.amount_atto,
                measure=budget.measure,
                currency=budget.currency,
            )
        )
        text = crossed_text(key.customer_id, budget, threshold, key.period_start_us, crossing.amount_atto)
        self.alerts.append(replace(self._alert(crossing), alert_id=made, text=text, episode=episode))

    def _take_back(self, crossing: _Crossing, last: Firing) -> None:
        if self.totals.as_of_seq <= last.fired_seq or not self.corrected(last.fired_seq):
            self.awaiting.append(crossing.key)
            return
        key = crossing.key
        made = retraction_id(last.alert_id)
        self.retracted.append(replace(last, retracted_alert_id=made, retracted_seq=self.totals.as_of_seq))
        text = retracted_text(
            key.customer_id, crossing.budget, crossing.threshold, key.period_start_us, crossing.amount_atto
        )
        self.alerts.append(
            replace(
                self._alert(crossing),
                alert_id=made,
                kind="retraction",
                severity="info",
                text=text,
                episode=last.episode,
                retracts=last.alert_id,
                first_seq=last.fired_seq,
            )
        )

    def _alert(self, crossing: _Crossing) -> Alert:
        """What a crossing and its retraction say alike."""
        budget, threshold, key = crossing.budget, crossing.threshold, crossing.key
        return Alert(
            alert_id="",
            kind="threshold",
            severity=threshold.severity,
            customer_id=key.customer_id,
            text="",
            look_closer=usage_command(key.customer_id, budget.scope, key.period_start_us, crossing.end_us),
            budget_id=budget.budget_id,
            budget_version=self.budgets.version,
            scope=budget.scope,
            measure=budget.measure,
            currency=budget.currency,
            window=budget.window,
            period_start_us=key.period_start_us,
            period_end_us=crossing.end_us,
            threshold=threshold.name,
            limit_atto=budget.limit_atto,
            threshold_atto=threshold.amount_atto,
            amount_atto=crossing.amount_atto,
            share=share_text(crossing.amount_atto, budget.limit_atto),
            first_seq=self.seen_seq,
            last_seq=self.totals.as_of_seq,
            channels=threshold.channels,
            raised_at_us=self.now_us,
            source_append_us=self.totals.as_of_us,
        )
