"""The ledger's loop: the order of its effects; beside it, what only reads (`verify`, `explain`, `simulate`).

Consume, decode; then one database transaction: positions by compare-and-set, rows, roll-ups, customers.
A batch is written by a thread of its own while the next one is consumed and decoded; never two at once.
Nothing is committed to Kafka: the positions in PostgreSQL decide. Whatever dies, the transaction is there
whole or not at all; where a commit's reply is lost, the positions tell which.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

from ledger.adapters.beginning import Broker, TopicChangedError
from ledger.adapters.days import detach_before
from ledger.adapters.intake import batch_of
from ledger.adapters.plain_rows import PlainRows
from ledger.adapters.store import Counts, Outcome, Store
from ledger.core.batch import Batch, Where
from ledger.verification import Depth, explain, simulate, verify
from runtime.clock import Clock
from runtime.errors import InfrastructureError
from runtime.kafka.errors import KafkaUnavailableError
from runtime.kafka.group import PartitionGroup
from runtime.monitoring import Monitoring
from runtime.postgres import DatabaseUnavailableError, connect

__all__ = [
    "FAILPOINTS",
    "Depth",
    "Ledger",
    "Limits",
    "NotOwnerError",
    "PositionsGoneError",
    "detach",
    "explain",
    "simulate",
    "verify",
]

_LOG = logging.getLogger(__name__)
_REPORT_S = 10.0
_BUSY_A_SECOND = 1_000  # records
_TOPICS_CHECKED_S = 5.0
_DAYS_MADE_S = 3_600.0
_PAUSE_FIRST_S, _PAUSE_MAX_S = 0.1, 5.0
_MOVED_IN_A_ROW_MAX = 20

FAILPOINTS = frozenset({"after_copy", "before_pg_commit", "lost_commit_reply", "after_pg_commit"})

T = TypeVar("T")


class NotOwnerError(InfrastructureError):
    """Another process keeps writing the partitions of this one: the process stops."""


class PositionsGoneError(InfrastructureError):
    """The database is another than it was, or was put back behind the ledger's start: the process stops."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a transaction takes, and how long PostgreSQL may be away.

    Records are collected for `wait_s`, and where more than a thousand a second come, for `busy_wait_s`.
    """

    records_max: int
    bytes_max: int
    wait_s: float
    postgres_wait_s: float
    busy_wait_s: float = 0


@dataclass(slots=True)
class Counters:
    """Since the start of the process."""

    rated: int = 0
    rejected: int = 0
    bad: int = 0
    transactions: int = 0
    replies_lost: int = 0
    moved: int = 0


class Ledger:
    """Takes over the partitions that its group gives it, until told to stop.

    The store belongs to the writing thread while a batch is under way, else to the caller's.
    """

    def __init__(
        self,
        *,
        topics: tuple[str, str],
        group: Callable[..., PartitionGroup],
        broker: Broker,
        store: Store,
        limits: Limits,
        clock: Clock,
        after_commit: Callable[[], None],
        monitoring: Monitoring,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._topics = topics
        self._broker = broker
        self._store = store
        self._limits = limits
        self._clock = clock
        self._after_commit = after_commit
        self._sleep = sleep
        self._monitoring = monitoring
        self._metrics, self._progress = monitoring.metrics, monitoring.progress
        self._metrics.begin("ratestream_ledger_rows_total", "table", ("rated", "rejected", "bad"))
        self._positions: dict[Where, int] = {}  # behind the batch under way, if there is one
        self._written: dict[Where, int] = {}  # behind what is written
        self._plain = PlainRows()
        self._opened = False
        self._writer = ThreadPoolExecutor(1, "writer")
        self._under_way: tuple[Batch, Future[tuple[Outcome, Counts]]] | None = None
        self._moved_in_a_row = 0
        self._days_due_s = 0.0
        self._report_due_s = clock.monotonic_s() + _REPORT_S
        self._topics_due_s = clock.monotonic_s() + _TOPICS_CHECKED_S
        self.counters = Counters()
        self._group = group(topics=topics, opened=self._open, closed=self._close)

    def run(self, stopping: Callable[[], bool]) -> None:
        """Work until `stopping()`; then leave the group cleanly."""
        try:
            while not stopping():
                self.step()
            self._finish()
        finally:
            self._group.close()
            self._writer.shutdown()
            self._store.close()
            self._monitoring.close()

    def step(self) -> bool:
        """One round: at most one transaction is begun. Returns whether one was."""
        self._make_days()
        messages = self._poll()
        if self._opened:
            # Some may be of before the assignment, and follow other positions than those of now.
            self._opened = False
            self._group.seek(self._positions)
            messages = []
        batch = batch_of(messages, self._positions, self._topics[0], self._plain)
        begun = bool(batch.before) and self._finish()
        if begun:
            self._positions |= batch.after
            self._under_way = batch, self._writer.submit(self._write, batch)
        elif self._under_way is not None and self._under_way[1].done():
            self._finish()
        self._check_topics()
        self._report()
        self._progress.turned(assigned=self._group.group_metadata is not None)
        return begun

    def _poll(self) -> list[Any]:
        """The next records. Many are collected for longer: their sums meet in fewer rows of the roll-ups."""
        limits = self._limits
        messages = list(self._group.poll(limits.records_max, limits.bytes_max, limits.wait_s))
        left = limits.records_max - len(messages)
        more_s = limits.busy_wait_s - limits.wait_s
        if self._opened or more_s <= 0 or left <= 0 or len(messages) < _BUSY_A_SECOND * limits.wait_s:
            return messages
        bytes_left = limits.bytes_max - sum(map(len, messages))
        if bytes_left > 0:
            messages += self._group.poll(left, bytes_left, more_s)
        return messages

    def _write(self, batch: Batch) -> tuple[Outcome, Counts]:
        """In the writing thread."""
        begun_s = self._clock.monotonic_s()
        done = self._retried(lambda: self._store.write(batch))
        self._metrics.observe("ratestream_ledger_commit_seconds", self._clock.monotonic_s() - begun_s)
        self._after_commit()
        return done

    def _finish(self) -> bool:
        """Wait for the batch under way. Returns whether what was consumed behind it is still what comes next.

        Raises:
            InfrastructureError: what the writing ended in.
        """
        if self._under_way is None:
            return True
        (batch, written), self._under_way = self._under_way, None
        if self._account(batch, *written.result()):
            return True
        self._follow(batch)
        return False

    def _account(self, batch: Batch, outcome: Outcome, counts: Counts) -> bool:
        """Count what was written. Returns False where nothing was, because positions were others."""
        if outcome is Outcome.MOVED:
            self.counters.moved += 1
            self._metrics.add("ratestream_ledger_moved_total")
            return False
        if outcome is Outcome.ALREADY:
            _LOG.warning("a commit's reply was lost: the positions say that it was done")
        self._moved_in_a_row = 0
        self.counters.transactions += 1
        self.counters.replies_lost += outcome is Outcome.ALREADY
        self.counters.rated += counts.rated
        self.counters.rejected += counts.rejected
        self.counters.bad += counts.bad
        add = self._metrics.add
        add("ratestream_ledger_batches_total")
        add("ratestream_ledger_replies_lost_total", int(outcome is Outcome.ALREADY))
        add("ratestream_ledger_rows_total", counts.rated, table="rated")
        add("ratestream_ledger_rows_total", counts.rejected, table="rejected")
        add("ratestream_ledger_rows_total", counts.bad, table="bad")
        self._stands(self._written | batch.after)
        return True

    def _stands(self, positions: dict[Where, int]) -> None:
        self._written = positions
        self._progress.stands(positions)

    def _follow(self, batch: Batch) -> None:
        """Go where PostgreSQL's positions are: they are right whoever moved them."""
        self._moved_in_a_row += 1
        if self._moved_in_a_row >= _MOVED_IN_A_ROW_MAX:
            raise NotOwnerError(
                f"positions were moved by another process {self._moved_in_a_row} times in a row: "
                f"{', '.join(f'{topic} {partition}' for topic, partition in sorted(batch.before))}"
            )
        found = self._retried(lambda: self._store.positions(list(self._positions)))
        gone = sorted(self._positions.keys() - found.keys())
        if gone:
            named = ", ".join(f"{topic} {partition}" for topic, partition in gone)
            raise PositionsGoneError(f"ledger.positions no longer has {named}")
        for (topic, partition), offset in found.items():
            was = self._positions[topic, partition]
            if offset != was:
                _LOG.warning("%s %d: position %d in PostgreSQL, %d here", topic, partition, offset, was)
        self._positions = found
        self._stands(dict(found))
        self._group.seek(found)

    def _retried(self, work: Callable[[], T]) -> T:
        """The work, again and again while PostgreSQL is away.

        Raises:
            DatabaseUnavailableError: it was away for longer than the budget.
        """
        wait_s = self._limits.postgres_wait_s
        deadline_s = self._clock.monotonic_s() + wait_s
        try:
            return work()
        except DatabaseUnavailableError as error:
            first = error
        with self._progress.budget("PostgreSQL is waited for", wait_s):
            self._progress.found("postgresql", "does not answer")
            done = self._again(work, deadline_s, first)
        self._progress.found("postgresql", None)
        return done

    def _again(self, work: Callable[[], T], deadline_s: float, error: DatabaseUnavailableError) -> T:
        pause_s = _PAUSE_FIRST_S
        while self._clock.monotonic_s() + pause_s < deadline_s:
            _LOG.warning("%s; again in %.1f s", error, pause_s)
            self._sleep(pause_s)
            pause_s = min(pause_s * 2, _PAUSE_MAX_S)
            try:
                return work()
            except DatabaseUnavailableError as again:
                error = again
        raise DatabaseUnavailableError(
            f"not usable within {self._limits.postgres_wait_s:g} s: {error}"
        ) from error

    # --- rebalances ---

    def _open(self, partitions: Sequence[int]) -> dict[Where, int]:
        self._settle()
        wanted = [(topic, partition) for topic in self._topics for partition in partitions]
        known = self._retried(lambda: self._store.positions(wanted))
        missing = [where for where in wanted if where not in known]
        if missing:
            starts = self._broker.starts(missing)
            self._retried(lambda: self._store.begin(starts))
            known = self._retried(lambda: self._store.positions(wanted))
        self._broker.check(known)
        self._positions = known
        self._stands(dict(known))
        self._opened = True
        _LOG.info("owns partitions %s", ", ".join(map(str, partitions)))
        return dict(known)

    def _close(self, partitions: Sequence[int]) -> None:
        self._settle()
        self._positions = {}
        self._written = {}
        self._progress.gave_up()
        _LOG.info("gave up partitions %s", ", ".join(map(str, partitions)))

    def _settle(self) -> None:
        """Before partitions change hands the batch under way is written, or was nothing of this worker's."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            self._account(under_way[0], *under_way[1].result())

    # --- now and then ---

    def _make_days(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s >= self._days_due_s:
            self._finish()
            self._retried(self._store.make_days_ahead)
            self._days_due_s = now_s + _DAYS_MADE_S

    def _check_topics(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s >= self._topics_due_s:
            self._topics_due_s = now_s + _TOPICS_CHECKED_S
            try:
                self._broker.check_topics()
            except TopicChangedError:
                raise
            except KafkaUnavailableError as error:
                _LOG.warning("topics cannot be checked now: %s", error)

    def _report(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s >= self._report_due_s:
            self._report_due_s = now_s + _REPORT_S
            _LOG.info("%s", self.counters)


def detach(dsn: str, before: date) -> Iterator[str]:
    """Take the days posted before a day (UTC) out of the ledger, and tell each table that was detached.

    Raises:
        UsageProblemError: the day is later than today.
        InfrastructureError: PostgreSQL is away, the login does not own the tables, or others were in the way.
    """
    with connect(dsn) as connection:
        yield from detach_before(connection, before)
