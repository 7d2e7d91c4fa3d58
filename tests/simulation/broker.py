"""A broker as far as the services can tell: partitions, transactions with markers, fencing, compaction.

A transaction's records take offsets at once; so does its marker, later and partition by partition. Until its
marker is there, a partition's last stable offset stays in front of it. A commit that was begun is finished by
the broker whatever becomes of the producer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from confluent_kafka import KafkaError, KafkaException

from tests.simulation.schedule import SECOND_US, Schedule

Where = tuple[str, int]
Outcome = Literal["open", "committed", "aborted"]
TRANSACTION_TIMEOUT_US = 40 * SECOND_US


def refused(code: int, why: str, *, abort: bool = False, retriable: bool = False) -> KafkaException:
    """What a client raises."""
    return KafkaException(KafkaError(code, why, False, retriable, abort))


@dataclass(eq=False)
class Transaction:
    """One transaction of a producer. `waits_for`: where its marker is not yet."""

    producer: "ProducerState"
    outcome: Outcome = "open"
    waits_for: dict[Where, int] = field(default_factory=dict)  # partition -> its first offset there
    offsets: dict[Where, int] = field(default_factory=dict)
    offsets_pending: bool = False


@dataclass(eq=False)
class ProducerState:
    """What the broker knows of a transactional id."""

    epoch: int = 0
    transaction: Transaction | None = None
    """Open, or ended with markers that are not all written."""
    late: Callable[[], None] | None = None
    """A request of the network's own that comes when the next transaction is open."""


@dataclass(slots=True, eq=False)
class Entry:
    """What takes an offset. Without a transaction it is committed; a marker is no record."""

    offset: int
    append_us: int
    key: bytes | None
    value: bytes | None
    transaction: Transaction | None = None
    marker: bool = False
    headers: tuple[tuple[str, bytes], ...] = ()


