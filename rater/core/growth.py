"""The state of a generation of topics, taken to another number of partitions.

What is known of each customer goes to the partition of its key there, as frames whose ranges of both inputs
are empty: its digests, and in one frame its last sequence (an empty span behind it), its pools, its
revisions and its runs. Pure; what is read and written is the adapter's.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from pricing.rate import PoolState
from rater.core.frames import FrameEffects
from rater.core.identity import pack_entry, unpack_entries
from rater.core.lateness import Windows
from rater.core.periods import PeriodKey
from rater.core.revisions import Revision, RunAt, RunKey
from rater.core.rows import CustomerDelta
from rater.core.work import BatchResult, Head

CARRIED_OFFSET = -1
"""First offset of an event that was rated in another generation: no partition of this one has the record."""

ENTRIES_A_FRAME = 20_000
CUSTOMERS_A_FRAME = 2_000
THINGS_A_FRAME = 20_000  # pools, revisions and runs of its customers: they are kept for ever
_NEAR = 1_000  # offsets


class OwnerlessError(Exception):
    """Events are known of which usage.rated does not tell the customer: their partition cannot be told."""

    exit_code = 1  # of the command: see runtime.errors


@dataclass(frozen=True, slots=True)
class Entry:
    """A digest as frames hold it."""

    bucket_us: int
    digest: bytes
    content: bytes


@dataclass(slots=True)
class Standing:
    """Where the customers of one partition stand at the end of its log: of each thing the newest word.

    rater.state has every revision and every run; sequences and pools may be newer in the frames.
    """

    last_seqs: dict[str, int] = field(default_factory=dict)
    revisions: dict[bytes, Revision] = field(default_factory=dict)
    runs: dict[RunKey, RunAt] = field(default_factory=dict)
    _periods: dict[PeriodKey, tuple[int, PoolState]] = field(default_factory=dict)

    @property
    def periods(self) -> dict[PeriodKey, PoolState]:
        """Each pool in each period."""
        return {key: state for key, (_, state) in self._periods.items()}

    def tell_sequence(self, customer_id: str, last_seq: int) -> None:
        """A record or a frame tells a customer's sequence."""
        self.last_seqs[customer_id] = max(self.last_seqs.get(customer_id, 0), last_seq)

    def tell_period(self, key: PeriodKey, state: PoolState, frame_no: int) -> None:
        """A record or a frame tells a pool."""
        if key not in self._periods or self._periods[key][0] <= frame_no:
            self._periods[key] = frame_no, state

    def follow(self, effects: FrameEffects) -> None:
        """A frame of the log."""
        for customer_id, last_seq in effects.last_sequences.items():
            self.tell_sequence(customer_id, last_seq)
        for key, state in effects.periods.items():
            self.tell_period(key, state, effects.head.frame_no)

    def customers(self) -> Iterator[tuple[str, CustomerDelta]]:
        """Each customer as a frame that changes nothing tells it: an empty span behind its last sequence."""
        deltas = {customer_id: _at_rest(last_seq) for customer_id, last_seq in self.last_seqs.items()}
        for (customer_id, pool, start_us), state in self.periods.items():
            deltas[customer_id].pools[pool, start_us] = state
        for digest, revision in self.revisions.items():
            deltas[revision.customer_id].revisions[digest] = revision
        for (customer_id, run_id, pool, start_us), run in self.runs.items():
            deltas[customer_id].runs[run_id, pool, start_us] = run
        yield from sorted(deltas.items())


def _at_rest(last_seq: int) -> CustomerDelta:
    delta = CustomerDelta(last_seq + 1)
    delta.last_seq = last_seq
    return delta


def living(digests: Mapping[int, bytes], windows: Windows, highest_append_us: int) -> dict[bytes, Entry]:
    """The digests of a frame that something may still repeat."""
    return {
        digest: Entry(bucket_us, digest, known.content)
        for bucket_us, packed in digests.items()
        if not windows.bucket_expired(bucket_us, highest_append_us)
        for digest, known in unpack_entries(packed)
    }


def owned(
    entries: Mapping[bytes, Entry], originals: Iterator[tuple[bytes, str]], where: str
) -> Iterator[tuple[str, Entry]]:
    """Each digest of a frame with its customer.

    Args:
        entries: of the frame.
        originals: digest and customer of the events in usage.rated, in its order, which is that of the
            frames; those of earlier frames are passed over.
        where: the frame, for the error.

    Raises:
        OwnerlessError: a digest has no record.
    """
    left = dict(entries)
    while left:
        digest, customer_id = next(originals, (b"", ""))
        if not digest:
            raise OwnerlessError(
                f"{where}: {len(left)} events that may still be repeated have no record in usage.rated, so "
                "that nobody can tell whose they are: its retention is shorter than the replay window, or "
                "they were rated in a generation before this one, less than that window ago"
            )
        entry = left.pop(digest, None)
        if entry is not None:
            yield customer_id, entry


