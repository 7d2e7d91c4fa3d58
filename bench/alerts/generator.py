"""Publishes events by a schedule that was fixed beforehand, whatever becomes of them: an open loop.

When the broker or this process falls behind, events are sent as soon as they can be, and their latency still
counts from when they were due: nothing is omitted because the system was slow.
"""

import argparse
import json
import mmap
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from struct import Struct
from typing import IO, Any

from confluent_kafka import KafkaError, Message, Producer

LENGTHS = Struct(">HI")
_NS = 1_000_000_000
_WARM_RATE = 500
_FLUSH_S = 60.0
_POLL_S = 0.002


Acknowledged = Callable[[KafkaError | None, Message], None]


class Generator:
    """One producer; the acknowledgements of watched events are noted."""

    def __init__(self, bootstrap: str, topic: str, watched: set[int]) -> None:
        self._topic = topic
        self._watched = watched
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "acks": "all",
                "partitioner": "murmur2_random",
                "linger.ms": 10,
                "compression.type": "lz4",
                "queue.buffering.max.messages": 500_000,
            }
        )
        self.times: dict[int, tuple[int, int]] = {}  # number -> due, acknowledged, in ns
        self.behind_ns: list[int] = []

    def send(
        self, events: Iterator[tuple[bytes, bytes]], count: int, first: int, start_ns: int, rate: int
    ) -> None:
        """Send the next `count` events, `rate` a second from `start_ns` on; the first is number `first`."""
        produce, poll, watched = self._producer.produce, self._producer.poll, self._watched
        sent = 0
        while sent < count:
            now_ns = time.time_ns()
            due = min(count, max(0, (now_ns - start_ns) * rate // _NS + 1) if now_ns >= start_ns else 0)
            if due > sent:
                self.behind_ns.append(now_ns - (start_ns + sent * _NS // rate))
            while sent < due:
                key, value = next(events)
                number = first + sent
                acknowledged: Acknowledged = _check
                if number in watched:
                    acknowledged = partial(self._acknowledged, number, start_ns + sent * _NS // rate)
                produce(self._topic, value, key, on_delivery=acknowledged)
                sent += 1
            poll(_POLL_S)

    def finish(self) -> None:
        """Wait for the last acknowledgement."""
        if self._producer.flush(_FLUSH_S):
            sys.exit("events were not acknowledged")

    def _acknowledged(self, number: int, due_ns: int, error: KafkaError | None, message: Message) -> None:
        now_ns = time.time_ns()
        _check(error, message)
        self.times[number] = due_ns, now_ns


def _check(error: KafkaError | None, _message: Message) -> None:
    if error is not None:
        raise SystemExit(f"an event was not acknowledged: {error.str()}")


def write_event(file: IO[bytes], key: bytes, value: bytes) -> None:
    """One event of the file that the generator reads."""
    file.write(LENGTHS.pack(len(key), len(value)) + key + value)


def _events(path: Path) -> Iterator[tuple[bytes, bytes]]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = 0
        while at < len(data):
            key_length, value_length = LENGTHS.unpack_from(data, at)
            at += LENGTHS.size
            yield data[at : at + key_length], data[at + key_length : at + key_length + value_length]
            at += key_length + value_length


def main() -> None:
    """Send `--warm` events slowly; then, told the instant (ns) on stdin, the others by the schedule."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--bootstrap", "--topic", "--events", "--watched", "--answer"):
        parser.add_argument(name, required=True)
    parser.add_argument("--warm", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--rate", type=int, required=True)
    arguments = parser.parse_args()
    watched = set(json.loads(Path(arguments.watched).read_text("utf-8")))
    generator = Generator(arguments.bootstrap, arguments.topic, watched)
    events = _events(Path(arguments.events))
    generator.send(events, arguments.warm, 0, time.time_ns(), _WARM_RATE)
    generator.finish()
    print("warm", flush=True)
    start_ns = int(sys.stdin.readline())
    generator.behind_ns.clear()
    generator.send(events, arguments.count - arguments.warm, arguments.warm, start_ns, arguments.rate)
    sent_ns = time.time_ns()
    generator.finish()
    behind = sorted(generator.behind_ns)
    told: dict[str, Any] = {
        "sent_s": (sent_ns - start_ns) / _NS,
        "acknowledged_s": (time.time_ns() - start_ns) / _NS,
        "behind_schedule_ms": {
            "p99": round(behind[len(behind) * 99 // 100] / 1e6, 1),
            "max": round(behind[-1] / 1e6, 1),
        },
        "cpu_s": round(time.process_time(), 2),
        "times": generator.times,
    }
    Path(arguments.answer).write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()
