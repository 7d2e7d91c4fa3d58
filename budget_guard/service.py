"""The guard's loop: the order of its effects.

Consume usage.totals, keep the newest of each customer, evaluate. Most totals cross nothing and touch no
database. What follows from the others is written in one PostgreSQL transaction (alerts, what fired,
deliveries, states), fenced by the partitions' epochs; then delivery and publication are woken; Kafka's
offsets are committed last. Whatever dies in between is done again under the same ids.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from budget_guard.adapters.alert_store import AlertStore, NotOwnerError, ToldOtherwiseError
from budget_guard.adapters.batches import Batch, Message, TotalsBatches
from budget_guard.adapters.judging import Judge
from budget_guard.adapters.on_demand import reconciled
from budget_guard.adapters.pages import Walk
from budget_guard.adapters.reconciler import Report
from budget_guard.adapters.totals_reader import TotalsReader
from budget_guard.adapters.worker import Worker
from budget_guard.core.firings import Totals
from pricing.budgets import BudgetBook
from runtime.clock import Clock
from runtime.errors import InfrastructureError
from runtime.failpoints import Failpoints
from runtime.monitoring import Monitoring
from runtime.postgres import DatabaseUnavailableError

__all__ = ["FAILPOINTS", "Group", "Guard", "Limits", "Parts", "PutOutError", "Report", "reconciled"]

_LOG = logging.getLogger(__name__)
_PAUSE_FIRST_S, _PAUSE_MAX_S = 0.1, 5.0
_MOVED_IN_A_ROW_MAX = 20
_AGAIN_S = 1.0
_BEHIND_S = 60.0  # how long the sink of totals is waited for when budgets change
_REPORT_S = 10.0

FAILPOINTS = frozenset({"after_consume", "before_pg_commit", "after_pg_commit", "before_publish"})

Where = tuple[str, int]
T = TypeVar("T")


class PutOutError(InfrastructureError):
    """Another guard keeps taking the partitions of this one: the process stops."""


class Group(Protocol):
    """What the guard needs of its consumer group; runtime.kafka.group.PartitionGroup is one."""

    def poll(self, records_max: int, bytes_max: int, wait_s: float) -> Sequence[Message]: ...
    def seek(self, positions: Mapping[Where, int]) -> None: ...
    def committed(self, partitions: Sequence[int]) -> dict[Where, int]: ...
    def commit(self, positions: Mapping[Where, int]) -> bool: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is taken at once, and how long what the guard depends on may be away."""

    records_max: int
    bytes_max: int
    wait_s: float
    commit_s: float
    budget_s: float


@dataclass(frozen=True, slots=True)
class Parts:
    """What the guard is wired of."""

    store: AlertStore
    judge: Judge
    reader: TotalsReader
    book: Callable[[], BudgetBook]
    starts: Callable[[Sequence[Where]], Mapping[Where, int]]
    partition_of: Callable[[str], int]
    wake: Callable[[], None]
    """New alerts and states are committed."""
    stop: Callable[[], None]
    """Ends delivery and what else runs beside."""
    workers: tuple[Worker, ...]


