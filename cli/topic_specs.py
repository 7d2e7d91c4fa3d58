"""The declared topics as they should be on a cluster: names, partitions, replicas, settings."""

from runtime.kafka.admin import TopicSpec
from runtime.settings import KafkaSettings, SettingsError, TopicsSettings
from schemas.topics import TOPICS


def specs(kafka: KafkaSettings, shrunk: TopicsSettings) -> list[TopicSpec]:
    """Return every declared topic as it should be on this cluster.

    Raises:
        SettingsError: a setting names a topic that is not declared, or gives a compacted topic a retention.
    """
    declared = {topic.name for topic in TOPICS}
    for key, given in (("retention_s", shrunk.retention_s), ("segment_s", shrunk.segment_s)):
        unknown = sorted(given.keys() - declared)
        if unknown:
            known = ", ".join(sorted(declared))
            raise SettingsError(f"topics.{key} names {', '.join(unknown)}: declared are {known}")
    try:
        return [
            TopicSpec(
                topic.on(kafka.topic_prefix),
                kafka.partitions,
                kafka.replication_factor,
                topic.config(
                    retention_s=shrunk.retention_s.get(topic.name), segment_s=shrunk.segment_s.get(topic.name)
                )
                | {"min.insync.replicas": str(kafka.in_sync)},
            )
            for topic in TOPICS
        ]
    except ValueError as error:
        raise SettingsError(f"topics: {error}") from error
