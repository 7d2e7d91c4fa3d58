"""A small sound world in one partition, from which a test takes one thing away or makes one thing wrong.

Input offsets 0..9: frame 1 is [0, 5) and frame 2 is [5, 10). Values are JSON behind ten bytes of header.

    0 a-1 rated   1 b-1 rated   2 a-2 rated   3 a-1 again   4 rejected (undecodable)
    5 a-3 rated   6 c-1 rated   7 b-1 again   8 b-2 rated   9 rejected (too_late)

Each rated event costs 0.5 and is priced at 1.25 USD for 1000 tokens.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ledger.core.findings import Findings
from ledger.core.model import InputRecord, RatedRecord, RejectedRecord, content_digest, identity_digest
from ledger.core.periods import PeriodKey
from ledger.core.queries import QueriesWithoutRoot
from ledger.core.recomputed import Recomputed
from ledger.core.runs import RunKey
from ledger.core.state import InputEnds, StoredState
from ledger.core.streams import Start, Walk, Whole, find_start
from ledger.core.totals import Totals
from ledger.core.verification import PartitionLogs, PartitionSummary, PartitionVerifier, Tools

HEADER = b"\xc3\x01event---"
TIME_US = 1_800_000_000_000_000  # 2027-01-15T08:00:00Z, the start of a 15-minute bucket
LEAVES = (("tokens", 1000 * 10**18),)
Json = dict[str, Any]


def event(customer: str, number: int, **fields: Any) -> Json:
    return {
        "customer_id": customer,
        "source": "s",
        "event_id": f"{customer}-{number}",
        "event_time_us": TIME_US,
        "product": "p",
        "billed_model": None,
        "served_model": None,
        "requested_model": "m",
    } | fields


def value_of(record: Mapping[str, Any]) -> bytes:
    return HEADER + json.dumps(record).encode()


def rating(seq: int) -> Json:
    side = {"status": "priced", "currency": "USD"}
    return {
        "customer_seq": seq,
        "leg": "original",
        "revision": 0,
        "correction_id": None,
        "book_version": 1,
        "pools_before": [],
        "service_period": {"start_us": TIME_US, "end_us": TIME_US + 10**12},
        "cost": side | {"amount": "0.5"},
        "price": side | {"amount": "1.25"},
        "lines": [],
    }


def entry(record: Mapping[str, Any], offset: int) -> bytes:
    return identity_digest(record) + content_digest(value_of(record)) + offset.to_bytes(8, "big")


def delta(customer: str, first: int, last: int) -> Json:
    """A customer's share of a frame: one row of equal events. n x 0.5, n x 1.25, n x 1000."""
    count = last - first + 1
    cost = {1: "0.5", 2: "1"}[count]
    price = {1: "1.25", 2: "2.5"}[count]
    row = {
        "bucket_us": TIME_US,
        "period_start_us": TIME_US,
        "period_end_us": TIME_US + 10**12,
        "cost_currency": "USD",
        "price_currency": "USD",
        "dimensions": ["p"],
        "cost": cost,
        "price": price,
        "events": count,
        "unpriced_cost_events": 0,
        "unpriced_price_events": 0,
        "quantities": {"tokens": str(1000 * count)},
    }
    return {
        "customer_id": customer,
        "first_seq": first,
        "last_seq": last,
        "rows": [row],
        "pools": [],
        "revisions": [],
        "runs": [],
    }


def rejected(offset: int, reason: str, original: bytes, at: int) -> RejectedRecord:
    record = {"reason": reason, "offset": offset, "original": original, "original_key": b"k"}
    return RejectedRecord(at, record, of_events=True)


def rated(record: Mapping[str, Any], seq: int, at: int) -> RatedRecord:
    value = value_of(record) + b"rating"
    return RatedRecord(at, record["customer_id"].encode(), value, False, dict(record), rating(seq))


def _frame(number: int, events: tuple[int, int], **fields: Any) -> Json:
    return {
        "partition": 0,
        "frame_no": number,
        "events": {"from_offset": events[0], "to_offset": events[1]},
        "corrections": {"from_offset": 0, "to_offset": 0},
        "rated": 3,
        "rejected": 1,
        "corrections_applied": 0,
        "corrections_rejected": 0,
        "corrections_repeated": 0,
        "highest_append_us": events[1] * 1000,
        "previous_highest_append_us": 0,
        "book_version": 1,
        "dimensions": ["product"],
    } | fields


def _duplicate(record: Mapping[str, Any], offset: int, first_offset: int) -> Json:
    return {"digest": identity_digest(record), "offset": offset, "first_offset": first_offset}


class HeldInputs:
    """usage.events from memory; offsets below `first` are gone."""

    def __init__(self, records: Sequence[InputRecord], first: int) -> None:
        self._records = {record.offset: record for record in records if record.offset >= first}

    def load(self, from_offset: int, to_offset: int) -> Sequence[InputRecord]:
        return [self._records[at] for at in range(from_offset, to_offset) if at in self._records]

    def at(self, offset: int) -> InputRecord | None:
        return self._records.get(offset)