class Log:
    """One partition. Entries are by offset; compaction leaves holes. `appended` has them all for ever."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.appended: list[Entry] = []
        self.end = 0
        self.open: dict[Transaction, int] = {}

    @property
    def stable(self) -> int:
        return min(self.open.values()) if self.open else self.end

    def append(self, entry: Entry) -> int:
        entry.offset = self.end
        self.entries.append(entry)
        self.appended.append(entry)
        self.end += 1
        return entry.offset

    def find(self, offset: int) -> int:
        """The index of the first entry at or behind an offset."""
        low, high = 0, len(self.entries)
        while low < high:
            middle = (low + high) // 2
            if self.entries[middle].offset < offset:
                low = middle + 1
            else:
                high = middle
        return low

    def committed(self) -> list[Entry]:
        """Every record that a committed reader gets."""
        return [it for it in self.entries if visible(it)]


def visible(entry: Entry) -> bool:
    """Whether a committed reader is given it, once the last stable offset has passed it."""
    return not entry.marker and (entry.transaction is None or entry.transaction.outcome == "committed")


class Broker:
    """Topics, transactional ids, and the group offsets that transactions carry."""

    def __init__(self, schedule: Schedule, topics: Mapping[str, int]) -> None:
        self.schedule = schedule
        self.topics = topics
        self.logs = {(topic, number): Log() for topic, numbers in topics.items() for number in range(numbers)}
        self.producers: dict[str, ProducerState] = {}
        self.group_offsets: dict[str, dict[Where, int]] = {}
        self.pending: dict[str, list[Transaction]] = {}
        self.fence_offsets: Callable[[str, object], None] = lambda _group, _metadata: None

    # --- plain appends ---

    def append(
        self,
        where: Where,
        key: bytes | None,
        value: bytes | None,
        headers: tuple[tuple[str, bytes], ...] = (),
    ) -> int:
        """A record without a transaction."""
        self.schedule.changes += 1
        return self.logs[where].append(Entry(0, self._append_us(), key, value, headers=headers))

    def _append_us(self) -> int:
        return self.schedule.now_us - self.schedule.now_us % 1000  # the wire has milliseconds

    # --- transactions ---

    def initialise(self, transactional_id: str) -> int:
        """A new epoch: whoever had the one before is fenced, and what it left open is aborted."""
        state = self.producers.setdefault(transactional_id, ProducerState())
        if state.transaction is not None and state.transaction.outcome == "open":
            self.schedule.saw("fenced: an open transaction of a predecessor is aborted")
            self._end(state.transaction, "aborted")
        state.epoch += 1
        return state.epoch

    def state_of(self, transactional_id: str, epoch: int) -> ProducerState:
        """Of a producer that is not fenced."""
        state = self.producers[transactional_id]
        if state.epoch != epoch:
            self.schedule.saw("a fenced producer is refused")
            raise refused(KafkaError.PRODUCER_FENCED, "fenced")
        return state

    def busy(self, transactional_id: str) -> bool:
        """Whether the last transaction's markers are still on their way."""
        found = self.producers[transactional_id].transaction
        return found is not None and found.outcome != "open"

    def begin(self, state: ProducerState) -> Transaction:
        transaction = state.transaction = Transaction(state)
        if state.late is not None:
            late, state.late = state.late, None
            late()
        self.schedule.after(TRANSACTION_TIMEOUT_US, lambda: self._expire(transaction))
        return transaction

    def _expire(self, transaction: Transaction) -> None:
        if transaction.outcome == "open":
            self.schedule.saw("a transaction timed out")
            transaction.producer.epoch += 1
            self._end(transaction, "aborted")

    def produce(self, transaction: Transaction, where: Where, key: bytes | None, value: bytes | None) -> int:
        log = self.logs[where]
        self.schedule.changes += 1
        offset = log.append(Entry(0, self._append_us(), key, value, transaction))
        if where not in transaction.waits_for:
            transaction.waits_for[where] = offset
            log.open[transaction] = offset
        return offset

    def send_offsets(
        self, transaction: Transaction, group: str, metadata: object, offsets: Mapping[Where, int]
    ) -> None:
        """Pending until the transaction ends."""
        self.fence_offsets(group, metadata)
        transaction.offsets.update(offsets)
        if not transaction.offsets_pending:
            transaction.offsets_pending = True
            self.pending.setdefault(group, []).append(transaction)

    def _end(self, transaction: Transaction, outcome: Outcome) -> None:
        transaction.outcome = outcome
        self.schedule.note(f"transaction {outcome}: {sorted(transaction.waits_for)}")
        random = self.schedule.random.random
        slow = not self.schedule.quiet and random() < 0.15
        if slow:
            self.schedule.saw("markers written late")

        def delay() -> int:
            return int(random() * (8 * SECOND_US if slow else 20_000))

        for where in list(transaction.waits_for):
            self.schedule.after(delay(), lambda where=where: self._mark(transaction, where))  # type: ignore[misc]  # mypy and defaults
        if transaction.offsets_pending:
            self.schedule.after(delay(), lambda: self._mark_offsets(transaction))
        self._settled(transaction)

    def commit(self, transaction: Transaction) -> None:
        self._end(transaction, "committed")

    def abort(self, transaction: Transaction) -> None:
        self.schedule.saw("a transaction is aborted")
        self._end(transaction, "aborted")

    def _mark(self, transaction: Transaction, where: Where) -> None:
        log = self.logs[where]
        del log.open[transaction], transaction.waits_for[where]
        log.append(Entry(0, self._append_us(), None, None, transaction, marker=True))
        self._settled(transaction)

    def _mark_offsets(self, transaction: Transaction) -> None:
        for group, waiting in self.pending.items():
            if transaction in waiting:
                waiting.remove(transaction)
                if transaction.outcome == "committed":
                    self.group_offsets.setdefault(group, {}).update(transaction.offsets)
        transaction.offsets_pending = False
        self._settled(transaction)

    def _settled(self, transaction: Transaction) -> None:
        self.schedule.changes += 1
        settled = not transaction.waits_for and not transaction.offsets_pending
        if settled and transaction.producer.transaction is transaction:
            transaction.producer.transaction = None

    def open_transactions(self) -> list[Where]:
        """Where the last stable offset does not reach the end."""
        return [where for where, log in self.logs.items() if log.stable < log.end]

    # --- compaction ---

    def compact(self, topic: str) -> None:
        """Of each key only the newest committed record stays, below the last stable offset."""
        for number in range(self.topics[topic]):
            log = self.logs[topic, number]
            stable = log.stable
            newest = {it.key: it.offset for it in log.entries if it.offset < stable and visible(it)}
            log.entries = [
                it
                for it in log.entries
                if it.offset >= stable or (visible(it) and newest[it.key] == it.offset)
            ]
