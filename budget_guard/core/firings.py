"""What has been said: thresholds that fired, by what makes them the same in a later version of the budgets.

Instants are microseconds UTC, amounts ints times 10**18.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from pricing.budgets import Severity
from pricing.totals import Key, Scope, Sums

Kind = Literal["threshold", "retraction", "unpriced", "uncovered_currency", "operations"]
Standing = Literal["ok", "soft", "hard"]


class FiringKey(NamedTuple):
    """A threshold in one window of one customer.

    `threshold` says measure, currency and amount (`Budget.compared`): a budget whose limit or measure changed
    has other keys, and one that changed in nothing of this inherits what fired before.
    """

    customer_id: str
    budget_id: str
    scope_key: str
    window: str
    period_start_us: int
    threshold: str


@dataclass(frozen=True, slots=True)
class Firing:
    """The newest episode of a key. `fired_seq` is the as_of_seq of the totals that crossed.

    An episode that is over has `retracted_alert_id`, the id of the alert that took it back, and the as_of_seq
    of the totals that did.
    """

    key: FiringKey
    episode: int
    alert_id: str
    fired_seq: int
    budget_version: int
    threshold_atto: int
    measure: str
    currency: str | None
    retracted_alert_id: str | None = None
    retracted_seq: int | None = None

    @property
    def holds(self) -> bool:
        """Whether it was not taken back."""
        return self.retracted_alert_id is None


@dataclass(frozen=True, slots=True)
class Alert:
    """What is told, as far as totals know it; contributors and the crossing event come from the ledger later.

    `channels` are those that the threshold names; empty: the routes decide. `share` is percent of the limit.
    """

    alert_id: str
    kind: Kind
    severity: Severity
    customer_id: str
    text: str
    look_closer: str
    budget_id: str | None = None
    budget_version: int | None = None
    scope: Scope = ()
    measure: str | None = None
    currency: str | None = None
    window: str | None = None
    period_start_us: int | None = None
    period_end_us: int | None = None
    threshold: str | None = None
    limit_atto: int | None = None
    threshold_atto: int | None = None
    amount_atto: int | None = None
    share: str | None = None
    episode: int = 0
    retracts: str | None = None
    first_seq: int | None = None
    last_seq: int | None = None
    channels: tuple[str, ...] = ()
    raised_at_us: int = 0
    source_append_us: int = 0


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """One budget of a scope, in its window that contains now."""

    budget_id: str
    version: int
    window: str
    period_start_us: int
    valid_until_us: int | None
    state: Standing
    measure: str
    currency: str | None
    amount_atto: int
    limit_atto: int


@dataclass(frozen=True, slots=True)
class ScopeState:
    """What gateways obey for one scope. From `valid_until_us` on it counts as ok; None is without end."""

    customer_id: str
    scope: Scope
    state: Standing
    valid_until_us: int | None
    as_of_seq: int
    budgets: tuple[BudgetLine, ...]
    at_us: int


@dataclass(frozen=True, slots=True)
class Totals:
    """One value of a customer's running totals. `as_of_us` is the highest append time behind it."""

    customer_id: str
    as_of_seq: int
    as_of_us: int
    entries: Mapping[Key, Sums]


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from totals: to be stored in one transaction.

    `firings` are new ones; `retracted` the old ones with the id of the alert that takes them back.
    `states` are those that differ in what a gateway obeys from what was published. `awaiting` are firings
    whose value is below the amount with no correction in the ledger behind it (yet): to be looked at again
    once the ledger has reached the totals' sequence. `next_us` is the next instant at which a state changes
    by the clock alone: to be evaluated again then.
    """

    alerts: tuple[Alert, ...] = ()
    firings: tuple[Firing, ...] = ()
    retracted: tuple[Firing, ...] = ()
    states: tuple[ScopeState, ...] = ()
    awaiting: tuple[FiringKey, ...] = ()
    next_us: int | None = None
    stale: bool = False
    """The totals are older than what was seen: nothing was looked at."""


NOTHING: Final = Decision()
STALE: Final = Decision(stale=True)
NO_FIRINGS: Final[Mapping[FiringKey, Firing]] = MappingProxyType({})
NO_STATES: Final[Mapping[str, ScopeState]] = MappingProxyType({})
