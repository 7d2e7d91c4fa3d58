"""The rater's loop: the order of its effects.

One transaction: consume, dedupe, rate; begin; produce every output of every partition; flush; send the
input offsets; commit; and only then apply the frames to local state. Whatever dies, the log decides.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rate_book.source import BookSource
from rater.adapters.assignment import Assignment, OwnedPartition, TopicChangedError, TopicNames
from rater.adapters.outputs import (
    Output,
    correction_outputs,
    customer_outputs,
    frame_outputs,
    head_output,
    period_outputs,
    rejected_output,
)
from rater.adapters.rating import OlderBook, Toolbox
from rater.adapters.recording import Recorded, due, recorded_with
from rater.adapters.records import record_of
from rater.adapters.telling import Telling
from rater.core.batch import PartitionBatch
from rater.core.frames import effects_of_result
from rater.core.lateness import Windows
from rater.core.work import BatchResult, Head, Record, Tools
from runtime.clock import Clock
from runtime.failpoints import AbortRequested, Failpoints
from runtime.kafka.errors import AbortNeededError, KafkaUnavailableError
from runtime.kafka.group import PartitionGroup
from runtime.kafka.transactions import TransactionalProducer
from runtime.monitoring import Monitoring
from schemas.topics import USAGE_CORRECTIONS, USAGE_EVENTS

_LOG = logging.getLogger(__name__)
_DAY_US = 86_400_000_000
_REFRESHED_A_TRANSACTION = 5_000
_ABORTED_IN_A_ROW_MAX = 20
_TOPICS_CHECKED_S = 5.0

FAILPOINTS = frozenset(
    {
        "after_consume",
        "after_dedupe",
        "mid_produce",
        "before_send_offsets",
        "after_send_offsets",
        "in_commit",
        "after_commit_before_checkpoint",
        "mid_checkpoint",
        "in_on_revoke",
        "in_restore",
    }
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a transaction takes, how often customers' records are looked through, and how long a
    take-over of partitions may last.
    """

    records_max: int
    bytes_max: int
    wait_s: float
    refresh_after_us: int
    refresh_every_s: float
    restore_s: float


@dataclass(slots=True)
class _Work:
    """One partition's share of the transaction under way."""

    owned: OwnedPartition
    result: BatchResult
    recorded: Recorded
    day: int
    deltas_next: int | None = None
    state_next: int | None = None


