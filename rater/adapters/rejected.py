"""usage.rejected for operators: read what is there, and publish chosen records again as they first came."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from rater.core.replay import RejectedItem, Selection, going_back
from runtime.kafka.clients import client_config
from runtime.kafka.offsets import Isolation, list_offsets
from runtime.kafka.publishing import CheckedPublisher
from runtime.kafka.reading import PartitionReader
from runtime.kafka.topology import describe
from runtime.settings import KafkaSettings
from schemas.codec import CODEC
from schemas.errors import WireError
from schemas.topics import USAGE_CORRECTIONS, USAGE_EVENTS, USAGE_REJECTED, consumer_limits, producer_limits

_CLIENT_ID = "ratestream-rejected"


@dataclass(slots=True)
class Replayed:
    """What a replay did. `skipped` names records that cannot go back, with the reason."""

    dry_run: bool
    matched: int = 0
    published: int = 0
    by_reason: Counter[str] = field(default_factory=Counter)
    skipped: list[str] = field(default_factory=list)


def read_rejected(settings: KafkaSettings, selection: Selection) -> Iterator[RejectedItem]:
    """The committed records that are meant, by partition and offset, up to where each partition ends now.

    So a record that is rejected again while it is replayed is not met again.

    Raises:
        KafkaUnavailableError: Kafka is away or the topic does not exist.
        Undecodable: a record of the topic is not RejectedUsage.
    """
    config = client_config(settings, _CLIENT_ID) | consumer_limits(USAGE_REJECTED)
    connection = client_config(settings, _CLIENT_ID)
    topic = settings.topic_prefix + USAGE_REJECTED
    partitions = [(topic, number) for number in range(describe(connection, [topic]).partitions[topic])]
    first = list_offsets(connection, partitions, "earliest")
    end = list_offsets(connection, partitions, "latest", Isolation.COMMITTED)
    with PartitionReader(config) as reader:
        for _, partition in partitions:
            if selection.partitions and partition not in selection.partitions:
                continue
            for record in reader.read(topic, partition, first[topic, partition], end[topic, partition]):
                item = RejectedItem(partition, record.offset, CODEC.decode("RejectedUsage", record.value))
                if selection.means(item):
                    yield item


def replay_rejected(
    settings: KafkaSettings,
    selection: Selection,
    *,
    dry_run: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Replayed:
    """Publishes the original bytes of the records that are meant to the topics they came from.

    Doing it twice is harmless: the rater rates an event once and counts the second as a duplicate.

    Raises:
        KafkaUnavailableError: Kafka is away, or a record was not acknowledged; others may have been.
    """
    result = Replayed(dry_run)
    config = client_config(settings, _CLIENT_ID) | producer_limits(USAGE_EVENTS, USAGE_CORRECTIONS)
    with CheckedPublisher(config) as publisher:
        for item in read_rejected(settings, selection):
            result.matched += 1
            if progress is not None:
                progress(1)
            back = going_back(item, partial(_customer_of, item.record["topic"]))
            if back is None:
                result.skipped.append(
                    f"usage.rejected {item.partition}:{item.offset}: "
                    "its bytes name no customer, or were too large to keep"
                )
                continue
            result.by_reason[item.record["reason"]] += 1
            if not dry_run:
                topic = settings.topic_prefix + back.topic
                publisher.send(topic, back.key, back.value, back.headers, back.partition)
    result.published = publisher.acknowledged
    return result


def _customer_of(topic: str, original: bytes) -> str | None:
    """The customer that a record of an input names, or None."""
    schema = "Correction" if topic == USAGE_CORRECTIONS else "UsageEvent"
    try:
        customer: str = CODEC.decode(schema, original)["customer_id"]
    except WireError:
        return None
    return customer
