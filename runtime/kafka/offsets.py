"""Where a partition begins and ends, as the broker tells: first offset, high watermark, last stable offset;
and what a group has committed.

The isolation level belongs to the client. Under `read_uncommitted` the end is the high watermark: everything
appended. Under `read_committed` it is the last stable offset: where the oldest open transaction begins, and
the high watermark if none is open.

All is asked by consumers that never join a group. An admin client asks the same, but librdkafka 2.16 ends the
process (an assertion in `rd_kafka_enq_once_del_source_return`, or SIGSEGV) where an admin request is given up
while its broker dies: `make prove` met it in a guard.
"""

import time
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Final, Literal

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from runtime.closing import Closing
from runtime.kafka.errors import KafkaUnavailableError

TopicAndPartition = tuple[str, int]
Which = Literal["earliest", "latest"]

# Clients that only read name a group, as librdkafka requires, and never join it.
READING_GROUP: Final = "ratestream-reading"

_REQUEST_TIMEOUT_S = 15.0
_PAUSE_S = 0.1
# Instants that the protocol keeps for the two ends of a log; a client's answer to them is an offset.
_AT: Mapping[Which, int] = {"earliest": -2, "latest": -1}
_PASSING = frozenset(
    {
        # The partition is between two leaders, as just after its creation or a restart.
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        # The group's coordinator is being looked for, loaded or moved.
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError._WAIT_COORD,  # noqa: SLF001  # public under no other name
        KafkaError._TRANSPORT,  # noqa: SLF001  # a connection broke: there is another leader, or soon will be
    }
)


class Isolation(Enum):
    """What a request for the end of a partition may see."""

    COMMITTED = "read_committed"
    UNCOMMITTED = "read_uncommitted"


class OffsetsUnknownError(KafkaUnavailableError):
    """The broker did not tell an offset: it is away, or the topic or partition does not exist."""


class BrokerOffsets(Closing):
    """Asks again and again over the same connections. For one thread.

    Args:
        config: client settings as librdkafka names them.
        group_id: whose commits `committed` tells; never joined.
    """

    def __init__(self, config: Mapping[str, Any], group_id: str = READING_GROUP) -> None:
        self._config = {
            **config,
            # Required by the client; its coordinator is looked for, so that whoever asks may describe it:
            # see schemas.access.
            "group.id": group_id,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
        }
        self._consumers: dict[Isolation, Consumer] = {}

    def close(self) -> None:
        """Let the connections go."""
        while self._consumers:
            self._consumers.popitem()[1].close()

    def partitions(self, timeout_s: float = _REQUEST_TIMEOUT_S) -> dict[str, list[int]]:
        """The partitions of every topic that may be described.

        Raises:
            KafkaException: no broker answered.
        """
        asker = self._asker(Isolation.UNCOMMITTED)
        told = asker.list_topics(timeout=timeout_s).topics
        return {name: sorted(topic.partitions) for name, topic in told.items()}

    def ends(
        self, where: Iterable[TopicAndPartition], which: Which, isolation: Isolation, timeout_s: float
    ) -> dict[TopicAndPartition, int]:
        """As `list_offsets`."""
        wanted = list(dict.fromkeys(where))
        deadline_s = time.monotonic() + timeout_s
        found: dict[TopicAndPartition, int] = {}
        while missing := [asked for asked in wanted if asked not in found]:
            problem: KafkaError | None = None
            try:
                told = self._asker(isolation).offsets_for_times(
                    [TopicPartition(*asked, _AT[which]) for asked in missing],
                    timeout=max(deadline_s - time.monotonic(), _PAUSE_S),
                )
            except KafkaException as error:
                told, problem = [], error.args[0]
            for item in told:
                if item.error is None and item.offset >= 0:
                    found[item.topic, item.partition] = item.offset
                elif problem is None or not _passes(item.error):
                    problem = item.error
            left = [asked for asked in missing if asked not in found]
            if not left:
                break
            if not _passes(problem) or time.monotonic() > deadline_s:
                # A broker that stays silent is told as an offset of -1001, at times without an error (2.16).
                why = problem.str() if problem is not None else f"no answer within {timeout_s:g} s"
                raise OffsetsUnknownError(f"{which} offset of {left[0][0]} {left[0][1]}: {why}")
            time.sleep(_PAUSE_S)
        return found

    def committed(
        self, topic_partitions: Iterable[TopicAndPartition], timeout_s: float = _REQUEST_TIMEOUT_S
    ) -> dict[TopicAndPartition, int]:
        """What the group has committed, of partitions where it has.

        Raises:
            OffsetsUnknownError: its coordinator did not answer.
        """
        deadline_s = time.monotonic() + timeout_s
        asked = [TopicPartition(*where) for where in topic_partitions]
        while True:
            try:
                told = self._asker(Isolation.UNCOMMITTED).committed(
                    asked, timeout=max(deadline_s - time.monotonic(), _PAUSE_S)
                )
                problem = next((item.error for item in told if item.error is not None), None)
            except KafkaException as error:
                told, problem = [], error.args[0]
            if problem is None:
                return {(item.topic, item.partition): item.offset for item in told if item.offset >= 0}
            if not _passes(problem) or time.monotonic() > deadline_s:
                raise OffsetsUnknownError(f"commits of {self._config['group.id']}: {problem.str()}")
            time.sleep(_PAUSE_S)

    def _asker(self, isolation: Isolation) -> Consumer:
        asker = self._consumers.get(isolation)
        if asker is None:
            config = {**self._config, "isolation.level": isolation.value}
            asker = self._consumers[isolation] = Consumer(config)
        asker.poll(0)  # what it tells of its connections goes to the log, and does not pile up
        return asker


def list_offsets(
    asker_or_config: BrokerOffsets | Mapping[str, Any],
    topic_partitions: Iterable[TopicAndPartition],
    which: Which,
    isolation: Isolation = Isolation.UNCOMMITTED,
    *,
    timeout_s: float = _REQUEST_TIMEOUT_S,
) -> dict[TopicAndPartition, int]:
    """The first offset still held (`earliest`) or the offset after the last (`latest`) of each partition.

    Args:
        asker_or_config: what asks again and again, or the settings of a client for this question alone.
        topic_partitions: whose.
        which: the log's beginning, or its end.
        isolation: what the end may see.
        timeout_s: how long the broker may take.

    Raises:
        OffsetsUnknownError: for the first partition that the broker gave no answer for.
    """
    wanted = list(topic_partitions)
    if not wanted:
        return {}
    if isinstance(asker_or_config, BrokerOffsets):
        return asker_or_config.ends(wanted, which, isolation, timeout_s)
    with BrokerOffsets(asker_or_config) as asker:
        return asker.ends(wanted, which, isolation, timeout_s)


def _passes(error: KafkaError | None) -> bool:
    return error is not None and error.code() in _PASSING
