"""budget.state: what a gateway obeys. Instants are microseconds since 1970 UTC."""

from typing import Annotated, Literal

from schemas.models.base import LIST, Long, WireModel

BudgetAction = Literal["unknown", "ok", "soft", "hard"]


class BudgetStanding(WireModel):
    """One budget of the scope, in its window that contains `at_us`."""

    budget_id: str
    version: Long
    window: str
    period_start_us: Long
    valid_until_us: Long | None
    state: BudgetAction
    measure: str
    currency: str | None
    amount: str
    limit: str


class BudgetState(WireModel):
    customer_id: str
    scope: dict[str, str]
    """Dimension to value; empty is the whole customer."""
    state: BudgetAction
    """The worst of the budgets."""
    valid_until_us: Long | None = None
    """From then on it counts as ok; null is without end."""
    as_of_seq: Long
    budgets: Annotated[tuple[BudgetStanding, ...], LIST]
    at_us: Long
