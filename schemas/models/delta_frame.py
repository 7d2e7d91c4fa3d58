"""What one transaction of the rater changed in one partition: its own log. Instants are in microseconds."""

from typing import Annotated

from schemas.models.base import LIST, Long, WireModel


class InputRange(WireModel):
    """Offsets of one input; `from_offset` is the previous frame's `to_offset`, which is exclusive."""

    from_offset: Long
    to_offset: Long


class Duplicate(WireModel):
    """An event that came again: its identity's digest of 16 bytes, its offset and the first one's."""

    digest: bytes
    offset: Long
    first_offset: Long


class DigestBlock(WireModel):
    """Digests of the events rated, of one bucket of event time."""

    bucket_us: Long
    packed: bytes
    """32 bytes each: blake2b-128 of the identity, blake2b-64 of the bytes, the first offset (big-endian)."""


class DeltaRow(WireModel):
    """Sums of one bucket, period, currencies and dimensions; amounts and quantities are plain decimals."""

    bucket_us: Long
    """Start of the 15-minute UTC bucket of event time."""
    period_start_us: Long
    period_end_us: Long
    cost_currency: str | None
    price_currency: str | None
    dimensions: Annotated[tuple[str | None, ...], LIST]
    cost: str | None
    price: str | None
    events: Long
    unpriced_cost_events: Long
    """Events whose cost is unpriced or partial."""
    unpriced_price_events: Long
    """Events whose price is unpriced or partial."""
    quantities: dict[str, str]
    """Leaf meter to quantity, in the unit that the meter names."""


class PoolAfter(WireModel):
    """A pool's absolute period quantity and amount after the frame."""

    pool: str
    start_us: Long
    end_us: Long
    quantity: str
    amount: str
    currency: str


class RevisionAfter(WireModel):
    """An event that a correction of the frame changed, as it stands after it."""

    source: str
    event_id: str
    revision: Long
    correction_id: str
    voided: bool


class RunAfter(WireModel):
    """A pool in a re-rate's own period after the frame; a closed one is forgotten."""

    run_id: str
    pool: str
    start_us: Long
    end_us: Long
    quantity: str
    amount: str
    currency: str
    closed: bool


class CustomerDelta(WireModel):
    """What changed for one customer: sequences first to last, both inclusive, sums, pools, corrections."""

    customer_id: str
    first_seq: Long
    last_seq: Long
    rows: Annotated[tuple[DeltaRow, ...], LIST]
    pools: Annotated[tuple[PoolAfter, ...], LIST]
    revisions: Annotated[tuple[RevisionAfter, ...], LIST] = ()
    runs: Annotated[tuple[RunAfter, ...], LIST] = ()


class DeltaFrame(WireModel):
    partition: Long
    frame_no: Long
    """1, 2, 3 ... without gaps for each partition."""
    events: InputRange
    corrections: InputRange
    rated: Long
    """Events only: a correction's reversals and replacements are not counted."""
    rejected: Long
    """Events only."""
    duplicates: Annotated[tuple[Duplicate, ...], LIST]
    corrections_applied: Long
    corrections_rejected: Long
    corrections_repeated: Long
    rejected_by_reason: dict[str, Long]
    """Events and corrections together."""
    highest_append_us: Long
    previous_highest_append_us: Long
    """The highest append time of usage.events that the partition has seen; 0 before the first event."""
    book_version: Long
    process: str
    build: str
    digests: Annotated[tuple[DigestBlock, ...], LIST]
    dimensions: Annotated[tuple[str, ...], LIST]
    """Names of the declared dimensions, in the order of each row's values."""
    customers: Annotated[tuple[CustomerDelta, ...], LIST]
