"""The emitter: queue usage events, send them to Kafka, and account for every one of them.

An event that `emit` took is either acknowledged by all in-sync replicas or listed in the report with its
original. Sending it again is always safe: its identity stays the same, and the rater bills an identity once.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from confluent_kafka import KafkaError, KafkaException, Producer

from ratestream_client.codec import encode
from ratestream_client.errors import (
    INVALID_FIELD,
    EmitterError,
    InvalidEvent,
    NotQueued,
    QueueFull,
    Unacknowledged,
)
from ratestream_client.report import Delivery, Report
from ratestream_client.rules import check_event, check_usage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from confluent_kafka import Message

    from ratestream_client.event import UsageEvent

TOPIC: Final = "usage.events"
EVENT_BYTES_MAX: Final = 1024 * 1024
MESSAGE_BYTES_MAX: Final = (
    EVENT_BYTES_MAX + 64 * 1024
)  # key, headers and batch overhead: the topic's own limit

_POLL_S: Final = 0.1
_PURGE_S: Final = 5.0

# Not for the caller to change: each carries a promise of this module.
_PROMISES: Final[Mapping[str, object]] = {
    "enable.idempotence": True,  # a retry inside the client cannot write twice or out of order
    "acks": "all",
    "partitioner": "murmur2_random",  # the rater rejects an event on another partition as misrouted
    "message.max.bytes": MESSAGE_BYTES_MAX,
    "batch.size": EVENT_BYTES_MAX,
}

logger = logging.getLogger("ratestream_client")


class Emitter:
    """Publishes usage events; as a context manager it flushes at the end and raises if any is unacknowledged.

    Safe to use from several threads. Memory is bounded by `queue_messages_max` and `queue_bytes_max`: where
    the queue is full, or as many failed events wait to be taken, `emit` waits up to `wait_s_max` and then
    raises QueueFull; nothing is dropped.

    Args:
        connection: librdkafka settings: `bootstrap.servers`, security, if need be `linger.ms` and such.
        topic: where events go, with the cluster's prefix if it has one.
        on_delivery: called once for each event when its end is known, from the thread that is in `emit`,
            `poll` or `flush`; it must not raise.
        queue_messages_max: events held at most, unsent or unacknowledged.
        queue_bytes_max: their bytes at most.
        wait_s_max: how long `emit` may wait for room, in seconds.
        delivery_s_max: how long an event is tried before it is reported as unacknowledged, in seconds.
    """

    def __init__(
        self,
        connection: Mapping[str, Any],
        *,
        topic: str = TOPIC,
        on_delivery: Callable[[Delivery], None] | None = None,
        queue_messages_max: int = 100_000,
        queue_bytes_max: int = 64 * 1024 * 1024,
        wait_s_max: float = 30.0,
        delivery_s_max: float = 120.0,
    ) -> None:
        kept = sorted(_PROMISES.keys() & connection.keys())
        if kept:
            raise ValueError(f"connection sets {', '.join(kept)}; rule: these are the emitter's own")
        self._topic = topic
        self._on_delivery = on_delivery
        self._queue_messages_max = queue_messages_max
        self._wait_s_max = wait_s_max
        self._lock = threading.Lock()
        self._pending: dict[int, Delivery] = {}
        self._failed: list[Delivery] = []
        self._numbers = itertools.count()
        self._emitted = 0
        self._acknowledged = 0
        self._closed = False
        self._last_error = "no answer from a broker yet"
        config = {
            "linger.ms": 20,
            "compression.type": "lz4",
            "queue.buffering.max.messages": queue_messages_max,
            "queue.buffering.max.kbytes": max(1, queue_bytes_max // 1024),
            "delivery.timeout.ms": int(delivery_s_max * 1000),
            **connection,
            **_PROMISES,
            "error_cb": self._note_error,
        }
        self._producer = Producer(config, logger=logger)

    def emit(self, event: UsageEvent) -> None:
        """Check and queue one event.

        Raises InvalidEvent, QueueFull or NotQueued; in each case the event was not queued.
        """
        record = event.to_record()
        value = encode(record)
        check_event(record)
        check_usage(record)
        self._queue(Delivery(event.customer_id, value, event, None), None)

    def emit_encoded(
        self, customer_id: str, value: bytes, headers: Mapping[str, bytes] | None = None
    ) -> None:
        """Queue bytes as they are, under the customer's key; only their size is checked. Raises as `emit`."""
        self._queue(Delivery(customer_id, value, None, None), headers)

    def poll(self, timeout_s: float = 0.0) -> None:
        """Serve deliveries that are known by now; `emit` and `flush` do it as well."""
        self._producer.poll(timeout_s)

    def flush(self, timeout_s: float = 60.0) -> Report:
        """Wait for the end of each queued event. Raises Unacknowledged where one failed or time ran out."""
        self._producer.flush(timeout_s)
        report = self.report()
        if report.unacknowledged:
            raise Unacknowledged(report)
        return report

    def report(self) -> Report:
        """What became of the events so far; those on their way count as unacknowledged."""
        with self._lock:
            waiting = tuple(
                self._ended(sent, f"pending ({self._last_error})") for sent in self._pending.values()
            )
            return Report(self._emitted, self._acknowledged, (*self._failed, *waiting))

    def take_failed(self) -> tuple[Delivery, ...]:
        """The events that failed for good since the last call, now the caller's to keep and emit again."""
        with self._lock:
            failed, self._failed = tuple(self._failed), []
            return failed

    def close(self, timeout_s: float = 60.0) -> Report:
        """Flush, then give up what is not acknowledged, and send nothing more. Raises Unacknowledged."""
        self._closed = True
        if self._producer.flush(timeout_s):
            self._producer.purge()
            self._producer.flush(_PURGE_S)
        report = self.report()
        if report.unacknowledged:
            raise Unacknowledged(report)
        return report

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _queue(self, sent: Delivery, headers: Mapping[str, bytes] | None) -> None:
        if len(sent.value) > EVENT_BYTES_MAX:
            rule = f"at most {EVENT_BYTES_MAX} bytes"
            raise InvalidEvent(INVALID_FIELD, "size of the event", len(sent.value), rule)
        if self._closed:
            raise NotQueued("the emitter is closed")
        number = next(self._numbers)
        send = partial(
            self._producer.produce,
            self._topic,
            key=sent.customer_id.encode(),
            value=sent.value,
            headers=dict(headers) if headers else None,
            on_delivery=partial(self._delivered, number),
        )
        with self._lock:
            self._emitted += 1
            self._pending[number] = sent
        try:
            self._produce(send)
        except EmitterError:
            # Any other exception, say an interrupt, may come after queueing: the event stays counted.
            with self._lock:
                self._emitted -= 1
                del self._pending[number]
            raise
        self._producer.poll(0)

    def _produce(self, send: Callable[[], None]) -> None:
        deadline_s = time.monotonic() + self._wait_s_max
        while True:
            try:
                if len(self._failed) < self._queue_messages_max:
                    return send()
            except BufferError:
                pass  # full: deliveries make room below
            except KafkaException as error:
                if error.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE:
                    rule = f"at most {MESSAGE_BYTES_MAX} bytes with key and headers"
                    raise InvalidEvent(INVALID_FIELD, "size of the message", "more", rule) from error
                raise NotQueued(str(error)) from error
            if time.monotonic() >= deadline_s:
                raise QueueFull(f"no room within {self._wait_s_max} s for another event ({self._last_error})")
            self._producer.poll(_POLL_S)

    def _delivered(self, number: int, error: KafkaError | None, message: Message) -> None:
        with self._lock:
            sent = self._pending.pop(number)
            if error is None:
                self._acknowledged += 1
                ended = self._ended(sent, None, message.partition(), message.offset())
            else:
                ended = self._ended(sent, error.str())
                self._failed.append(ended)
        if self._on_delivery is not None:
            self._on_delivery(ended)

    @staticmethod
    def _ended(
        sent: Delivery, why: str | None, partition: int | None = None, offset: int | None = None
    ) -> Delivery:
        return Delivery(sent.customer_id, sent.value, sent.event, why, partition, offset)

    def _note_error(self, error: KafkaError) -> None:
        self._last_error = error.str()
