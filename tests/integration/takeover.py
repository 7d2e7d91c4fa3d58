"""A partition changes hands: an old owner played by hand, new ones that are real raters of this process."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import ExitStack, contextmanager
from typing import Any

from confluent_kafka import TopicPartition

from pricing.compile import compile_book
from rate_book.source import Confirmed
from rater.__main__ import assemble, topic_names
from rater.adapters.assignment import OwnedPartition
from rater.adapters.outputs import customer_outputs, frame_outputs, head_output
from rater.adapters.rating import tools_for
from rater.adapters.state import LogIdentity
from rater.core.batch import BatchResult, PartitionBatch, Record
from rater.core.frames import effects_of_result
from rater.service import Rater
from runtime.kafka.topology import describe
from runtime.settings import SettingsLoader
from schemas.partitioning import partition_of
from tests.fix_rater import BOOK, DEADLINE_S, PARTITIONS, Pipeline, usage_event
from tests.unit.rater.fakes import WINDOWS, RamMemory

PARTITION = 0
TOOLS = tools_for(
    Confirmed(compile_book(BOOK, 1, "hash"), 0, 2**62), lambda key: partition_of(key, PARTITIONS)
)


def customer_on(partition: int) -> str:
    """A customer whose events belong on the partition."""
    return next(
        name
        for name in (f"customer-{number}" for number in range(1_000))
        if partition_of(name.encode(), PARTITIONS) == partition
    )


def events_on(partition: int, numbers: range, **fields: Any) -> list[dict[str, Any]]:
    return [usage_event(0, number, customer_id=customer_on(partition), **fields) for number in numbers]


class OldOwner:
    """Writes what a rater writes, step by step as the test says, for PARTITION."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.names = topic_names(pipeline.prefix)
        self.memory = RamMemory()
        self.producer = pipeline.kafka.producer(transactional_id=f"{pipeline.prefix}old-owner")
        self.producer.init_transactions(DEADLINE_S)
        topology = describe(pipeline.settings.client_config(), [*self.names.inputs, *self.names.outputs])
        ids = topology.topic_ids
        self.log = LogIdentity(
            topology.cluster_id,
            *(ids[name] for name in (*self.names.inputs, self.names.deltas, self.names.state)),
        )

    def decide(self, count: int) -> BatchResult:
        """The next frame, of the next so many events of usage.events."""
        at = self.memory.head.events_next
        found = [
            message
            for message in self.pipeline.kafka.read_all(self.names.events)
            if message.partition() == PARTITION and (message.offset() or 0) >= at
        ]
        records = [
            Record(message.offset() or 0, message.timestamp()[1] * 1000, message.key(), message.value())
            for message in found[:count]
        ]
        batch = PartitionBatch(PARTITION, self.memory.head, WINDOWS, self.memory, TOOLS)
        return batch.run(records, [], "usage.events", "usage.corrections")

    def write(self, result: BatchResult, *, head: bool = True) -> None:
        """Every output of a frame, and wait for the broker to have it."""
        put = self.producer.produce
        for key, value in result.rated:
            put(self.names.rated, value, key, PARTITION)
        for output in frame_outputs(self.names.deltas, result, "old", "0"):
            put(self.names.deltas, output.value, None, PARTITION)
        sequences = {name: delta.last_seq for name, delta in result.customers.items()}
        for output in customer_outputs(self.names.state, sequences, result.head.frame_no):
            put(self.names.state, output.value, output.key, PARTITION)
        if head:
            output = head_output(self.names.state, result.head, self.log)
            put(self.names.state, output.value, output.key, PARTITION)
        assert self.producer.flush(DEADLINE_S) == 0
        self.memory.apply(effects_of_result(result))

    def begin(self) -> None:
        self.producer.begin_transaction()

    def send_offsets(self, offset: int) -> None:
        group = self.pipeline.kafka.consumer(group=f"{self.pipeline.prefix}rater")
        self.producer.send_offsets_to_transaction(
            [TopicPartition(topic, PARTITION, offset) for topic in self.names.inputs],
            group.consumer_group_metadata(),
            DEADLINE_S,
        )

    def commit(self) -> None:
        self.producer.commit_transaction(DEADLINE_S)

    def abort(self) -> None:
        self.producer.abort_transaction(DEADLINE_S)

    def commit_frame(self, count: int) -> None:
        self.begin()
        self.write(self.decide(count))
        self.commit()


class TakeOver:
    """A new owner's assignment under way."""

    def __init__(self, rater: Rater, future: Future[dict[int, OwnedPartition]]) -> None:
        self.rater = rater
        self._future = future

    def still_waits(self, for_s: float = 1.0) -> bool:
        try:
            self._future.result(for_s)
        except NotYet:
            return True
        return False

    def result(self) -> OwnedPartition:
        return self._future.result(DEADLINE_S)[PARTITION]


@contextmanager
def new_owner(pipeline: Pipeline, *, slot: int = 0, **settings: object) -> Iterator[Rater]:
    """A real rater, in this process; nothing runs until it is stepped or its assignment opened."""
    with ExitStack() as stack:
        environ = pipeline.environ(rater__slot=slot, **settings)
        rater = assemble(SettingsLoader(pipeline.directory, environ), stack)
        try:
            yield rater
        finally:
            rater._group.close()


@contextmanager
def taking_over(
    pipeline: Pipeline, prepare: Callable[[Rater], None] = lambda _rater: None
) -> Iterator[TakeOver]:
    """A new owner opens PARTITION, in a thread."""
    with new_owner(pipeline) as rater, ThreadPoolExecutor(1) as pool:
        prepare(rater)
        future = pool.submit(rater._assignment.open, [PARTITION], rater._group.wait_for_pending_offsets)
        try:
            yield TakeOver(rater, future)
        finally:
            for owned in future.result(DEADLINE_S).values() if future.exception(DEADLINE_S) is None else ():
                owned.store.close()


def drive(rater: Rater, done: Callable[[], bool], timeout_s: float = DEADLINE_S) -> None:
    """Step the rater until something is so."""
    deadline = time.monotonic() + timeout_s
    while not done():
        rater.step()
        assert time.monotonic() < deadline, f"not within {timeout_s} s"


def drain(rater: Rater, pipeline: Pipeline) -> None:
    """Step until every event is covered by a frame, and once more for what is left to do."""
    drive(rater, lambda: pipeline.pending() == 0)
    rater.step()


def sequences_of(rated: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    return [(item["event"]["event_id"], item["rating"]["customer_seq"]) for item in rated]


def delete_before(pipeline: Pipeline, topic: str, offset: int) -> None:
    """Have the broker delete what stands before an offset of PARTITION, as its retention does."""
    where = TopicPartition(pipeline.prefix + topic, PARTITION, offset)
    for future in pipeline.kafka.admin().delete_records([where]).values():
        future.result(DEADLINE_S)
