"""Writes changelog records and totals, and tells when they are acknowledged.

Faust's own way to write, `send_soon`, keeps records in a buffer of the process whose flush gives up after
100 ms, and only logs a record that failed. So records go to the client in whole batches, each with one
future, and what is not acknowledged releases nothing.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaProducer

if TYPE_CHECKING:
    from asyncio import Future

Record = tuple[bytes, bytes]
"""Key and value."""


class UnsentError(Exception):
    """Kafka did not acknowledge records, or refused them."""

    exit_code = 3  # of the process: see runtime.errors


class Writing:
    """Records on their way to one partition of a topic, in order."""

    def __init__(self, topic: str, partition: int, waiting: "list[tuple[Future[Any], int]]") -> None:
        self.topic = topic
        self.partition = partition
        self._waiting = waiting

    async def acknowledged(self) -> int | None:
        """The offset of the last record, when all replicas in sync have all of them; None: there were none.

        Raises:
            UnsentError: one batch failed.
        """
        last = None
        for future, count in self._waiting:
            try:
                metadata = await future
            except Exception as error:
                raise UnsentError(f"{self.topic} partition {self.partition}: {error!r}") from error
            last = metadata.offset + count - 1
        return last


class Writer:
    """Hands records to the client of the app's producer."""

    def __init__(self, producer: Callable[[], AIOKafkaProducer]) -> None:
        self._producer = producer

    async def send(self, topic: str, partition: int, records: Iterable[Record]) -> Writing:
        """Queue records in order.

        Raises:
            UnsentError: the client refuses them.
        """
        producer = self._producer()
        waiting: list[tuple[Future[Any], int]] = []
        batch = producer.create_batch()
        try:
            for key, value in records:
                if batch.append(key=key, value=value, timestamp=None) is None:
                    waiting.append(
                        (await producer.send_batch(batch, topic, partition=partition), batch.record_count())
                    )
                    batch = producer.create_batch()
                    batch.append(key=key, value=value, timestamp=None)
            if batch.record_count():
                waiting.append(
                    (await producer.send_batch(batch, topic, partition=partition), batch.record_count())
                )
        except Exception as error:
            raise UnsentError(f"{topic} partition {partition}: {error!r}") from error
        return Writing(topic, partition, waiting)
