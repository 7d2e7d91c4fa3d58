"""Restoring a partition's state from the rater's own log: rater.state, then frames."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rater.adapters.corrected import RevisionRecord, RunRecord
from rater.adapters.periods import PeriodRecord
from rater.adapters.state import StateStore
from rater.core.frames import Assembler, FrameError, Part, check_follows, effects_of_record
from rater.core.identity import identity_digest
from rater.core.periods import PeriodKey, pack_key, state_of_fields
from rater.core.revisions import RunAt, RunKey, pack_run_key, revision_of_fields, unpack_run_key
from rater.core.work import Head
from runtime.kafka.reading import PartitionReader, Record
from schemas.codec import CODEC

_LOG = logging.getLogger(__name__)
_DAY_US = 86_400_000_000
_RECORDS_A_WRITE = 10_000
_LATER_THAN_ANY = 2**63 - 1

CUSTOMER_PREFIX = b"c/"
PERIOD_PREFIX = b"p/"
REVISION_PREFIX = b"r/"
RUN_PREFIX = b"u/"
HEAD_KEY = b"h"
END_KEY = b"g"


class CoverageError(Exception):
    """The frames that are left do not reach back far enough to recognise every duplicate: the rater stops."""

    exit_code = 3  # of the process: see runtime.errors


class _FramesMissingError(FrameError):
    """Frames between the local state and the oldest one on the topic are gone: the local state is useless."""


@dataclass(frozen=True, slots=True)
class LogBounds:
    """Where a partition's log begins and ends: [from, to) of usage.deltas and of rater.state."""

    deltas_from: int
    deltas_to: int
    state_from: int
    state_to: int


@dataclass(frozen=True, slots=True)
class LogTopics:
    """Names on the broker, and the ids that a head must name."""

    deltas: str
    state: str
    events_id: str
    corrections_id: str
    deltas_id: str


def restore(  # noqa: PLR0917 - each names one thing of the partition
    store: StateStore,
    reader: PartitionReader,
    partition: int,
    topics: LogTopics,
    bounds: LogBounds,
    between_frames: Callable[[], None],
) -> Head:
    """Bring the local state up to the bounds and return the head that the log names.

    Raises:
        FrameError: the log contradicts itself.
    """
    try:
        return _follow(store, reader, partition, topics, bounds, between_frames)
    except _FramesMissingError as gone:
        _LOG.info("partition %d: %s; restoring from the log alone", partition, gone)
        store.discard(store.meta.log)
        return _follow(store, reader, partition, topics, bounds, between_frames)


def _follow(  # noqa: PLR0917 - as restore
    store: StateStore,
    reader: PartitionReader,
    partition: int,
    topics: LogTopics,
    bounds: LogBounds,
    between_frames: Callable[[], None],
) -> Head:
    if store.meta.deltas_next > bounds.deltas_to or store.meta.state_next > bounds.state_to:
        raise FrameError(
            f"the local state has followed usage.deltas to {store.meta.deltas_next} and rater.state to "
            f"{store.meta.state_next}, but they end at {bounds.deltas_to} and {bounds.state_to}: the broker "
            "has lost committed records; delete the local state to go on from what is left"
        )
    named = _read_state(
        store,
        reader.read(topics.state, partition, max(store.meta.state_next, bounds.state_from), bounds.state_to),
        topics,
    )
    head = named or store.meta.head
    start = max(store.meta.deltas_next, bounds.deltas_from)
    for record, frame in whole_frames(reader.read(topics.deltas, partition, start, bounds.deltas_to)):
        _apply_frame(store, record, frame)
        between_frames()
    reached = store.meta.head
    if reached.frame_no < head.frame_no and store.meta.coverage_from_us is None:
        # Every frame has expired; the head and the customers' records remain. Whether the window is covered,
        # check_coverage asks when the next input record comes.
        store.set_head(head)
    elif reached.frame_no < head.frame_no and bounds.deltas_from > store.meta.deltas_next:
        raise _FramesMissingError(f"local state ends at frame {reached.frame_no}, frames begin later")
    elif reached != head:
        raise FrameError(f"the head is {head}, the frames lead to {reached}")
    store.set_positions(deltas_next=bounds.deltas_to, state_next=bounds.state_to)
    return head


