"""Notes when each watched event can be read: rated, in the ledger, in the totals. Ends when it has all.

Rated and totals: when a read_committed consumer is given the record. Ledger: when a query, asked every 20 ms,
says that the position of its rated record is behind the ledger's.
"""

import argparse
import json
import threading
import time
from collections import defaultdict, deque
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Message, TopicPartition

from runtime.postgres import connect
from schemas.codec import HEADER_BYTES
from schemas.topics import USAGE_RATED, USAGE_TOTALS

APPLICATION = "bench-watch"
_MARK = b"bench-"
_DIGITS = 9
_FETCH = 1_000
_WAIT_S = 0.005
_LOOK_S = 0.02
STAGES = ("rated", "ledger", "totals")


class Watch:
    """When each watched event got where; ns, wall clock."""

    def __init__(self, watched: set[int], rated_topic: str) -> None:
        self._watched = watched
        self._rated_topic = rated_topic
        self.times: dict[str, dict[int, int]] = {stage: {} for stage in STAGES}
        self._sequences: defaultdict[bytes, int] = defaultdict(int)
        self._seen: dict[bytes, int] = {}
        self._in_totals: defaultdict[bytes, deque[tuple[int, int]]] = defaultdict(deque)
        self._in_ledger: defaultdict[int, deque[tuple[int, int]]] = defaultdict(deque)

    def message(self, message: Message, now_ns: int) -> None:
        """One record of usage.rated or usage.totals."""
        key, value = message.key() or b"", message.value() or b""
        if message.topic() != self._rated_topic:
            self._totals(key, value, now_ns)
            return
        sequence = self._sequences[key] = self._sequences[key] + 1
        at = value.find(_MARK) + len(_MARK)
        number = int(value[at : at + _DIGITS])
        if number not in self._watched:
            return
        self.times["rated"][number] = now_ns
        if self._seen.get(key, 0) >= sequence:
            self.times["totals"][number] = now_ns
        else:
            self._in_totals[key].append((sequence, number))
        partition, offset = message.partition(), message.offset()
        if partition is None or offset is None:
            raise ValueError("a fetched record has no position")
        self._in_ledger[partition].append((offset, number))

    def _totals(self, key: bytes, value: bytes, now_ns: int) -> None:
        sequence = self._seen[key] = max(self._seen.get(key, 0), _as_of_seq(value))
        waiting = self._in_totals[key]
        while waiting and waiting[0][0] <= sequence:
            self.times["totals"][waiting.popleft()[1]] = now_ns

    def ledger_at(self, partition: int, next_offset: int, now_ns: int) -> None:
        """The ledger has everything of a partition before this offset."""
        waiting = self._in_ledger[partition]
        while waiting and waiting[0][0] < next_offset:
            self.times["ledger"][waiting.popleft()[1]] = now_ns

    @property
    def complete(self) -> bool:
        return all(len(times) == len(self._watched) for times in self.times.values())


def _as_of_seq(value: bytes) -> int:
    """The second field of RunningTotals, after the customer's id."""
    length, at = _long(value, HEADER_BYTES)
    return _long(value, at + length)[0]


def _long(value: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = value[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at
        shift += 7


def _follow_ledger(watch: Watch, dsn: str, topic: str, ended: threading.Event) -> None:
    with connect(dsn, application_name=APPLICATION) as connection:
        connection.autocommit = True
        while not ended.wait(_LOOK_S):
            rows: list[tuple[Any, ...]] = connection.execute(
                "select kafka_partition, next_offset from ledger.positions where topic = %s", (topic,)
            ).fetchall()
            now_ns = time.time_ns()
            for partition, next_offset in rows:
                watch.ledger_at(partition, next_offset, now_ns)


def main() -> None:
    """Watch until all is there, or for so long; write `{stage: {number: ns}}`, own CPU seconds beside it."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--bootstrap", "--prefix", "--dsn", "--watched", "--answer"):
        parser.add_argument(name, required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--for-s", type=float, required=True)
    arguments = parser.parse_args()
    watched = set(json.loads(Path(arguments.watched).read_text("utf-8")))
    rated = arguments.prefix + USAGE_RATED
    watch, ended = Watch(watched, rated), threading.Event()
    consumer = Consumer(
        {
            "bootstrap.servers": arguments.bootstrap, "group.id": arguments.prefix + "watch",
            "isolation.level": "read_committed", "enable.auto.commit": False, "fetch.wait.max.ms": 10,
        }
    )  # fmt: skip
    topics = (rated, arguments.prefix + USAGE_TOTALS)
    consumer.assign(
        [TopicPartition(topic, number, 0) for topic in topics for number in range(arguments.partitions)]
    )
    following = threading.Thread(
        target=_follow_ledger, args=(watch, arguments.dsn, rated, ended), daemon=True
    )
    following.start()
    print("watching", flush=True)
    deadline_s = time.monotonic() + arguments.for_s
    while not watch.complete and following.is_alive() and time.monotonic() < deadline_s:
        for message in consumer.consume(_FETCH, _WAIT_S):
            if message.error():
                raise SystemExit(f"the watcher was given {message.error()}")
            watch.message(message, time.time_ns())
    ended.set()
    following.join()
    told: dict[str, Any] = {"times": watch.times, "cpu_s": round(time.process_time(), 2)}
    Path(arguments.answer).write_text(json.dumps(told), encoding="utf-8")
    consumer.close()


if __name__ == "__main__":
    main()
