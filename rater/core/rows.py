"""Sums of rated events: the rows of a frame."""

from typing import TYPE_CHECKING

from pricing.rate import PoolState, Rating

if TYPE_CHECKING:
    from rater.core.revisions import Revision, RunAt
    from rater.core.work import Summed

BUCKET_US = 15 * 60 * 1_000_000  # every time zone's offset is a multiple of 15 minutes

RowKey = tuple[int, int, int, str | None, str | None, tuple[str | None, ...]]


class Row:
    """One row: sums in units of 10**-18; None while no event had an amount."""

    __slots__ = (
        "cost_atto",
        "events",
        "price_atto",
        "quantities",
        "unpriced_cost_events",
        "unpriced_price_events",
    )

    def __init__(self) -> None:
        self.cost_atto: int | None = None
        self.price_atto: int | None = None
        self.events = 0
        self.unpriced_cost_events = 0
        self.unpriced_price_events = 0
        self.quantities: dict[str, int] = {}


class CustomerDelta:
    """What one frame changed for one customer, as it stands then.

    `pools` by pool and start of period, `revisions` by the identity's digest, `runs` by run, pool and start.
    """

    __slots__ = ("first_seq", "last_seq", "pools", "revisions", "rows", "runs")

    def __init__(self, first_seq: int) -> None:
        self.first_seq = first_seq
        self.last_seq = first_seq
        self.rows: dict[RowKey, Row] = {}
        self.pools: dict[tuple[str, int], PoolState] = {}
        self.revisions: dict[bytes, Revision] = {}
        self.runs: dict[tuple[str, str, int], RunAt] = {}

    def add(
        self, event_time_us: int, dimensions: tuple[str | None, ...], rating: Rating, events: int = 1
    ) -> None:
        """Add one rated event to the row of its bucket, period, currencies and dimensions; move its pools.

        `events` is -1 for a reversal, whose amounts and quantities are negative.
        """
        for state in rating.pools_after:
            self.pools[state.pool, state.start_us] = state
        cost, price = rating.cost, rating.price
        start_us, end_us = rating.service_period
        key = (
            event_time_us - event_time_us % BUCKET_US,
            start_us,
            end_us,
            cost.currency,
            price.currency,
            dimensions,
        )
        row = self.rows.get(key)
        if row is None:
            row = self.rows[key] = Row()
        row.events += events
        if cost.amount_atto is not None:
            row.cost_atto = cost.amount_atto + (row.cost_atto or 0)
        if price.amount_atto is not None:
            row.price_atto = price.amount_atto + (row.price_atto or 0)
        if cost.status in _UNPRICED:
            row.unpriced_cost_events += events
        if price.status in _UNPRICED:
            row.unpriced_price_events += events
        quantities = row.quantities
        for meter, quantity_atto in rating.leaves:
            quantities[meter] = quantities.get(meter, 0) + quantity_atto

    def add_plain(self, event_time_us: int, summed: "Summed") -> None:
        """Add one event that is priced on both sides and in no pool: as `add` does."""
        key = (event_time_us - event_time_us % BUCKET_US, *summed.row)
        row = self.rows.get(key)
        if row is None:
            row = self.rows[key] = Row()
            row.cost_atto = row.price_atto = 0
        row.events += 1
        row.cost_atto = summed.cost_atto + (row.cost_atto or 0)
        row.price_atto = summed.price_atto + (row.price_atto or 0)
        quantities = row.quantities
        for meter, quantity_atto in zip(summed.meters, summed.leaves, strict=True):
            quantities[meter] = quantities.get(meter, 0) + quantity_atto


_UNPRICED = frozenset({"unpriced", "partial"})
