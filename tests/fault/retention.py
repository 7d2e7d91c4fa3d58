"""Records deleted as retention deletes them, only sooner."""

from collections.abc import Mapping

from confluent_kafka import TopicPartition

from tests.fix_rater import Pipeline


def delete_before(pipeline: Pipeline, offsets: Mapping[tuple[str, int], int]) -> None:
    """Delete records below offsets, as retention does."""
    wanted = [TopicPartition(*where, offset) for where, offset in offsets.items()]
    for future in pipeline.kafka.admin().delete_records(wanted).values():
        future.result()
