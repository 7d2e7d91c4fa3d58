"""The ledger as the world runs it: its own service and intake over a database of dictionaries.

PostgreSQL is what the tables promise: a transaction is there whole or not at all, positions are moved by
compare-and-set, a reply to a commit may be lost. SQL itself, locks and COPY are not simulated.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from ledger.adapters.beginning import Broker
from ledger.adapters.store import Counts, Outcome
from ledger.core.batch import BadRecord, Batch, Where
from ledger.core.contiguous import Progress, repeated
from ledger.core.plain import PlainRow
from ledger.core.rows import RatedRow, RejectedRow
from ledger.service import Ledger, Limits
from runtime.kafka.group import PartitionGroup
from runtime.kafka.topology import Topology
from runtime.postgres import DatabaseUnavailableError
from tests.simulation.clients import Site
from tests.simulation.raters import SimFailpoints, silent
from tests.simulation.schedule import SECOND_US, Process, Schedule, SimClock, SimulatedCrash, Task
from tests.simulation.stream import PARTITIONS

TOPICS = ("usage.rated", "usage.rejected")
_WORST = 0.02


@dataclass(eq=False)
class Database:
    """The ledger's tables."""

    schedule: Schedule
    positions: dict[Where, int] = field(default_factory=dict)
    customers: dict[str, Progress] = field(default_factory=dict)
    rated: list[RatedRow] = field(default_factory=list)
    rejected: list[RejectedRow] = field(default_factory=list)
    bad: list[BadRecord] = field(default_factory=list)
    away: Sequence[tuple[int, int]] = ()
    locked: set[Where] = field(default_factory=set)
    """Positions that a transaction on its way has moved: others read the old ones, and wait to write."""

    def ask(self, what: str) -> None:
        """Before a statement: the server may be away."""
        self.schedule.effect(what)
        if not self.schedule.quiet:
            now_us = self.schedule.now_us
            is_away = any(begin <= now_us < end for begin, end in self.away)
            if is_away or self.schedule.random.random() < 0.01:
                self.schedule.saw("PostgreSQL does not answer")
                raise DatabaseUnavailableError("postgres: away")

    def answer(self, what: str) -> None:
        """Behind a commit: its reply may be lost."""
        if not self.schedule.quiet and self.schedule.random.random() < 0.04:
            self.schedule.saw("a commit's reply is lost")
            raise DatabaseUnavailableError("postgres: the reply is lost")
        self.schedule.effect(what)


