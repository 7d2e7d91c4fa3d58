"""Taking over partitions, in the one order that neither loses nor repeats an event.

    1. fetch the group's offsets under read_committed: waits for an old owner's pending transaction
    2. take the outputs' high watermarks by a read_uncommitted request
    3. wait until the last stable offsets reach them: no transaction that wrote there is open
    4. restore the state up to them
    5. take the position from the head
    6. only then produce

A read_committed request for step 2 would be told the last stable offset, before an open transaction whose
records may yet be committed. The offsets fetched in step 1 are discarded: the head is the position.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rocksdict import Cache

from rater.adapters.log_reader import LogBounds, LogTopics, check_coverage, restore
from rater.adapters.meta import LogIdentity
from rater.adapters.state import StateStore
from rater.core.lateness import Windows
from rater.core.work import Head, Record
from runtime.clock import Clock
from runtime.kafka.errors import KafkaUnavailableError, PositionLostError
from runtime.kafka.offsets import Isolation, list_offsets
from runtime.kafka.reading import PartitionReader, ReadFailedError
from runtime.kafka.topology import Topology, describe

_LOG = logging.getLogger(__name__)
_STABLE_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class TopicNames:
    """The rater's topics as they are named on the broker."""

    events: str
    corrections: str
    rated: str
    rejected: str
    deltas: str
    state: str

    @property
    def inputs(self) -> tuple[str, str]:
        return (self.events, self.corrections)

    @property
    def outputs(self) -> tuple[str, str, str, str]:
        return (self.rated, self.rejected, self.deltas, self.state)


class TopicChangedError(KafkaUnavailableError):
    """A topic was deleted and created anew: offsets of the old one mean nothing in it, so the rater stops."""


class OwnedPartition:
    """A partition whose state is restored: all that a batch asks, and where it stands."""

    def __init__(
        self,
        partition: int,
        store: StateStore,
        head: Head,
        *,
        names: TopicNames,
        reader: PartitionReader,
        config: Mapping[str, Any],
        windows: Windows,
    ) -> None:
        self.partition = partition
        self.store = store
        self.head = head
        self.known = store.known
        self.covers = store.covers
        self.last_sequences = store.last_sequences
        self.period = store.period
        self.revision = store.revision
        self.run = store.run
        self._names = names
        self._reader = reader
        self._config = config
        self._windows = windows
        self._covered = False
        self._first_held = 0  # offset of the first input record that the broker holds, as far as known

    def check_coverage(self, first: Record) -> None:
        """At the first input record after a restore: see log_reader.check_coverage."""
        if not self._covered:
            check_coverage(self.store, self.head, first.append_us, self._windows.coverage_us)
            self._covered = True

    @property
    def covered(self) -> bool:
        """Whether every rated event that the next input can repeat is known."""
        return self._covered

    def first_record(self, offset: int) -> bytes | None:
        """The value at an offset of usage.events, or None where it is gone."""
        where = (self._names.events, self.partition)
        if offset < self._first_held:
            return None
        try:
            for record in self._reader.read(*where, offset, offset + 1):
                return record.value
        except ReadFailedError:
            # Asked only now: it takes ten times as long as a read, and a batch may be full of such repeats.
            self._first_held = list_offsets(self._config, [where], "earliest")[where]
            if offset >= self._first_held:
                raise
        return None


