"""usage.totals: a customer's absolute totals of all its rated records up to a sequence."""

from typing import Annotated

from schemas.models.base import LIST, Long, WireModel
from schemas.models.totals_entry import TotalsEntry


class RunningTotals(WireModel):
    """A reader ignores a value whose `as_of_seq` is lower than one it had."""

    customer_id: str
    as_of_seq: Long
    """The last customer_seq that the totals hold."""
    as_of_us: Long
    """The highest append time of usage.events that the frames told; 0 where none did."""
    zone: str
    """Time zone of hours, days and weeks."""
    watched: str
    """Hash of the zone and the scopes that the totals were made for."""
    entries: Annotated[tuple[TotalsEntry, ...], LIST]
    """The two newest hours, days, weeks and billing periods by event time, and lifetime, of each scope."""
