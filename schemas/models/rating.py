"""What an event cost us and what it is worth to the customer, with all that is needed to compute it again."""

from typing import Annotated, Literal

from schemas.models.base import LIST, Long, WireModel

Status = Literal["unpriced", "partial", "priced", "included"]


class ServicePeriod(WireModel):
    """A billing period: microseconds since 1970 UTC, the end exclusive."""

    start_us: Long
    end_us: Long


class PoolState(WireModel):
    """A pool's period quantity (in its meter's unit) and amount (in its currency) before the record."""

    pool: str
    period: ServicePeriod
    quantity: str
    amount: str
    currency: str


class RatedSide(WireModel):
    """Cost or price as a whole; the amount is null where nothing could be priced, never 0 instead."""

    status: Status
    amount: str | None = None
    currency: str | None = None


class RatedLine(WireModel):
    """One leaf meter of one side: quantity in the meter's unit, at `rate` for each `per` of them."""

    side: Literal["cost", "price"]
    meter: str
    quantity: str
    rate: str | None = None
    per: str | None = None
    amount: str | None = None
    currency: str | None = None
    card: str | None = None
    version: str | None = None
    """The instant from which the card's prices hold."""
    status: Status
    explain: str
    billed_quantity: str | None = None
    """What the rate was multiplied with where that is not the quantity."""


class Rating(WireModel):
    """Holds no clock, offset or process name, so that the same input gives the same bytes."""

    customer_seq: Long
    """1, 2, 3 ... without gaps for each customer."""
    leg: Literal["original", "reversal", "replacement"]
    revision: Long
    """0 for the original; each correction adds 1."""
    correction_id: str | None = None
    book_version: Long
    book_hash: str
    """Content hash of that version of the rate book."""
    service_period: ServicePeriod
    pools_before: Annotated[tuple[PoolState, ...], LIST] = ()
    cost: RatedSide
    """Provider cost."""
    price: RatedSide
    """Customer price."""
    lines: Annotated[tuple[RatedLine, ...], LIST]
    plan: str | None = None
    """The contract in force for the customer at event time; a reversal has its original's."""