class Rater:
    """Rates the partitions that its group gives it, until told to stop. One thread."""

    def __init__(
        self,
        *,
        names: TopicNames,
        group: Callable[..., PartitionGroup],
        assignment: Assignment,
        producer: TransactionalProducer,
        book: BookSource,
        older_book: OlderBook,
        partition_of: Callable[[bytes], int],
        windows: Windows,
        limits: Limits,
        clock: Clock,
        failpoints: Failpoints,
        process: str,
        build: str,
        monitoring: Monitoring,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._names = names
        self._assignment = assignment
        self._producer = producer
        self._book = book
        self._toolbox = Toolbox(partition_of, older_book)
        self._windows = windows
        self._limits = limits
        self._clock = clock
        self._failpoints = failpoints
        self._process = process
        self._build = build
        self._sleep = sleep
        self._waiting: set[int] = set()
        self._aborted_in_a_row = 0
        self._owned: dict[int, OwnedPartition] = {}
        self._refresh_due_s = 0.0
        self._topics_due_s = clock.monotonic_s() + _TOPICS_CHECKED_S
        self._telling = Telling(monitoring, names.inputs, clock)
        self.counters = self._telling.counters
        self._group = group(opened=self._open, closed=self._close)

    def run(self, stopping: Callable[[], bool]) -> None:
        """Work until `stopping()`; then leave the group cleanly."""
        try:
            while not stopping():
                self.step()
        finally:
            self._group.close()

    def step(self) -> bool:
        """One round: at most one transaction. Returns whether there was one."""
        limits = self._limits
        messages = self._group.poll(limits.records_max, limits.bytes_max, limits.wait_s)
        self._failpoints.hit("after_consume")
        works = self._decide(self._by_partition(messages), self._toolbox.tools(self._book.newest()))
        self._failpoints.hit("after_dedupe")
        if works:
            self._transact(works)
        self._telling.waiting(self._waiting, self._book.newest(), self._heads())
        if self._waiting:
            # Nothing of these partitions can be rated before the book is confirmed anew.
            self._rewind(sorted(self._waiting))
            self._waiting.clear()
            self._sleep(limits.wait_s)
        self._check_topics()
        self._telling.round(self._book.newest(), assigned=self._group.group_metadata is not None)
        return bool(works)

    # --- deciding ---

    def _by_partition(self, messages: Sequence[Any]) -> dict[int, tuple[list[Record], list[Record]]]:
        """Records that continue their partition; what the client had fetched before a rewind is dropped."""
        batches: dict[int, tuple[list[Record], list[Record]]] = {
            partition: ([], []) for partition in self._owned
        }
        expected = {
            (self._names.inputs[kind], partition): position
            for partition, owned in self._owned.items()
            for kind, position in enumerate((owned.head.events_next, owned.head.corrections_next))
        }
        events_topic = self._names.events
        for message in messages:
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            if offset < expected.get((topic, partition), offset + 1):
                continue
            expected[topic, partition] = offset + 1
            record = record_of(message)
            batches[partition][0 if topic == events_topic else 1].append(record)
        return batches

    def _decide(self, batches: Mapping[int, tuple[list[Record], list[Record]]], tools: Tools) -> list[_Work]:
        refresh = self._refreshes()
        works = []
        for partition, (events, corrections) in batches.items():
            owned = self._owned[partition]
            head = owned.head
            if tools.book_version < head.book_version:
                # Another rater had a newer version confirmed; ours comes with the next poll.
                if events or corrections:
                    self._waiting.add(partition)
                continue
            wanted = refresh.get(partition, Recorded())
            # A new version is recorded in the head at once, by an empty frame if need be.
            newer = tools.book_version > head.book_version
            if not (events or corrections or wanted or newer):
                continue
            if events:
                owned.check_coverage(events[0])
            batch = PartitionBatch(partition, head, self._windows, owned, tools)
            result = batch.run(events, corrections, USAGE_EVENTS, USAGE_CORRECTIONS)
            if result.paused_at is not None or result.correction_paused_at is not None:
                # An event time beyond the confirmed book's horizon, or an older version that is not at hand.
                self._waiting.add(partition)
                if not (result.moved or wanted or newer):
                    continue
            day = result.head.highest_append_us // _DAY_US
            works.append(_Work(owned, result, recorded_with(owned.store, result, day, wanted), day))
        return works

    def _refreshes(self) -> dict[int, Recorded]:
        """What rater.state has lacked for long, by partition."""
        if not self._owned or self._clock.monotonic_s() < self._refresh_due_s:
            return {}
        due_s = self._clock.monotonic_s() + self._limits.refresh_every_s
        before_us = self._clock.now_us() - self._limits.refresh_after_us
        found = {}
        for partition, owned in self._owned.items():
            found[partition], more = due(owned.store, before_us, _REFRESHED_A_TRANSACTION)
            if more:
                due_s = 0.0  # go on with the next transaction
        self._refresh_due_s = due_s
        return found

    # --- effects, in order ---

    def _transact(self, works: Sequence[_Work]) -> None:
        begun_s = self._clock.monotonic_s()
        try:
            self._producer.begin()
            for work in works:
                self._produce(work)
                self._failpoints.hit("mid_produce")
            self._producer.flush()
            self._failpoints.hit("before_send_offsets")
            self._producer.send_offsets(self._offsets(works), self._group.group_metadata)
            self._failpoints.hit("after_send_offsets")
            self._failpoints.hit("in_commit")
            self._producer.commit()
        except (AbortNeededError, AbortRequested) as reason:
            _LOG.warning("transaction aborted: %s", reason)
            self._producer.abort()
            self._telling.aborted()
            self._aborted_in_a_row += 1
            self._refresh_due_s = 0.0  # a refresh may have been in it
            if self._aborted_in_a_row >= _ABORTED_IN_A_ROW_MAX:
                raise KafkaUnavailableError(
                    f"{self._aborted_in_a_row} transactions in a row were aborted, the last one: {reason}"
                ) from reason
            self._rewind(self._owned)
            return
        committed_s = self._clock.monotonic_s()
        self._aborted_in_a_row = 0
        self._failpoints.hit("after_commit_before_checkpoint")
        for work in works:
            self._apply(work)
            self._failpoints.hit("mid_checkpoint")
        self._telling.committed((work.result for work in works), committed_s - begun_s)
        self._telling.stands(self._heads())

    def _produce(self, work: _Work) -> None:
        result, names = work.result, self._names
        partition = result.partition
        produce = self._producer.produce
        for key, value in result.rated:
            produce(names.rated, partition, key, value)
        for rejected in result.rejected:
            self._put(rejected_output(names.rejected, partition, rejected), partition)
        *parts, last_part = frame_outputs(names.deltas, result, self._process, self._build)
        for part in parts:
            self._put(part, partition)

        def deltas_delivered(offset: int) -> None:
            work.deltas_next = offset + 1

        def state_delivered(offset: int) -> None:
            work.state_next = offset + 1

        produce(last_part.topic, partition, None, last_part.value, deltas_delivered)
        for output in customer_outputs(names.state, work.recorded.customers, result.head.frame_no):
            self._put(output, partition)
        for output in period_outputs(names.state, work.recorded.periods, result.head.frame_no):
            self._put(output, partition)
        for output in correction_outputs(names.state, result):
            self._put(output, partition)
        head = head_output(names.state, result.head, work.owned.store.meta.log)
        produce(head.topic, partition, head.key, head.value, state_delivered)

    def _put(self, output: Output, partition: int) -> None:
        self._producer.produce(output.topic, partition, output.key, output.value)

    def _offsets(self, works: Sequence[_Work]) -> dict[tuple[str, int], int]:
        """An input offset of each partition written to, even if unchanged: they fence old owners."""
        offsets = {}
        for work in works:
            head = work.result.head
            offsets[self._names.events, work.result.partition] = head.events_next
            offsets[self._names.corrections, work.result.partition] = head.corrections_next
        return offsets

    def _apply(self, work: _Work) -> None:
        result, owned = work.result, work.owned
        owned.store.apply(
            effects_of_result(result),
            at_us=self._clock.now_us(),
            recorded=work.recorded.customers,
            recorded_periods=work.recorded.periods,
            recorded_day=work.day,
            deltas_next=work.deltas_next,
            state_next=work.state_next,
            coverage_from_us=0 if owned.covered or result.head.frame_no == 1 else None,
        )
        owned.head = result.head
        dropped = owned.store.drop_expired()
        if dropped:
            _LOG.info("partition %d: dropped %d expired buckets of digests", result.partition, len(dropped))

    def _rewind(self, partitions: Sequence[int] | Mapping[int, OwnedPartition]) -> None:
        """Go back to the heads: a consumer's position does not follow an abort."""
        positions = {}
        for partition in partitions:
            head = self._owned[partition].head
            positions[self._names.events, partition] = head.events_next
            positions[self._names.corrections, partition] = head.corrections_next
        self._group.seek(positions)

    # --- rebalances ---

    def _open(self, partitions: Sequence[int]) -> dict[tuple[str, int], int]:
        with self._telling.progress.budget("partitions are taken over", self._limits.restore_s):
            self._owned = self._assignment.open(partitions, self._group.wait_for_pending_offsets)
        self._telling.stands(self._heads())
        self._refresh_due_s = 0.0  # a rater that is restarted often must come to it too
        _LOG.info("owns partitions %s", ", ".join(map(str, partitions)))
        return {
            position: offset
            for partition, owned in self._owned.items()
            for position, offset in (
                ((self._names.events, partition), owned.head.events_next),
                ((self._names.corrections, partition), owned.head.corrections_next),
            )
        }

    def _close(self, partitions: Sequence[int]) -> None:
        # Transactions begin and end between two polls, so none is open here.
        self._failpoints.hit("in_on_revoke")
        owned, self._owned = self._owned, {}
        self._telling.progress.gave_up()
        for it in owned.values():
            it.store.close()
        _LOG.info("gave up partitions %s", ", ".join(map(str, partitions)))

    def _check_topics(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s >= self._topics_due_s:
            self._topics_due_s = now_s + _TOPICS_CHECKED_S
            try:
                self._assignment.check_topics()
            except TopicChangedError:
                raise
            except KafkaUnavailableError as error:
                # A broker that is away is for the next transaction to judge: a quiet rater outlives it.
                _LOG.warning("topics cannot be checked now: %s", error)

    def _heads(self) -> dict[int, Head]:
        return {partition: owned.head for partition, owned in self._owned.items()}
