"""A partition changes hands: an old owner played by hand, new ones that are real raters of this process."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

from confluent_kafka import TopicPartition

from pricing.compile import compile_book
from rate_book.source import Confirmed
from rater.__main__ import assemble, topic_names
from rater.adapters.assignment import OwnedPartition
from rater.adapters.meta import LogIdentity
from rater.adapters.outputs import customer_outputs, frame_outputs, head_output
from rater.adapters.rating import tools_for
from rater.core.batch import PartitionBatch
from rater.core.frames import effects_of_result
from rater.core.work import BatchResult, Record
from rater.service import Rater
from runtime.kafka.topology import describe
from runtime.settings import SettingsLoader
from schemas.partitioning import partition_of
from tests.fix_rater import BOOK, DEADLINE_S, PARTITIONS, Pipeline, usage_event, wait_for
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
    """A new owner's assignment under way in a thread; each step taken is noted."""

    def __init__(self, rater: Rater, pool: ThreadPoolExecutor) -> None:
        assignment = rater._assignment
        self._reached: dict[str, threading.Event] = {}
        for name in ("_output_ends", "_wait_until_stable", "_restored"):
            setattr(assignment, name, self._noted(name, getattr(assignment, name)))
        pending = self._noted("pending", rater._group.wait_for_pending_offsets)
        self._future = pool.submit(assignment.open, [PARTITION], pending)

    def _noted(self, name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        reached = self._reached[name] = threading.Event()

        def take(*arguments: Any) -> Any:
            reached.set()
            return step(*arguments)

        return take

    def waits_for_pending_offsets(self) -> bool:
        """Step 1 has begun and does not end."""
        return self._stays_between("pending", "_output_ends")

    def waits_for_the_last_stable_offset(self) -> bool:
        """Step 3 has begun and does not end."""
        return self._stays_between("_wait_until_stable", "_restored")

    def _stays_between(self, step: str, following: str) -> bool:
        wait_for(lambda: self._reached[step].is_set() or self._future.done(), f"{step} is reached")
        return not self._reached[following].wait(1.5) and not self._future.done()

    def result(self) -> OwnedPartition:
        return self._future.result(DEADLINE_S)[PARTITION]

    def close(self) -> None:
        if self._future.exception(DEADLINE_S) is None:
            self.result().store.close()


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
        taking = TakeOver(rater, pool)
        try:
            yield taking
        finally:
            taking.close()


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
