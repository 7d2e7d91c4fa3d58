"""The topics as verification reads them: bounded, committed, decoded; what cannot be decoded is a finding."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from ledger.adapters.stored_state import stored_state
from ledger.core.findings import Reporter
from ledger.core.frames import Part, assemble
from ledger.core.model import InputRecord, RatedRecord, RejectedRecord
from ledger.core.state import StoredState
from runtime.kafka.clients import client_config
from runtime.kafka.offsets import BrokerOffsets, Isolation, Which, list_offsets
from runtime.kafka.reading import PartitionReader, Record
from runtime.kafka.topology import describe
from runtime.settings import KafkaSettings
from schemas import topics
from schemas.codec import decode
from schemas.errors import WireError

_CLIENT_ID = "ratestream-verify"
_POLL_S = 0.05


class Topics:
    """One reader a topic, each on one partition at a time. Not for several threads."""

    def __init__(self, settings: KafkaSettings, *, stalled_s: float) -> None:
        self._prefix = settings.topic_prefix
        self._config = client_config(settings, _CLIENT_ID)
        self._offsets = BrokerOffsets(self._config)  # one connection for every question about offsets
        self._stalled_s = stalled_s
        self._readers: dict[str, PartitionReader] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._offsets.close()
        for reader in self._readers.values():
            reader.close()

    def partitions(self) -> int:
        """How many partitions usage.deltas has. Raises KafkaUnavailableError where there is no such topic."""
        name = self._prefix + topics.USAGE_DELTAS
        return describe(self._config, [name]).partitions[name]

    def named(self, name: str) -> str:
        """The topic as it is named on the broker."""
        return self._prefix + name

    def topic_ids(self, names: Sequence[str]) -> dict[str, str]:
        """Kafka's ids of topics, by name without prefix."""
        told = describe(self._config, [self.named(name) for name in names])
        return {name: told.topic_ids[self.named(name)] for name in names}

    def offsets(
        self, names: Sequence[str], partitions: Iterable[int], which: Which, isolation: Isolation
    ) -> dict[tuple[str, int], int]:
        """Offsets by topic name without prefix, and partition."""
        asked = [(self._prefix + name, partition) for partition in partitions for name in names]
        told = list_offsets(self._offsets, asked, which, isolation)
        return {
            (name.removeprefix(self._prefix), partition): offset for (name, partition), offset in told.items()
        }

    def settled(
        self, names: Sequence[str], partitions: Sequence[int], wait_s: float
    ) -> tuple[dict[tuple[str, int], int], dict[tuple[str, int], int]]:
        """The ends of the partitions once no transaction that was open is open any more.

        Returns the last stable offsets, and the high watermarks that were not reached within `wait_s`.
        """
        marks = self.offsets(names, partitions, "latest", Isolation.UNCOMMITTED)
        deadline = time.monotonic() + wait_s
        while True:
            stable = self.offsets(names, partitions, "latest", Isolation.COMMITTED)
            behind = {key: mark for key, mark in marks.items() if stable[key] < mark}
            if not behind or time.monotonic() > deadline:
                return stable, behind
            time.sleep(_POLL_S)

    def frames(self, partition: int, start: int, end: int, report: Reporter) -> Iterator[Mapping[str, Any]]:
        """The complete frames in usage.deltas between two offsets."""
        parts = self._decoded(topics.USAGE_DELTAS, "FramePart", partition, start, end, report)
        wanted = (
            Part(record.offset, part["frame_no"], part["part_no"], part["part_count"], part["chunk"])
            for record, part in parts
        )
        for frame_no, data in assemble(wanted, report, from_start=start == 0):
            frame = _decode("DeltaFrame", data, f"frame {frame_no}", report)
            if frame is not None:
                yield frame

    def rated(self, partition: int, start: int, end: int, report: Reporter) -> Iterator[RatedRecord]:
        for record, rated in self._decoded(topics.USAGE_RATED, "RatedUsage", partition, start, end, report):
            yield RatedRecord(
                record.offset,
                record.key,
                record.value or b"",
                bool(record.headers),
                rated["event"],
                rated["rating"],
            )

    def rejected(self, partition: int, start: int, end: int, report: Reporter) -> Iterator[RejectedRecord]:
        decoded = self._decoded(topics.USAGE_REJECTED, "RejectedUsage", partition, start, end, report)
        for record, rejected in decoded:
            if rejected["partition"] != partition:
                report(
                    "rejected_place",
                    f"usage.rejected@{record.offset}",
                    f"is of partition {rejected['partition']}",
                )
            yield RejectedRecord(record.offset, rejected, rejected["topic"] == topics.USAGE_EVENTS)

    def state(self, partition: int, start: int, end: int) -> StoredState:
        """The newest record of each key. Memory: one entry each."""
        newest: dict[bytes, bytes | None] = {}
        for record in self._reader(topics.RATER_STATE).read(
            self._prefix + topics.RATER_STATE, partition, start, end
        ):
            newest[record.key or b""] = record.value
        return stored_state(newest)

    def inputs(self, partition: int, first: int, end: int) -> "EventWindow":
        return EventWindow(self, partition, first, end)

    def events(self, partition: int, start: int, end: int) -> Iterator[Record]:
        """usage.events between two offsets, undecoded."""
        return self._reader(topics.USAGE_EVENTS).read(
            self._prefix + topics.USAGE_EVENTS, partition, start, end
        )

    def one_event(self, partition: int, offset: int) -> Record | None:
        """The record at one offset, by a reader of its own."""
        reader = self._reader(topics.USAGE_EVENTS, purpose="one")
        return next(reader.read(self._prefix + topics.USAGE_EVENTS, partition, offset, offset + 1), None)

    def _decoded(  # noqa: PLR0917  # a topic, its schema and what to read of it
        self, name: str, schema: str, partition: int, start: int, end: int, report: Reporter
    ) -> Iterator[tuple[Record, dict[str, Any]]]:
        for record in self._reader(name).read(self._prefix + name, partition, start, end):
            decoded = _decode(schema, record.value, f"{name}@{record.offset}", report)
            if decoded is not None:
                yield record, decoded

    def _reader(self, name: str, purpose: str = "") -> PartitionReader:
        reader = self._readers.get(name + purpose)
        if reader is None:
            config = self._config | topics.consumer_limits(name)
            reader = PartitionReader(config, stalled_s=self._stalled_s)
            self._readers[name + purpose] = reader
        return reader


