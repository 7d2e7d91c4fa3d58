"""Sums of one window, scope and pair of currencies, as they stand in RunningTotals and LiveCustomer."""

from schemas.models.base import Long, WireModel


class TotalsEntry(WireModel):
    """Numbers are plain decimals of any size before the point; instants are microseconds since 1970 UTC."""

    window: str
    """hour, day, week, period or lifetime."""
    start_us: Long
    """0 for lifetime."""
    end_us: Long | None
    """Exclusive; null for lifetime."""
    scope: dict[str, str]
    """Dimension to value; empty is the whole customer."""
    cost_currency: str | None
    price_currency: str | None
    cost: str | None
    """Null while nothing had an amount."""
    price: str | None
    """Null while nothing had an amount."""
    events: Long
    """A reversal counts -1."""
    unpriced_cost_events: Long
    """Events whose cost is unpriced or partial."""
    unpriced_price_events: Long
    """Events whose price is unpriced or partial."""
    quantities: dict[str, str]
    """Leaf meter to quantity, in the unit that the meter names."""
