"""Holds totals against budgets, with what is known of each customer's past at hand.

Of a customer of whom nothing fired only the sequence is kept. What fired is read from PostgreSQL when its
customer first comes, many customers at once, and again after a while: another guard or the reconciler may
have written meanwhile.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from queue import SimpleQueue

from budget_guard.adapters.alert_store import AlertStore, Effects, Known
from budget_guard.core.evaluate import evaluate
from budget_guard.core.firings import Decision, Totals
from pricing.budgets import BudgetBook
from pricing.totals import scope_key
from rate_book.ledger_totals import LedgerMissingError, LedgerTotals
from runtime.clock import Clock

_LOG = logging.getLogger(__name__)
_LATER_MAX = 10_000  # totals kept for a second look; beyond, the reconciler does it
_NOTHING_KNOWN = Known({}, {})


@dataclass(slots=True)
class Round:
    """What follows from some customers' totals; nothing is remembered of it before `Judge.done`."""

    effects: Effects = field(default_factory=Effects)
    decided: list[tuple[Totals, Decision]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Later:
    totals: Totals
    at_us: int | None
    awaits_ledger: bool


class Judge:
    """For the guard's main thread; `reload` is for any.

    Args:
        store: what fired.
        ledger: whether it has corrections.
        clock: for how long something is remembered.
        kept_s: that long.
    """

    def __init__(self, store: AlertStore, ledger: LedgerTotals, clock: Clock, *, kept_s: int) -> None:
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._kept_s = kept_s
        self.seen: dict[str, int] = {}
        """The newest sequence that was evaluated, by customer."""
        self._nothing: set[str] = set()  # customers of whom nothing fired
        self._known: dict[str, tuple[Known, float]] = {}  # of the others, and when it was read
        self._later: dict[str, _Later] = {}
        self._final: set[str] = set()  # customers whose corrections the ledger cannot but have by now
        self._reloads: SimpleQueue[str] = SimpleQueue()

    def judge(self, totals: Sequence[Totals], book: BudgetBook, now_us: int) -> Round:
        """Evaluate totals of different customers. Raises DatabaseUnavailableError: do it again."""
        self._load(totals)
        round_ = Round()
        for one in totals:
            known = self._of(one.customer_id)
            decision = evaluate(
                one,
                book.for_customer(one.customer_id),
                known.firings,
                partial(self._corrected, one),
                now_us,
                seen_seq=self.seen.get(one.customer_id),
                published=known.states,
            )
            round_.decided.append((one, decision))
            _collect(round_.effects, decision, book)
        return round_

    def done(self, round_: Round) -> None:
        """The effects are written: remember."""
        for totals, decision in round_.decided:
            if decision.stale:
                continue
            customer = totals.customer_id
            self.seen[customer] = totals.as_of_seq
            self._remember(customer, decision)
            self._keep_for_later(totals, decision)

    def again(self, now_us: int) -> list[Totals]:
        """Totals to be held against budgets once more: a window ended or began, or the ledger has all that a
        retraction waited for. Raises DatabaseUnavailableError: do it again.
        """
        waiting = [customer for customer, later in self._later.items() if later.awaits_ledger]
        passed = self._contiguous(waiting)
        due: list[Totals] = []
        for customer, later in list(self._later.items()):
            totals = later.totals
            told = later.awaits_ledger and passed.get(customer, -1) >= totals.as_of_seq
            if told:
                self._final.add(customer)
            if told or (later.at_us is not None and later.at_us <= now_us):
                due.append(totals)
                del self._later[customer]
        return due

    def reload(self, customers: Iterable[str]) -> None:
        """Somebody else wrote what fired for these. From any thread."""
        for customer in customers:
            self._reloads.put(customer)

    def drop(self) -> None:
        """Forget everything: partitions come or go."""
        self.seen, self._nothing, self._known = {}, set(), {}
        self._later, self._final = {}, set()

    def close(self) -> None:
        """Let the ledger's connection go."""
        self._ledger.close()

    def _of(self, customer: str) -> Known:
        known = self._known.get(customer)
        return _NOTHING_KNOWN if known is None else known[0]

    def _load(self, totals: Sequence[Totals]) -> None:
        while not self._reloads.empty():
            self._forget(self._reloads.get())
        now_s = self._clock.monotonic_s()
        wanted = [one for one in totals if not self._is_fresh(one.customer_id, now_s)]
        if not wanted:
            return
        found = self._store.load(wanted)
        for one in wanted:
            self._forget(one.customer_id)
            known = found.get(one.customer_id)
            if known is None:
                self._nothing.add(one.customer_id)
            else:
                self._known[one.customer_id] = known, now_s

    def _is_fresh(self, customer: str, now_s: float) -> bool:
        if customer in self._nothing:
            return True
        known = self._known.get(customer)
        return known is not None and now_s - known[1] < self._kept_s

    def _forget(self, customer: str) -> None:
        self._nothing.discard(customer)
        self._known.pop(customer, None)

    def _remember(self, customer: str, decision: Decision) -> None:
        changed = (*decision.retracted, *decision.firings)
        if not (changed or decision.states):
            return
        before = self._known.get(customer)
        known, read_s = before or (_NOTHING_KNOWN, self._clock.monotonic_s())
        firings = {**known.firings, **{firing.key: firing for firing in changed}}
        states = {**known.states, **{scope_key(state.scope): state for state in decision.states}}
        standing = {scope: state for scope, state in states.items() if state.state != "ok"}
        self._nothing.discard(customer)
        self._known[customer] = replace(known, firings=firings, states=standing), read_s

    def _keep_for_later(self, totals: Totals, decision: Decision) -> None:
        customer = totals.customer_id
        self._later.pop(customer, None)
        awaits = bool(decision.awaiting) and customer not in self._final
        self._final.discard(customer)
        if (awaits or decision.next_us is not None) and len(self._later) < _LATER_MAX:
            self._later[customer] = _Later(totals, decision.next_us, awaits)

    def _corrected(self, totals: Totals, seq: int) -> bool:
        try:
            return self._ledger.reversal_since(totals.customer_id, seq, totals.as_of_seq)
        except LedgerMissingError as error:
            _LOG.warning("no retraction can be told: %s", error)
            return False

    def _contiguous(self, customers: list[str]) -> dict[str, int]:
        if not customers:
            return {}
        try:
            return self._ledger.contiguous(customers)
        except LedgerMissingError as error:
            _LOG.warning("no retraction can be told: %s", error)
            return {}


def _collect(effects: Effects, decision: Decision, book: BudgetBook) -> None:
    for alert in decision.alerts:
        effects.alerts.append((alert, book.channels_for(alert.customer_id, alert.severity, alert.channels)))
    effects.firings += decision.firings
    effects.retracted += decision.retracted
    effects.states += decision.states
