"""Every event once: records against the frames' digests, duplicates against firsts, offsets accounted.

Memory: one entry for each rated event of the partition, about 200 bytes.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ledger.core.findings import Reporter
from ledger.core.model import (
    ORIGINAL,
    Entry,
    InputRecord,
    RatedRecord,
    RejectedRecord,
    content_digest,
    frame_where,
    identity_digest,
    unpack,
)

InputAt = Callable[[int], InputRecord | None]
DecodeEvent = Callable[[bytes], Mapping[str, Any] | None]

_HEADER_BYTES = 10  # of the single-object encoding, in front of the event in both topics


class Identities:
    """The identities that frames listed so far.

    Args:
        decode: the event in these bytes, None where they are not one; equal events compare equal.
        input_at: the input record at an offset, None where the broker no longer holds it.
        known_from: events below this offset were listed by frames that are gone.
    """

    def __init__(self, report: Reporter, decode: DecodeEvent, input_at: InputAt, *, known_from: int) -> None:
        self._report = report
        self._decode = decode
        self._input_at = input_at
        self._known_from = known_from
        self._first: dict[bytes, Entry] = {}
        self.inputs_compared = 0

    def take(self, frame: Mapping[str, Any]) -> dict[bytes, Entry]:
        """The frame's entries; an identity that stood in this or an earlier frame is a finding."""
        where = frame_where(frame)
        entries: dict[bytes, Entry] = {}
        for block in frame["digests"]:
            try:
                unpacked = unpack(block["packed"])
            except ValueError as error:
                self._report("digests", where, f"block of {block['bucket_us']}: {error}")
                continue
            for digest, entry in unpacked:
                first = self._first.setdefault(digest, entry)
                if first is not entry:
                    self._report(
                        "id_twice",
                        where,
                        f"id {digest.hex()} was rated at offsets {first.offset} and {entry.offset}",
                    )
                entries[digest] = entry
        return entries

    def check_records(
        self, frame: Mapping[str, Any], entries: Mapping[bytes, Entry], rated: Sequence[RatedRecord]
    ) -> None:
        """The frame's rated events are exactly its digests, each once."""
        seen: set[bytes] = set()
        for record in rated:
            if record.rating["leg"] != ORIGINAL:
                continue
            digest = identity_digest(record.event)
            if digest in seen:
                self._report("id_twice", record.where, f"{record.named} stands twice in {frame_where(frame)}")
            elif digest not in entries:
                self._report("id_unlisted", record.where, f"{record.named} is not among the frame's digests")
            seen.add(digest)
            if record.key != record.event["customer_id"].encode():
                self._report("rated_key", record.where, f"{record.named} has key {record.key!r}")
            if record.has_headers:
                self._report(
                    "rated_headers", record.where, f"{record.named} has headers; rated records have none"
                )
        for digest in entries.keys() - seen:
            self._report(
                "id_without_record",
                frame_where(frame),
                f"id {digest.hex()} of input offset {entries[digest].offset} has no record in usage.rated",
            )

    def check_offsets(
        self, frame: Mapping[str, Any], entries: Mapping[bytes, Entry], rejected: Sequence[RejectedRecord]
    ) -> None:
        """Every offset of the frame's events was rated, rejected or a duplicate, and only one of these."""
        told = Counter(entry.offset for entry in entries.values())
        told.update(r.record["offset"] for r in rejected if r.of_events)
        told.update(duplicate["offset"] for duplicate in frame["duplicates"])
        expected = range(frame["events"]["from_offset"], frame["events"]["to_offset"])
        where = frame_where(frame)
        for offset in expected:
            if told[offset] != 1:
                self._report(
                    "offset_unaccounted",
                    where,
                    f"event at offset {offset} is told {told[offset]} times, not once",
                )
        for offset in told:
            if offset not in expected:
                self._report("offset_unaccounted", where, f"event at offset {offset} is not of this frame")

    def check_duplicates(self, frame: Mapping[str, Any]) -> None:
        """A duplicate names an earlier event with the same identity and the same content."""
        where = frame_where(frame)
        for duplicate in frame["duplicates"]:
            offset, first_offset, digest = duplicate["offset"], duplicate["first_offset"], duplicate["digest"]
            first = self._first.get(digest)
            if first is None and first_offset < self._known_from:
                continue
            if first is None or first.offset != first_offset or first_offset >= offset:
                told = "never rated" if first is None else f"rated at {first.offset}"
                self._report(
                    "duplicate",
                    where,
                    f"offset {offset} repeats id {digest.hex()} of offset {first_offset}: {told}",
                )
                continue
            self._check_duplicate_content(where, digest, offset, first)

    def _check_duplicate_content(self, where: str, digest: bytes, offset: int, first: Entry) -> None:
        repeated = self._input_at(offset)
        if repeated is None:
            return
        event = self._decode(repeated.value or b"")
        if event is None or identity_digest(event) != digest:
            self._report(
                "duplicate", where, f"the event at offset {offset} has another id than {digest.hex()}"
            )
            return
        if content_digest(repeated.value or b"") == first.content:
            return
        original = self._input_at(first.offset)
        if original is not None and self._decode(original.value or b"") != event:
            self._report(
                "duplicate",
                where,
                f"offset {offset} has the id of offset {first.offset} but other content: an id conflict",
            )

    def check_bytes(self, entries: Mapping[bytes, Entry], rated: Sequence[RatedRecord]) -> None:
        """What was rated is the event as it came, where usage.events still holds it."""
        for record in rated:
            entry = entries.get(identity_digest(record.event)) if record.rating["leg"] == ORIGINAL else None
            came = self._input_at(entry.offset) if entry is not None else None
            if entry is None or came is None:
                continue
            self.inputs_compared += 1
            value = came.value or b""
            if content_digest(value) != entry.content:
                self._report(
                    "content",
                    record.where,
                    f"{record.named}: the digest is not that of input offset {came.offset}",
                )
            same = (
                record.value.startswith(value[_HEADER_BYTES:], _HEADER_BYTES) and len(value) > _HEADER_BYTES
            )
            if not same and self._decode(value) != record.event:
                self._report(
                    "event_bytes",
                    record.where,
                    f"{record.named} is not the event at input offset {came.offset}",
                )


def check_rejected(
    frame: Mapping[str, Any], rejected: Sequence[RejectedRecord], input_at: InputAt, report: Reporter
) -> None:
    """Rejected records are those that the frame counts by reason, and carry the input's own bytes."""
    where = frame_where(frame)
    reasons = Counter(r.record["reason"] for r in rejected)
    if reasons != Counter(frame["rejected_by_reason"]):
        report(
            "rejected_by_reason",
            where,
            f"usage.rejected holds {dict(sorted(reasons.items()))}, "
            f"the frame tells {dict(frame['rejected_by_reason'])}",
        )
    for name, of_events in (("rejected", True), ("corrections_rejected", False)):
        count = sum(r.of_events == of_events for r in rejected)
        if count != frame[name]:
            report(
                "rejected_count", where, f"usage.rejected holds {count}, the frame tells {name} {frame[name]}"
            )
    for r in rejected:
        if r.record["reason"] == "too_large" and r.record["original"] is None:
            continue  # it did not fit: only its coordinates are kept
        came = input_at(r.record["offset"]) if r.of_events else None
        if came is not None and (came.value, came.key) != (r.record["original"], r.record["original_key"]):
            report("rejected_bytes", r.where, f"original is not the record at input offset {came.offset}")
