"""One partition proved: its frames against its rated and rejected records, its inputs, its stored state.

Pure: records come in decoded and in order; what is wrong goes to the findings, never to an exception.
Verification begins at the first frame of which everything is still there, and ends at the cut: the end of
usage.deltas when it was asked for. Outputs of transactions committed since are looked for in the frames that
came since (`tail`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ledger.core.amounts import (
    DimensionsOf,
    NotRecomputable,
    Recompute,
    check_amounts,
    check_book,
    check_rows,
)
from ledger.core.corrected import REPLACEMENT, REVERSAL, Revisions, Targets
from ledger.core.findings import Findings, Reporter
from ledger.core.frames import INPUTS, FrameChain
from ledger.core.identities import DecodeEvent, Identities, check_rejected
from ledger.core.model import InputRecord, RatedRecord, RejectedRecord, frame_where, is_carried
from ledger.core.pools import PoolChains
from ledger.core.queries import OpenQueries, QueriesWithoutRoot
from ledger.core.recomputed import Recomputed
from ledger.core.sequences import Sequences, check_filled, check_order
from ledger.core.state import (
    InputEnds,
    StoredState,
    check_customers,
    check_head,
    check_positions,
    check_stored,
)
from ledger.core.streams import Place, Start, Walk, Whole, claims, place_rejected
from ledger.core.totals import Totals

Frame = Mapping[str, Any]


class Inputs(Protocol):
    """usage.events of the partition, as far as the broker still holds it."""

    def load(self, from_offset: int, to_offset: int) -> Sequence[InputRecord]:
        """The records of that range; ranges are asked for in order."""
        ...

    def at(self, offset: int) -> InputRecord | None:
        """The record at an offset; None where it is gone."""
        ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What the checks cannot do themselves without reaching the world."""

    recompute: Recompute
    reverse: Callable[[RatedRecord, RatedRecord, int, bool], Recomputed]
    """A reversal computed again: it, what it negates, the frame's version of the book, whether it settles."""
    dimensions_of: DimensionsOf
    decode_event: DecodeEvent
    partition_of: Callable[[str], int]
    earlier: Callable[[RatedRecord], RatedRecord | None] = lambda _reversal: None
    """What a reversal negates, where the topic has it no more, or never had: as the ledger keeps it."""


@dataclass(frozen=True, slots=True)
class PartitionLogs:
    """What was read of one partition, up to the cut. `frames` begins with the oldest complete frame."""

    frames: Iterable[Frame]
    rated: Walk[RatedRecord]
    rejected: Walk[RejectedRecord]
    inputs: Inputs
    state: StoredState
    ends: Mapping[str, InputEnds]
    tail: Callable[[], Iterable[Frame]]
    whole: Whole
    start: Start


@dataclass(frozen=True, slots=True)
class PartitionSummary:
    """What was proved of one partition. `pending` by input; `from_frame` is None where it has no frame."""

    partition: int
    from_frame: int | None
    to_frame: int | None
    received: int
    rated: int
    rejected: int
    duplicates: int
    pending: Mapping[str, int]
    inputs_compared: int
    notes: tuple[str, ...]


