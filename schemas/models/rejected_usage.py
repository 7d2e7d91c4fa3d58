"""An input record that could not be rated, with its original bytes, so that it can be replayed."""

from schemas.models.base import Long, WireModel


class RejectedUsage(WireModel):
    reason: str
    """A code of schemas/reasons.py."""
    detail: str
    """One sentence: field, value and rule."""
    field: str | None = None
    customer_id: str | None = None
    source: str | None = None
    event_id: str | None = None
    topic: str
    """The input topic's name without a prefix."""
    partition: Long
    offset: Long
    append_time_us: Long
    """When the broker appended this record, microseconds since 1970 UTC."""
    first_append_time_us: Long
    """When it first arrived, where this record is a replay; else the same."""
    original_key: bytes | None = None
    original: bytes | None = None
    """The value's bytes; null where the record had none."""
