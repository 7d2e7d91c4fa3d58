"""Bounded reading of one partition at a time, from an offset up to a given end, and nothing more.

For tools that prove and repair; services that follow a topic have a consumer of their own. No group is joined
and no offset is committed. What a transaction left behind (markers, an aborted one's records) takes offsets
that no reader is given, so the end is reached when the broker says so, not when the last offset was seen.
"""

import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from runtime.closing import Closing
from runtime.kafka.errors import KafkaUnavailableError
from runtime.kafka.offsets import READING_GROUP

Headers = tuple[tuple[str, bytes | None], ...]

_BATCH = 500
_WAIT_S = 0.02  # consume() waits this long for a batch that the partition's end leaves unfilled
_HEALING = frozenset({KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT})  # noqa: SLF001  # public under no other name
_END_WAIT_MS = 10  # what is asked for is there: only the report of the end would wait, 500 ms by default
_QUEUED_KIB = 16_384  # read ahead by the client: bounds memory, not progress


class ReadFailedError(KafkaUnavailableError):
    """A partition cannot be read: the broker is away or refuses, the topic or the offset does not exist."""


class ReadStalledError(ReadFailedError):
    """The end of a partition was not reached: no record and no end was reported for the given time."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record as the broker holds it; `timestamp_us` is its append time (topics are LogAppendTime)."""

    partition: int
    offset: int
    timestamp_us: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class PartitionReader(Closing):
    """A consumer that reads one partition after another; `read` ends the one before.

    Args:
        config: client settings as librdkafka names them, `bootstrap.servers` at least.
        committed: read only what was committed; the last stable offset is then the furthest end to reach.
        stalled_s: give up when nothing arrives for so many seconds.
    """

    def __init__(self, config: Mapping[str, Any], *, committed: bool = True, stalled_s: float = 30.0) -> None:
        self._stalled_s = stalled_s
        self._reads = 0
        self._consumer = Consumer(
            {
                **config,
                # Required by the client, never joined; its coordinator is looked for all the same, so that
                # whoever reads may describe it: see schemas.access.
                "group.id": READING_GROUP,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",  # an offset that is gone is an error here, never a jump
                "isolation.level": "read_committed" if committed else "read_uncommitted",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": _END_WAIT_MS,
                "queued.max.messages.kbytes": _QUEUED_KIB,
            }
        )

    def close(self) -> None:
        """Closes the consumer; a second call does nothing. A read that was left half-way is over."""
        self._reads += 1  # its generator may be collected later, and must not touch a closed consumer
        self._consumer.close()

    def read(self, topic: str, partition: int, start: int, end: int) -> Generator[Record, None, None]:
        """The records with start <= offset < end, in order.

        Raises:
            ReadStalledError: the end was not reached in time.
            ReadFailedError: the offset is gone, the topic does not exist, or the broker refused.
        """
        if start >= end:
            return
        self._consumer.assign([TopicPartition(topic, partition, start)])
        # A read that is left half-way may end after the next one began: it must not take its partition.
        self._reads += 1
        mine = self._reads
        try:
            for record in self._until(topic, partition, end):
                yield record
                if self._reads != mine:
                    raise RuntimeError(f"{topic} {partition}: another read of this reader began")
        finally:
            if self._reads == mine:
                self._consumer.unassign()

    def _until(self, topic: str, partition: int, end: int) -> Iterator[Record]:
        heard = time.monotonic()
        while True:
            try:
                batch = self._consumer.consume(_BATCH, _WAIT_S)
            except KafkaException as error:
                raise ReadFailedError(f"{topic} {partition}: {error}") from error
            if not batch and time.monotonic() - heard > self._stalled_s:
                raise ReadStalledError(
                    f"{topic} {partition}: offset {end} was not reached in {self._stalled_s:g} s"
                )
            for message in batch:
                offset = _offset_of(message, topic, partition)
                if offset is None:
                    continue
                if offset >= end:
                    return
                if message.error() is None:
                    yield _record(message, partition, offset)
            if batch:
                heard = time.monotonic()  # only now: whoever reads may take its time over a batch


def _offset_of(message: Message, topic: str, partition: int) -> int | None:
    """The record's offset, or where the partition ended; None for what the client heals by itself.

    Raises:
        ReadFailedError: for any other report of the client.
    """
    error = message.error()
    if error is not None and error.code() in _HEALING:
        return None  # it reconnects; `stalled_s` bounds how long
    if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001  # public under no other name
        raise ReadFailedError(f"{topic} {partition}: {error}")
    if (message.topic(), message.partition()) != (topic, partition):
        return None  # left over from the partition read before
    return message.offset()


def _record(message: Message, partition: int, offset: int) -> Record:
    _, timestamp_ms = message.timestamp()
    found = message.headers() or []
    pairs = found.items() if isinstance(found, dict) else found
    headers: Headers = tuple((str(name), _bytes(value)) for name, value in pairs)
    return Record(
        partition,
        offset,
        timestamp_ms * 1000,
        _bytes(message.key()),
        _bytes(message.value()),
        headers,
    )


def _bytes(data: str | bytes | None) -> bytes | None:
    return data.encode() if isinstance(data, str) else data
