"""The budget guard as the world runs it: its own service, judge and walk over an outbox of dictionaries.

Not simulated: SQL, delivery, the publisher, the reconciler; the sink of totals is always up to date.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

from budget_guard.adapters.alert_store import Effects, Known, NotOwnerError, ToldOtherwiseError
from budget_guard.adapters.judging import Judge
from budget_guard.adapters.totals_reader import Kept
from budget_guard.adapters.wire import decode_totals
from budget_guard.core.firings import Alert, Firing, FiringKey, ScopeState, Totals
from budget_guard.service import Guard, Limits, Parts
from pricing.budgets import Budget, BudgetBook, Threshold
from pricing.totals import parse_sum, scope_key
from runtime.kafka.group import PartitionGroup
from tests.simulation.aggregators import SCOPE
from tests.simulation.clients import Site
from tests.simulation.decoding import decoded
from tests.simulation.ledgers import Database
from tests.simulation.raters import SimFailpoints, silent
from tests.simulation.schedule import Schedule, SimClock
from tests.simulation.stream import PARTITIONS, home

TOPIC = "usage.totals"
AMOUNTS = ("0.01", "0.03", "4", "12", "40")


def _budget(name: str, window: str, amounts: Sequence[str], scope: Any = ()) -> Budget:
    thresholds = tuple(Threshold(amount, parse_sum(amount), action="soft") for amount in amounts)
    return Budget(name, ("*",), scope, "price", "USD", window, parse_sum(amounts[-1]), thresholds)


BOOKS = (
    BudgetBook(1, (_budget("life", "lifetime", AMOUNTS), _budget("day", "day", AMOUNTS[:4]))),
    BudgetBook(
        2,
        (
            _budget("life", "lifetime", ("0.005", *AMOUNTS[1:])),
            _budget("day", "day", AMOUNTS[:4]),
            _budget("chat", "lifetime", AMOUNTS, SCOPE),
        ),
    ),
)


@dataclass(eq=False)
class Outbox:
    """What is in the guard's schema."""

    database: Database
    owners: dict[int, tuple[int, int]] = field(default_factory=dict)  # epoch, budgets held against
    firings: dict[tuple[FiringKey, int], Firing] = field(default_factory=dict)
    alerts: dict[str, Alert] = field(default_factory=dict)
    states: dict[tuple[str, str], ScopeState] = field(default_factory=dict)

    @property
    def schedule(self) -> Schedule:
        return self.database.schedule