class EventWindow:
    """The events of the frame that is being verified, read once and in order; older ones one by one.

    `first` is the oldest offset that the broker holds, `end` the one after the last.
    """

    def __init__(self, source: Topics, partition: int, first: int, end: int) -> None:
        self._source = source
        self._partition = partition
        self._first = first
        self._end = end
        self._stream: Iterator[Record] | None = None
        self._ahead: Record | None = None
        self._window: dict[int, InputRecord] = {}

    def load(self, from_offset: int, to_offset: int) -> Sequence[InputRecord]:
        """The records of a frame's range that the broker still holds."""
        if self._stream is None:
            self._stream = self._source.events(self._partition, max(from_offset, self._first), self._end)
            self._ahead = next(self._stream, None)
        self._window = {}
        while self._ahead is not None and self._ahead.offset < to_offset:
            if self._ahead.offset >= from_offset:
                self._window[self._ahead.offset] = _input(self._ahead)
            self._ahead = next(self._stream, None)
        return tuple(self._window.values())

    def at(self, offset: int) -> InputRecord | None:
        found = self._window.get(offset)
        if found is None and self._first <= offset < self._end:
            record = self._source.one_event(self._partition, offset)
            found = _input(record) if record is not None else None
        return found


def decode_event(value: bytes) -> Mapping[str, Any] | None:
    """The event in these bytes, None where they are not one."""
    try:
        return decode("UsageEvent", value)
    except WireError:
        return None


def _input(record: Record) -> InputRecord:
    return InputRecord(record.offset, record.timestamp_us, record.key, record.value)


def _decode(schema: str, data: bytes | None, where: str, report: Reporter) -> dict[str, Any] | None:
    try:
        return decode(schema, data or b"")
    except WireError as error:
        report("undecodable", where, f"is not {schema}: {error}")
        return None
