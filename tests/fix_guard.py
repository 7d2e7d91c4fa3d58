"""A budget guard beside a pipeline of a test's own: totals by hand, real processes, what came out."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from pricing.budgets import Action, Budget, Route, Threshold
from pricing.money import ATTO
from pricing.totals import Scope, scope_key, watched_hash
from rate_book.budgets.content import BudgetContent
from rate_book.budgets.store import apply_budgets
from runtime.kafka.lag import group_lag
from runtime.kafka.offsets import BrokerOffsets
from runtime.postgres import connect
from schemas import topics
from schemas.codec import CODEC
from tests.fix_rater import Pipeline, RaterProcess, wait_for

DAY_US = 86_400_000_000
START_US = time.time_ns() // 1000 // DAY_US * DAY_US - 10 * DAY_US
END_US = START_US + 20 * DAY_US
"""A period that contains now."""


def budget(
    budget_id: str = "monthly",
    *,
    at: Sequence[tuple[int, Action]] = ((80, "soft"), (100, "hard")),
    limit: int = 100,
    customers: tuple[str, ...] = ("*",),
    measure: str = "price",
    currency: str | None = "USD",
    window: str = "period",
    scope: Scope = (),
) -> Budget:
    """A budget with a threshold at each of these whole amounts."""
    thresholds = tuple(
        Threshold(str(amount), amount * ATTO, action=action, channels=("log",)) for amount, action in at
    )
    return Budget(budget_id, customers, scope, measure, currency, window, limit * ATTO, thresholds)


def entry(price: str | None, **fields: Any) -> dict[str, Any]:
    """An entry of totals: the customer's period, unless told otherwise."""
    made = {
        "window": "period",
        "start_us": START_US,
        "end_us": END_US,
        "scope": {},
        "cost_currency": "USD",
        "price_currency": "USD",
        "cost": "0",
        "price": price,
        "events": 1,
        "unpriced_cost_events": 0,
        "unpriced_price_events": 0,
        "quantities": {},
    }
    return made | fields


def running_totals(customer: str, seq: int, *entries: Mapping[str, Any], zone: str = "UTC") -> dict[str, Any]:
    """A value of usage.totals."""
    scopes = {tuple(sorted(one["scope"].items())) for one in entries}
    return {
        "customer_id": customer,
        "as_of_seq": seq,
        "as_of_us": time.time_ns() // 1000,
        "zone": zone,
        "watched": watched_hash(zone, scopes),
        "entries": list(entries),
    }


@dataclass
class GuardRun:
    """Guards of one test, what they are fed and what they tell."""

    pipeline: Pipeline
    settings: dict[str, object] = field(default_factory=dict)

    def apply(self, *budgets: Budget, routes: tuple[Route, ...] = ()) -> int:
        """Make these the newest budgets. Returns the version."""
        with connect(self.pipeline.dsn) as connection:
            applied = apply_budgets(connection, BudgetContent(budgets, routes), author="test")
        return applied.stored.version

    def feed(self, *values: Mapping[str, Any]) -> None:
        """Publish values of usage.totals as the aggregator does."""
        producer = self.pipeline.kafka.producer(linger_ms=0)
        topic = self.pipeline.prefix + topics.USAGE_TOTALS
        for value in values:
            producer.produce(topic, CODEC.encode("RunningTotals", value), value["customer_id"].encode())
        assert producer.flush(30) == 0

    def spend(self, customer: str, seq: int, price: str | None, **fields: Any) -> None:
        """Feed totals of one entry."""
        self.feed(running_totals(customer, seq, entry(price, **fields)))

    def start(self, *, slot: int = 0, failpoints: str = "", **settings: object) -> RaterProcess:
        """A guard as a process of its own."""
        given: dict[str, Any] = {
            "guard__slot": slot,
            "guard__session_timeout_ms": 2_000,
            "guard__commit_ms": 100,
            "guard__firings_kept_s": 1,
            "guard__reconcile_s": 600,
            "channels__log__type": "log",
            "channels__log__group_after": 10_000,
            **self.settings,
            **settings,
        }
        return self.pipeline.start(module="budget_guard", failpoints=failpoints, **given)

    def ask(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Rows of a query of the test's own."""
        with connect(self.pipeline.dsn) as connection:
            return connection.execute(query.encode(), parameters).fetchall()

    def alerts(self, kind: str = "threshold") -> list[dict[str, Any]]:
        """Alerts of PostgreSQL, in the order in which they were raised."""
        rows = self.ask(
            "select body || coalesce(details, '{}') from guard.alerts where kind = %s"
            " order by raised_at, alert_id",
            kind,
        )
        return [row[0] for row in rows]

    def wait_alerts(self, count: int, kind: str = "threshold") -> list[dict[str, Any]]:
        """Until there are so many; never more."""
        wait_for(lambda: self._enough(count, kind), f"{count} alerts of kind {kind}")
        found = self.alerts(kind)
        assert len(found) == count, found
        return found

    def wait_passed(self, *, group: str = "guard") -> None:
        """Until every value of usage.totals was looked at and committed."""

        def passed() -> bool:
            self.pipeline.check_alive()
            return self.lag(group) == 0

        wait_for(passed, "every value of usage.totals is committed")

    def lag(self, group: str = "guard") -> int:
        """Values of usage.totals that the group has not committed."""
        name = self.pipeline.prefix + topics.USAGE_TOTALS
        config = self.pipeline.settings.client_config()
        with BrokerOffsets(config, self.pipeline.prefix + group) as asker:
            return sum(group_lag(asker, [name]).values())

    def published(self) -> list[dict[str, Any]]:
        """budget.alerts."""
        return [
            CODEC.decode("BudgetAlert", message.value())
            for message in self.pipeline.read(topics.BUDGET_ALERTS)
        ]

    def states(self, customer: str, scope: Scope = ()) -> list[dict[str, Any]]:
        """budget.state of one scope, in order."""
        return self.all_states().get((customer, scope_key(scope)), [])

    def state(self, customer: str) -> str | None:
        """What stands for the customer as a whole; None while nothing is published."""
        states = self.states(customer)
        return states[-1]["state"] if states else None

    def all_states(self) -> dict[tuple[str, str], list[dict[str, Any]]]:
        """budget.state by customer and scope, in order."""
        found: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for message in self.pipeline.read(topics.BUDGET_STATE):
            customer, _, scope = (message.key() or b"").decode().partition("\n")
            found.setdefault((customer, scope), []).append(CODEC.decode("BudgetState", message.value()))
        return found

    def _enough(self, count: int, kind: str) -> bool:
        self.pipeline.check_alive()
        return len(self.alerts(kind)) >= count


@pytest.fixture
def guard(pipeline: Pipeline) -> GuardRun:
    """A pipeline with no guard yet, and no budgets."""
    return GuardRun(pipeline)
