"""Compares ledger, totals and alerts: what the ledger says crossed and nobody was told is told late; totals
that are not the ledger's, or stay behind it, are asked to be built anew.

The ledger is the truth and needs nobody of the live path: a dead aggregator makes alerts late, never missing.
A thing is wrong only once it was wrong at two looks with some time between: the live path is a second behind
the ledger at times, or before it.
"""

import json
import logging
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from budget_guard.adapters.alert_store import AlertStore, Effects, Known, ToldOtherwiseError
from budget_guard.adapters.session import GuardSession
from budget_guard.adapters.totals_reader import Kept, TotalsReader
from budget_guard.core.evaluate import evaluate
from budget_guard.core.firings import Decision, Totals
from budget_guard.core.reconcile import Standing, differences
from pricing.budgets import QUANTITY, BudgetBook
from pricing.calendar import ZoneTable
from pricing.totals import Key, Scopes, Sums, scope_key, watched_hash
from rate_book.ledger_totals import Cut, LedgerTotals, RowsGoneError
from runtime.clock import Clock

_LOG = logging.getLogger(__name__)
_AT_ONCE = 500
_REQUESTED_BY = "reconciler"
_DELIVERIES_KEPT = "72 hours"
_FOREVER_US = 1 << 62

_MISSING_DELIVERIES = f"""
insert into guard.deliveries (alert_id, channel)
select distinct a.alert_id, unnest(a.channels) from guard.alerts a
where a.raised_at > now() - interval '{_DELIVERIES_KEPT}'
on conflict do nothing
"""  # noqa: S608 - a constant
_ASK = """
insert into totals.repairs (customer_id, reason, by) values (%s, %s, %s) on conflict (customer_id) do nothing
"""
_DRIFT = """
insert into totals.drift (customer_id, as_of_seq, what) select %s, %s, %s::jsonb
where not exists (select from totals.drift where customer_id = %s and as_of_seq = %s)
"""


@dataclass(slots=True)
class Report:
    """What one round found."""

    customers: int = 0
    looked_at: int = 0
    late: list[str] = field(default_factory=list)
    """Alerts that were missing and are raised now."""
    waiting: int = 0
    """Alerts that are missing, not yet for long enough."""
    drift: list[dict[str, Any]] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    """Customers whose totals stayed behind the ledger."""
    behind: int = 0
    """Customers whose totals are behind, not yet for long enough."""
    deliveries: int = 0


@dataclass(frozen=True, slots=True)
class Patience:
    """For how many seconds something must be wrong before it counts."""

    late_s: float
    stale_s: float


class Watched:
    """What a customer's totals should be made for."""

    def __init__(self, zone: ZoneTable, scopes: Scopes) -> None:
        self.zone, self.scopes = zone, scopes
        self.hash = watched_hash(zone.name, scopes)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where everything is read and written; of the reconciler's thread alone."""

    session: GuardSession
    store: AlertStore
    reader: TotalsReader
    ledger: LedgerTotals
    book: Callable[[], BudgetBook]
    zone_of: Callable[[str, int], ZoneTable]
    """Of a customer's contract at an instant; raises InfrastructureError where no rate book is known."""

    def close(self) -> None:
        """Let the connections go."""
        self.ledger.close()
        self.reader.close()
        self.store.close()
        self.session.close()


