"""A command on usage.corrections: void, amend or re-rate one rated event."""

from typing import Annotated, Literal

from schemas.models.base import LIST, Long, WireModel


class CorrectionTarget(WireModel):
    """The rated event that is meant, together with the customer, and the revision that it must have."""

    source: str
    event_id: str
    expected_revision: Long


class RatedPosition(WireModel):
    """Where a record stands in usage.rated."""

    partition: Long
    offset: Long


class ClosedPeriod(WireModel):
    """A period of the customer that a re-rate closes: its pool and start, in microseconds UTC."""

    pool: str
    start_us: Long


class Correction(WireModel):
    correction_id: str
    customer_id: str
    target: CorrectionTarget
    command: Literal["void", "amend", "rerate"]
    reason: str
    author: str
    book_version: Long | None = None
    """For a re-rate: the version to rate with."""
    amended_event: bytes | None = None
    """For an amend: the new UsageEvent in single-object encoding."""
    target_record: bytes
    """The target's current RatedUsage in single-object encoding."""
    position: RatedPosition
    run_id: str | None = None
    """For a re-rate of whole periods: its own quantities and amounts are kept under this name."""
    closes: Annotated[tuple[ClosedPeriod, ...], LIST] = ()
    """The customer's periods that the last command of a run closes."""
