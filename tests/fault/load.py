"""Continuing load: a service that publishes usage, repeats itself, and sends rubbish now and then."""

import random
import threading
from fractions import Fraction
from typing import Any

from confluent_kafka import KafkaException

from schemas import topics
from schemas.codec import CODEC
from tests.fix_rater import Pipeline, usage_event, wait_for, whole

CUSTOMERS = 11
_PAUSE_S = 0.02


class Load:
    """Publishes from a thread of its own until told to stop; knows what it published."""

    def __init__(
        self, pipeline: Pipeline, *, seed: int = 1, at_once: int = 0, paced: bool = True, bad: bool = True
    ) -> None:
        self.events: list[dict[str, Any]] = []
        self.repeated = 0
        self.bad = 0
        self._failed: list[str] = []
        self._send_bad = bad
        self._random = random.Random(seed)
        self._topic = pipeline.prefix + topics.USAGE_EVENTS
        self._producer = pipeline.kafka.producer(enable_idempotence=True)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        while len(self.events) < at_once:
            self._some()
        self.flush()
        if paced:
            self._thread.start()

    @property
    def sent(self) -> int:
        return len(self.events) + self.repeated + self.bad

    def wait_more(self, count: int) -> None:
        """Until so many more distinct events have been published from now on."""
        wanted = len(self.events) + count
        wait_for(lambda: len(self.events) >= wanted or bool(self._failed), "load goes on")
        assert not self._failed, self._failed[0]

    def stop(self) -> None:
        """Stop and wait until everything is acknowledged."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self.flush()

    def flush(self) -> None:
        assert self._producer.flush(60) == 0, "not acknowledged"
        assert not self._failed, self._failed[0]

    def _run(self) -> None:
        while not self._stopping.wait(_PAUSE_S):
            self._some()

    def _some(self) -> None:
        """A few new events, mostly one repeated, seldom a bad one."""
        for _ in range(5):
            number = len(self.events)
            usage = {"input_tokens": str(1000 + number % 97), "output_tokens": str(number % 13)}
            event = usage_event(number % CUSTOMERS, number, usage=usage)
            self.events.append(event)
            self._send(event)
        if self._random.random() < 0.7:
            # Near and far, so that repeats meet their first in the same batch, in RAM and in RocksDB.
            back = self._random.choice((5, 50, len(self.events)))
            self._send(self._random.choice(self.events[-back:]))
            self.repeated += 1
        if self._send_bad and self._random.random() < 0.1:
            self.bad += 1
            self._put(b"customer-1", b"not an event")
        self._producer.poll(0)

    def _send(self, event: dict[str, Any]) -> None:
        self._put(event["customer_id"].encode(), CODEC.encode("UsageEvent", whole(event)))

    def _put(self, key: bytes, value: bytes) -> None:
        while True:
            try:
                self._producer.produce(self._topic, value, key, on_delivery=self._delivered)
            except (BufferError, KafkaException):
                # A broker that has just started may not know the topic yet: nothing was queued.
                self._producer.poll(0.1)
            else:
                return

    def _delivered(self, error: object, _message: object) -> None:
        if error is not None:
            self._failed.append(str(error))


def amounts(event: dict[str, Any]) -> tuple[Fraction, Fraction]:
    """Cost and price of an event in USD, by hand: 2 and 10, 3 and 15 a million input and output tokens."""
    given, made = (int(event["usage"][meter]) for meter in ("input_tokens", "output_tokens"))
    return Fraction(2 * given + 10 * made, 10**6), Fraction(3 * given + 15 * made, 10**6)
