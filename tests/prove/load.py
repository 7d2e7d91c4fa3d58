"""Publishes the stream at a moderate pace, and writes into the journal what the brokers acknowledged.

A broker that had appended a batch, and died before it said so, acknowledges the client's next try without
an offset: it knows the batch's number and no longer its place. Where such a record stands is looked for at
the end: it is one of its bytes that no other acknowledgement names. And where all brokers died, the client
may have appended a batch again under a new number: what it acknowledged is the second copy, the first is
found by its bytes and is a record of its own. What has nobody's bytes fails the run.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaException, Message, Producer

from runtime.kafka.offsets import list_offsets
from runtime.kafka.reading import PartitionReader, Record
from runtime.settings import KafkaSettings
from schemas.topics import USAGE_EVENTS, consumer_limits, producer_limits
from tests.prove.journal import Journal
from tests.prove.stream import Item, Stream, identity

_Bytes = tuple[int, bytes | None, bytes | None]  # partition, key, value

_PAUSE_S = 0.1
_FLUSH_S = 120.0


class Load:
    """A service that publishes usage: a thread of its own, and `publish` for what a fault needs."""

    def __init__(self, kafka: KafkaSettings, stream: Stream, journal: Journal, *, per_second: float) -> None:
        self._topic = kafka.topic_prefix + USAGE_EVENTS
        self._stream = stream
        self._journal = journal
        self._per_second = per_second
        self._kafka = kafka
        self._first: dict[tuple[str, str, str], int] = {}
        self._named: set[tuple[int | None, int | None]] = set()
        self._placeless: list[tuple[Item, int]] = []
        self._placed: dict[_Bytes, list[tuple[Item, int]]] = {}
        self.copies: list[tuple[int, int, int]] = []
        """Partition and offset of records that were never acknowledged, and the offset of one that was."""
        self._waiting: list[tuple[Item, dict[str, Any]]] = []
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self.unacknowledged = 0
        self.producer = Producer(
            kafka.client_config()
            | producer_limits(USAGE_EVENTS)
            | {
                "log_level": 2,  # brokers are killed here all the time
                "enable.idempotence": True,
                "acks": "all",
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                # All brokers may be away for a while: nothing may be given up before they are back.
                "delivery.timeout.ms": 300_000,
            }
        )
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Publish no more, and wait for every acknowledgement."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self.unacknowledged += self.producer.flush(_FLUSH_S)
        if self._placeless:
            self._place()

    def publish(self, item: Item, wait_s: float = 60.0) -> None:
        """Publish one record now and wait until it stands in the journal."""
        done = threading.Event()
        self._put(item, done.set)
        end_s = time.monotonic() + wait_s
        while not done.is_set() and time.monotonic() < end_s:
            self.producer.poll(0.05)
        if not done.is_set():
            raise TimeoutError(f"{item.kind} was not acknowledged within {wait_s} s")

    def _run(self) -> None:
        begun_s, sent = time.monotonic(), 0
        while not self._stopping.wait(_PAUSE_S):
            due = int((time.monotonic() - begun_s) * self._per_second)
            while sent < due and not self._stopping.is_set():
                for item in self._stream.next():
                    self._put(item, None)
                    sent += 1
            self.producer.poll(0)

    def _put(self, item: Item, acknowledged: Callable[[], None] | None) -> None:
        partition = -1 if item.poison is None or item.poison.partition is None else item.poison.partition

        def delivered(error: object, message: Message) -> None:
            self._delivered(item, error, message)
            if acknowledged is not None:
                acknowledged()

        while True:
            try:
                self.producer.produce(self._topic, item.value, item.key, partition, delivered)
            except (BufferError, KafkaException):
                self.producer.poll(0.1)  # nothing was queued
            else:
                return

    def _delivered(self, item: Item, error: object, message: Message) -> None:
        if error is not None:
            self.unacknowledged += 1
            self._journal.add("unacked", entry={"kind": item.kind, **self._told(item)}, error=str(error))
            return
        offset, partition = message.offset(), message.partition()
        if partition is not None and (offset is None or offset < 0):
            self._placeless.append((item, partition))
            return
        self._named.add((partition, offset))
        self._acknowledged(item, partition, offset, message.timestamp()[1] * 1000)

    def _acknowledged(self, item: Item, partition: int | None, offset: int | None, append_us: int) -> None:
        place = {"topic": USAGE_EVENTS, "partition": partition, "offset": offset, "append_us": append_us}
        with self._lock:
            if item.kind == "event" and item.event is not None and offset is not None:
                self._first[identity(item.event)] = offset
            told = self._told(item)
            if item.of is not None:
                if item.of not in self._first:  # its first has no place yet
                    self._waiting.append((item, place))
                    return
                told["of"] = self._first[item.of]
            if partition is not None and offset is not None:
                self._placed.setdefault((partition, item.key, item.value), []).append((item, offset))
        self._journal.add(item.kind, **told, **place)

    def _place(self) -> None:
        """Find what was acknowledged without an offset, by its bytes."""
        config = self._kafka.client_config() | consumer_limits(USAGE_EVENTS)
        for partition in sorted({partition for _, partition in self._placeless}):
            lost = [item for item, where in self._placeless if where == partition]
            end = list_offsets(config, [(self._topic, partition)], "latest")[self._topic, partition]
            with PartitionReader(config) as reader:
                for record in reader.read(self._topic, partition, 0, end):
                    match = next((item for item in lost if self._is(item, record)), None)
                    if match is not None and (partition, record.offset) not in self._named:
                        lost.remove(match)
                        self._named.add((partition, record.offset))
                        self._acknowledged(match, partition, record.offset, record.timestamp_us)
            for item in lost:
                self.unacknowledged += 1
                error = "acknowledged without an offset, and not there"
                self._journal.add("unacked", entry={"kind": item.kind, **self._told(item)}, error=error)
        waiting, self._waiting = self._waiting, []
        for item, place in waiting:
            self._acknowledged(item, place["partition"], place["offset"], place["append_us"])

    def _is(self, item: Item, record: Record) -> bool:
        """Whether the record may be the item: a repeat is behind its first."""
        behind = item.of is None or record.offset > self._first.get(item.of, -1)
        return behind and (item.key, item.value) == (record.key, record.value)

    def find_copies(self) -> None:
        """Records that no acknowledgement names, and somebody published all the same. Once."""
        copies: list[tuple[int, int, int, int]] = []
        config = self._kafka.client_config() | consumer_limits(USAGE_EVENTS)
        everywhere = [(self._topic, partition) for partition in range(self._kafka.partitions)]
        with PartitionReader(config) as reader:
            for (topic, partition), end in list_offsets(config, everywhere, "latest").items():
                for record in reader.read(topic, partition, 0, end):
                    placed = self._placed.get((partition, record.key, record.value))
                    if (partition, record.offset) in self._named or not placed:
                        continue
                    copies.append((partition, record.offset, record.timestamp_us, placed[0][1]))
        for partition, offset, append_us, of in copies:
            self.copies.append((partition, offset, of))
            self._journal.add("copy", partition=partition, offset=offset, append_us=append_us, of=of)

    @staticmethod
    def _told(item: Item) -> dict[str, Any]:
        told: dict[str, Any] = {}
        event = item.event
        if item.poison is not None:
            event, said = None, item.poison.event
            told = {
                "what": item.poison.what,
                "key": None if item.key is None else item.key.decode(),
                "identity": None if said is None else list(identity(said)),
            }
        if event is not None:
            told = {name: event[name] for name in ("customer_id", "source", "event_id")} | {"event": event}
        if item.kind == "event":
            told["note"] = item.note
        if item.kind == "repeat":
            told["encoding"] = item.encoding
        if item.expected_reason is not None:
            told["expected_reason"] = item.expected_reason
        return told
