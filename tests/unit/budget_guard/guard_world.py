"""Totals and budgets made by hand, for tests of what the guard makes of them."""

from collections.abc import Sequence

from budget_guard.core.firings import Totals
from pricing.budgets import Action, Budget, CustomerBudgets, Threshold
from pricing.money import ATTO
from pricing.totals import Key, Scope, Sums

HOUR_US = 3_600_000_000
CUSTOMER = "acme"


def limited(
    budget_id: str = "b",
    *,
    at: Sequence[tuple[int, Action]] = ((80, "soft"), (100, "hard")),
    limit: int = 100,
    measure: str = "price",
    currency: str | None = "USD",
    window: str = "period",
    scope: Scope = (),
) -> Budget:
    """A budget with a threshold at each of these whole amounts."""
    thresholds = tuple(
        Threshold(str(amount), amount * ATTO, action=action, channels=("oncall",)) for amount, action in at
    )
    return Budget(budget_id, (CUSTOMER,), scope, measure, currency, window, limit * ATTO, thresholds)


def book(*budgets: Budget, version: int = 1) -> CustomerBudgets:
    return CustomerBudgets(version, budgets)


def entry(
    price: int | None = None,
    *,
    window: str = "period",
    start_us: int = 0,
    end_us: int | None = 10 * HOUR_US,
    scope: Scope = (),
    currency: str | None = "USD",
    cost: int | None = None,
    events: int = 1,
    unpriced: int = 0,
    output_tokens: int = 0,
) -> tuple[Key, Sums]:
    """One entry of totals, in whole units."""
    sums = Sums(
        cost_atto=None if cost is None else cost * ATTO,
        price_atto=None if price is None else price * ATTO,
        events=events,
        unpriced_price_events=unpriced,
        quantities={"output_tokens": output_tokens * ATTO},
        end_us=end_us,
    )
    return (window, start_us, scope, "USD", currency), sums


def totals(seq: int, *entries: tuple[Key, Sums]) -> Totals:
    return Totals(CUSTOMER, seq, 1_000 + seq, dict(entries))
