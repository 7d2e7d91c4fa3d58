"""What is said once a customer and billing period, beside thresholds: usage without a price, and spending
in a currency that no money budget of the customer covers.

Both are of the whole customer, are stored as firings and are never taken back.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from budget_guard.core.alert_ids import notice_id
from budget_guard.core.firings import Alert, Firing, FiringKey, Totals
from budget_guard.core.wording import uncovered_text, unpriced_command, unpriced_text, usage_command
from pricing.budgets import COST, PRICE, CustomerBudgets
from pricing.totals import Key, Sums
from pricing.windows import PERIOD

UNPRICED: Final = "unpriced"
UNCOVERED: Final = "uncovered_currency"

_Found = tuple[Alert, Firing]


def notices(totals: Totals, budgets: CustomerBudgets, fired: Mapping[FiringKey, Firing]) -> Iterator[_Found]:
    """What the totals say and nobody was told in the same period; the time is left to be added."""
    sums: dict[FiringKey, tuple[int, int | None]] = {}
    for key, entry in totals.entries.items():
        if key[0] == PERIOD and not key[2]:
            _count(sums, totals.customer_id, key, entry, budgets)
    for found, (amount, end_us) in sums.items():
        if found in fired or amount == 0:
            continue
        yield _notice(totals, budgets.version, found, amount, end_us)


def _count(
    sums: dict[FiringKey, tuple[int, int | None]],
    customer_id: str,
    key: Key,
    entry: Sums,
    budgets: CustomerBudgets,
) -> None:
    """Add what one entry of a billing period has to tell."""

    def add(kind: str, what: str, amount: int) -> None:
        firing = FiringKey(customer_id, kind, "", PERIOD, key[1], what)
        sums[firing] = (sums.get(firing, (0, None))[0] + amount, entry.end_us)

    if entry.unpriced_cost_events:
        add(UNPRICED, COST, entry.unpriced_cost_events)
    if entry.unpriced_price_events:
        add(UNPRICED, PRICE, entry.unpriced_price_events)
    _add_uncovered(add, COST, key[3], entry.cost_atto, budgets.cost_currencies)
    _add_uncovered(add, PRICE, key[4], entry.price_atto, budgets.price_currencies)


def _add_uncovered(
    add: Callable[[str, str, int], None],
    side: str,
    currency: str | None,
    amount_atto: int | None,
    covered: frozenset[str],
) -> None:
    if amount_atto and currency is not None and covered and currency not in covered:
        add(UNCOVERED, f"{side} {currency}", amount_atto)


def _notice(totals: Totals, version: int, key: FiringKey, amount: int, end_us: int | None) -> _Found:
    customer_id, start_us = key.customer_id, key.period_start_us
    side, _, currency = key.threshold.partition(" ")
    made = notice_id(key)
    uncovered = key.budget_id == UNCOVERED
    alert = Alert(
        alert_id=made,
        kind="uncovered_currency" if uncovered else "unpriced",
        severity="warning",
        customer_id=customer_id,
        text=uncovered_text(customer_id, side, currency, amount, start_us)
        if uncovered
        else unpriced_text(customer_id, side, amount, start_us),
        look_closer=usage_command(customer_id, (), start_us, end_us)
        if uncovered
        else unpriced_command(customer_id, start_us, end_us),
        measure=side,
        currency=currency or None,
        window=PERIOD,
        period_start_us=start_us,
        period_end_us=end_us,
        amount_atto=amount if uncovered else None,
        last_seq=totals.as_of_seq,
        source_append_us=totals.as_of_us,
    )
    firing = Firing(
        key=key,
        episode=1,
        alert_id=made,
        fired_seq=totals.as_of_seq,
        budget_version=version,
        threshold_atto=0,
        measure=side,
        currency=currency or None,
    )
    return alert, firing
