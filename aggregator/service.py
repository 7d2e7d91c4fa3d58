"""The order of effects: parts of frames in, states and totals out, and only then the offsets.

Frames are folded in memory. Each `publish_ms` what has changed is written once: to usage.totals, and when
that is acknowledged to the local table and its changelog; when every record of that is acknowledged too, the
offsets behind the frames are released. All of this runs in one event loop, and a fold is never interrupted
by another, so a write holds whole frames only. Whatever fails ends the process at once, without a commit:
Faust's own way to stop, or to restart an agent, acknowledges what was not done.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from aggregator.adapters.live_codec import customer_key, encode_state, encode_totals, partition_key
from aggregator.adapters.states import head_bytes, state_for
from aggregator.adapters.writer import Record, Writing
from aggregator.core.fold import CustomerState, Outcome, apply, fresh, must_rebuild, rebuild
from aggregator.core.frame_rows import rows_of
from aggregator.core.held import Held, Partition
from aggregator.core.parts import Parts
from aggregator.core.released import Released
from runtime.clock import Clock
from runtime.errors import InfrastructureError
from runtime.failpoints import Failpoints
from runtime.monitoring import Monitoring
from schemas.codec import CODEC

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

_LOG = logging.getLogger(__name__)
FAILPOINTS = frozenset(
    {
        "after_read",
        "after_table_put",
        "before_changelog_ack",
        "after_publish",
        "before_commit",
        "after_commit",
        "in_recovery",
        "in_revoke",
    }
)
EXIT_CODE = 70
_SETTLE_S = 5.0
_YIELD_EVERY = 100  # customers written before something else may run


class _OvertakenError(Exception):
    """Another assignment began."""


class StateError(InfrastructureError):
    """The state belongs to other topics, or is not what an aggregator writes."""


def end(error: BaseException) -> None:
    """Say why, and exit at once: no clean-up, because cleaning up would commit."""
    _LOG.critical("stopped: %s: %s", type(error).__name__, error, exc_info=error)
    os._exit(getattr(error, "exit_code", EXIT_CODE))


class Table(Protocol):
    """The local table, by partition."""

    def local(self, partition: int, key: bytes) -> bytes | None: ...

    def keep(self, partition: int, values: dict[bytes, bytes]) -> None: ...

    def wrote(self, partition: int, count: int, last: int) -> None: ...


class Sender(Protocol):
    """The writer."""

    async def send(self, topic: str, partition: int, records: Iterable[Record]) -> Writing: ...


class Wanted(Protocol):
    """What totals are to be made for."""

    def watched(self, customer_id: str, at_us: int) -> Any: ...


@dataclass(frozen=True, slots=True)
class Names:
    """Topics on the broker, and the id of the first."""

    deltas: str
    state: str
    totals: str
    deltas_id: str


@dataclass(frozen=True, slots=True)
class _Batch:
    """What one write has of a partition; `position` is what it covers."""

    partition: Partition
    position: int | None
    values: dict[bytes, bytes]
    totals: Writing


class Aggregator:
    """One worker: `take` for each record, `write_forever` beside it, and the calls of the transport.

    `released` is keyed by partition number.
    """

    def __init__(
        self,
        *,
        table: Table,
        sender: Sender,
        wanted: Wanted,
        names: Names,
        held: Held,
        released: Released[int],
        committed: Callable[[], dict[int, int]],
        clock: Clock,
        failpoints: Failpoints,
        monitoring: Monitoring,
        publish_s: float,
    ) -> None:
        self._table = table
        self._sender = sender
        self._wanted = wanted
        self._names = names
        self._held = held
        self._released = released
        self._committed = committed
        self._clock = clock
        self._failpoints = failpoints
        self._monitoring = monitoring
        self._publish_s = publish_s
        self._generation = 0
        self._began: dict[int, int] = {}
        self._writing = asyncio.Lock()
        self._changed = asyncio.Event()
        self._restoring: AbstractContextManager[None] | None = None
        self._restoring_since_s = 0.0
        self.suspected = asyncio.Event()
        """Set when a partition became suspect, or customers began to wait for the ledger."""

    def passed(self, point: str) -> None:
        """A failpoint."""
        self._failpoints.hit(point)

    # -- what is read ------------------------------------------------------------------------------------

    def take(self, number: int, offset: int, value: bytes | None) -> None:
        """One record of usage.deltas.

        Raises:
            Undecodable, UnknownSchema, PartsError: it is not what a rater writes.
        """
        partition = self._held.partitions.get(number)
        if partition is None:
            return  # given away since it was fetched: whoever has it reads it
        if offset <= partition.read_offset:
            partition.parts = Parts()  # the client went back to the committed offset
        partition.read_offset = offset
        part = CODEC.decode("FramePart", value)
        whole = partition.parts.add(part["frame_no"], part["part_no"], part["part_count"], part["chunk"])
        if whole is None:
            return
        self.passed("after_read")
        self.fold(partition, CODEC.decode("DeltaFrame", whole))
        partition.next_offset = offset + 1
        partition.moved = True
        partition.frames += 1
        self._changed.set()

    def fold(self, partition: Partition, frame: dict[str, Any]) -> None:
        """Fold a whole frame, whatever was before it."""
        number = frame["frame_no"]
        if number > (partition.frame_no or 0) + 1:
            _LOG.warning(
                "partition %d: frame %d follows frame %s: what is missing comes from the ledger",
                partition.number,
                number,
                partition.frame_no,
            )
            self.suspect(partition)
        elif number == 1 and partition.frame_no is None:
            partition.trust()  # nothing was before it
        partition.frame_no = max(number, partition.frame_no or 0)
        partition.at_us = at_us = max(frame["highest_append_us"], partition.at_us)
        dimensions = tuple(frame["dimensions"])
        gaps = 0
        for customer in frame["customers"]:
            state = self.state(partition, customer["customer_id"], at_us)
            outcome = Outcome.DUPLICATE
            if customer["last_seq"] > state.seq:
                rows = rows_of(dimensions, customer["rows"])
                outcome = apply(state, customer["first_seq"], customer["last_seq"], rows, at_us)
            gaps += outcome is Outcome.GAP
            # A duplicate too is written again: this state may never have reached the changelog.
            partition.change(state)
        self._monitoring.metrics.add("ratestream_aggregator_frames_total")
        if gaps:
            self._monitoring.metrics.add("ratestream_aggregator_gaps_total", gaps)
        if partition.repairing:
            self.suspected.set()

    def state(self, partition: Partition, customer_id: str, at_us: int) -> CustomerState:
        """The customer's state, made for what is wanted of it at that instant."""
        watched = self._wanted.watched(customer_id, at_us)

        def load(where: Partition, who: str) -> CustomerState:
            value = self._table.local(where.number, customer_key(who))
            if value is None:
                return fresh(who, watched)
            state, same = state_for(value, watched)
            if not same:
                rebuild(state, watched)
                where.change(state)
            return state

        state = self._held.state(partition, customer_id, load)
        if must_rebuild(state, watched):
            rebuild(state, watched)
            partition.change(state)
        return state

    def suspect(self, partition: Partition) -> None:
        """Frames or states were lost: the ledger is to be asked for every customer of the partition."""
        partition.doubt()
        self.suspected.set()

    def changed(self) -> None:
        """States were changed from outside a frame."""
        self._changed.set()

    # -- what is written ---------------------------------------------------------------------------------

    async def write_forever(self) -> None:
        """Write what has changed, at once where the last write is long ago."""
        while True:
            await self._changed.wait()
            started_s = self._clock.monotonic_s()
            await self.write()
            await asyncio.sleep(max(0.0, self._publish_s - (self._clock.monotonic_s() - started_s)))

    async def write(self) -> None:
        """Write what has changed until now, and release what that covers when it is acknowledged.

        Raises:
            UnsentError: Kafka did not take it.
        """
        async with self._writing:
            self._changed.clear()
            appended_us = [item.at_us for item in self._held.partitions.values() if item.frames]
            try:
                await self._write_batches(self._generation)
            except _OvertakenError:
                return
            self._tell()
            for at_us in appended_us:
                late_s = max(self._clock.now_us() - at_us, 0) / 1_000_000
                self._monitoring.metrics.observe("ratestream_aggregator_publish_latency_seconds", late_s)

    async def _write_batches(self, generation: int) -> None:
        batches: list[_Batch] = []
        for partition in list(self._held.partitions.values()):
            if partition.changed or partition.moved:
                batches.append(await self._publish(partition))
                self._check(generation)
        for batch in batches:
            await batch.totals.acknowledged()
        changelogs: list[Writing] = []
        for batch in batches:
            self._check(generation)
            changelogs.append(await self._keep(batch))
        self.passed("before_changelog_ack")
        for batch, changelog in zip(batches, changelogs, strict=True):
            last = await changelog.acknowledged()
            self._check(generation)
            if last is not None:
                self._table.wrote(batch.partition.number, len(batch.values), last)
            batch.partition.writing = {}
        self.passed("after_publish")
        for batch in batches:
            if batch.position is not None:
                self._released.release(batch.partition.number, batch.position)

    def _check(self, generation: int) -> None:
        if generation != self._generation:
            raise _OvertakenError

    async def _publish(self, partition: Partition) -> "_Batch":
        """Send the totals of a partition's changed states, and encode these: the head last, never ahead."""
        partition.writing, partition.changed = partition.changed, {}
        publish, partition.publish = partition.publish, set()
        partition.moved, partition.frames = False, 0
        position, head = partition.next_offset, partition.told_no
        values: dict[bytes, bytes] = {}
        totals: list[Record] = []
        for count, state in enumerate(list(partition.writing.values()), 1):
            values[customer_key(state.customer_id)] = encode_state(state)
            if state.since_seq is None and state.customer_id in publish:
                totals.append((state.customer_id.encode(), encode_totals(state)))
            if count % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        if head is not None:
            told = head_bytes(head, partition.number, self._names.deltas_id)
            values[partition_key(partition.number)] = told
        metrics = self._monitoring.metrics
        metrics.add("ratestream_aggregator_customers_written_total", len(partition.writing))
        metrics.add("ratestream_aggregator_published_total", len(totals))
        sent = await self._sender.send(self._names.totals, partition.number, totals)
        return _Batch(partition, position, values, sent)

    async def _keep(self, batch: "_Batch") -> Writing:
        """Once totals are acknowledged: no frame is left to have a repaired customer published again."""
        self._table.keep(batch.partition.number, batch.values)
        self.passed("after_table_put")
        return await self._sender.send(self._names.state, batch.partition.number, batch.values.items())

    def _tell(self) -> None:
        metrics, progress = self._monitoring.metrics, self._monitoring.progress
        partitions = self._held.partitions.values()
        metrics.set("ratestream_aggregator_repairs_open", self._held.repairing())
        metrics.set("ratestream_aggregator_release_queue_frames", sum(item.frames for item in partitions))
        positions = {
            item.number: self._released.next_offset(item.number) or self._began.get(item.number)
            for item in partitions
        }
        progress.stands(
            {(self._names.deltas, number): at for number, at in positions.items() if at is not None}
        )

    async def follow(self) -> None:
        """The event loop goes round; and, once an assignment, where the group's commits stand: the watchdog
        could not know else that nothing of the partitions is done.
        """
        self._monitoring.progress.turned()
        if self._held.partitions and not self._began:
            generation = self._generation
            found = await asyncio.to_thread(self._committed)
            if generation == self._generation:
                self._began = found
                self._tell()

    # -- what Faust and the group tell -------------------------------------------------------------------

    async def settle(self) -> None:
        """Partitions are about to go: write what there is, if that does not take long."""
        try:
            async with asyncio.timeout(_SETTLE_S):
                await self.write()
        except TimeoutError:
            _LOG.warning("partitions go before Kafka acknowledged everything: it will be read again")

    def assigning(self) -> None:
        """A new assignment begins: nothing in memory counts any more."""
        self._generation += 1
        self._began = {}
        self._held.forget()
        self._released.forget()
        self._monitoring.progress.gave_up()
        if self._restoring is None:
            self._restoring_since_s = self._clock.monotonic_s()
            self._restoring = self._monitoring.progress.budget("restoring the state", 0)
            self._restoring.__enter__()

    def restored(self, numbers: Sequence[int]) -> None:
        """The table holds everything that the changelog has of these partitions.

        Raises:
            StateError: it belongs to another usage.deltas.
        """
        # A restore that a rebalance overtook may have told of other partitions, or read the table too early.
        self._generation += 1
        self._held.forget()
        self._released.forget()
        for number in sorted(numbers):
            value = self._table.local(number, partition_key(number))
            head = None if value is None else CODEC.decode("LivePartition", value)
            if head is not None and head["topic_id"] != self._names.deltas_id:
                raise StateError(
                    f"{self._names.state} partition {number} belongs to {self._names.deltas} with the id "
                    f"{head['topic_id']}, which is {self._names.deltas_id} now: it was created anew; delete "
                    f"{self._names.state} and run `ratestream topics apply`: the totals come from the ledger"
                )
            partition = Partition(number, None if head is None else head["frame_no"])
            self._held.partitions[number] = partition
            if head is None:
                self.suspect(partition)
        if self._restoring is not None:
            self._restoring.__exit__(None, None, None)
            self._restoring = None
            took_s = self._clock.monotonic_s() - self._restoring_since_s
            self._monitoring.metrics.set("ratestream_aggregator_recovery_seconds", took_s)
        self._monitoring.progress.turned(assigned=True)
        _LOG.info("owns partitions %s", sorted(numbers))