class Assignment:
    """Opens and closes partitions."""

    def __init__(
        self,
        *,
        config: Mapping[str, Any],
        reader: PartitionReader,
        names: TopicNames,
        topology: Topology,
        windows: Windows,
        slot_path: Path,
        cache: Cache,
        clock: Clock,
        timeout_s: float,
        in_restore: Callable[[], None],
    ) -> None:
        self._config = config
        self._reader = reader
        self._names = names
        self._windows = windows
        self._slot_path = slot_path
        self._cache = cache
        self._clock = clock
        self._timeout_s = timeout_s
        self._in_restore = in_restore
        self._topic_ids = ids = topology.topic_ids
        self._partitions = dict(topology.partitions)
        self._log = LogIdentity(
            topology.cluster_id,
            ids[names.events],
            ids[names.corrections],
            ids[names.deltas],
            ids[names.state],
        )

    def open(
        self, partitions: Sequence[int], wait_for_pending_offsets: Callable[[Sequence[int], float], None]
    ) -> dict[int, OwnedPartition]:
        """Take over partitions. Blocks until their state is restored.

        Raises:
            KafkaUnavailableError: an old transaction stayed open, or the broker is away.
            PositionLostError: the broker no longer holds a position.
            FrameError: the log contradicts itself.
            TopicChangedError: a topic is not the one that it was.
        """
        self.check_topics()
        # 1. An old owner that sent its offsets before it lost the partitions may still commit.
        wait_for_pending_offsets(partitions, self._timeout_s)
        # 2. Everything that any owner has produced so far, committed or not.
        ends = self._output_ends(partitions)
        # 3. From here on nothing below the ends can change.
        self._wait_until_stable(ends)
        owned: dict[int, OwnedPartition] = {}
        starts = list_offsets(self._config, list(ends), "earliest")
        for partition in partitions:
            bounds = LogBounds(
                starts[self._names.deltas, partition],
                ends[self._names.deltas, partition],
                starts[self._names.state, partition],
                ends[self._names.state, partition],
            )
            # 4. Up to the ends and no further. 5. The head is the position.
            owned[partition] = self._restored(partition, bounds)
        self._check_positions(owned)
        return owned

    def check_topics(self) -> None:
        """A fetch names a topic by its name, so a consumer goes on in a new topic as if nothing had happened.

        Raises:
            TopicChangedError: a topic is not the one that the process started with.
            KafkaUnavailableError: one does not exist, or the broker is away.
        """
        now = describe(self._config, [*self._names.inputs, *self._names.outputs])
        if dict(now.partitions) != self._partitions:
            raise TopicChangedError(
                f"partitions were {self._partitions} and are now {dict(now.partitions)}: a customer's log "
                "stands on its partition, so their number never changes; growing means new topics"
            )
        for name, topic_id in now.topic_ids.items():
            if topic_id != self._topic_ids[name]:
                raise TopicChangedError(
                    f"{name}: its id was {self._topic_ids[name]} and is now {topic_id}: "
                    "the topic was deleted and created anew"
                )

    def _output_ends(self, partitions: Sequence[int]) -> dict[tuple[str, int], int]:
        wanted = [(topic, partition) for topic in self._names.outputs for partition in partitions]
        return list_offsets(self._config, wanted, "latest", Isolation.UNCOMMITTED)

    def _wait_until_stable(self, ends: Mapping[tuple[str, int], int]) -> None:
        deadline_s = self._clock.monotonic_s() + self._timeout_s
        while True:
            stable = list_offsets(self._config, list(ends), "latest", Isolation.COMMITTED)
            open_ = [where for where, end in ends.items() if stable[where] < end]
            if not open_:
                return
            if self._clock.monotonic_s() > deadline_s:
                raise KafkaUnavailableError(
                    f"a transaction stayed open for {self._timeout_s} s in {open_[0][0]} {open_[0][1]}"
                )
            time.sleep(_STABLE_POLL_S)

    def _restored(self, partition: int, bounds: LogBounds) -> OwnedPartition:
        started_s = self._clock.monotonic_s()
        store = StateStore(self._slot_path / f"partition-{partition}", self._log, self._windows, self._cache)
        topics = LogTopics(
            self._names.deltas,
            self._names.state,
            self._log.events_topic_id,
            self._log.corrections_topic_id,
            self._log.deltas_topic_id,
        )
        before = store.meta.head.frame_no
        head = restore(store, self._reader, partition, topics, bounds, self._in_restore)
        _LOG.info(
            "partition %d: %d frames restored up to frame %d in %.2f s; goes on at events %d",
            partition,
            head.frame_no - before,
            head.frame_no,
            self._clock.monotonic_s() - started_s,
            head.events_next,
        )
        return OwnedPartition(
            partition,
            store,
            head,
            names=self._names,
            reader=self._reader,
            config=self._config,
            windows=self._windows,
        )

    def _check_positions(self, owned: Mapping[int, OwnedPartition]) -> None:
        positions = {
            (topic, partition): offset
            for partition, it in owned.items()
            for topic, offset in zip(
                self._names.inputs, (it.head.events_next, it.head.corrections_next), strict=True
            )
        }
        first = list_offsets(self._config, list(positions), "earliest")
        end = list_offsets(self._config, list(positions), "latest")
        for where, position in positions.items():
            if not first[where] <= position <= end[where]:
                raise PositionLostError(
                    f"{where[0]} {where[1]}: the position is {position}, "
                    f"the broker holds {first[where]} to {end[where]}: "
                    "input records were deleted before they were rated"
                )
