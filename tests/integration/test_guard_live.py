"""From an event to its alert and back: rater, ledger, aggregator, sink of totals and guard, all running."""

import subprocess
import sys
from dataclasses import replace
from decimal import Decimal

import pytest

from pricing.budgets import Budget, Threshold
from tests.fix_aggregator import AggregatorRun
from tests.fix_guard import GuardRun, budget
from tests.fix_rater import usage_event, wait_for

pytestmark = [pytest.mark.broker, pytest.mark.postgres]

# An event's price is 0.0045 USD: eight of them are 0.036.
BUDGET = replace(
    budget(window="lifetime"),
    limit_atto=45 * 10**15,
    thresholds=(Threshold("80%", 36 * 10**15, share="80", action="hard", channels=("log",)),),
)


def test_an_alert_with_its_event_then_a_void_and_its_retraction(
    guard: GuardRun, aggregators: AggregatorRun
) -> None:
    pipeline = guard.pipeline
    version = guard.apply(BUDGET)
    pipeline.start()
    pipeline.start(module="ledger")
    pipeline.start(module="aggregator.totals")
    aggregators.start()
    guard.start()
    pipeline.emit([usage_event(1, number) for number in range(7)])
    aggregators.wait_seq({"customer-1": 7})
    guard.wait_passed()
    assert guard.alerts() == []
    pipeline.emit([usage_event(1, 7)])
    (alert,) = guard.wait_alerts(1)
    assert (alert["amount"], alert["limit"], alert["share"]) == ("0.036", "0.045", "80.00")
    assert (alert["budget_version"], alert["last_seq"], alert["late"]) == (version, 8, False)
    wait_for(lambda: bool(guard.alerts()[0]["details_complete"]), "the crossing event is named")
    event = guard.alerts()[0]["crossing_event"]
    assert (event["source"], event["event_id"], event["customer_seq"]) == ("test", "event-7", 8)
    by_model = [part for part in guard.alerts()[0]["contributors"] if part["dimension"] == "model"]
    assert [(part["value"], Decimal(part["amount"])) for part in by_model] == [("one", Decimal("0.036"))]
    wait_for(lambda: [one["state"] for one in guard.states("customer-1")] == ["hard"], "the state is hard")

    command = ["void", "event-7", "--source", "test", "--customer", "customer-1", "--apply"]
    who = ["--author", "ops", "--reason", "test"]
    subprocess.run(
        [sys.executable, "-m", "cli", *command, *who], env=pipeline.environ(), check=True, timeout=60
    )
    (retraction,) = guard.wait_alerts(1, "retraction")
    assert (retraction["retracts"], retraction["amount"]) == (alert["alert_id"], "0.0315")
    wait_for(lambda: guard.state("customer-1") == "ok", "the state is ok")

    pipeline.emit([usage_event(1, 8)])
    assert [one["episode"] for one in guard.wait_alerts(2)] == [1, 2]


def test_a_new_scope_is_seeded_and_fires(guard: GuardRun, aggregators: AggregatorRun) -> None:
    pipeline = guard.pipeline
    pipeline.start()
    pipeline.start(module="ledger")
    pipeline.start(module="aggregator.totals")
    aggregators.start()
    guard.start()
    pipeline.emit([usage_event(1, number, feature="chat") for number in range(5)])
    pipeline.emit([usage_event(1, number + 5) for number in range(5)])
    aggregators.wait_seq({"customer-1": 10})
    scoped: Budget = replace(
        budget("chat", at=((5, "none"),), measure="events", currency=None, window="lifetime"),
        scope=(("feature", "chat"),),
    )
    guard.apply(scoped)
    (alert,) = guard.wait_alerts(1)
    assert (alert["scope"], alert["amount"], alert["measure"]) == ({"feature": "chat"}, "5", "events")
