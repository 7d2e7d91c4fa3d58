"""Single events found in the topics: their rated and rejected records, and where they came from."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.adapters.topics import Topics, decode_event
from ledger.core.explain import REPLACEMENT, REVERSAL, Came, Rated, Refused, Wanted
from ledger.core.explain_lines import Check
from ledger.core.findings import Findings, Reporter
from ledger.core.model import content_digest, identity_digest, unpack
from pricing.instants import instant_text
from runtime.errors import FindingError
from runtime.kafka.offsets import Isolation
from runtime.kafka.reading import Record
from schemas import topics
from schemas.codec import decode
from schemas.errors import WireError

Progress = Callable[[int, int], None]
"""Told (offsets read since the last call, offsets in all)."""

_TOLD_EVERY = 1000


@dataclass(frozen=True, slots=True)
class Range:
    """One partition of a topic, from the first offset still held to the last stable one."""

    topic: str
    partition: int
    first: int
    end: int


class Log(Topics):
    """Topics read whole, in one pass, without the frames beside them."""

    def ranges(self, name: str, partitions: Sequence[int]) -> list[Range]:
        """What the topic holds now, committed, in each of the partitions."""
        first = self.offsets([name], partitions, "earliest", Isolation.UNCOMMITTED)
        end = self.offsets([name], partitions, "latest", Isolation.COMMITTED)
        return [Range(name, number, first[name, number], end[name, number]) for number in partitions]

    def raw(self, ranges: Sequence[Range], progress: Progress | None = None) -> Iterator[Record]:
        """The committed records, partition by partition in order, undecoded."""
        bound = sum(part.end - part.first for part in ranges)
        for part in ranges:
            reader, told = self._reader(part.topic), part.first
            for record in reader.read(self._prefix + part.topic, part.partition, part.first, part.end):
                yield record
                if progress is not None and record.offset - told >= _TOLD_EVERY:
                    progress(record.offset - told, bound)
                    told = record.offset
            if progress is not None:
                progress(part.end - told, bound)

    def rated_records(
        self, ranges: Sequence[Range], progress: Progress | None = None, *, holding: bytes = b""
    ) -> Iterator[Rated]:
        """RatedUsage whose bytes hold `holding`.

        Raises:
            FindingError: one cannot be decoded.
        """
        for record in self.raw(ranges, progress):
            if record.value is not None and holding in record.value:
                rated = _decoded("RatedUsage", topics.USAGE_RATED, record)
                yield Rated(
                    record.partition, record.offset, record.timestamp_us, rated["event"], rated["rating"]
                )

    def corrected(self, part: Range) -> dict[tuple[str, str, str], int | None]:
        """The events of a partition of usage.rated that were corrected: the revision that holds, None for
        none.

        Where nothing was ever written to usage.corrections, nothing is read.
        """
        here = topics.USAGE_CORRECTIONS, part.partition
        if not self.offsets([here[0]], [here[1]], "latest", Isolation.UNCOMMITTED)[here]:
            return {}
        held: dict[tuple[str, str, str], int | None] = {}
        for record in self.rated_records([part]):
            if record.rating["leg"] == REVERSAL:
                held[record.identity] = None
            elif record.rating["revision"]:
                held[record.identity] = record.rating["revision"]
        return held

    def rated_of(
        self, wanted: Wanted, partitions: Sequence[int], progress: Progress | None = None
    ) -> list[Rated]:
        """The rated records that are meant, in the order of their partitions."""
        ranges = self.ranges(topics.USAGE_RATED, partitions)
        found = self.rated_records(ranges, progress, holding=wanted.event_id.encode())
        return [record for record in found if wanted.fits(record.event)]

    def refused_of(
        self, wanted: Wanted, partitions: Sequence[int], progress: Progress | None = None
    ) -> list[Refused]:
        """The rejected records that name what is meant."""
        found = []
        text = wanted.event_id.encode()
        for record in self.raw(self.ranges(topics.USAGE_REJECTED, partitions), progress):
            if record.value is not None and text in record.value:
                rejected = _decoded("RejectedUsage", topics.USAGE_REJECTED, record)
                if wanted.fits(rejected):
                    found.append(_refused(rejected))
        return found

    def came(self, record: Rated) -> Came:
        """Where the event stood in usage.events: its first offset, by the frame that rated it."""
        here = [record.partition]
        (deltas,), (events,) = self.ranges(topics.USAGE_DELTAS, here), self.ranges(topics.USAGE_EVENTS, here)
        frame_no, offset, content = self._entry(record, deltas)
        if offset is None:
            note = "no frame names the event: it is older than what usage.deltas holds"
            return Came(record.partition, note=note)
        if offset < 0:
            note = "it came in the generation of topics before this one"
            return Came(record.partition, frame_no=frame_no, note=note)
        if not events.first <= offset < events.end:
            note = "the record is gone: retention deleted it"
            return Came(record.partition, offset, frame_no, note=note)
        held = self.one_event(record.partition, offset)
        if held is None or held.value is None:
            return Came(record.partition, offset, frame_no, note="the broker holds no record at that offset")
        same = content_digest(held.value) == content
        checks = [Check("digest of the input record", same, "" if same else "the frame holds another")]
        if record.rating["leg"] != REPLACEMENT:  # an amended event is not the one that came
            as_it_came = decode_event(held.value) == record.event
            checks.append(Check("event as it came", as_it_came, "" if as_it_came else "it differs"))
        return Came(record.partition, offset, frame_no, instant_text(held.timestamp_us), checks=tuple(checks))

    def _entry(self, record: Rated, deltas: Range) -> tuple[int | None, int | None, bytes]:
        digest = identity_digest(record.event)
        silent = Reporter(Findings(), record.partition)  # `verify` reports what is wrong with frames
        for frame in self.frames(record.partition, deltas.first, deltas.end, silent):
            for block in frame["digests"]:
                if digest not in block["packed"]:
                    continue
                for identity, entry in unpack(block["packed"]):
                    if identity == digest:
                        return frame["frame_no"], entry.offset, entry.content
        return None, None, b""


def _refused(rejected: Mapping[str, Any]) -> Refused:
    return Refused(
        rejected["customer_id"],
        rejected["source"],
        rejected["event_id"],
        rejected["reason"],
        rejected["detail"],
        rejected["topic"],
        rejected["partition"],
        rejected["offset"],
        instant_text(rejected["append_time_us"]),
    )


def _decoded(schema: str, topic: str, record: Record) -> dict[str, Any]:
    try:
        return decode(schema, record.value)
    except WireError as error:
        raise FindingError(
            f"{topic} {record.partition} at {record.offset} is no {schema}: {error}; see `ratestream verify`"
        ) from error