@dataclass(slots=True)
class StateRecords:
    """Records of rater.state, collected until they are written."""

    customers: dict[str, tuple[int, int]] = field(default_factory=dict)
    periods: dict[PeriodKey, PeriodRecord] = field(default_factory=dict)
    revisions: dict[bytes, RevisionRecord] = field(default_factory=dict)
    runs: dict[RunKey, RunRecord] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.customers) + len(self.periods) + len(self.revisions) + len(self.runs)

    def take(self, key: bytes, value: bytes | None, day: int) -> None:
        """A record that is no head.

        Raises:
            FrameError: it is not what this version writes, or the generation has ended.
        """
        if key.startswith(CUSTOMER_PREFIX):
            state = CODEC.decode("CustomerState", value)
            self.customers[state["customer_id"]] = state["last_seq"], day
        elif key.startswith(PERIOD_PREFIX):
            state = CODEC.decode("PeriodState", value)
            period = (state["customer_id"], state["pool"], state["start_us"])
            _check_key(key, PERIOD_PREFIX + pack_key(period), period)
            self.periods[period] = PeriodRecord(state_of_fields(state), state["frame_no"], day)
        elif key.startswith(REVISION_PREFIX):
            state = CODEC.decode("RevisionState", value)
            revision = revision_of_fields(state["customer_id"], state)
            digest = identity_digest(*revision[:3])
            _check_key(key, REVISION_PREFIX + digest, revision[:3])
            self.revisions[digest] = RevisionRecord(revision, state["frame_no"])
        elif key.startswith(RUN_PREFIX):
            self._take_run(key, value)
        elif key == END_KEY:
            end = CODEC.decode("GenerationEnd", value)
            raise FrameError(
                f"rater.state: these topics were grown to {end['partitions']} partitions: set "
                f"kafka.topic_prefix = {end['topic_prefix']!r} and kafka.partitions = {end['partitions']}"
            )
        else:
            raise FrameError(
                f"rater.state: key {key!r} is not one that this version writes: a newer rater has run"
            )

    def _take_run(self, key: bytes, value: bytes | None) -> None:
        run = unpack_run_key(key.removeprefix(RUN_PREFIX))
        if value is None:
            # It is closed by a later frame than any whose record stands before. Frames that are read after
            # this may open it once more, and then one of them closes it.
            self.runs[run] = RunRecord(None, _LATER_THAN_ANY)
            return
        state = CODEC.decode("RunState", value)
        named = (state["customer_id"], state["run_id"], state["pool"], state["start_us"])
        _check_key(key, RUN_PREFIX + pack_run_key(named), named)
        self.runs[run] = RunRecord(RunAt(state_of_fields(state)), state["frame_no"])


def _read_state(store: StateStore, records: Iterator[Record], topics: LogTopics) -> Head | None:
    """Apply customers', periods' and corrections' records; return the newest head, if there is one."""
    head = None
    collected = StateRecords()
    for record in records:
        key = record.key or b""
        if key == HEAD_KEY:
            head = head_of(CODEC.decode("PartitionHead", record.value), topics)
        else:
            collected.take(key, record.value, record.timestamp_us // _DAY_US)
        if len(collected) >= _RECORDS_A_WRITE:
            _apply_records(store, collected)
            collected = StateRecords()
    _apply_records(store, collected)
    return head


def _apply_records(store: StateStore, records: StateRecords) -> None:
    store.apply_records(records.customers, records.periods, records.revisions, records.runs)


def _check_key(key: bytes, expected: bytes, named: tuple[object, ...]) -> None:
    if key != expected:
        raise FrameError(f"rater.state: key {key!r} holds the state of {named}")


def head_of(record: Mapping[str, Any], topics: LogTopics) -> Head:
    """A PartitionHead of these topics.

    Raises:
        FrameError: it is of topics that were deleted since.
    """
    for name, now in (
        ("events_topic_id", topics.events_id),
        ("corrections_topic_id", topics.corrections_id),
        ("deltas_topic_id", topics.deltas_id),
    ):
        if record[name] != now:
            raise FrameError(
                f"rater.state: the head names {name} {record[name]}, the topic's id is now {now}: "
                "the topic was deleted and created anew, its offsets mean nothing any more"
            )
    return Head(
        frame_no=record["frame_no"],
        events_next=record["events_next"],
        corrections_next=record["corrections_next"],
        highest_append_us=record["highest_append_us"],
        book_version=record["book_version"],
    )


def whole_frames(records: Iterator[Record]) -> Iterator[tuple[Record, Mapping[str, Any]]]:
    """Whole frames, each with the record of its last part."""
    assembler = Assembler()
    for record in records:
        part = CODEC.decode("FramePart", record.value)
        whole = assembler.add(Part(part["frame_no"], part["part_no"], part["part_count"], part["chunk"]))
        if whole is not None:
            yield record, CODEC.decode("DeltaFrame", whole)
    if assembler.incomplete:
        raise FrameError("usage.deltas ends within a frame")


def _apply_frame(store: StateStore, record: Record, frame: Mapping[str, Any]) -> None:
    meta = store.meta
    if frame["frame_no"] <= meta.head.frame_no:
        return  # known from before the restart
    if meta.head.frame_no == 0:
        # The oldest frame that is left: those before it held no event appended later than it says. One that
        # another generation of topics told is the first, too, and names what was left behind there.
        told_us = frame["previous_highest_append_us"]
        coverage_from_us = 0 if frame["frame_no"] == 1 and not told_us else told_us + 1
    else:
        if frame["frame_no"] > meta.head.frame_no + 1:
            raise _FramesMissingError(
                f"local state ends at frame {meta.head.frame_no}, the next is {frame['frame_no']}"
            )
        check_follows(meta.head, frame)
        coverage_from_us = None
    store.apply(
        effects_of_record(frame),
        at_us=record.timestamp_us,
        deltas_next=record.offset + 1,
        coverage_from_us=coverage_from_us,
    )


def check_coverage(store: StateStore, head: Head, next_append_us: int, coverage_us: int) -> None:
    """Stop unless the state knows every rated event that the next input record could repeat.

    Args:
        store: the restored state.
        head: as restored.
        next_append_us: append time of the next input record.
        coverage_us: the window.

    Raises:
        CoverageError: duplicates might be billed.
    """
    # As lateness is measured: brokers' clocks differ, and the head may know a later instant.
    needed_from_us = max(next_append_us, head.highest_append_us) - coverage_us
    covered_from_us = store.meta.coverage_from_us
    if head.frame_no == 0 or head.highest_append_us < needed_from_us:
        return
    if covered_from_us is None or covered_from_us > needed_from_us:
        raise CoverageError(
            f"the frames that are left cover events appended from {covered_from_us} us on, but duplicates "
            f"since {needed_from_us} us must be recognised: usage.deltas was deleted too early; restore it"
        )
