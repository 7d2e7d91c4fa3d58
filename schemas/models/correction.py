"""A command on usage.corrections: void, amend or re-rate one rated event."""

from typing import Literal

from schemas.models.base import Long, WireModel


class CorrectionTarget(WireModel):
    """The rated event that is meant, together with the customer, and the revision that it must have."""

    source: str
    event_id: str
    expected_revision: Long


class RatedPosition(WireModel):
    """Where a record stands in usage.rated."""

    partition: Long
    offset: Long


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
