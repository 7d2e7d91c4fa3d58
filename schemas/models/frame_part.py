"""One part of a DeltaFrame, as usage.deltas carries it; the frame is applied when all its parts are there."""

from schemas.models.base import Long, WireModel


class FramePart(WireModel):
    frame_no: Long
    part_no: Long
    """From 0."""
    part_count: Long
    chunk: bytes
    """A slice, at most 512 KiB, of the DeltaFrame in single-object encoding."""
