"""A consumer group whose members own partitions, not offsets: positions come from the owner's own log.

The group's committed offsets are written inside transactions for one purpose, to fence old owners, and read
for one purpose, to wait for them.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from runtime.clock import Clock
from runtime.kafka.errors import Action, KafkaUnavailableError, PositionLostError, action_for, stop_error

_LOG = logging.getLogger(__name__)
_FIRST_CHUNK = 100
_CHUNK_MAX = 5_000

Opened = Callable[[Sequence[int]], Mapping[tuple[str, int], int]]
Closed = Callable[[Sequence[int]], None]


class PartitionGroup:
    """Member of a group that reads the same partitions of several topics: range assignment, as one.

    Args:
        config: librdkafka's settings.
        topics: all with the same number of partitions.
        opened: called with the partition numbers assigned; returns where each topic's partition begins.
        closed: called with the partition numbers taken away.
        clock: for deadlines.
    """

    def __init__(
        self, config: Mapping[str, Any], topics: Sequence[str], opened: Opened, closed: Closed, clock: Clock
    ) -> None:
        self._topics = tuple(topics)
        self._opened = opened
        self._closed = closed
        self._clock = clock
        self._consumer = Consumer(dict(config))
        self._assigned: tuple[int, ...] = ()
        self.group_metadata: object | None = None
        """Of the generation in which the partitions were assigned. See TransactionalProducer.send_offsets."""
        self._consumer.subscribe(
            list(self._topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )

    def poll(self, records_max: int, bytes_max: int, wait_s: float) -> list[Message]:
        """Records of any assigned partition, in order within each. Serves rebalances.

        Returns when a limit is reached (bytes of values, overshot by one chunk at most) or the time is up.

        Raises:
            PositionLostError: the broker no longer holds a position.
            KafkaUnavailableError: an error that no retry mends.
        """
        deadline_s = self._clock.monotonic_s() + wait_s
        messages: list[Message] = []
        size, chunk = 0, _FIRST_CHUNK
        while len(messages) < records_max and size < bytes_max:
            left_s = max(deadline_s - self._clock.monotonic_s(), 0)
            found = self._consumer.consume(min(chunk, records_max - len(messages)), left_s)
            if not found:
                break
            for message in found:
                error = message.error()
                if error is None:
                    messages.append(message)
                    size += len(message)
                else:
                    self._judge(message, error)
            # Sized by what came so far, so that large records do not fill the memory by their number.
            chunk = max(1, min(_CHUNK_MAX, (bytes_max - size) * len(messages) // max(size, 1)))
        return messages

    def _judge(self, message: Message, error: KafkaError) -> None:
        where = f"{message.topic()} {message.partition()}"
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):  # noqa: SLF001 - public codes
            raise PositionLostError(f"{where}: the broker no longer holds the position: {error.str()}")
        if error.fatal() or (action_for(error) is Action.STOP and error.code() not in PASSING):
            raise stop_error(where, error)
        _LOG.warning("%s: %s: librdkafka goes on trying", where, error.str())

    def seek(self, positions: Mapping[tuple[str, int], int], timeout_s: float = 10.0) -> None:
        """Go (back) to positions; what was fetched beyond them is dropped."""
        deadline_s = self._clock.monotonic_s() + timeout_s
        for (topic, partition), offset in positions.items():
            while True:
                try:
                    self._consumer.seek(TopicPartition(topic, partition, offset))
                except KafkaException as exception:
                    # Right after an assignment the fetcher may not run yet.
                    if self._clock.monotonic_s() > deadline_s:
                        raise KafkaUnavailableError(
                            f"seek {topic} {partition} to {offset}: {exception}"
                        ) from exception
                else:
                    break

    def wait_for_pending_offsets(self, partitions: Sequence[int], timeout_s: float) -> None:
        """Return when no transaction holds pending offsets of these partitions. The values do not matter.

        Raises:
            KafkaUnavailableError: still pending when the time is up.
        """
        asked = [TopicPartition(topic, partition) for topic in self._topics for partition in partitions]
        deadline_s = self._clock.monotonic_s() + timeout_s
        while True:
            left_s = max(deadline_s - self._clock.monotonic_s(), 0.1)
            try:
                failed: list[object] = [
                    answer.error for answer in self._consumer.committed(asked, timeout=left_s) if answer.error
                ]
            except KafkaException as exception:
                failed = [exception]
            if not failed:
                return
            if self._clock.monotonic_s() >= deadline_s:
                raise KafkaUnavailableError(
                    f"the group's offsets stayed pending for {timeout_s} s: {failed[0]}"
                )

    def committed(self, partitions: Sequence[int], timeout_s: float = 10.0) -> dict[tuple[str, int], int]:
        """What the group has committed to Kafka of each topic; nothing where nothing was.

        Raises:
            KafkaUnavailableError: no answer in time.
        """
        asked = [TopicPartition(topic, partition) for topic in self._topics for partition in partitions]
        try:
            answers = self._consumer.committed(asked, timeout=timeout_s)
        except KafkaException as exception:
            raise KafkaUnavailableError(f"the group's offsets: {exception}") from exception
        return {(item.topic, item.partition): item.offset for item in answers if item.offset >= 0}

    def commit(self, positions: Mapping[tuple[str, int], int]) -> bool:
        """Commit to Kafka where work goes on after a restart, for services whose effects may be repeated.

        Returns False where this member is put out of the group, or the coordinator does not answer: the next
        owner repeats a little, or the next call says it.
        """
        offsets = [
            TopicPartition(topic, partition, offset) for (topic, partition), offset in positions.items()
        ]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as exception:
            _LOG.warning("offsets were not committed: %s", exception)
            return False
        return True

    def close(self) -> None:
        """Leave the group; `closed` is called for what was assigned."""
        try:
            self._consumer.close()
        except SystemError as error:
            # On a loaded machine confluent-kafka 2.16 sometimes loses what was raised while it closed, and
            # raises this instead. The member is gone either way, and local state is a cache.
            _LOG.warning("leaving the group: the client lost an error: %s", error)

    def _on_assign(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        by_topic = {
            topic: sorted(item.partition for item in assigned if item.topic == topic)
            for topic in self._topics
        }
        partitions = by_topic[self._topics[0]]
        if any(numbers != partitions for numbers in by_topic.values()):
            raise KafkaUnavailableError(
                f"assigned partitions differ between topics: {by_topic}; "
                "all topics must have the same number of partitions and all members the same subscription"
            )
        self.group_metadata = _metadata(consumer)
        if self.group_metadata is None or not consumer.memberid():
            # Put out of the group while the assignment waited to be taken. Nothing would fence what such an
            # owner writes, and another one has the partitions: take none, librdkafka joins anew.
            _LOG.warning("assigned partitions %s without a membership: not taken", partitions)
            consumer.assign([])
            return
        self._assigned = tuple(partitions)
        starts = self._opened(partitions) if partitions else {}
        consumer.assign(
            [
                TopicPartition(topic, partition, starts[topic, partition])
                for topic in self._topics
                for partition in partitions
            ]
        )

    def _on_revoke(self, consumer: Consumer, _revoked: list[TopicPartition]) -> None:
        partitions, self._assigned = self._assigned, ()
        self.group_metadata = None
        try:
            self._closed(partitions)
        finally:
            consumer.unassign()


def _metadata(consumer: Consumer) -> object | None:
    """Of the generation now; None where an assignment reaches a consumer that is being closed."""
    try:
        found: object = consumer.consumer_group_metadata()
    except RuntimeError as error:
        _LOG.warning("no group metadata: %s", error)
        return None
    return found


PASSING = frozenset(
    {
        KafkaError._PARTITION_EOF,  # noqa: SLF001 - librdkafka's public codes carry an underscore
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._RESOLVE,  # noqa: SLF001
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._MAX_POLL_EXCEEDED,  # noqa: SLF001 - the group takes the partitions away and gives them again
        KafkaError._NO_OFFSET,  # noqa: SLF001
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
    }
)