def decode_event(value: bytes) -> Mapping[str, Any] | None:
    if not value.startswith(HEADER):
        return None
    decoded: Json = json.loads(value[len(HEADER) :])
    return decoded


@dataclass
class World:
    """Everything in one partition; a test changes it, then asks for the findings."""

    frames: list[Json]
    rated: list[RatedRecord]
    rejected: list[RejectedRecord]
    inputs: list[InputRecord]
    head: Any
    customers: dict[str, Json]
    tail: list[Json] = field(default_factory=list)
    whole: Whole = field(default_factory=Whole)
    inputs_first: int = 0
    inputs_end: int = 10
    partition_of: int = 0
    findings: Findings = field(default_factory=Findings)
    totals: Totals = field(default_factory=Totals)
    broken: tuple[str, ...] = ()
    periods: dict[PeriodKey, Json] = field(default_factory=dict)
    computed: dict[int, Recomputed] = field(default_factory=dict)
    """By offset, where a record is not of the common kind."""
    reverses: dict[int, Callable[[RatedRecord, int, bool], Recomputed]] = field(default_factory=dict)
    """What a reversal must be, by its offset."""
    revisions: dict[bytes, Json] = field(default_factory=dict)
    runs: dict[RunKey, Json] = field(default_factory=dict)
    queries: QueriesWithoutRoot = field(default_factory=QueriesWithoutRoot)

    def reverse(
        self,
        record: RatedRecord,
        target: RatedRecord,
        version: int,
        settles: bool,
    ) -> Recomputed:
        return self.reverses[record.offset](target, version, settles)

    def run(self) -> PartitionSummary:
        start = Start()
        if not self.whole.all:
            start = find_start(
                self.frames,
                self.whole,
                self.rated[0] if self.rated else None,
                self.rejected[0] if self.rejected else None,
            )
        logs = PartitionLogs(
            frames=self.frames,
            rated=Walk(self.rated),
            rejected=Walk(self.rejected),
            inputs=HeldInputs(self.inputs, self.inputs_first),
            state=StoredState(
                self.head, self.customers, self.broken, self.periods, self.revisions, self.runs
            ),
            ends={"events": InputEnds(self.inputs_first, self.inputs_end), "corrections": InputEnds(0, 0)},
            tail=lambda: self.tail,
            whole=self.whole,
            start=start,
        )
        tools = Tools(
            recompute=lambda record: (
                self.computed.get(record.offset) or Recomputed(rating(record.rating["customer_seq"]), LEAVES)
            ),
            reverse=self.reverse,
            dimensions_of=lambda record, names: tuple(record[name] for name in names),
            decode_event=decode_event,
            partition_of=lambda customer: self.partition_of,
        )
        verifier = PartitionVerifier(0, logs, tools, self.findings, self.totals, self.queries)
        return verifier.run(lambda done: None)

    def found(self) -> Counter[str]:
        """How often each check found something."""
        self.run()
        return self.findings.counts


def sound() -> World:
    """The world of the module's docstring."""
    a1, a2, a3 = (event("a", number) for number in (1, 2, 3))
    b1, b2, c1 = event("b", 1), event("b", 2), event("c", 1)
    bad, late = b"not a record", value_of(event("d", 1))
    values = (
        [value_of(e) for e in (a1, b1, a2, a1)] + [bad] + [value_of(e) for e in (a3, c1, b1, b2)] + [late]
    )
    frames = [
        _frame(
            1,
            (0, 5),
            duplicates=[_duplicate(a1, 3, 0)],
            rejected_by_reason={"undecodable": 1},
            digests=[{"bucket_us": TIME_US, "packed": entry(a1, 0) + entry(b1, 1) + entry(a2, 2)}],
            customers=[delta("a", 1, 2), delta("b", 1, 1)],
        ),
        _frame(
            2,
            (5, 10),
            duplicates=[_duplicate(b1, 7, 1)],
            rejected_by_reason={"too_late": 1},
            digests=[{"bucket_us": TIME_US, "packed": entry(a3, 5) + entry(c1, 6) + entry(b2, 8)}],
            customers=[delta("a", 3, 3), delta("b", 2, 2), delta("c", 1, 1)],
        ),
    ]
    return World(
        frames,
        [
            rated(e, seq, at)
            for at, (e, seq) in enumerate([(a1, 1), (b1, 1), (a2, 2), (a3, 3), (c1, 1), (b2, 2)])
        ],
        [rejected(4, "undecodable", bad, 0), rejected(9, "too_late", late, 1)],
        [InputRecord(offset, offset * 1000, b"k", value) for offset, value in enumerate(values)],
        {
            "frame_no": 2,
            "events_next": 10,
            "corrections_next": 0,
            "highest_append_us": 10_000,
            "book_version": 1,
        },
        {
            "a": {"last_seq": 3, "frame_no": 2},
            "b": {"last_seq": 1, "frame_no": 1},
            "c": {"last_seq": 1, "frame_no": 2},
        },
    )