class PartitionVerifier:
    """Runs every check over one partition; sums go to `totals` and queries to `queries`, which all share."""

    def __init__(  # noqa: PLR0917  # what is shared by all partitions comes last
        self,
        partition: int,
        logs: PartitionLogs,
        tools: Tools,
        findings: Findings,
        totals: Totals,
        queries: QueriesWithoutRoot,
    ) -> None:
        self._partition = partition
        self._logs = logs
        self._tools = tools
        self._report = Reporter(findings, partition)
        self._all = totals
        self._mine = Totals()
        from_start = logs.whole.frames
        self._chain = FrameChain(self._report, from_start=from_start)
        self._sequences = Sequences(self._report, from_start=from_start)
        self._pools = PoolChains(self._report, logs.state.periods, logs.state.runs, from_start=from_start)
        self._revisions = Revisions(self._report, logs.state.revisions, from_start=from_start)
        self._targets = Targets(logs.state.revisions.keys(), self._report, from_start=logs.whole.rated)
        self._queries = OpenQueries(queries)
        self._identities: Identities | None = None
        self._from_frame: int | None = None

    def run(self, progress: Callable[[int], None]) -> PartitionSummary:
        """Proves the partition; `progress` is told how many rated and rejected records each frame held."""
        logs = self._logs
        for frame in logs.frames:
            progress(self._frame(frame))
        last = self._chain.last
        check_stored(logs.state, self._sequences.spans, self._report)
        self._pools.check_stored()
        self._revisions.check_stored()
        self._queries.finish(last["highest_append_us"] if last is not None else 0)
        known = {last["frame_no"]: last} if last is not None else {}
        known |= self._tail(last)
        newest = max(known, default=0)
        if logs.whole.frames or last is not None:  # else every frame is gone, and the head has outlived them
            check_head(logs.state.head, known, last, self._report)
            from_start = logs.whole.frames
            check_customers(logs.state, self._sequences.spans, newest, self._report, from_start=from_start)
            self._pools.finish(newest)
            self._revisions.finish(newest)
        pending = check_positions(logs.state.head, logs.ends, self._report)
        return self._summary(last, pending)

    def _frame(self, frame: Frame) -> int:
        logs, report = self._logs, self._report
        if frame["partition"] != self._partition:
            report("partition", frame_where(frame), f"it says that it is of partition {frame['partition']}")
        self._chain.follow(frame)
        self._sequences.open(frame)
        identities = self._identities
        if identities is None:
            known_from = 0 if logs.whole.frames else frame["events"]["from_offset"]
            identities = Identities(report, self._tools.decode_event, logs.inputs.at, known_from=known_from)
            self._identities = identities
        entries = identities.take(frame)
        if is_carried(frame):
            self._carried(frame)
            return 0
        if frame["frame_no"] < logs.start.frame_no:
            self._skip(frame)
            return 0
        rated, rejected = self._records(frame)
        self._check_routes(frame)
        inputs = logs.inputs.load(frame["events"]["from_offset"], frame["events"]["to_offset"])
        check_inputs(frame, inputs, logs.ends["events"], report)
        check_filled(frame, rated, report)
        check_order(rated, entries, report)
        check_counts(frame, rated, report)
        identities.check_records(frame, entries, rated)
        identities.check_offsets(frame, entries, rejected)
        identities.check_duplicates(frame)
        identities.check_bytes(entries, rated)
        check_rejected(frame, rejected, logs.inputs.at, report)
        check_book(frame, rated, report)
        computed = self._check_amounts(frame, rated)
        check_rows(frame, rated, computed, self._tools.dimensions_of, report)
        self._revisions.follow(frame, rated)
        for record in rated:
            if record.rating["leg"] == REPLACEMENT:
                self._pools.follow_replacement(record, computed.get(record.offset))
            elif record.rating["pools_before"]:
                again = computed.get(record.offset)
                self._pools.follow(record, None if again is None else again.pools_after)
            self._queries.follow(record, frame["highest_append_us"])
        self._pools.close(frame)
        self._count(frame, rated, rejected)
        return len(rated) + len(rejected)

    def _check_amounts(self, frame: Frame, rated: Sequence[RatedRecord]) -> dict[int, Recomputed]:
        """Each rating computed again: a reversal from the record that it negates."""
        reversed_ = self._targets.follow(rated)

        def recompute(record: RatedRecord) -> Recomputed:
            negates = reversed_.get(record.offset)
            if negates is None:
                return self._tools.recompute(record)
            target = negates.target or self._tools.earlier(record)
            if target is None:
                raise NotRecomputable("the record that it negates is not there to compare it with")
            return self._tools.reverse(record, target, frame["book_version"], negates.settles)

        return check_amounts(rated, recompute, self._report)

    def _check_routes(self, frame: Frame) -> None:
        """A customer is billed on one partition only: that of its id."""
        for delta in frame["customers"]:
            belongs = self._tools.partition_of(delta["customer_id"])
            if belongs != self._partition:
                customer = delta["customer_id"]
                self._report(
                    "misrouted", frame_where(frame), f"customer {customer!r} is of partition {belongs}"
                )

    def _carried(self, frame: Frame) -> None:
        """What the generation of topics before knew: where customers stand, nothing that was rated here."""
        self._check_routes(frame)
        if any(frame[name]["from_offset"] for name in INPUTS):
            self._report(
                "carried",
                frame_where(frame),
                "it is told from another generation, behind records of this one",
            )
        self._targets.carried()
        self._pools.close(frame, whole=False)
        self._revisions.follow(frame, None)

    def _skip(self, frame: Frame) -> None:
        """A frame of which records are gone: the next ones are told from it, it is not verified."""
        later = frozenset({Place.LATER})
        if not self._logs.start.rated_before:
            self._logs.rated.drop(self._sequences.place, until=later)
        self._logs.rejected.drop(lambda record: place_rejected(frame, record), until=later)
        self._pools.close(frame, whole=False)
        self._revisions.follow(frame, None)

    def _records(self, frame: Frame) -> tuple[list[RatedRecord], list[RejectedRecord]]:
        """The frame's rated and rejected records."""
        logs, report = self._logs, self._report
        count = sum(delta["last_seq"] - delta["first_seq"] + 1 for delta in frame["customers"])
        if self._from_frame is None:
            self._from_frame = frame["frame_no"]
            here_on = frozenset({Place.HERE, Place.LATER})
            if not logs.whole.all:
                logs.rejected.drop(lambda record: place_rejected(frame, record), until=here_on)
        if count and logs.start.rated_before and not self._mine.rated:
            logs.rated.drop(self._sequences.place, until=frozenset({Place.HERE}))
        rated = logs.rated.take(
            count,
            self._sequences.place,
            lambda record: report(
                "rated_again", record.where, f"{record.named} belongs to a frame before {frame['frame_no']}"
            ),
        )
        rejected = logs.rejected.take(
            frame["rejected"] + frame["corrections_rejected"],
            lambda record: place_rejected(frame, record),
            lambda record: report(
                "rejected_again",
                record.where,
                f"input offset {record.record['offset']} belongs to a frame before {frame['frame_no']}",
            ),
        )
        return rated, rejected

    def _tail(self, last: Frame | None) -> dict[int, Frame]:
        """Records and a head beyond the cut must be of frames that came since; returns those frames."""
        rated, rejected = list(self._logs.rated.rest()), list(self._logs.rejected.rest())
        head = self._logs.state.head
        behind = head is not None and head["frame_no"] > (last["frame_no"] if last is not None else 0)
        frames: list[Frame] = list(self._logs.tail()) if rated or rejected or behind else []
        for frame in frames:
            self._chain.follow(frame)
            self._sequences.open(frame)
            self._pools.close(frame, whole=False)
            self._revisions.follow(frame, None)
        if last is None and not frames and not self._logs.whole.frames:
            return {}  # every frame is gone: nothing can name what is left
        for record in rated:
            if not any(claims(frame, record) for frame in frames):
                self._report("rated_without_frame", record.where, f"{record.named}: no frame names it")
        for refused in rejected:
            if not any(place_rejected(frame, refused) is Place.HERE for frame in frames):
                offset = refused.record["offset"]
                self._report(
                    "rejected_without_frame", refused.where, f"input offset {offset}: no frame names it"
                )
        return {frame["frame_no"]: frame for frame in frames}

    def _count(self, frame: Frame, rated: Sequence[RatedRecord], rejected: Sequence[RejectedRecord]) -> None:
        for totals in (self._mine, self._all):
            totals.received += frame["events"]["to_offset"] - frame["events"]["from_offset"]
            totals.corrections += frame["corrections"]["to_offset"] - frame["corrections"]["from_offset"]
            totals.rated += sum(record.rating["leg"] == "original" for record in rated)
            totals.rejected += sum(record.of_events for record in rejected)
            totals.duplicates += len(frame["duplicates"])
            totals.rejected_by_reason.update(record.record["reason"] for record in rejected)
        for record in rated:
            try:
                self._all.add(record)
            except ValueError as error:
                self._report("amount", record.where, f"{record.named}: {error}")

    def _summary(self, last: Frame | None, pending: Mapping[str, int]) -> PartitionSummary:
        mine, notes = self._mine, []
        if last is None:
            if not self._logs.whole.frames:
                notes.append("every frame is gone by retention: nothing could be verified")
        elif self._from_frame is None:
            notes.append("records of every frame are gone by retention: nothing could be verified")
        elif not self._logs.whole.all:
            notes.append(
                f"verified from frame {self._from_frame}: older frames or their records are gone by retention"
            )
        return PartitionSummary(
            self._partition,
            self._from_frame,
            last["frame_no"] if last is not None else None,
            mine.received,
            mine.rated,
            mine.rejected,
            mine.duplicates,
            pending,
            self._identities.inputs_compared if self._identities is not None else 0,
            tuple(notes),
        )


