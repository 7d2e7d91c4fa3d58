"""Which event crosses which threshold, known beforehand: from the ratings alone, in the customer's order.

Thresholds are put exactly where a chosen event takes its customer's sum of the hour, so that crossings are
spread evenly over the run and over customers.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from bench.aggregator.oracle import HOUR_US
from bench.traffic import Happening
from pricing.budgets import Budget, Threshold
from pricing.money import ATTO, format_atto
from rate_book.budgets.content import BudgetContent

CHANNEL = "oncall"
CURRENCY = "USD"
_SEED = 20_261_123
_BEYOND = 10**12 * ATTO  # no customer here spends as much


class Crossing(NamedTuple):
    """Customer, start of the hour, and the threshold's amount as text."""

    customer_id: str
    start_us: int
    amount: str


def plan(  # noqa: PLR0917 - of what, from where to where, how many
    happenings: Sequence[Happening], warm: int, first: int, last: int, each: int, every: int = 1
) -> tuple[BudgetContent, dict[Crossing, int]]:
    """Budgets, and the number of the event that crosses each threshold.

    Args:
        happenings: every event in order.
        warm: events before this one are sent first, and hold one crossing.
        first: events from this one up to `last` hold the others.
        last: exclusive.
        each: thresholds of a customer, where it has so many events.
        every: of so many customers one reaches its thresholds; the others' are out of reach.
    """
    rng = random.Random(_SEED)
    sums: dict[tuple[str, int], int] = defaultdict(int)
    reached: dict[str, list[tuple[int, int]]] = defaultdict(list)  # customer -> (number, the hour's sum)
    for happening in happenings:
        price = happening.rating.price.amount_atto or 0
        hour = (happening.customer_id, happening.event_time_us - happening.event_time_us % HOUR_US)
        sums[hour] += price
        if price > 0:
            reached[happening.customer_id].append((happening.number, sums[hour]))
    amounts: dict[str, set[int]] = {}
    for order, (customer_id, found) in enumerate(sorted(reached.items())):
        if order % every:
            amounts[customer_id] = {_BEYOND * (number + 1) for number in range(each)}
            continue
        inside = [amount for number, amount in found if first <= number < last]
        amounts[customer_id] = set(rng.sample(inside, min(each, len(inside))))
    early = happenings[0].customer_id
    amounts[early].add(next(amount for number, amount in reached[early] if number < warm))
    budgets = [
        Budget(
            f"hourly-{customer_id}", (customer_id,), (), "price", CURRENCY, "hour", max(chosen),
            tuple(
                Threshold(format_atto(amount), amount, severity="critical", channels=(CHANNEL,))
                for amount in sorted(chosen)
            ),
        )
        for customer_id, chosen in amounts.items()
        if chosen
    ]  # fmt: skip
    return BudgetContent(tuple(budgets)), _crossings(happenings, amounts)


def _crossings(happenings: Sequence[Happening], amounts: dict[str, set[int]]) -> dict[Crossing, int]:
    """The first event of each hour at which a threshold is reached."""
    sums: dict[tuple[str, int], int] = defaultdict(int)
    left: dict[tuple[str, int], list[int]] = {}
    found: dict[Crossing, int] = {}
    for happening in happenings:
        customer_id, start_us = happening.customer_id, happening.event_time_us
        start_us -= start_us % HOUR_US
        hour = (customer_id, start_us)
        sums[hour] += happening.rating.price.amount_atto or 0
        waiting = left.get(hour)
        if waiting is None:
            waiting = left[hour] = sorted(amounts.get(customer_id, ()), reverse=True)
        while waiting and sums[hour] >= waiting[-1]:
            found[Crossing(customer_id, start_us, format_atto(waiting.pop()))] = happening.number
    return found