class SimAlertStore:
    """budget_guard.adapters.alert_store.AlertStore."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def close(self) -> None:
        """A connection, if there is one."""

    def take_over(self, partitions: Collection[int]) -> dict[int, tuple[int, int]]:
        self._outbox.database.ask("pg take over")
        owners = self._outbox.owners
        for number in partitions:
            epoch, version = owners.get(number, (0, 0))
            owners[number] = epoch + 1, version
        taken = {number: owners[number] for number in partitions}
        self._outbox.database.answer("pg taken over")
        return taken

    def held_against(self, epochs: Mapping[int, int], version: int) -> None:
        self._outbox.database.ask("pg held against")
        self._fence(epochs)
        for number, epoch in epochs.items():
            self._outbox.owners[number] = epoch, version

    def load(self, wanted: Iterable[Totals]) -> dict[str, Known]:
        self._outbox.database.ask("pg load")
        customers = {one.customer_id for one in wanted}
        firings: dict[str, dict[FiringKey, Firing]] = {}
        for (key, _), firing in sorted(self._outbox.firings.items(), key=lambda it: it[0][1]):
            if key.customer_id in customers:
                firings.setdefault(key.customer_id, {})[key] = firing
        states: dict[str, dict[str, ScopeState]] = {}
        for (customer, scope), state in self._outbox.states.items():
            if customer in customers and state.state != "ok":
                states.setdefault(customer, {})[scope] = state
        return {who: Known(firings.get(who, {}), states.get(who, {})) for who in sorted({*firings, *states})}

    def write(self, effects: Effects, epochs: Mapping[int, int] | None = None) -> list[str]:
        outbox = self._outbox
        outbox.database.ask("pg outbox")
        self._fence(epochs or {})
        otherwise = {
            it.key.customer_id
            for it in effects.firings
            if outbox.firings.get((it.key, it.episode), it).alert_id != it.alert_id
        }
        if otherwise:
            outbox.schedule.saw("a crossing was told otherwise")
            raise ToldOtherwiseError(otherwise)
        made = [alert.alert_id for alert, _ in effects.alerts if alert.alert_id not in outbox.alerts]
        for alert, _ in effects.alerts:
            outbox.alerts.setdefault(alert.alert_id, alert)
        for firing in effects.firings:
            outbox.firings.setdefault((firing.key, firing.episode), firing)
        for firing in effects.retracted:
            held = outbox.firings[firing.key, firing.episode]
            if held.holds:
                outbox.firings[firing.key, firing.episode] = replace(
                    held,
                    retracted_alert_id=firing.retracted_alert_id,
                    retracted_seq=firing.retracted_seq,
                )
        for state in effects.states:
            where = state.customer_id, scope_key(state.scope)
            before = outbox.states.get(where)
            if before is None or state.as_of_seq >= before.as_of_seq:
                outbox.states[where] = state
        outbox.database.answer("pg outbox written")
        return made

    def _fence(self, epochs: Mapping[int, int]) -> None:
        found = {number: self._outbox.owners[number][0] for number in epochs}
        if found != dict(epochs):
            self._outbox.schedule.saw("a guard that was put out is refused")
            raise NotOwnerError(f"{found}, {epochs}")


class SimLedgerTotals:
    """rate_book.ledger_totals.LedgerTotals, as the judge asks it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def contiguous(self, customer_ids: Sequence[str]) -> dict[str, int]:
        self._database.ask("ask the ledger")
        held = self._database.customers
        return {name: held[name].contiguous_seq for name in customer_ids if name in held}

    def reversal_since(self, customer_id: str, seq: int, until_seq: int) -> bool:
        self._database.ask("ask for reversals")
        return any(
            it.leg == "reversal" and seq < it.customer_seq <= until_seq
            for it in self._database.rated
            if it.customer_id == customer_id
        )

    def close(self) -> None:
        """A connection, if there is one."""


class SimReader:
    """budget_guard.adapters.totals_reader.TotalsReader: the sink has read all that the topic ever had."""

    def __init__(self, site: Site, database: Database) -> None:
        self._site = site
        self._database = database

    def _newest(self) -> dict[str, Kept]:
        self._database.ask("read totals")
        found: dict[str, Kept] = {}
        for number in range(PARTITIONS):
            for entry in self._site.broker.logs[TOPIC, number].appended:
                totals = decode_totals(entry.value or b"")
                held = found.get(totals.customer_id)
                if held is None or totals.as_of_seq >= held.totals.as_of_seq:
                    watched = decoded("RunningTotals", entry.value or b"")["watched"]
                    found[totals.customer_id] = Kept(totals, watched)
        return found

    def page(self, after: str, limit: int) -> list[Kept]:
        return [kept for name, kept in sorted(self._newest().items()) if name > after][:limit]

    def of(self, customer_ids: Sequence[str]) -> dict[str, Kept]:
        return {name: kept for name, kept in self._newest().items() if name in customer_ids}

    def close(self) -> None:
        """A connection, if there is one."""


def guard(site: Site, outbox: Outbox, change_us: int | None) -> Guard:
    """A guard ready to run."""
    schedule, clock = site.schedule, SimClock(site.schedule)
    config: dict[str, Any] = {"sim": site, "group.id": "guard"}
    store = cast("Any", SimAlertStore(outbox))
    judge = Judge(store, cast("Any", SimLedgerTotals(outbox.database)), clock, kept_s=5)
    return Guard(
        topic=TOPIC,
        group=partial(PartitionGroup, config, clock=clock),
        parts=Parts(
            store=store,
            judge=judge,
            reader=cast("Any", SimReader(site, outbox.database)),
            book=lambda: BOOKS[change_us is not None and clock.now_us() >= change_us],
            starts=lambda wanted: dict.fromkeys(wanted, 0),
            partition_of=home,
            wake=lambda: None,
            stop=lambda: None,
            workers=(),
        ),
        limits=Limits(records_max=20, bytes_max=1 << 20, wait_s=1.5, commit_s=1.0, budget_s=45),
        clock=clock,
        failpoints=SimFailpoints(schedule),
        monitoring=silent(clock),
        sleep=schedule.sleep,
    )
