"""aggregator.state under `c/<customer_id>`: what the aggregator holds of a customer."""

from typing import Annotated

from schemas.models.base import LIST, Long, WireModel
from schemas.models.totals_entry import TotalsEntry


class LiveCustomer(WireModel):
    seq: Long
    """The last customer_seq that needs no frame any more."""
    since_seq: Long | None
    """Null: entries are the totals up to seq. Else the customer is repairing: entries hold only the records
    in (since_seq, seq], and those up to since_seq are to come from the ledger."""
    customer_id: str
    as_of_us: Long
    """The highest append time of usage.events that the frames told; 0 where none did."""
    zone: str
    scopes: Annotated[tuple[dict[str, str], ...], LIST]
    watched: str
    """Hash of zone and scopes."""
    entries: Annotated[tuple[TotalsEntry, ...], LIST]
