"""A transactional producer that knows the three answers to an error: retry, abort, stop.

Protocol of one transaction (design: flush, send offsets, commit): begin, produce ..., flush, send_offsets,
commit. After AbortNeededError the caller calls abort() and rewinds its inputs: the consumer's position does
not go back by itself.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from runtime.clock import Clock
from runtime.kafka.errors import (
    AbortNeededError,
    Action,
    KafkaUnavailableError,
    action_for,
    error_of,
    stop_error,
)
from runtime.watchdog import Watchdog

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")

Delivered = Callable[[int], None]
_QUEUE_FULL_WAIT_S = 0.05
# librdkafka's send_offsets_to_transaction() ignores its time-out while the group's coordinator is away, as
# after a broker's restart, and may never return (librdkafka issue 5456, seen with 2.16).
_HUNG_S = 10.0
_UNHEARD_S = 1.0


class TransactionalProducer:
    """One transactional id, one transaction at a time.

    librdkafka does not raise the producer's epoch with each transaction (KIP-890, part 2), so a delayed
    request to end one transaction could act on a later one. Therefore a producer whose end was slow or
    unclear is retired: a new one, whose initialisation raises the epoch, does the next transaction.

    Args:
        config: librdkafka's settings, `transactional.id` among them.
        clock: for deadlines.
        timeout_s: budget of each call, shorter than the transaction's own time-out.
        slow_end_s: an end of a transaction that takes longer retires the producer.
    """

    def __init__(
        self, config: Mapping[str, Any], clock: Clock, *, timeout_s: float, slow_end_s: float = 2.0
    ) -> None:
        self._config = dict(config)
        self._clock = clock
        self._timeout_s = timeout_s
        self._slow_end_s = slow_end_s
        self._doubtful = False
        self._watchdog = Watchdog(clock)
        self._producer = self._start()
        self.retired = 0

    def _start(self) -> Producer:
        producer = Producer(self._config)
        self._call("init_transactions", lambda left_s: self._initialise(producer, left_s))
        return producer

    def _initialise(self, producer: Producer, left_s: float) -> None:
        """In short calls, each of which goes on where the last one was: no signal is heard inside of them."""
        deadline_s = self._clock.monotonic_s() + left_s
        while True:
            wait_s = max(deadline_s - self._clock.monotonic_s(), 0.1)
            try:
                producer.init_transactions(min(wait_s, _UNHEARD_S))
            except KafkaException as exception:
                # A short call that is over tells what the broker said last, or that it timed out.
                again = action_for(error_of(exception)) is Action.RETRY
                if not again or self._clock.monotonic_s() >= deadline_s:
                    raise
            else:
                return

    def begin(self) -> None:
        """Open a transaction, with a new producer if the last end was doubtful."""
        if self._doubtful:
            _LOG.warning("retiring the producer: its last transaction ended slowly or unclearly")
            self._producer = self._start()
            self._doubtful = False
            self.retired += 1
        self._call("begin_transaction", lambda _left_s: self._producer.begin_transaction())

    def produce(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        delivered: Delivered | None = None,
    ) -> None:
        """Queue one record; without a value its key is deleted.

        `delivered` gets its offset before the transaction's flush returns.

        Raises:
            AbortNeededError: the transaction is lost.
            KafkaUnavailableError: the queue stayed full for the whole budget.
        """
        callback = None if delivered is None else _on_delivery(delivered)
        deadline_s: float | None = None
        while True:
            try:
                if callback is None:
                    self._producer.produce(topic, value, key, partition)
                else:
                    self._producer.produce(topic, value, key, partition, callback)
            except BufferError:
                now_s = self._clock.monotonic_s()
                deadline_s = now_s + self._timeout_s if deadline_s is None else deadline_s
                if now_s > deadline_s:
                    raise KafkaUnavailableError(
                        f"produce to {topic}: the queue was full for {self._timeout_s} s"
                    ) from None
                self._producer.poll(_QUEUE_FULL_WAIT_S)
            except KafkaException as exception:
                if error_of(exception).code() == KafkaError._STATE:  # noqa: SLF001 - a public code
                    # An earlier record of the transaction was refused: librdkafka says no more than this.
                    raise AbortNeededError(f"produce to {topic}: {error_of(exception).str()}") from exception
                self._raise(f"produce to {topic}", exception)
            else:
                return

    def flush(self) -> None:
        """Wait until every record of the transaction is acknowledged or has failed."""
        remaining = self._producer.flush(self._timeout_s)
        if remaining:
            self._doubtful = True
            raise AbortNeededError(f"flush: {remaining} records unacknowledged after {self._timeout_s} s")

    def send_offsets(self, offsets: Mapping[tuple[str, int], int], group_metadata: object) -> None:
        """Put the next input offsets into the transaction, fenced by the group's generation.

        Args:
            offsets: (topic, partition) to the next offset.
            group_metadata: as taken when the partitions were assigned, never later: a client that was put
                out of its group reports no generation at all, which a broker accepts without a check.
        """
        positions = [
            TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()
        ]
        self._call(
            "send_offsets_to_transaction",
            lambda left_s: self._producer.send_offsets_to_transaction(positions, group_metadata, left_s),
        )

    def commit(self) -> None:
        """Commit. When this returns, everything of the transaction is durable.

        Readers of committed records see it once the coordinator has written its markers, a moment later.
        """
        self._end("commit_transaction", self._producer.commit_transaction)

    def abort(self) -> None:
        """Abort. When this returns, nothing of the transaction will ever be visible to such readers."""
        self._end("abort_transaction", self._producer.abort_transaction)

    def _end(self, what: str, call: Callable[[float], None]) -> None:
        started_s = self._clock.monotonic_s()
        try:
            self._call(what, call)
        except AbortNeededError:
            self._doubtful = True
            raise
        if self._clock.monotonic_s() - started_s > self._slow_end_s:
            self._doubtful = True

    def _call(self, what: str, call: Callable[[float], _T]) -> _T:
        deadline_s = self._clock.monotonic_s() + self._timeout_s
        while True:
            left_s = max(deadline_s - self._clock.monotonic_s(), 0.1)
            try:
                with self._watchdog.within(left_s + _HUNG_S, what):
                    return call(left_s)
            except KafkaException as exception:
                error = error_of(exception)
                out_of_time = self._clock.monotonic_s() >= deadline_s
                if action_for(error) is Action.RETRY and not out_of_time:
                    self._doubtful = True
                    _LOG.warning("%s: %s: trying again", what, error.str())
                    continue
                self._raise(what, exception)

    def _raise(self, what: str, exception: KafkaException) -> None:
        error = error_of(exception)
        if action_for(error) is Action.ABORT:
            raise AbortNeededError(f"{what}: {error.name()}: {error.str()}") from exception
        raise stop_error(what, error) from exception


def _on_delivery(delivered: Delivered) -> Callable[[Any, Message], None]:
    def report(error: Any, message: Message) -> None:
        offset = message.offset()
        # A failed delivery makes the transaction abortable; the commit reports it.
        if error is None and offset is not None:
            delivered(offset)

    return report