class Guard:
    """Looks at the partitions that its group gives it, until told to stop."""

    def __init__(
        self,
        *,
        topic: str,
        group: Callable[..., Group],
        parts: Parts,
        limits: Limits,
        clock: Clock,
        failpoints: Failpoints,
        monitoring: Monitoring,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._topic = topic
        self._batches = TotalsBatches(topic)
        self._parts = parts
        self._limits = limits
        self._clock = clock
        self._failpoints = failpoints
        self._sleep = sleep
        self._monitoring = monitoring
        self._metrics, self._progress = monitoring.metrics, monitoring.progress
        self.epochs: dict[int, int] = {}
        """Of the partitions that are owned; read by other threads, replaced, never altered."""
        self._held_against = -1  # the version that every customer of them was held against
        self._walk: Walk | None = None
        self._walk_due_s = self._walk_gives_up_s = 0.0
        self._positions: dict[Where, int] = {}  # behind what was evaluated and written
        self._committed: dict[Where, int] = {}
        self._opened = False
        self._put_out_in_a_row = 0
        self._commit_due_s = self._again_due_s = self._report_due_s = clock.monotonic_s()
        self._looked_at = self._raised = 0
        self._group = group(topics=(topic,), opened=self._open, closed=self._close)

    def run(self, stopping: Callable[[], bool]) -> None:
        """Work until `stopping()`; then leave the group cleanly."""
        try:
            while not stopping():
                self.step()
            self._commit()
        finally:
            self._group.close()
            self._parts.stop()
            self._parts.judge.close()
            self._parts.reader.close()
            self._parts.store.close()
            self._monitoring.close()

    def step(self) -> bool:
        """One round. Returns whether any totals were looked at."""
        for worker in self._parts.workers:
            worker.check()
        limits = self._limits
        messages = self._group.poll(limits.records_max, limits.bytes_max, limits.wait_s)
        if self._opened:
            # Some may be of before the assignment, and follow other positions than those of now.
            self._opened = False
            self._group.seek(self._positions)
            messages = []
        batch = self._batches.of(messages)
        if batch.positions:
            self._failpoints.hit("after_consume")
        try:
            self._work(batch)
            self._put_out_in_a_row = 0
        except NotOwnerError as error:
            self._again_from_start(error)
            return False
        self._positions |= batch.positions
        self._progress.stands(dict(self._positions))
        self._now_and_then()
        self._progress.turned()
        return bool(batch.totals)

    def _work(self, batch: Batch) -> None:
        if batch.totals:
            self._evaluate(batch.totals)
        now_s = self._clock.monotonic_s()
        if now_s >= self._again_due_s:
            self._again_due_s = now_s + _AGAIN_S
            again = self._retried(lambda: self._parts.judge.again(self._clock.now_us()))
            self._evaluate(again)
        self._look_at_new_budgets()

    def _evaluate(self, totals: Sequence[Totals]) -> None:
        """Hold them against the budgets, and write what follows."""
        if not totals:
            return
        judge, book, epochs = self._parts.judge, self._parts.book(), self.epochs
        round_ = self._retried(lambda: judge.judge(totals, book, self._clock.now_us()))
        self._looked_at += len(totals)
        self._metrics.add("ratestream_guard_totals_evaluated_total", len(totals))
        if round_.effects:
            try:
                made = self._retried(lambda: self._parts.store.write(round_.effects, epochs))
            except ToldOtherwiseError as error:
                _LOG.info("%s: read again", error)
                judge.reload(error.customers)
                self._evaluate(totals)
                return
            self._failpoints.hit("after_pg_commit")
            self._raised += len(made)
            new = set(made)
            for alert, _ in round_.effects.alerts:
                if alert.alert_id in new:
                    self._metrics.add(
                        "ratestream_guard_alerts_total", kind=alert.kind, severity=alert.severity
                    )
            self._parts.wake()
        judge.done(round_)

    # --- new budgets ---

    def _look_at_new_budgets(self) -> None:
        """A page of customers at a time, so that new totals never wait for old ones."""
        version = self._parts.book().version
        if self._held_against == version or not self.epochs:
            return
        walk = self._walk
        if walk is None or walk.version != version:
            walk = self._walk = Walk(
                self._parts.reader, version, frozenset(self.epochs), self._parts.partition_of
            )
            self._walk_gives_up_s = self._clock.monotonic_s() + _BEHIND_S
            _LOG.info("budgets of version %d: every customer is looked at", version)
        if not walk.ended:
            seen = self._parts.judge.seen
            rows = self._retried(walk.page)
            ready = [row for row in rows if not walk.is_behind(row, seen.get(row.totals.customer_id))]
            self._evaluate([row.totals for row in ready])
        now_s = self._clock.monotonic_s()
        if not walk.ended or now_s < self._walk_due_s:
            return
        self._walk_due_s = now_s + _AGAIN_S
        rows = self._retried(lambda: walk.caught_up(self._parts.judge.seen))
        self._evaluate([row.totals for row in rows])
        if not walk.behind or now_s >= self._walk_gives_up_s:  # what is left then is the reconciler's
            self._retried(lambda: self._parts.store.held_against(self.epochs, version))
            self._held_against, self._walk = version, None

    # --- rebalances ---

    def _open(self, partitions: Sequence[int]) -> dict[Where, int]:
        self._take_over(partitions)
        where = [(self._topic, partition) for partition in partitions]
        starts = self._parts.starts(where)
        committed = self._group.committed(partitions)
        self._positions = {one: max(committed.get(one, 0), starts[one]) for one in where}
        self._committed = dict(self._positions)
        self._opened = True
        self._progress.stands(dict(self._positions))
        _LOG.info("owns partitions %s", ", ".join(map(str, partitions)))
        return dict(self._positions)

    def _close(self, partitions: Sequence[int]) -> None:
        self._commit()
        self.epochs, self._positions, self._committed, self._walk = {}, {}, {}, None
        self._parts.judge.drop()
        self._progress.gave_up()
        _LOG.info("gave up partitions %s", ", ".join(map(str, partitions)))

    def _take_over(self, partitions: Sequence[int]) -> None:
        taken = self._retried(lambda: self._parts.store.take_over(partitions)) if partitions else {}
        self.epochs = {partition: epoch for partition, (epoch, _) in taken.items()}
        self._held_against = min((version for _, version in taken.values()), default=-1)
        self._walk = None
        self._parts.judge.drop()

    def _again_from_start(self, error: NotOwnerError) -> None:
        """Somebody took a partition over: the group may not have told yet, or the other one is out of it."""
        self._put_out_in_a_row += 1
        if self._put_out_in_a_row >= _MOVED_IN_A_ROW_MAX:
            raise PutOutError(f"{self._put_out_in_a_row} times in a row: {error}") from error
        _LOG.warning("nothing was written: %s; the group is asked again", error)
        self._sleep(min(_PAUSE_FIRST_S * self._put_out_in_a_row, 1.0))
        self._group.poll(1, 1, 0)  # serves a rebalance that waits
        if not self._opened and self.epochs:
            self._take_over(sorted(self.epochs))
            self._opened = True

    # --- now and then ---

    def _commit(self) -> None:
        if self._positions != self._committed and self._group.commit(self._positions):
            self._committed = dict(self._positions)

    def _now_and_then(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s >= self._commit_due_s:
            self._commit_due_s = now_s + self._limits.commit_s
            self._commit()
        if now_s >= self._report_due_s:
            self._report_due_s = now_s + _REPORT_S
            if self._looked_at:
                _LOG.info("%d totals looked at, %d alerts raised", self._looked_at, self._raised)
                self._looked_at = self._raised = 0

    def _retried(self, work: Callable[[], T]) -> T:
        """The work, again and again while PostgreSQL is away.

        Raises:
            DatabaseUnavailableError: it was away for longer than the budget.
        """
        deadline_s = self._clock.monotonic_s() + self._limits.budget_s
        pause_s = _PAUSE_FIRST_S
        with self._progress.budget("waits for PostgreSQL", self._limits.budget_s):
            while True:
                try:
                    done = work()
                except DatabaseUnavailableError as error:
                    self._progress.found("postgres", str(error))
                    if self._clock.monotonic_s() + pause_s >= deadline_s:
                        raise DatabaseUnavailableError(
                            f"not usable within {self._limits.budget_s:g} s: {error}"
                        ) from error
                    _LOG.warning("%s; again in %.1f s", error, pause_s)
                else:
                    self._progress.found("postgres", None)
                    return done
                self._sleep(pause_s)
                pause_s = min(pause_s * 2, _PAUSE_MAX_S)
