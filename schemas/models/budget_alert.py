"""budget.alerts: something that a person should know. Instants are microseconds since 1970 UTC."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.models.base import LIST, Long, WireModel

AlertKind = Literal["unknown", "threshold", "retraction", "unpriced", "uncovered_currency", "operations"]
AlertSeverity = Literal["unknown", "info", "warning", "critical"]


class CrossingEvent(WireModel):
    """The event with which the amount reached the threshold."""

    source: str
    event_id: str
    customer_seq: Long
    event_time_us: Long


class Contributor(WireModel):
    """A value of a dimension with its part of the amount; `share` is in percent, 2 decimals, cut off."""

    dimension: str
    value: str | None
    amount: str
    share: str


class BudgetAlert(WireModel):
    """The same `alert_id` is the same alert, however often it comes."""

    alert_id: str
    kind: AlertKind
    severity: AlertSeverity
    customer_id: str | None = None
    """Null where the alert is about the pipeline."""
    budget_id: str | None = None
    budget_version: Long | None = None
    scope: dict[str, str] = Field(default_factory=dict)
    """Dimension to value; empty is the whole customer."""
    measure: str | None = None
    """price, cost, events or quantity:<meter>."""
    currency: str | None = None
    window: str | None = None
    """hour, day, week, period or lifetime."""
    period_start_us: Long | None = None
    period_end_us: Long | None = None
    """Exclusive; null for lifetime."""
    threshold: str | None = None
    """The threshold's name."""
    limit: str | None = None
    """Plain decimal in the measure's unit, as are threshold_amount and amount."""
    threshold_amount: str | None = None
    amount: str | None = None
    share: str | None = None
    """Amount of limit in percent, 2 decimals, cut off."""
    episode: Long = 0
    """From 1; a retraction opens the next. 0 where alerts of the kind are not retracted."""
    retracts: str | None = None
    """alert_id of the alert that no longer holds."""
    first_seq: Long | None = None
    """The crossing lies after this customer_seq ..."""
    last_seq: Long | None = None
    """... and not after this one."""
    crossing_event: CrossingEvent | None = None
    """Null until the ledger has it."""
    contributors: Annotated[tuple[Contributor, ...], LIST] = ()
    """The largest first, for each dimension."""
    details_complete: bool = False
    """Whether crossing_event and contributors are final."""
    late: bool = False
    """Found by the reconciler after the fact."""
    text: str
    """One sentence."""
    look_closer: str
    """A command that shows more."""
    raised_at_us: Long
    source_append_us: Long = 0
    """The highest append time behind the alert; 0 where none is known."""
