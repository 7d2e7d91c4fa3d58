"""Alerts in words: one sentence that says what happened, and a command that shows more."""

import shlex
from typing import Final

from pricing.budgets import Budget, Threshold
from pricing.instants import instant_text
from pricing.money import format_atto
from pricing.totals import Scope

_WINDOWS: Final = {
    "hour": "hour from {}",
    "day": "day from {}",
    "week": "week from {}",
    "period": "billing period from {}",
    "lifetime": "whole lifetime",
}
_PERCENT_HUNDREDTHS: Final = 10_000


def share_text(amount_atto: int, limit_atto: int) -> str:
    """Percent of the limit with two decimals, cut off: "80.12". The limit is above 0."""
    hundredths = abs(amount_atto) * _PERCENT_HUNDREDTHS // limit_atto
    sign = "-" if amount_atto < 0 and hundredths else ""
    return f"{sign}{hundredths // 100}.{hundredths % 100:02d}"


def amount_text(budget: Budget, amount_atto: int) -> str:
    """`80.5 USD`, `1000 events`, `12 images`."""
    return f"{format_atto(amount_atto)} {budget.currency or budget.meter or budget.measure}"


def who(customer_id: str, scope: Scope) -> str:
    """`acme`, or `acme, feature=chat`."""
    return ", ".join([customer_id, *(f"{name}={value}" for name, value in scope)])


def window_text(window: str, start_us: int) -> str:
    return _WINDOWS[window].format(instant_text(start_us))


def crossed_text(
    customer_id: str, budget: Budget, threshold: Threshold, start_us: int, amount_atto: int
) -> str:
    amount = _of_limit(budget, amount_atto)
    return (
        f"{who(customer_id, budget.scope)}: {_measured(budget)} of the {window_text(budget.window, start_us)}"
        f" is {amount}; budget {budget.budget_id}, threshold {threshold.name}"
    )


def retracted_text(
    customer_id: str, budget: Budget, threshold: Threshold, start_us: int, amount_atto: int
) -> str:
    amount = _of_limit(budget, amount_atto)
    return (
        f"{who(customer_id, budget.scope)}: after a correction the {_measured(budget)} of the"
        f" {window_text(budget.window, start_us)} is {amount}, below threshold {threshold.name} of budget"
        f" {budget.budget_id}: the earlier alert no longer holds"
    )


def unpriced_text(customer_id: str, side: str, events: int, start_us: int) -> str:
    noun = "event has" if events == 1 else "events have"
    return f"{customer_id}: {events} {noun} no {side} in the {window_text('period', start_us)}"


def uncovered_text(customer_id: str, side: str, currency: str, amount_atto: int, start_us: int) -> str:
    return (
        f"{customer_id}: {side} of {format_atto(amount_atto)} {currency} in the"
        f" {window_text('period', start_us)} is in a currency that no {side} budget of this customer covers"
    )


def usage_command(customer_id: str, scope: Scope, start_us: int, end_us: int | None) -> str:
    """The command that shows the usage of a window by feature and model."""
    words = ["ratestream", "usage", "--customer", customer_id, "--by", "feature,model"]
    for name, value in scope:
        words += ["--where", f"{name}={value}"]
    return shlex.join([*words, *_span(start_us, end_us)])


def unpriced_command(customer_id: str, start_us: int, end_us: int | None) -> str:
    return shlex.join(["ratestream", "unpriced", "--customer", customer_id, *_span(start_us, end_us)])


def _span(start_us: int, end_us: int | None) -> list[str]:
    until = [] if end_us is None else ["--to", instant_text(end_us)]
    return ["--from", instant_text(start_us), *until]


def _measured(budget: Budget) -> str:
    return "quantity" if budget.meter else {"events": "number of events"}.get(budget.measure, budget.measure)


def _of_limit(budget: Budget, amount_atto: int) -> str:
    share = share_text(amount_atto, budget.limit_atto)
    return f"{amount_text(budget, amount_atto)}, {share} % of {amount_text(budget, budget.limit_atto)}"
