"""Where a partition begins and ends, as the broker tells: first offset, high watermark, last stable offset.

The isolation level belongs to the request. Under `read_uncommitted` the end is the high watermark: everything
appended. Under `read_committed` it is the last stable offset: where the oldest open transaction begins, and
the high watermark if none is open.
"""

import time
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Literal

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin import OffsetSpec as _OffsetSpec

from runtime.kafka.errors import KafkaUnavailableError

TopicAndPartition = tuple[str, int]
AdminOrConfig = AdminClient | Mapping[str, Any]
"""A client to ask again and again, or the settings to make one for a single question."""
Which = Literal["earliest", "latest"]

_REQUEST_TIMEOUT_S = 15.0
_PAUSE_S = 0.1
_BETWEEN_LEADERS = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
    }
)
_EARLIEST = _OffsetSpec.earliest()  # type: ignore[no-untyped-call]  # no annotations in the library
_LATEST = _OffsetSpec.latest()  # type: ignore[no-untyped-call]  # no annotations in the library


class Isolation(Enum):
    """What a request for the end of a partition may see."""

    COMMITTED = IsolationLevel.READ_COMMITTED
    UNCOMMITTED = IsolationLevel.READ_UNCOMMITTED


class OffsetsUnknownError(KafkaUnavailableError):
    """The broker did not tell an offset: it is away, or the topic or partition does not exist."""


def list_offsets(
    admin_or_conf: AdminOrConfig,
    topic_partitions: Iterable[TopicAndPartition],
    which: Which,
    isolation: Isolation = Isolation.UNCOMMITTED,
    *,
    timeout_s: float = _REQUEST_TIMEOUT_S,
) -> dict[TopicAndPartition, int]:
    """The first offset still held (`earliest`) or the offset after the last (`latest`) of each partition.

    Raises:
        OffsetsUnknownError: for the first partition that the broker gave no answer for.
    """
    wanted = list(dict.fromkeys(topic_partitions))
    if not wanted:
        return {}
    admin = admin_or_conf if isinstance(admin_or_conf, AdminClient) else AdminClient(dict(admin_or_conf))
    spec = _EARLIEST if which == "earliest" else _LATEST
    deadline = time.monotonic() + timeout_s
    offsets: dict[TopicAndPartition, int] = {}
    while len(offsets) < len(wanted):
        missing = [asked for asked in wanted if asked not in offsets]
        futures = admin.list_offsets(
            {TopicPartition(topic, partition): spec for topic, partition in missing},
            isolation_level=isolation.value,
            request_timeout=timeout_s,
        )
        for asked, future in futures.items():
            try:
                offset = future.result(timeout=timeout_s + 5).offset
            except (KafkaException, TimeoutError) as error:
                if not _passes(error) or time.monotonic() > deadline:
                    raise OffsetsUnknownError(
                        f"{which} offset of {asked.topic} {asked.partition}: {error}"
                    ) from error
                continue
            if offset < 0:
                # A broker that stays silent is told as an offset of -1001 without an error (2.16).
                raise OffsetsUnknownError(
                    f"{which} offset of {asked.topic} {asked.partition}: no answer within {timeout_s:g} s"
                )
            offsets[asked.topic, asked.partition] = offset
        if len(offsets) < len(wanted):
            time.sleep(_PAUSE_S)
    return offsets


def _passes(error: KafkaException | TimeoutError) -> bool:
    """Whether the partition is only between two leaders, as just after its creation or a restart."""
    return isinstance(error, KafkaException) and error.args[0].code() in _BETWEEN_LEADERS
