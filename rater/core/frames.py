"""Frames: what one transaction changed in one partition, as written to usage.deltas and read back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pricing.money import format_atto
from pricing.rate import PoolState
from rater.core.identity import identity_digest
from rater.core.periods import PeriodKey, state_fields, state_of_fields
from rater.core.revisions import (
    Revision,
    RunAt,
    RunKey,
    revision_fields,
    revision_of_fields,
    run_fields,
    run_of_fields,
)
from rater.core.rows import CustomerDelta, Row, RowKey
from rater.core.work import BatchResult, Head

CHUNK_BYTES_MAX = 512 * 1024 - 64  # a part, its few other fields included, is at most 512 KiB


class FrameError(Exception):
    """The log of frames is not what a rater writes: it stops rather than guess."""

    exit_code = 3  # of the process: see runtime.errors


@dataclass(frozen=True, slots=True)
class FrameEffects:
    """What a frame does to the partition's state, whether just committed or read back."""

    head: Head
    digests: Mapping[int, bytes]  # bucket -> packed entries
    last_sequences: Mapping[str, int]
    periods: Mapping[PeriodKey, PoolState] = field(default_factory=dict)  # absolute, after the frame
    revisions: Mapping[bytes, Revision] = field(default_factory=dict)  # by the identity's digest
    runs: Mapping[RunKey, RunAt] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part:
    """One record of usage.deltas."""

    frame_no: int
    part_no: int
    part_count: int
    chunk: bytes


