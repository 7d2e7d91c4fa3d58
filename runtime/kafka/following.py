"""A consumer group whose positions are the group's own committed offsets: for readers whose effects may come
twice. What was read and not committed is read again by whoever owns the partition next.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from runtime.kafka.errors import Action, action_for, error_of, stop_error
from runtime.kafka.group import PASSING

_LOG = logging.getLogger(__name__)
_COMMITTED_TIMEOUT_S = 10.0

Positions = Mapping[tuple[str, int], int]
"""Where each partition goes on."""


class FollowingGroup:
    """Member of a group that follows topics.

    Args:
        config: as `group_consumer_config` makes it. A partition without a position, or whose position the
            broker no longer holds, is read from its first record.
        topics: what to follow.
        opened: called with the positions of the partitions assigned.
        closed: called when partitions are taken away: nothing of them may be committed any more.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        topics: Sequence[str],
        opened: Callable[[Positions], None],
        closed: Callable[[], None],
    ) -> None:
        self._opened = opened
        self._closed = closed
        self._consumer = Consumer({**config, "auto.offset.reset": "earliest"})
        self.assigned = False
        """Whether the group has answered; a member without partitions stands by."""
        self._consumer.subscribe(
            list(topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )

    def poll(self, records_max: int, wait_s: float) -> list[Message]:
        """Records in order within each partition; returns early with what is there. Serves rebalances.

        Raises:
            KafkaUnavailableError: an error that no retry mends.
        """
        messages = []
        for message in self._consumer.consume(records_max, wait_s):
            error = message.error()
            if error is None:
                messages.append(message)
            elif error.fatal() or (action_for(error) is Action.STOP and error.code() not in PASSING):
                raise stop_error(f"{message.topic()} {message.partition()}", error)
            else:
                _LOG.warning("%s: librdkafka goes on trying", error.str())
        return messages

    def commit(self, positions: Positions) -> None:
        """Everything before these positions is done. What does not get through is done again.

        Raises:
            KafkaUnavailableError: an error that no retry mends.
        """
        offsets = [
            TopicPartition(topic, partition, offset) for (topic, partition), offset in positions.items()
        ]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as exception:
            error = error_of(exception)
            if error.fatal():
                raise stop_error("committing positions", error) from exception
            _LOG.warning("positions not committed, they will be: %s", error.str())

    def close(self) -> None:
        """Leave the group."""
        try:
            self._consumer.close()
        except SystemError as error:
            # See PartitionGroup.close: the member is gone either way.
            _LOG.warning("leaving the group: the client lost an error: %s", error)

    def _on_assign(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        self.assigned = True
        try:
            found = consumer.committed(assigned, timeout=_COMMITTED_TIMEOUT_S) if assigned else []
        except KafkaException as exception:
            _LOG.warning("positions are not known yet: %s", error_of(exception).str())
            return
        self._opened({(item.topic, item.partition): max(item.offset, 0) for item in found})

    def _on_revoke(self, _consumer: Consumer, _revoked: list[TopicPartition]) -> None:
        self.assigned = False
        self._closed()