class SimStore:
    """ledger.adapters.store.Store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def close(self) -> None:
        """A connection, if there is one."""

    def positions(self, wanted: Sequence[Where]) -> dict[Where, int]:
        self._database.ask("pg read positions")
        held = self._database.positions
        return {where: held[where] for where in wanted if where in held}

    def begin(self, starts: Mapping[Where, int]) -> None:
        self._database.ask("pg begin")
        for where, offset in starts.items():
            self._database.positions.setdefault(where, offset)
        self._database.answer("pg begun")

    def make_days_ahead(self) -> None:
        self._database.ask("pg days")

    def write(self, batch: Batch) -> tuple[Outcome, Counts]:
        """All of the batch, or nothing."""
        database = self._database
        self._is_worst()
        database.ask("pg write")
        while database.locked & batch.before.keys():
            database.schedule.saw("a batch of the ledger waits for another's transaction")
            database.schedule.wait(
                database.schedule.now_us + SECOND_US, lambda: not database.locked & batch.before.keys()
            )
        now = {where: database.positions.get(where) for where in batch.before}
        if now != batch.before:
            if now == batch.after:
                return Outcome.ALREADY, Counts()
            database.schedule.saw("the ledger's positions were moved by another")
            return Outcome.MOVED, Counts()
        progress = {
            row.customer_id: copy(database.customers.get(row.customer_id, Progress())) for row in batch.rated
        }
        known = repeated(progress, [(row.customer_id, row.customer_seq) for row in batch.rated])
        batch = batch.without(TOPICS[0], known)
        for row in batch.rated:
            progress[row.customer_id].take(row.customer_seq)
        self._commit(batch, progress)
        database.answer("pg written")
        return Outcome.WRITTEN, Counts(len(batch.rated), len(batch.rejected), len(batch.bad))

    def _commit(self, batch: Batch, progress: Mapping[str, Progress]) -> None:
        """Now; or the server takes so long that the worker is put out, and commits behind its back."""
        database = self._database
        schedule = database.schedule

        def commit() -> None:
            database.positions.update(batch.after)
            database.customers.update(progress)
            # Row by row there (see patches), so that these are all; a plain row would end the commit.
            database.rated.extend(_whole(row) for row in batch.rated)
            database.rejected.extend(batch.rejected)
            database.bad.extend(batch.bad)
            database.locked -= batch.before.keys()
            schedule.changes += 1
            schedule.note(f"ledger {sorted(batch.after.items())}")

        if not self._strikes():
            commit()
            return
        schedule.saw("a ledger dies while its commit is on its way")
        database.locked |= batch.before.keys()
        schedule.after(int((6 + 12 * schedule.random.random()) * SECOND_US), commit)
        schedule.kill(self._process)
        raise SimulatedCrash

    def _is_worst(self) -> None:
        """The worst instant to stand still: until another has the partitions and writes the same records."""
        schedule = self._database.schedule
        if self._strikes():
            schedule.saw("a ledger stands still before it writes")
            schedule.pause(self._process, int((11 + 25 * schedule.random.random()) * SECOND_US))
            schedule.wait(schedule.now_us)

    @property
    def _process(self) -> Process:
        process = self._database.schedule.current.process
        assert process is not None
        return process

    def _strikes(self) -> bool:
        schedule = self._database.schedule
        return not schedule.quiet and schedule.crash_rate > 0 and schedule.random.random() < _WORST


class SimFuture:
    """What a task will have done."""

    def __init__(self, schedule: Schedule, work: Callable[[], Any]) -> None:
        self._schedule = schedule
        self._result: Any = None
        self._task: Task = schedule.spawn("writer", schedule.current.process, lambda: self._work(work))

    def _work(self, work: Callable[[], Any]) -> None:
        self._result = work()

    def done(self) -> bool:
        return self._task.ended

    def result(self) -> Any:
        while not self._task.ended:
            self._schedule.wait(self._schedule.now_us + 1_000_000, lambda: self._task.ended)
        if self._task.error is not None:
            raise self._task.error
        return self._result


class SimExecutor:
    """concurrent.futures.ThreadPoolExecutor, whose threads are tasks of the process that submits."""

    def __init__(self, *_args: object) -> None: ...

    def submit(self, work: Callable[..., Any], *args: Any) -> SimFuture:
        return SimFuture(Schedule.running, lambda: work(*args))

    def shutdown(self) -> None: ...


def ledger(site: Site, database: Database) -> Ledger:
    """A ledger worker ready to run."""
    schedule, clock = site.schedule, SimClock(site.schedule)
    config: dict[str, Any] = {"sim": site, "group.id": "ledger"}
    topology = Topology("cluster", {name: f"{name}-id" for name in TOPICS}, dict.fromkeys(TOPICS, PARTITIONS))
    busy = schedule.random.random() < 0.3
    return Ledger(
        topics=TOPICS,
        group=partial(PartitionGroup, config, clock=clock),
        broker=Broker(config, topology, complete=TOPICS[:1]),
        store=cast("Any", SimStore(database)),
        limits=Limits(
            records_max=schedule.random.choice((2, 10, 100)),
            bytes_max=1 << 20,
            wait_s=1.5,
            postgres_wait_s=45,
            busy_wait_s=3.0 if busy else 0,
        ),
        clock=clock,
        after_commit=partial(SimFailpoints(schedule).hit, "after_pg_commit"),
        monitoring=silent(clock),
        sleep=schedule.sleep,
    )


def _whole(row: RatedRow | PlainRow) -> RatedRow:
    if isinstance(row, PlainRow):
        raise TypeError(f"a plain row of {row.customer_id}")
    return row
