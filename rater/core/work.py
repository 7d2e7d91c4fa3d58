"""What one batch works on: input records, what is known of them, and what becomes of them.

Nothing here is applied to state until the transaction that carries it is committed.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from pricing.rate import Pools, PoolState, Rating
from rater.core.command import Corrector
from rater.core.identity import Known
from rater.core.periods import PeriodKey
from rater.core.rejection import Reject
from rater.core.revisions import Revision, RunAt, RunKey
from rater.core.rows import CustomerDelta

_KEY_SHOWN_BYTES_MAX = 128

Event = Mapping[str, Any]

# A broker bounds compressed batches, so an input can be larger than any output may be. Beyond this, which
# leaves 64 KiB of usage.rejected's 4 MiB for everything else, a rejection holds coordinates only.
ORIGINAL_BYTES_MAX = 4 * 1024 * 1024 - 64 * 1024
_DETAIL_CHARACTERS_MAX = 4_096  # a sentence may show what a record says, whatever its length


class Record(NamedTuple):
    """An input record. Times in microseconds; first_append_us only where the record is a replay."""

    offset: int
    append_us: int
    key: bytes | None
    value: bytes | None
    first_append_us: int | None = None

    @property
    def bytes(self) -> int:
        """Of key and value together."""
        return len(self.key or b"") + len(self.value or b"")


class GapError(Exception):
    """Input offsets are not contiguous: records were lost before the rater saw them, so it stops."""

    exit_code = 3  # of the process: see runtime.errors


class PoolCurrencyError(Exception):
    """A pool's currency is another one than its period began with: no sum mixes them, so the rater stops."""

    exit_code = 3  # of the process: see runtime.errors


@dataclass(frozen=True, slots=True)
class Head:
    """The last committed frame of a partition; it is the input position."""

    frame_no: int = 0
    events_next: int = 0
    corrections_next: int = 0
    highest_append_us: int = 0
    book_version: int = 0


@dataclass(frozen=True, slots=True)
class Rejected:
    """A rejected input record."""

    topic: str
    record: Record
    reason: str
    field: str | None
    detail: str
    identity: tuple[str, str, str] | None


class Duplicate(NamedTuple):
    """A record that repeats a rated event."""

    digest: bytes
    offset: int
    first_offset: int


class Memory(Protocol):
    """What the partition's state knows; read only."""

    def known(self, digests: Sequence[bytes], buckets: Sequence[int]) -> Mapping[bytes, Known]:
        """Those of the digests that were rated before, each looked for in its bucket first."""
        ...

    def last_sequences(self, customer_ids: Sequence[str]) -> Mapping[str, int]:
        """The last sequence of each customer that has one."""
        ...

    def period(self, key: PeriodKey) -> PoolState | None:
        """Where a customer's pool stands in a period, if anything has happened in it."""
        ...

    def revision(self, digest: bytes) -> Revision | None:
        """How often the event of that identity was corrected, if ever."""
        ...

    def run(self, key: RunKey) -> PoolState | None:
        """Where a pool stands in a re-rate's own period, if the run has met it."""
        ...

    def covers(self, append_us: int) -> bool:
        """Whether every event that was appended then or later is known, but for those of expired buckets."""
        ...

    def first_record(self, offset: int) -> bytes | None:
        """The value at an offset of the partition's usage.events, or None where it is gone."""
        ...


class RatedEvent(NamedTuple):
    """A rating and the way to encode it with the event's bytes once its sequence is known."""

    rating: Rating
    encode: Callable[[int], bytes]


class Customer(NamedTuple):
    """A customer of one source: the key that its records must have, and the partition of that key."""

    customer_id: str
    key: bytes
    partition: int


class Seen(NamedTuple):
    """A valid event that columns have read: its identity's digest, and what they rate it by."""

    customer: Customer
    digest: bytes
    event_time_us: int
    what: Any


class Summed(Protocol):
    """The RatedUsage record of an event at plain prices, and what is summed of it."""

    @property
    def body(self) -> bytes: ...

    @property
    def row(self) -> tuple[int, int, str | None, str | None, tuple[str | None, ...]]:
        """Start and end of the service period, currencies of cost and price, dimensions."""
        ...

    @property
    def cost_atto(self) -> int: ...

    @property
    def price_atto(self) -> int: ...

    @property
    def meters(self) -> Sequence[str]: ...

    @property
    def leaves(self) -> Sequence[int]:
        """In atto, in the order of the meters."""
        ...


