"""aggregator.state under `h/<partition>`: the last frame of the partition that was applied whole."""

from schemas.models.base import Long, WireModel


class LivePartition(WireModel):
    frame_no: Long
    partition: Long
    topic_id: str
    """Of usage.deltas: another topic of that name begins again at frame 1."""