def frame_record(
    result: BatchResult, process: str, build: str, customers: Sequence[Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """The DeltaFrame of a batch, ready to encode, or with these customers."""
    previous, head = result.previous, result.head
    if customers is None:
        customers = [
            customer_record(customer_id, delta) for customer_id, delta in sorted(result.customers.items())
        ]
    return {
        "partition": result.partition,
        "frame_no": head.frame_no,
        "events": {"from_offset": previous.events_next, "to_offset": head.events_next},
        "corrections": {"from_offset": previous.corrections_next, "to_offset": head.corrections_next},
        "rated": result.events_rated,
        "rejected": result.events_rejected,
        "duplicates": [duplicate._asdict() for duplicate in result.duplicates],
        "corrections_applied": result.corrections_applied,
        "corrections_rejected": result.corrections_rejected,
        "corrections_repeated": result.corrections_repeated,
        "rejected_by_reason": dict(sorted(result.reasons.items())),
        "highest_append_us": head.highest_append_us,
        "previous_highest_append_us": previous.highest_append_us,
        "book_version": head.book_version,
        "process": process,
        "build": build,
        "digests": [
            {"bucket_us": bucket_us, "packed": b"".join(entries)}
            for bucket_us, entries in sorted(result.digests.items())
        ],
        "dimensions": list(result.dimensions),
        "customers": customers,
    }


def customer_record(customer_id: str, delta: CustomerDelta) -> dict[str, Any]:
    """One customer of a DeltaFrame."""
    return {
        "customer_id": customer_id,
        "first_seq": delta.first_seq,
        "last_seq": delta.last_seq,
        "rows": [_row_record(key, row) for key, row in delta.rows.items()],
        "pools": [state_fields(state) for _, state in sorted(delta.pools.items())],
        "revisions": [revision_fields(revision) for _, revision in sorted(delta.revisions.items())],
        "runs": [run_fields(run_id, run) for (run_id, _, _), run in sorted(delta.runs.items())],
    }


def _row_record(key: RowKey, row: Row) -> dict[str, Any]:
    bucket_us, start_us, end_us, cost_currency, price_currency, dimensions = key
    return {
        "bucket_us": bucket_us,
        "period_start_us": start_us,
        "period_end_us": end_us,
        "cost_currency": cost_currency,
        "price_currency": price_currency,
        "dimensions": dimensions,
        "cost": None if row.cost_atto is None else format_atto(row.cost_atto),
        "price": None if row.price_atto is None else format_atto(row.price_atto),
        "events": row.events,
        "unpriced_cost_events": row.unpriced_cost_events,
        "unpriced_price_events": row.unpriced_price_events,
        "quantities": {meter: format_atto(quantity) for meter, quantity in row.quantities.items()},
    }


def effects_of_result(result: BatchResult) -> FrameEffects:
    """The effects of a batch that was just committed."""
    return FrameEffects(
        result.head,
        {bucket_us: b"".join(entries) for bucket_us, entries in result.digests.items()},
        {customer_id: delta.last_seq for customer_id, delta in result.customers.items()},
        result.periods,
        result.revisions,
        result.runs,
    )


def effects_of_record(record: Mapping[str, Any]) -> FrameEffects:
    """The effects of a DeltaFrame read back: the same as when it was committed."""
    return FrameEffects(
        Head(
            frame_no=record["frame_no"],
            events_next=record["events"]["to_offset"],
            corrections_next=record["corrections"]["to_offset"],
            highest_append_us=record["highest_append_us"],
            book_version=record["book_version"],
        ),
        {block["bucket_us"]: block["packed"] for block in record["digests"]},
        {customer["customer_id"]: customer["last_seq"] for customer in record["customers"]},
        {
            (customer["customer_id"], pool["pool"], pool["start_us"]): state_of_fields(pool)
            for customer in record["customers"]
            for pool in customer["pools"]
        },
        {
            identity_digest(*revision[:3]): revision
            for customer in record["customers"]
            for revision in (
                revision_of_fields(customer["customer_id"], told) for told in customer["revisions"]
            )
        },
        {
            (customer["customer_id"], told["run_id"], told["pool"], told["start_us"]): run_of_fields(told)
            for customer in record["customers"]
            for told in customer["runs"]
        },
    )


def check_follows(previous: Head, record: Mapping[str, Any]) -> None:
    """Frames have contiguous numbers and contiguous input ranges.

    Raises:
        FrameError: this one does not follow.
    """
    wanted = (previous.frame_no + 1, previous.events_next, previous.corrections_next)
    found = (record["frame_no"], record["events"]["from_offset"], record["corrections"]["from_offset"])
    if wanted != found:
        raise FrameError(
            f"frame {found[0]} starts at events {found[1]}, corrections {found[2]}; "
            f"the frame before it leads to frame {wanted[0]} at {wanted[1]}, {wanted[2]}"
        )


def split(frame_no: int, encoded: bytes, chunk_bytes_max: int = CHUNK_BYTES_MAX) -> list[Part]:
    """Cut an encoded frame into parts."""
    chunks = [encoded[start : start + chunk_bytes_max] for start in range(0, len(encoded), chunk_bytes_max)]
    return [Part(frame_no, part_no, len(chunks), chunk) for part_no, chunk in enumerate(chunks)]


@dataclass(slots=True)
class Assembler:
    """Puts parts together; a frame comes out when its last part goes in.

    The first frame of a log whose older records were deleted may lack its first parts: it is skipped.
    """

    _frame_no: int | None = None
    _chunks: list[bytes] = field(default_factory=list)

    def add(self, part: Part) -> bytes | None:
        """The whole frame's bytes, or None while parts are missing.

        Raises:
            FrameError: a part is out of order.
        """
        if part.part_no == 0:
            if self._chunks:
                raise FrameError(f"frame {part.frame_no} begins before frame {self._frame_no} is complete")
            self._frame_no = part.frame_no
        elif self._frame_no is None:
            return None  # the beginning of this frame has been deleted
        if part.frame_no != self._frame_no or part.part_no != len(self._chunks):
            raise FrameError(
                f"part {part.part_no} of frame {part.frame_no} follows part {len(self._chunks) - 1} "
                f"of frame {self._frame_no}"
            )
        self._chunks.append(part.chunk)
        if len(self._chunks) < part.part_count:
            return None
        whole, self._chunks = b"".join(self._chunks), []
        return whole

    @property
    def incomplete(self) -> Sequence[bytes]:
        """Chunks of a frame whose last part has not come."""
        return self._chunks