class Columns(Protocol):
    """The quick way for what is nearly every event; what it leaves out goes the other way, which has the same
    results and says what is wrong.
    """

    def read(self, records: Sequence[Record]) -> Sequence[Seen | None]:
        """The events that are valid by the wire's rules and plain enough."""
        ...

    def rate(self, seen: Seen, value: bytes, customer_seq: int) -> Summed | None:
        """The event rated, where its prices are plain enough."""
        ...


@dataclass(frozen=True, slots=True)
class Tools:
    """The functions that turn bytes into events and events into ratings; each raises Reject.

    `corrector` does so for commands, with any version of the book.
    """

    decode: Callable[[bytes | None], Event]
    partition_of: Callable[[bytes], int]
    rate: Callable[[Event, bytes, Pools], RatedEvent]
    dimensions: tuple[str, ...]
    dimension_values: Callable[[Event], tuple[str | None, ...]]
    book_version: int
    corrector: Corrector
    horizon_us: int  # events from this instant on wait for a newer confirmation of the book
    columns: Columns | None = None


@dataclass(slots=True)
class BatchResult:
    """Everything one frame carries, in memory until it is committed."""

    partition: int
    previous: Head
    head: Head
    dimensions: tuple[str, ...]
    rated: list[tuple[bytes, bytes]] = field(default_factory=list)
    events_rated: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    corrections_applied: int = 0
    corrections_rejected: int = 0
    corrections_repeated: int = 0
    duplicates: list[Duplicate] = field(default_factory=list)
    digests: dict[int, list[bytes]] = field(default_factory=dict)  # bucket -> packed entries
    customers: dict[str, CustomerDelta] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    paused_at: int | None = None  # the events offset that must wait for a newer book
    correction_paused_at: int | None = None  # the corrections offset that must wait for a version of the book

    @property
    def moved(self) -> bool:
        """Whether any input record is behind it."""
        before, after = self.previous, self.head
        return (before.events_next, before.corrections_next) != (after.events_next, after.corrections_next)

    @property
    def events_rejected(self) -> int:
        """Rejected records of usage.events alone."""
        return len(self.rejected) - self.corrections_rejected

    def reject(
        self, topic: str, record: Record, verdict: Reject, identity: tuple[str, str, str] | None
    ) -> None:
        """Take a record that is refused."""
        size = record.bytes
        if size > ORIGINAL_BYTES_MAX:
            verdict = Reject(
                "too_large",
                None,
                f"key and value have {size} bytes, usage.rejected keeps at most {ORIGINAL_BYTES_MAX}; "
                "the record itself stands at its coordinates until its retention ends",
            )
        detail = verdict.detail[:_DETAIL_CHARACTERS_MAX]
        self.rejected.append(Rejected(topic, record, verdict.reason, verdict.field, detail, identity))
        self.reasons[verdict.reason] += 1

    @property
    def periods(self) -> dict[PeriodKey, PoolState]:
        """Where the pools stand that the batch moved."""
        return {
            (customer_id, *pool): state
            for customer_id, delta in self.customers.items()
            for pool, state in delta.pools.items()
        }

    @property
    def revisions(self) -> dict[bytes, Revision]:
        """The events that the batch corrected."""
        return {digest: it for delta in self.customers.values() for digest, it in delta.revisions.items()}

    @property
    def runs(self) -> dict[RunKey, RunAt]:
        """Where the re-rates' own periods stand that the batch moved."""
        return {
            (customer_id, *key): run
            for customer_id, delta in self.customers.items()
            for key, run in delta.runs.items()
        }


def check_route(
    record: Record, customer_id: str, partition: int, partition_of: Callable[[bytes], int]
) -> None:
    """Refuse a record that is not keyed by its customer, or not on that key's partition.

    Raises:
        Reject: misrouted.
    """
    key = customer_id.encode()
    if record.key != key:
        # Shown in part: a key may be as long as a record, and its escaped form four times that.
        shown = None if record.key is None else record.key[:_KEY_SHOWN_BYTES_MAX]
        raise Reject(
            "misrouted",
            "customer_id",
            f"the record's key is {shown!r}, its customer {customer_id!r}",
        )
    expected = partition_of(key)
    if expected != partition:
        raise Reject(
            "misrouted",
            "customer_id",
            f"customer {customer_id!r} belongs on partition {expected} by murmur2, "
            f"the record came on {partition}",
        )
