"""When the reconciler looks at a customer again of whom nothing changed."""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

from budget_guard.adapters.alert_store import Known
from budget_guard.adapters.reconciler import Patience, Reconciler, Sources
from budget_guard.adapters.totals_reader import Kept
from budget_guard.core.evaluate import evaluate
from budget_guard.core.firings import FiringKey
from pricing.budgets import BudgetBook
from pricing.calendar import ZoneTable
from pricing.cards import Zone
from pricing.totals import Live, Scopes, watched_hash
from rate_book.ledger_totals import Cut
from runtime.clock import SystemClock
from tests.unit.budget_guard.guard_world import CUSTOMER, HOUR_US, entry, limited, totals

UTC = ZoneTable(Zone("UTC", ((0, 0),)))


class Clock(SystemClock):
    """Stands where the test puts it."""

    us = 0

    def now_us(self) -> int:
        return self.us

    def monotonic_s(self) -> float:
        return self.us / 1e6


class World:
    """One customer, the same in the ledger and in totals, of whom the guard has told all alerts."""

    def __init__(self) -> None:
        # Usage a little ahead of the clock: the hour that it is in is to come.
        self.totals = totals(1, entry(200, window="hour", start_us=HOUR_US, end_us=2 * HOUR_US))
        self.book = BudgetBook(1, [limited(window="hour")])
        told = evaluate(self.totals, self.book.for_customer(CUSTOMER), {}, lambda _: False, 0)
        self.known = Known({firing.key: firing for firing in told.firings}, {})
        self.kept = Kept(self.totals, watched_hash(UTC.name, Scopes([()])))

    def sources(self) -> Sources:
        seq = self.totals.as_of_seq
        ledger = SimpleNamespace(
            known_customers=self._customers, at=lambda *_: Cut(seq, seq, Live(dict(self.totals.entries)))
        )
        connection = SimpleNamespace(execute=lambda *_: SimpleNamespace(rowcount=0))
        parts = {
            "session": SimpleNamespace(transaction=lambda: nullcontext(connection)),
            "store": SimpleNamespace(load=self._load),
            "reader": SimpleNamespace(
                heads=lambda _: {CUSTOMER: (seq, self.kept.watched)}, of=lambda _: {CUSTOMER: self.kept}
            ),
            "ledger": ledger,
        }
        return Sources(**cast("Any", parts), book=lambda: self.book, zone_of=lambda *_: UTC)

    def _customers(self) -> Iterator[tuple[str, int]]:
        yield CUSTOMER, self.totals.as_of_seq

    def _load(self, _wanted: object) -> Mapping[str, Known]:
        return {CUSTOMER: self.known}


def test_a_customer_who_is_well_is_looked_at_again_when_a_window_begins() -> None:
    """Else an hour that nobody said is hard, its guard having been restarted, would stay ok to its end."""
    world, clock = World(), Clock()
    assert {type(key) for key in world.known.firings} == {FiringKey}
    reconciler = Reconciler(world.sources(), clock, Patience(15, 60))
    assert reconciler.round().looked_at == 1
    clock.us = HOUR_US - 1
    assert reconciler.round().looked_at == 0
    clock.us = HOUR_US
    assert reconciler.round().looked_at == 1
    clock.us += 1_000_000
    assert reconciler.round().looked_at == 1  # its state is missing: it is not well
