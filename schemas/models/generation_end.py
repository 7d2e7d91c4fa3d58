"""rater.state under `g`: this generation of topics has ended; its state was taken to another one."""

from schemas.models.base import Long, WireModel


class GenerationEnd(WireModel):
    topic_prefix: str
    """Of the generation that goes on."""
    partitions: Long
    """How many each topic has there."""
    deltas_topic_id: str
    """Kafka's id of usage.deltas there."""
