"""One partition's share of one transaction: from input records to outputs and the next head.

Pure: decoding, rating, encoding and the look-up of known ids are passed in. Nothing here is applied to
state until the transaction that carries it is committed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import repeat
from typing import NamedTuple

from pricing.rate import PoolState, no_pools
from rater.core.corrections import Corrections
from rater.core.identity import FORGOTTEN, Known, content_digest, identity_digest, pack_entry
from rater.core.lateness import Windows, check_lateness
from rater.core.rejection import Reject
from rater.core.rows import CustomerDelta
from rater.core.so_far import SoFar
from rater.core.work import (
    BatchResult,
    Duplicate,
    Event,
    GapError,
    Head,
    Memory,
    PoolCurrencyError,
    RatedEvent,
    Record,
    Seen,
    Tools,
    check_route,
)


class _Candidate(NamedTuple):
    """An event that may be rated; `event` is None where columns have seen it."""

    record: Record
    customer_id: str
    digest: bytes
    bucket_us: int
    event: Event | None
    seen: Seen | None = None


class PartitionBatch:
    """Works through one batch of one partition, in offset order."""

    def __init__(self, partition: int, head: Head, windows: Windows, memory: Memory, tools: Tools) -> None:
        self._windows = windows
        self._memory = memory
        self._tools = tools
        self._customer_id = ""  # whose event is being rated
        self._result = BatchResult(partition, head, head, tools.dimensions)
        self._so_far = SoFar(self._result, memory)

    def run(
        self,
        events: Sequence[Record],
        corrections: Sequence[Record],
        events_topic: str,
        corrections_topic: str,
    ) -> BatchResult:
        """Rate what can be rated, reject the rest.

        Raises:
            GapError: the offsets do not continue the head's.
        """
        result, head = self._result, self._result.previous
        _check_contiguous("usage.events", head.events_next, events)
        _check_contiguous("usage.corrections", head.corrections_next, corrections)
        candidates, highest_us, events_next = self._screen(events, events_topic)
        self._settle(candidates, events_topic)
        corrections_next = Corrections(result, self._so_far, self._tools, self._windows).run(
            corrections, corrections_topic, highest_us
        )
        result.head = replace(
            head,
            frame_no=head.frame_no + 1,
            events_next=events_next,
            corrections_next=corrections_next,
            highest_append_us=highest_us,
            book_version=self._tools.book_version,
        )
        # The order of offsets, whichever step rejected the record.
        result.rejected.sort(key=lambda rejected: (rejected.topic, rejected.record.offset))
        return result

    def _screen(self, events: Sequence[Record], topic: str) -> tuple[list[_Candidate], int, int]:
        """Decode, check and digest; stop before the first event that the confirmed book may not rate yet."""
        tools, windows = self._tools, self._windows
        highest_us = self._result.previous.highest_append_us
        events_next = self._result.previous.events_next
        candidates: list[_Candidate] = []
        read: Iterable[Seen | None] = tools.columns.read(events) if tools.columns else repeat(None)
        for record, seen in zip(events, read, strict=False):
            highest_before_us = highest_us
            highest_us = max(highest_us, record.append_us)
            if seen is not None and self._ordinary(seen, record, highest_us):
                at_us = seen.event_time_us
                candidates.append(
                    _Candidate(
                        record, seen.customer.customer_id, seen.digest, windows.bucket_of(at_us), None, seen
                    )
                )
                events_next = record.offset + 1
                continue
            identity = None
            try:
                event = tools.decode(record.value)
                customer_id = event["customer_id"]
                identity = (customer_id, event["source"], event["event_id"])
                check_route(record, customer_id, self._result.partition, tools.partition_of)
                event_time_us = event["event_time_us"]
                first_append_us = record.first_append_us
                if first_append_us is not None:
                    # No record arrived first after it arrived: a header cannot win time.
                    first_append_us = min(first_append_us, record.append_us)
                check_lateness(windows, event_time_us, highest_us, first_append_us)
            except Reject as verdict:
                self._result.reject(topic, record, verdict, identity)
            else:
                if event_time_us >= tools.horizon_us:
                    self._result.paused_at = record.offset
                    return candidates, highest_before_us, events_next
                candidates.append(
                    _Candidate(
                        record,
                        customer_id,
                        identity_digest(*identity),
                        windows.bucket_of(event_time_us),
                        event,
                    )
                )
            events_next = record.offset + 1
        return candidates, highest_us, events_next

    def _ordinary(self, seen: Seen, record: Record, highest_us: int) -> bool:
        """Whether nothing stops the event: if anything does, the other way says what."""
        customer, windows = seen.customer, self._windows
        return (
            record.key == customer.key
            and customer.partition == self._result.partition
            and record.first_append_us is None
            and -windows.late_us <= seen.event_time_us - highest_us <= windows.future_us
            and seen.event_time_us < self._tools.horizon_us
        )

    def _settle(self, candidates: Sequence[_Candidate], topic: str) -> None:
        """Dedupe, rate and give sequences, in offset order."""
        known, batch_values = self._so_far.known, self._so_far.values
        known.update(
            self._memory.known(
                [candidate.digest for candidate in candidates],
                [candidate.bucket_us for candidate in candidates],
            )
        )
        sequences = dict(
            self._memory.last_sequences(list({candidate.customer_id for candidate in candidates}))
        )
        pools = self._pool_so_far
        for candidate in candidates:
            record = candidate.record
            value = record.value or b""
            content = content_digest(value)
            first = known.get(candidate.digest)
            if first is None and self._accept_plain(candidate, value, content, sequences):
                known[candidate.digest] = Known(content, record.offset)
                batch_values[record.offset] = value
                continue
            if first is not None and first.content == content:
                self._duplicate(candidate, first)
                continue
            event = self._tools.decode(value) if candidate.event is None else candidate.event
            try:
                if first is not None:
                    self._repeat(candidate, event, first)
                    continue
                self._customer_id = event["customer_id"]
                rated = self._tools.rate(event, value, pools)
                if rated.rating.pools_before:
                    self._check_currencies(rated.rating.pools_before)
            except Reject as verdict:
                self._result.reject(
                    topic, record, verdict, (event["customer_id"], event["source"], event["event_id"])
                )
                continue
            known[candidate.digest] = Known(content, record.offset)
            batch_values[record.offset] = value
            self._accept(candidate, event, content, rated, sequences)

    def _pool_so_far(self, pool: str, start_us: int) -> tuple[int, int]:
        """Quantity and amount before the event that is being rated: events before it in the batch count."""
        state = self._pool_state(pool, start_us)
        return no_pools(pool, start_us) if state is None else (state.quantity_atto, state.amount_atto)

    def _pool_state(self, pool: str, start_us: int) -> PoolState | None:
        return self._so_far.pool(self._customer_id, pool, start_us)

    def _check_currencies(self, pools_before: Sequence[PoolState]) -> None:
        for now in pools_before:
            held = self._pool_state(now.pool, now.start_us)
            if held is not None and held.currency != now.currency:
                raise PoolCurrencyError(
                    f"customer {self._customer_id!r} pool {now.pool!r}: its period from {now.start_us} us is "
                    f"in {held.currency}, version {self._tools.book_version} of the rate book says "
                    f"{now.currency}; apply a version with another pool, or with the currency as it was"
                )

    def _repeat(self, candidate: _Candidate, event: Event, first: Known) -> None:
        """Count an event repeated in other bytes, or refuse one that says something else."""
        if not self._same_decoded(event, first.first_offset):
            told = f"with other content from offset {first.first_offset}, or that record is gone"
            if first is FORGOTTEN:
                told = "and corrected long ago, and its first record is gone"
            raise Reject("id_conflict", "event_id", f"event_id {event['event_id']!r} was rated {told}")
        self._duplicate(candidate, first)

    def _duplicate(self, candidate: _Candidate, first: Known) -> None:
        self._result.duplicates.append(
            Duplicate(candidate.digest, candidate.record.offset, first.first_offset)
        )

    def _same_decoded(self, event: Event, first_offset: int) -> bool:
        """Other bytes may still say the same: maps have no order, and writers may have other schemas."""
        value = self._so_far.first_record(first_offset)
        if value is None:
            return False
        try:
            return self._tools.decode(value) == event
        except Reject:
            return False

    def _accept(
        self,
        candidate: _Candidate,
        event: Event,
        content: bytes,
        rated: RatedEvent,
        sequences: dict[str, int],
    ) -> None:
        sequence = sequences.get(candidate.customer_id, 0) + 1
        self._result.rated.append((candidate.record.key or b"", rated.encode(sequence)))
        customer = self._taken(candidate, content, sequences, sequence)
        customer.add(event["event_time_us"], self._tools.dimension_values(event), rated.rating)

    def _accept_plain(
        self, candidate: _Candidate, value: bytes, content: bytes, sequences: dict[str, int]
    ) -> bool:
        """The same where columns have seen the event and its prices are plain; else False."""
        seen, columns = candidate.seen, self._tools.columns
        if seen is None or columns is None:
            return False
        sequence = sequences.get(candidate.customer_id, 0) + 1
        summed = columns.rate(seen, value, sequence)
        if summed is None:
            return False
        self._result.rated.append((seen.customer.key, summed.body))
        customer = self._taken(candidate, content, sequences, sequence)
        customer.add_plain(seen.event_time_us, summed)
        return True

    def _taken(
        self, candidate: _Candidate, content: bytes, sequences: dict[str, int], sequence: int
    ) -> CustomerDelta:
        """The event has that sequence of its customer."""
        result, customer_id = self._result, candidate.customer_id
        result.events_rated += 1
        sequences[customer_id] = sequence
        customer = result.customers.get(customer_id)
        if customer is None:
            customer = result.customers[customer_id] = CustomerDelta(sequence)
        customer.last_seq = sequence
        entry = pack_entry(candidate.digest, content, candidate.record.offset)
        result.digests.setdefault(candidate.bucket_us, []).append(entry)
        return customer


def _check_contiguous(topic: str, expected: int, records: Sequence[Record]) -> None:
    """Offsets of the inputs have no gaps: their producers use no transactions and nothing compacts them."""
    for record in records:
        if record.offset != expected:
            raise GapError(f"{topic}: expected offset {expected}, got {record.offset}: records are missing")
        expected += 1
