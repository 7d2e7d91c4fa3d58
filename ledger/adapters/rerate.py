"""A re-rate from question to answer: planned customer by customer, published, awaited in the ledger.

What a run does is determined by its arguments and by each customer's cut, which is stored before the first of
the customer's commands: a run that was interrupted makes the same commands again, and sends those that the
ledger does not have. One that was sent twice is applied once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ledger.adapters import rerate_runs
from ledger.adapters.correction_rows import customers, cut_of, records
from ledger.adapters.corrections import Refused, publish, publisher, refused, wait_for
from ledger.adapters.rerate_runs import Arrived, Run
from ledger.core.correction import command_record, run_correction_id
from ledger.core.rerate import Asked, CustomerPlan, Period, Span, Step, plan, steps
from ledger.core.rerate_difference import (
    Amount,
    Change,
    Detail,
    Difference,
    amounts_json,
    differences,
    sums_json,
)
from pricing.compile import CompiledBook
from pricing.rate import Pools, Rating, rate
from rate_book.errors import NoBookError
from rate_book.store import load_compiled
from rate_book.translate import call_of_event
from runtime.errors import UsageProblemError
from runtime.failpoints import Failpoints
from runtime.kafka.publishing import CheckedPublisher
from runtime.postgres import Connection
from runtime.settings import KafkaSettings

FAILPOINTS = frozenset({"cut_stored", "command_sent"})
_REFUSED_KEPT = 20
_ASK_EVERY = 50  # customers: refused commands are asked for so many at a time

OnDetail = Callable[[Detail, Change], None]
Tell = Callable[[int, int], None]
"""Told (done since the last call, of how many)."""


@dataclass(slots=True)
class Planned:
    """What a re-rate changes; `commands` counts those of all customers."""

    customers: int = 0
    selected: int = 0
    unchanged: int = 0
    newer: int = 0
    commands: int = 0
    difference: Difference = field(default_factory=Difference)
    periods: list[tuple[str, Period]] = field(default_factory=list)
    unratable: list[str] = field(default_factory=list)
    unratable_count: int = 0

    def add(self, customer: str, made: CustomerPlan) -> None:
        """Count a customer's plan."""
        self.customers += bool(made.commands)
        self.selected += made.selected
        self.unchanged += made.unchanged
        self.newer += made.newer
        self.commands += made.commands
        self.periods += [(customer, period) for _, period in sorted(made.periods.items())]
        self.unratable += made.refused[: _REFUSED_KEPT - len(self.unratable)]
        self.unratable_count += len(made.refused)


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a run."""

    run: Run
    planned: Planned
    applied: int
    refused: Sequence[Refused]
    realised: Mapping[Amount, int]
    arrived: Arrived


class _Version:
    """The version to rate with, as the plan wants it."""

    def __init__(self, book: CompiledBook) -> None:
        self._book = book

    @property
    def version(self) -> int:
        return self._book.version

    def rate(self, event: Mapping[str, Any], pools: Pools) -> Rating:
        return rate(self._book, call_of_event(event, self._book.attributes), pools)


class Rerate:
    """One question, asked of the ledger by one connection.

    Raises:
        UsageProblemError: the version is not stored.
    """

    def __init__(self, connection: Connection, dsn: str, asked: Asked, names: Sequence[str]) -> None:
        self._connection = connection
        self._asked = asked
        self._names = names
        try:
            self._book = _Version(load_compiled(connection, asked.book_version, dsn))
        except NoBookError as error:
            raise UsageProblemError(f"--book: {error}") from error

    def customers(self) -> list[str]:
        """Who may have something to re-rate."""
        return customers(self._connection, self._asked, self._names)

    def dry_run(self, on_detail: OnDetail, tell: Tell) -> Planned:
        """What would change; nothing is written.

        Raises:
            FindingError: the ledger lacks records.
        """
        planned = Planned()
        names = self.customers()
        for customer in names:
            cut = cut_of(self._connection, customer)
            made = self._plan(customer, cut)
            planned.add(customer, made)
            for step in self._steps(customer, cut, made):
                planned.difference.add(step)
            _tell_details(planned, on_detail)
            tell(1, len(names))
        return planned

    def _plan(self, customer: str, cut: int) -> CustomerPlan:
        return plan(partial(records, self._connection, customer, cut), self._asked, self._book)

    def _steps(self, customer: str, cut: int, made: CustomerPlan) -> Iterator[Step]:
        if made.commands:
            read = partial(records, self._connection, customer, cut)
            yield from steps(made, read, self._asked, self._book)

    def apply(
        self, run: Run, kafka: KafkaSettings, failpoints: Failpoints, on_detail: OnDetail, tell: Tell
    ) -> "Published":
        """Publish the run's commands that the ledger has not got.

        Raises:
            UndeliveredError: the broker did not take them all; the run can be continued.
            FindingError: the ledger lacks records.
        """
        published = Published(self._connection, run)
        stored = rerate_runs.cuts(self._connection, run.run_id)
        names = sorted({*self.customers(), *stored})
        with publisher(kafka) as out:
            for customer in names:
                cut = stored.get(customer) or cut_of(self._connection, customer)
                made = self._plan(customer, cut)
                if made.commands and customer not in stored:
                    kept = rerate_runs.store_cut(self._connection, run.run_id, customer, cut)
                    failpoints.hit("cut_stored")
                    if kept != cut:  # the run is being applied elsewhere too
                        cut, made = kept, self._plan(customer, kept)
                published.planned.add(customer, made)
                if made.commands:
                    published.expect(customer, made)
                    self._publish(out, kafka, published, customer, cut, made, failpoints)
                _tell_details(published.planned, on_detail)
                tell(1, len(names))
        return published

    def _publish(  # noqa: PLR0917 - what one customer's commands need
        self,
        out: CheckedPublisher,
        kafka: KafkaSettings,
        published: "Published",
        customer: str,
        cut: int,
        made: CustomerPlan,
        failpoints: Failpoints,
    ) -> None:
        run = published.run
        settled = rerate_runs.applied(self._connection, run.run_id, customer)
        settled |= {one.correction_id for one in refused(self._connection, [customer])}
        for step in self._steps(customer, cut, made):
            published.planned.difference.add(step)
            id_ = run_correction_id(run.run_id, step.record.event)
            if step.new is None or id_ in settled:
                continue
            command = command_record(
                "rerate",
                step.record,
                id_=id_,
                reason=run.reason,
                author=run.author,
                book_version=run.book_version,
                run_id=run.run_id if step.pooled else None,
                closes=step.closes,
            )
            publish(out, kafka, command)
            failpoints.hit("command_sent")


class Published:
    """A run whose commands are on their way; `wait` sees them into the ledger."""

    def __init__(self, connection: Connection, run: Run) -> None:
        self.run = run
        self.planned = Planned()
        self._connection = connection
        self._expected: dict[str, int] = {}
        self._pending: dict[str, int] = {}
        self._spans: dict[str, tuple[Span, ...]] = {}
        self._refused: dict[str, Refused] = {}
        self._settled = 0

    def expect(self, customer: str, made: CustomerPlan) -> None:
        """So many commands of this customer."""
        self._expected[customer] = made.commands
        self._pending[customer] = made.commands
        if made.periods:
            self._spans[customer] = made.spans

    def wait(self, tell: Tell, *, quiet_s: float) -> Done:
        """Until the ledger has what became of every command; then the run is finished.

        Raises:
            NotSettledError: nothing moved for `quiet_s` seconds; the run can be continued.
        """
        told = 0

        def progress() -> int:
            nonlocal told
            self._look()
            tell(self._settled - told, self.planned.commands)
            told = self._settled
            return self._settled

        wait_for(lambda: not self._pending, f"run {self.run.run_id}", quiet_s, progress)
        done = self._done()
        rerate_runs.finish(self._connection, self.run.run_id, totals_json(done))
        return done

    def _look(self) -> None:
        names = list(self._pending)
        counts = rerate_runs.counts(self._connection, self.run.run_id, names)
        for start in range(0, len(names), _ASK_EVERY):
            for one in refused(self._connection, names[start : start + _ASK_EVERY]):
                if one.correction_id.startswith(f"{self.run.run_id}/"):
                    self._refused[one.correction_id] = one
        for customer, own in self._refused_by_customer(names).items():
            counts[customer] = counts.get(customer, 0) + len(own)
        self._pending = {
            customer: expected
            for customer, expected in self._pending.items()
            if counts.get(customer, 0) < expected
        }
        self._settled = self.planned.commands - sum(
            expected - counts.get(customer, 0) for customer, expected in self._pending.items()
        )

    def _refused_by_customer(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Refused commands; one whose twin was applied before it was not refused."""
        found: dict[str, list[str]] = {}
        for one in self._refused.values():
            if one.customer_id in names:
                found.setdefault(one.customer_id, []).append(one.correction_id)
        for customer, ids in found.items():
            for twin in rerate_runs.applied(self._connection, self.run.run_id, customer).intersection(ids):
                ids.remove(twin)
                del self._refused[twin]
        return found

    def _done(self) -> Done:
        names = list(self._expected)
        others = [
            rerate_runs.arrived(self._connection, self.run.run_id, customer, spans)
            for customer, spans in self._spans.items()
        ]
        sums: dict[Amount, int] = {}
        for one in others:
            for amount, value in one.amounts.items():
                sums[amount] = sums.get(amount, 0) + value
        return Done(
            run=self.run,
            planned=self.planned,
            applied=self.planned.commands - len(self._refused),
            refused=tuple(self._refused.values()),
            realised=rerate_runs.realised(self._connection, self.run.run_id, names),
            arrived=Arrived(sum(one.records for one in others), sums),
        )


def _tell_details(planned: Planned, on_detail: OnDetail) -> None:
    for detail, change in planned.difference.next_customer():
        on_detail(detail, change)


def totals_json(done: Done) -> dict[str, Any]:
    """What ledger.runs keeps of a finished run."""
    planned = done.planned.difference.total
    return {
        "commands": done.planned.commands,
        "applied": done.applied,
        "refused": len(done.refused),
        "planned": sums_json(planned),
        "realised": amounts_json(done.realised),
        "arrived": {"records": done.arrived.records, "amounts": amounts_json(done.arrived.amounts)},
        "as_planned": done.realised == differences(planned),
    }
