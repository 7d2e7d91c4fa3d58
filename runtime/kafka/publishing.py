"""Records published as they are, each delivery checked: for tools that put records back."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from runtime.kafka.errors import KafkaUnavailableError

_ROOM_S = 30.0
_POLL_S = 0.1
_BY_KEY = -1  # librdkafka's partition number for: the partitioner chooses


class UndeliveredError(KafkaUnavailableError):
    """Records were not acknowledged: how many and why. What was acknowledged stays published."""


class CheckedPublisher:
    """An idempotent producer with Kafka's default partitioning, murmur2; once left, all is acknowledged.

    Not for several threads. Memory is bounded by librdkafka's queue.

    Raises on leaving:
        UndeliveredError: a record was not acknowledged by all replicas within `delivery_s_max`.
    """

    def __init__(self, config: Mapping[str, Any], *, delivery_s_max: float = 60.0) -> None:
        self._delivery_s_max = delivery_s_max
        self._producer = Producer(
            {
                "linger.ms": 20,
                "compression.type": "lz4",
                "queue.buffering.max.kbytes": 65_536,
                **config,
                "enable.idempotence": True,
                "acks": "all",
                "partitioner": "murmur2_random",
                "delivery.timeout.ms": int(delivery_s_max * 1000),
            }
        )
        self.acknowledged = 0
        self._failed = 0
        self._first_failure = ""

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Mapping[str, bytes],
        partition: int | None = None,
    ) -> None:
        """Queues one record; without `partition` its key chooses. Waits for room in the queue.

        Raises:
            UndeliveredError: no room came, or the client refuses the record.
        """
        number = _BY_KEY if partition is None else partition
        deadline = time.monotonic() + _ROOM_S
        while True:
            try:
                self._producer.produce(
                    topic, value, key, number, on_delivery=self._delivered, headers=dict(headers)
                )
            except BufferError:
                if time.monotonic() > deadline:
                    raise UndeliveredError(f"{topic}: no record was acknowledged for {_ROOM_S:g} s") from None
                self._producer.poll(_POLL_S)
            except KafkaException as error:
                raise UndeliveredError(f"{topic}: {error}") from error
            else:
                self._producer.poll(0)
                return

    def finish(self) -> None:
        """Waits for every acknowledgement. Raises UndeliveredError."""
        waiting = self._producer.flush(self._delivery_s_max + 5)
        if waiting or self._failed:
            why = self._first_failure or "no answer"
            raise UndeliveredError(f"{waiting + self._failed} records were not acknowledged: {why}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finish()

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is None:
            self.acknowledged += 1
            return
        self._failed += 1
        self._first_failure = self._first_failure or error.str()