def check_counts(frame: Frame, rated: Sequence[RatedRecord], report: Reporter) -> None:
    """Rated events and applied corrections are as many as their records, counted by reading."""
    originals = sum(record.rating["leg"] == "original" for record in rated)
    if originals != frame["rated"]:
        report(
            "rated_count",
            frame_where(frame),
            f"usage.rated holds {originals}, the frame tells rated {frame['rated']}",
        )
    applied = sum(record.rating["leg"] == REVERSAL for record in rated)
    if applied != frame["corrections_applied"]:
        told = frame["corrections_applied"]
        report(
            "rated_count",
            frame_where(frame),
            f"usage.rated holds {applied} corrections, the frame tells {told}",
        )


def check_inputs(frame: Frame, inputs: Sequence[InputRecord], held: InputEnds, report: Reporter) -> None:
    """No event of the frame was appended after the time it tells, and usage.events has no gap."""
    events = frame["events"]
    expected = max(0, min(events["to_offset"], held.end) - max(events["from_offset"], held.first))
    if len(inputs) != expected:
        report("input_gap", frame_where(frame), f"usage.events holds {len(inputs)} of {expected} offsets")
    highest = max((record.append_us for record in inputs), default=0)
    if frame["highest_append_us"] < highest:
        report(
            "highest_append",
            frame_where(frame),
            f"tells {frame['highest_append_us']}, an event was appended at {highest}",
        )
