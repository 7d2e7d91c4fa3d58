"""Each customer's sequence: contiguous over frames, filled exactly by records, in the order of the input."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.core.findings import Reporter
from ledger.core.model import ORIGINAL, Entry, RatedRecord, frame_where, identity_digest, is_carried
from ledger.core.streams import Place


@dataclass(frozen=True, slots=True)
class Span:
    """A customer's sequences in the last frame that touched it."""

    first_seq: int
    last_seq: int
    frame_no: int


class Sequences:
    """The sequences that frames claimed so far. Memory: one entry a customer of the partition."""

    def __init__(self, report: Reporter, *, from_start: bool) -> None:
        self._report = report
        self._from_start = from_start
        self._frame_no = 0
        self.spans: dict[str, Span] = {}

    def open(self, frame: Mapping[str, Any]) -> None:
        """Takes the frame's spans; each must begin where the customer's last one ended."""
        self._frame_no = frame["frame_no"]
        for delta in frame["customers"]:
            customer, first, last = delta["customer_id"], delta["first_seq"], delta["last_seq"]
            before = self.spans.get(customer)
            begins = 1 if self._from_start else first
            expected = before.last_seq + 1 if before is not None else begins
            at_rest = before is None and last == first - 1 and is_carried(frame)
            if not at_rest and (first != expected or last < first):
                self._report(
                    "sequence_gap",
                    frame_where(frame),
                    f"customer {customer!r}: sequences {first}..{last}, expected to begin at {expected}",
                )
            self.spans[customer] = Span(first, last, self._frame_no)

    def place(self, record: RatedRecord) -> Place:
        """Later is a sequence beyond all that was claimed, before is one that an earlier frame gave."""
        span = self.spans.get(record.event["customer_id"])
        seq = record.rating["customer_seq"]
        if span is None or seq > span.last_seq:
            return Place.LATER
        return Place.HERE if span.frame_no == self._frame_no and seq >= span.first_seq else Place.BEFORE


def check_filled(frame: Mapping[str, Any], rated: Sequence[RatedRecord], report: Reporter) -> None:
    """Every sequence of the frame's spans is there exactly once."""
    seen = Counter((record.event["customer_id"], record.rating["customer_seq"]) for record in rated)
    for (customer, seq), times in seen.items():
        if times > 1:
            report(
                "sequence_twice",
                frame_where(frame),
                f"customer {customer!r}: {times} records of sequence {seq}",
            )
    for delta in frame["customers"]:
        customer = delta["customer_id"]
        missing = [s for s in range(delta["first_seq"], delta["last_seq"] + 1) if (customer, s) not in seen]
        if missing:
            report(
                "sequence_missing",
                frame_where(frame),
                f"customer {customer!r}: {len(missing)} sequences have no record in usage.rated, "
                f"the first is {missing[0]}",
            )


def check_order(rated: Iterable[RatedRecord], entries: Mapping[bytes, Entry], report: Reporter) -> None:
    """A customer's sequences in one frame follow the events' offsets, and stand in that order."""
    last: dict[str, tuple[int, int]] = {}
    for record in rated:
        entry = entries.get(identity_digest(record.event)) if record.rating["leg"] == ORIGINAL else None
        if entry is None:
            continue  # it has no offset of usage.events; what the frame does not list is found elsewhere
        customer = record.event["customer_id"]
        now = (record.rating["customer_seq"], entry.offset)
        before = last.get(customer, (0, -1))
        if now[0] <= before[0] or now[1] <= before[1]:
            report(
                "order",
                record.where,
                f"{record.named} of input offset {now[1]} stands after sequence {before[0]} "
                f"of offset {before[1]}",
            )
        last[customer] = now