class Seeds:
    """The frames of one new partition, in the making; `frame` hands out the next one."""

    def __init__(self, partition: int, at: Head, coverage_us: int) -> None:
        self._partition = partition
        self._at = at
        # As if retention had deleted the frames before: a window that is made longer later is not covered.
        self._before = Head(highest_append_us=max(at.highest_append_us - coverage_us - 1, 0))
        self._frame_no = 0
        self._digests: dict[int, list[bytes]] = {}
        self._customers: dict[str, CustomerDelta] = {}
        self._entries = 0
        self._things = 0

    @property
    def full(self) -> bool:
        """Whether it is time for a frame."""
        return (
            self._entries >= ENTRIES_A_FRAME
            or len(self._customers) >= CUSTOMERS_A_FRAME
            or self._things >= THINGS_A_FRAME
        )

    @property
    def empty(self) -> bool:
        """Whether nothing waits; a partition has one frame all the same."""
        return not (self._entries or self._customers)

    def entry(self, entry: Entry) -> None:
        """Take a digest."""
        self._digests.setdefault(entry.bucket_us, []).append(
            pack_entry(entry.digest, entry.content, CARRIED_OFFSET)
        )
        self._entries += 1

    def customer(self, customer_id: str, delta: CustomerDelta) -> None:
        """Take a customer, once."""
        if customer_id in self._customers:
            raise ValueError(f"customer {customer_id!r} is told twice")
        self._customers[customer_id] = delta
        self._things += len(delta.pools) + len(delta.revisions) + len(delta.runs)

    def frame(self) -> BatchResult:
        """What was taken since the last one, as the next frame."""
        previous = self.head
        self._frame_no += 1
        result = BatchResult(
            self._partition, previous, self.head, (), digests=self._digests, customers=self._customers
        )
        self._digests, self._customers, self._entries, self._things = {}, {}, 0, 0
        return result

    @property
    def head(self) -> Head:
        """The last frame handed out."""
        if not self._frame_no:
            return self._before
        return Head(
            frame_no=self._frame_no,
            highest_append_us=self._at.highest_append_us,
            book_version=self._at.book_version,
        )


class Repartition:
    """Sends what is known of customers to the partitions of their keys; `taken` gets each full frame.

    `coverage_us` is how far behind the highest append time every digest is taken along.
    """

    def __init__(
        self,
        partitions: int,
        partition_of: Callable[[bytes], int],
        at: Head,
        coverage_us: int,
        taken: Callable[[BatchResult], None],
    ) -> None:
        self._partition_of = partition_of
        self._taken = taken
        self._seeds = [Seeds(number, at, coverage_us) for number in range(partitions)]

    def entry(self, customer_id: str, entry: Entry) -> None:
        """A digest of the customer."""
        seeds = self._of(customer_id)
        seeds.entry(entry)
        self._hand_out(seeds)

    def customer(self, customer_id: str, delta: CustomerDelta) -> None:
        """Where the customer stands."""
        seeds = self._of(customer_id)
        seeds.customer(customer_id, delta)
        self._hand_out(seeds)

    def finish(self) -> list[Head]:
        """Hand out what is left, and one frame at least of each partition. Returns their heads."""
        for seeds in self._seeds:
            if not seeds.empty or not seeds.head.frame_no:
                self._taken(seeds.frame())
        return [seeds.head for seeds in self._seeds]

    def _of(self, customer_id: str) -> Seeds:
        return self._seeds[self._partition_of(customer_id.encode())]

    def _hand_out(self, seeds: Seeds) -> None:
        if seeds.full:
            self._taken(seeds.frame())


def offset_before(first: int, end: int, at_us: int, appended_us: Callable[[int], int | None]) -> int:
    """An offset of [first, end] with nothing before it that was appended at that instant or later; near it.

    Args:
        first: of the log.
        end: of the log.
        at_us: the instant.
        appended_us: append time of the first record at an offset or behind it; None where there is none.
    """
    below, above = first, end
    while above - below > _NEAR:
        middle = (below + above) // 2
        found_us = appended_us(middle)
        if found_us is None or found_us >= at_us:
            above = middle
        else:
            below = middle
    return below


def newest(heads: Mapping[int, Head]) -> Head:
    """What the new partitions begin with: the highest append time and version that any old one has seen."""
    return Head(
        highest_append_us=max((head.highest_append_us for head in heads.values()), default=0),
        book_version=max((head.book_version for head in heads.values()), default=0),
    )
