"""Lag as the broker tells it: how many offsets behind the end a position is, and how old what comes next is.

The end of a partition is asked of the broker, never inferred from what was consumed. Transactions' markers
take offsets without being records, so what is left of a topic of transactions may be markers alone: where a
position stands still, what comes next is read, and if there is nothing, there is no lag.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaException

from runtime.clock import Clock
from runtime.closing import Closing
from runtime.kafka.errors import KafkaUnavailableError
from runtime.kafka.offsets import BrokerOffsets, Isolation, list_offsets
from runtime.kafka.reading import PartitionReader
from runtime.progress import Lag, LagUnknownError, Where

_ASK_S = 5.0
_ENDS_KEPT = 120  # looks: with one each 5 s, ten minutes
_FETCH_BYTES = 65_536  # one record is wanted; a larger one comes whole all the same


class BrokerLag(Closing):
    """Measures the lag of positions, look by look. For one thread, which may wait for the broker.

    Args:
        config: client settings as librdkafka names them.
        clock: the ages are of now, by this machine's clock, against the broker's append times.
        limits: a consumer's, of the largest records of the topics.
    """

    def __init__(self, config: Mapping[str, Any], clock: Clock, limits: Mapping[str, int]) -> None:
        self._clock = clock
        self._offsets = BrokerOffsets(config)
        self._reader = PartitionReader(
            {**config, "fetch.message.max.bytes": _FETCH_BYTES, **limits}, committed=True, stalled_s=_ASK_S
        )
        self._ends: dict[Where, deque[tuple[int, int]]] = {}  # when, and the end seen then: both grow
        self._at: dict[Where, int] = {}
        self._next: dict[Where, tuple[int, int, int | None]] = {}  # position, end, append time of what comes

    def close(self) -> None:
        """Let the connections go."""
        self._offsets.close()
        self._reader.close()

    def __call__(self, positions: Mapping[Where, int]) -> dict[Where, Lag]:
        """The lag of each position. With no position at all it only asks whether the broker answers.

        Raises:
            LagUnknownError: the broker did not answer.
        """
        try:
            if not positions:
                self._offsets.partitions(_ASK_S)
            ends = list_offsets(self._offsets, positions, "latest", Isolation.COMMITTED, timeout_s=_ASK_S)
            for kept in (self._ends, self._at, self._next):
                for gone in kept.keys() - positions.keys():
                    del kept[gone]
            return {where: self._lag(where, position, ends[where]) for where, position in positions.items()}
        except (KafkaUnavailableError, KafkaException) as error:
            raise LagUnknownError(str(error)) from error

    def _lag(self, where: Where, position: int, end: int) -> Lag:
        now_us = self._clock.now_us()
        ends = self._ends.setdefault(where, deque(maxlen=_ENDS_KEPT))
        moved = self._at.get(where) != position
        self._at[where] = position
        if position >= end:
            ends.append((now_us, end))
            return Lag(0, 0.0)
        # What comes next was appended after the last look that saw no more than the position.
        before = bisect_right(ends, position, key=lambda seen: seen[1])
        since_us = ends[before - 1][0] if before else None
        ends.append((now_us, end))
        if since_us is None or not moved:
            since_us = self._append_us(where, position, end)
            if since_us is None:
                return Lag(0, 0.0)
        return Lag(end - position, max(now_us - since_us, 0) / 1_000_000)

    def _append_us(self, where: Where, position: int, end: int) -> int | None:
        """When the first record from the position on was appended; None: there are markers only."""
        known = self._next.get(where)
        if known is not None and known[0] == position and (known[2] is not None or known[1] == end):
            return known[2]
        found = None
        for record in self._reader.read(*where, position, end):
            found = record.timestamp_us
            break
        self._next[where] = (position, end, found)
        return found


def group_lag(group: BrokerOffsets, topics: Sequence[str], *, timeout_s: float = _ASK_S) -> dict[Where, int]:
    """Offsets between what a group has committed to Kafka and the broker's end, by partition.

    For services that commit to Kafka (the rater, the aggregator, the guard), asked from outside of them: it
    tells of partitions too that nobody owns. Where nothing was committed, everything still held is behind.

    Raises:
        LagUnknownError: the broker did not answer, or a topic does not exist.
    """
    positions = group_positions(group, topics, timeout_s=timeout_s)
    try:
        ends = list_offsets(group, positions, "latest", Isolation.COMMITTED, timeout_s=timeout_s)
    except KafkaUnavailableError as error:
        raise LagUnknownError(str(error)) from error
    return {where: max(ends[where] - position, 0) for where, position in positions.items()}


def group_positions(
    group: BrokerOffsets, topics: Sequence[str], *, timeout_s: float = _ASK_S
) -> dict[Where, int]:
    """What a group has committed to Kafka; where that is nothing, or no longer held, the first offset held.

    Raises:
        LagUnknownError: the broker did not answer, or a topic does not exist.
    """
    try:
        seen = group.partitions(timeout_s)
        missing = [topic for topic in topics if topic not in seen]
        if missing:
            raise LagUnknownError(f"no topic {', '.join(missing)}")
        wanted = [(topic, partition) for topic in topics for partition in seen[topic]]
        first = list_offsets(group, wanted, "earliest", timeout_s=timeout_s)
        committed = group.committed(wanted, timeout_s)
    except (KafkaUnavailableError, KafkaException) as error:
        raise LagUnknownError(str(error)) from error
    return {where: max(committed.get(where, 0), first[where]) for where in wanted}
