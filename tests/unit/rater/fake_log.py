"""The rater's own log as two lists, written and restored by the rater's own code."""

from collections.abc import Iterator

from rocksdict import Cache

from rater.adapters.log_reader import LogBounds, LogTopics, restore
from rater.adapters.meta import LogIdentity
from rater.adapters.outputs import (
    correction_outputs,
    customer_outputs,
    frame_outputs,
    head_output,
    period_outputs,
)
from rater.adapters.state import StateStore
from rater.core.frames import effects_of_result
from rater.core.work import BatchResult, Head
from runtime.kafka.reading import Record
from tests.unit.rater.fakes import NOW_US, RamMemory, event, record, run

LOG = LogIdentity("cluster", "events-id", "corrections-id", "deltas-id", "state-id")
TOPICS = LogTopics("deltas", "state", "events-id", "corrections-id", "deltas-id")
CACHE = Cache(1 << 20)


class FakeLog:
    """Both topics as lists; `restore` reads them as it reads a broker's."""

    def __init__(self) -> None:
        self.topics: dict[str, list[Record]] = {"deltas": [], "state": []}
        self.first = {"deltas": 0, "state": 0}
        self.memory = RamMemory()

    def read(self, topic: str, partition: int, start: int, end: int) -> Iterator[Record]:
        assert start >= self.first[topic] or start >= end, "the broker no longer holds it"
        yield from [it for it in self.topics[topic] if start <= it.offset < end]

    def put(self, topic: str, key: bytes | None, value: bytes | None, at_us: int) -> None:
        self.topics[topic].append(Record(0, self.end(topic), at_us, key, value, ()))

    def end(self, topic: str) -> int:
        return self.topics[topic][-1].offset + 1 if self.topics[topic] else 0

    @property
    def bounds(self) -> LogBounds:
        return LogBounds(self.first["deltas"], self.end("deltas"), self.first["state"], self.end("state"))

    def commit(
        self, result: BatchResult, *, at_us: int = NOW_US, log: LogIdentity = LOG, states: bool = True
    ) -> None:
        """`states` is whether rater.state gets more than the head."""
        for output in frame_outputs("deltas", result, "p", "b"):
            self.put("deltas", None, output.value, at_us)
        sequences = {name: it.last_seq for name, it in result.customers.items()} if states else {}
        for output in customer_outputs("state", sequences, result.head.frame_no):
            self.put("state", output.key, output.value, at_us)
        for output in period_outputs("state", result.periods if states else {}, result.head.frame_no):
            self.put("state", output.key, output.value, at_us)
        for output in correction_outputs("state", result):
            self.put("state", output.key, output.value, at_us)
        self.put("state", *head_output("state", result.head, log)[1:], at_us)

    def batches(self, count: int, *, at_us: int = NOW_US, step_us: int = 0) -> None:
        """Frames of one event each, of two customers in turn."""
        for _ in range(count):
            number = self.memory.head.events_next
            said = event(number, f"customer-{number % 2}")
            result = run([record(number, said)], memory=self.memory)
            self.memory.apply(effects_of_result(result))
            self.commit(result, at_us=at_us + number * step_us)

    def follow(self, store: StateStore, bounds: LogBounds | None = None) -> Head:
        return restore(store, self, 0, TOPICS, bounds or self.bounds, lambda: None)  # type: ignore[arg-type]  # a fake reader

    def compact(self) -> None:
        """Only the newest record of each key stays in rater.state."""
        newest = {it.key: it.offset for it in self.topics["state"]}
        self.topics["state"] = [it for it in self.topics["state"] if newest[it.key] == it.offset]
