"""rater.state under `h`: the last committed frame of the partition, which is the input position."""

from schemas.models.base import Long, WireModel


class PartitionHead(WireModel):
    frame_no: Long
    events_next: Long
    """Offset of the next event to read."""
    corrections_next: Long
    """Offset of the next correction to read."""
    highest_append_us: Long
    """Microseconds since 1970 UTC."""
    book_version: Long
    events_topic_id: str
    corrections_topic_id: str
    deltas_topic_id: str
