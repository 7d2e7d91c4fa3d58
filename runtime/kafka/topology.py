"""Which cluster and which topics these are: a topic created anew has another id under the same name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from runtime.kafka.errors import KafkaUnavailableError

_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Topology:
    """The cluster's id, and each topic's id and number of partitions."""

    cluster_id: str
    topic_ids: Mapping[str, str]
    partitions: Mapping[str, int]


def describe(config: Mapping[str, Any], topics: Sequence[str]) -> Topology:
    """Ask the broker.

    Raises:
        KafkaUnavailableError: it does not answer, or a topic does not exist.
    """
    admin = AdminClient(dict(config))
    try:
        cluster_id = admin.describe_cluster(request_timeout=_TIMEOUT_S).result(_TIMEOUT_S).cluster_id
        futures = admin.describe_topics(TopicCollection(list(topics)), request_timeout=_TIMEOUT_S)
        found = {name: future.result(_TIMEOUT_S) for name, future in futures.items()}
    except (KafkaException, TimeoutError) as error:
        raise KafkaUnavailableError(f"describing topics {', '.join(topics)}: {error}") from error
    return Topology(
        str(cluster_id),
        {name: str(description.topic_id) for name, description in found.items()},
        {name: len(description.partitions) for name, description in found.items()},
    )