class Reconciler:
    """One round after another; remembers between them what was well, and since when something is not.

    Args:
        sources: where to read and write.
        clock: for patience, and for alerts' time.
        patience: before something counts.
        owned: whether a customer is this guard's.
        epochs: of this guard's partitions, None where it is no guard's (on demand).
        wrote: told of customers for whom something was written.
        ending: whether to stop in the middle.
    """

    def __init__(
        self,
        sources: Sources,
        clock: Clock,
        patience: Patience,
        *,
        owned: Callable[[str], bool] = lambda _: True,
        epochs: Callable[[], Mapping[int, int] | None] = lambda: None,
        wrote: Callable[[Iterable[str]], None] = lambda _: None,
        ending: Callable[[], bool] = lambda: False,
    ) -> None:
        self._sources = sources
        self._clock = clock
        self._patience = patience
        self._owned = owned
        self._epochs = epochs
        self._wrote = wrote
        self._ending = ending
        # What customers were when all was right, and until when that says so: states turn by the clock too.
        self._well: dict[str, tuple[tuple[object, ...], int]] = {}
        self._alerts, self._totals = Standing(), Standing()

    def round(self) -> Report:
        """Look at every customer that changed since it was well.

        Raises:
            InfrastructureError: PostgreSQL is away, or has no ledger; what was written stays.
            NotOwnerError: the partitions have another owner.
        """
        report = Report()
        book = self._sources.book()
        seen: set[str] = set()
        customers = self._customers()
        while chunk := list(islice(customers, _AT_ONCE)):
            if self._ending():
                return report
            heads = self._sources.reader.heads([customer for customer, _ in chunk])
            for customer, ledger_seq in chunk:
                report.customers += 1
                seen.add(customer)
                now = (ledger_seq, heads.get(customer), book.version)
                was, until_us = self._well.get(customer, ((), 0))
                if was != now or until_us <= self._clock.now_us():
                    report.looked_at += 1
                    well_until_us = self._look(report, customer, book)
                    if well_until_us is not None:
                        self._well[customer] = now, well_until_us
                    else:
                        self._well.pop(customer, None)
        for gone in self._well.keys() - seen:
            del self._well[gone]
        with self._sources.session.transaction() as connection:
            report.deliveries = max(connection.execute(_MISSING_DELIVERIES.encode()).rowcount, 0)
        return report

    def _customers(self) -> Iterator[tuple[str, int]]:
        for customer, seq in self._sources.ledger.known_customers():
            if self._owned(customer):
                yield customer, seq

    def _look(self, report: Report, customer: str, book: BudgetBook) -> int | None:
        """Until when all is well with the customer, as long as nothing changes; None: it is not."""
        zone = self._sources.zone_of(customer, self._clock.now_us())
        watched = Watched(zone, Scopes(book.scopes(customer)))
        cut = self._sources.ledger.at(customer, None, watched.zone, watched.scopes)
        kept = self._sources.reader.of([customer]).get(customer)
        current = kept is not None and (kept.totals.as_of_seq, kept.watched) == (cut.seq, watched.hash)
        told_until_us = self._compare_alerts(report, customer, cut, kept if current else None, book)
        right = self._compare_totals(report, customer, cut, kept, watched)
        return told_until_us if right else None

    # --- alerts ---

    def _compare_alerts(
        self, report: Report, customer: str, cut: Cut, current: Kept | None, book: BudgetBook
    ) -> int | None:
        """Until when nothing is missing; `current` are totals of the ledger's own sequence and scopes."""
        sources = self._sources
        totals = Totals(customer, cut.seq, 0, cut.live.entries)
        if current is not None:
            entries = with_quantities(cut.live.entries, current.totals.entries)
            totals = replace(totals, as_of_us=current.totals.as_of_us, entries=entries)
        known = sources.store.load([totals]).get(customer, Known({}, {}))
        decision = evaluate(
            totals,
            book.for_customer(customer),
            known.firings,
            lambda seq: sources.ledger.reversal_since(customer, seq, cut.seq),
            self._clock.now_us(),
            published=known.states,
        )
        if current is None:
            decision = trusted(decision)
        missing: dict[str, Hashable] = {alert.alert_id: "" for alert in decision.alerts}
        missing |= {f"state {scope_key(state.scope)}": state.state for state in decision.states}
        since_s = self._alerts.look(customer, missing, self._clock.monotonic_s())
        overdue = {what for what, wrong_s in since_s.items() if wrong_s >= self._patience.late_s}
        report.waiting += len([alert for alert in decision.alerts if alert.alert_id not in overdue])
        if overdue:
            self._tell(report, customer, decision, overdue, book)
        if missing or decision.stale:
            return None
        return _FOREVER_US if decision.next_us is None else decision.next_us

    def _tell(
        self, report: Report, customer: str, decision: Decision, overdue: set[str], book: BudgetBook
    ) -> None:
        effects = Effects(
            [
                (alert, book.channels_for(alert.customer_id, alert.severity, alert.channels))
                for alert in decision.alerts
                if alert.alert_id in overdue
            ],
            [firing for firing in decision.firings if firing.alert_id in overdue],
            [firing for firing in decision.retracted if firing.retracted_alert_id in overdue],
        )
        if len(effects.alerts) == len(decision.alerts):  # else the states are of more than is written
            effects.states = list(decision.states)
        self._alerts.forget(customer)
        try:
            made = self._sources.store.write(effects, self._epochs(), late=True)
        except ToldOtherwiseError as error:
            _LOG.info("%s: nothing was missing", error)
            return
        report.late += made
        self._wrote([customer])
        for alert_id in made:
            _LOG.warning("customer %s: the alert %s was missing and is raised late", customer, alert_id)

    # --- totals ---

    def _compare_totals(
        self, report: Report, customer: str, cut: Cut, kept: Kept | None, watched: Watched
    ) -> bool:
        """Whether the totals are the ledger's; at one sequence, made for the same zone and scopes."""
        if cut.seq == 0 or (kept is not None and kept.totals.as_of_seq > cut.seq):
            self._totals.forget(customer)
            return True
        behind = self._behind(report, customer, cut, kept, watched)
        if kept is None or kept.watched != watched.hash:
            return not behind
        seq = kept.totals.as_of_seq
        if seq < cut.seq:
            try:
                cut = self._sources.ledger.at(customer, seq, watched.zone, watched.scopes)
            except RowsGoneError as error:
                _LOG.warning("customer %s cannot be compared at %d: %s", customer, seq, error)
                return False
        found = differences(cut.live.entries, kept.totals.entries)
        if found:
            report.drift.append({"customer_id": customer, "as_of_seq": seq, "differences": found})
            self._ask(customer, seq, found, f"totals at {seq} are not the ledger's")
        return not found and not behind

    def _behind(self, report: Report, customer: str, cut: Cut, kept: Kept | None, watched: Watched) -> bool:
        """Whether totals are older than the ledger, or of other scopes; asks for new ones after a while."""
        seq, made_for = (0, "") if kept is None else (kept.totals.as_of_seq, kept.watched)
        wrong: dict[str, Hashable] = {}
        if seq < cut.seq or made_for != watched.hash:
            wrong["behind"] = seq, made_for
        since_s = self._totals.look(customer, wrong, self._clock.monotonic_s())
        if since_s.get("behind", -1.0) >= self._patience.stale_s:
            report.stale.append(customer)
            self._totals.forget(customer)
            what = [{"totals_seq": seq, "ledger_seq": cut.seq, "same_scopes": made_for == watched.hash}]
            self._ask(customer, seq, what, f"totals stayed at {seq}, the ledger is at {cut.seq}")
        elif wrong:
            report.behind += 1
        return bool(wrong)

    def _ask(self, customer: str, seq: int, what: list[dict[str, Any]], reason: str) -> None:
        _LOG.warning("customer %s: %s; the aggregator is asked to build them anew", customer, reason)
        with self._sources.session.transaction() as connection:
            connection.execute(_DRIFT, (customer, seq, json.dumps(what), customer, seq))
            connection.execute(_ASK, (customer, reason, _REQUESTED_BY))


def with_quantities(ledger: Mapping[Key, Sums], totals: Mapping[Key, Sums]) -> dict[Key, Sums]:
    """The ledger's entries with the quantities of totals at the same sequence, which know every leaf."""
    return {
        key: replace(sums, quantities=totals[key].quantities) if key in totals else sums
        for key, sums in ledger.items()
    }


def trusted(decision: Decision) -> Decision:
    """Without what the ledger alone cannot know: it may have less of a quantity than totals (lines, not
    leaves), so it takes no alert about one back.
    """
    doubtful = {
        firing.retracted_alert_id for firing in decision.retracted if firing.measure.startswith(QUANTITY)
    }
    if not doubtful:
        return decision
    return replace(
        decision,
        alerts=tuple(alert for alert in decision.alerts if alert.alert_id not in doubtful),
        retracted=tuple(firing for firing in decision.retracted if firing.retracted_alert_id not in doubtful),
        states=(),
    )
