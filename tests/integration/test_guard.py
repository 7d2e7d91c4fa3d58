"""A running guard: totals in, alerts, states and deliveries out."""

import json
import time
from typing import Any

import pytest

from runtime.postgres import connect
from schemas import topics
from tests.fix_guard import END_US, START_US, GuardRun, budget, entry, running_totals
from tests.fix_rater import wait_for
from tests.ledger_rows import Made, usd, write_rows

pytestmark = [pytest.mark.broker, pytest.mark.postgres]


def test_a_crossing_is_one_alert_with_its_deliveries_and_states(guard: GuardRun) -> None:
    version = guard.apply(budget())
    guard.start()
    guard.spend("acme", 1, "79.999999")
    guard.spend("acme", 2, "80")
    guard.wait_alerts(1)
    guard.spend("acme", 3, "99")
    guard.wait_passed()
    guard.spend("acme", 4, "100.5")
    soft, hard = guard.wait_alerts(2)
    assert (soft["threshold"], soft["amount"], soft["share"], soft["limit"]) == ("80", "80", "80.00", "100")
    assert (soft["budget_version"], soft["window"], soft["period_start_us"]) == (version, "period", START_US)
    assert (soft["last_seq"], hard["first_seq"], hard["last_seq"]) == (2, 3, 4)
    assert (hard["threshold"], hard["amount"], hard["share"]) == ("100", "100.5", "100.50")
    wait_for(lambda: len(guard.published()) >= 2, "alerts are published")
    assert {alert["alert_id"] for alert in guard.published()} == {soft["alert_id"], hard["alert_id"]}
    wait_for(lambda: [state["state"] for state in guard.states("acme")][-1:] == ["hard"], "the state is hard")
    state = guard.states("acme")[-1]
    assert (state["valid_until_us"], state["as_of_seq"]) == (END_US, 4)
    delivered = "select alert_id from guard.deliveries where channel = 'log' and status = 'delivered'"
    wait_for(lambda: len(guard.ask(delivered)) == 2, "both are delivered")


def test_what_comes_again_or_late_changes_nothing(guard: GuardRun) -> None:
    guard.apply(budget())
    first = guard.start()
    guard.spend("acme", 5, "80")
    guard.wait_alerts(1)
    guard.spend("acme", 5, "80")
    guard.spend("acme", 4, "150")
    guard.wait_passed()
    assert first.terminate() == 0
    guard.start()
    guard.spend("acme", 5, "80")
    guard.spend("acme", 3, "150")
    guard.wait_passed()
    assert len(guard.alerts()) == 1


def test_a_lowered_budget_fires_for_a_customer_who_spends_nothing_more(guard: GuardRun) -> None:
    guard.apply(budget(at=((80, "none"),)))
    guard.start()
    guard.spend("acme", 1, "60")
    guard.spend("other", 1, "10")
    guard.wait_passed()
    keep(guard, running_totals("acme", 1, entry("60")), running_totals("other", 1, entry("10")))
    assert guard.alerts() == []
    version = guard.apply(budget(at=((50, "none"),)))
    (alert,) = guard.wait_alerts(1)
    assert (alert["customer_id"], alert["threshold"], alert["budget_version"]) == ("acme", "50", version)


def test_a_new_version_is_held_against_everybody_by_a_guard_that_starts_later(guard: GuardRun) -> None:
    guard.apply(budget(at=((80, "none"),)))
    first = guard.start()
    guard.spend("acme", 1, "60")
    guard.wait_passed()
    assert first.terminate() == 0
    keep(guard, running_totals("acme", 1, entry("60")))
    guard.apply(budget(at=((50, "none"),)))
    guard.start()
    guard.wait_alerts(1)


def test_a_raised_budget_makes_the_state_ok(guard: GuardRun) -> None:
    guard.apply(budget())
    guard.start()
    guard.spend("acme", 1, "120")
    guard.wait_alerts(2)
    wait_for(lambda: [state["state"] for state in guard.states("acme")] == ["hard"], "the state is hard")
    keep(guard, running_totals("acme", 1, entry("120")))
    guard.apply(budget(at=((800, "soft"), (1000, "hard")), limit=1000))
    wait_for(lambda: guard.state("acme") == "ok", "the state is ok")
    assert len(guard.alerts()) == 2


def test_a_state_is_ok_when_its_window_ends_without_any_event(guard: GuardRun) -> None:
    guard.apply(budget(window="hour"))
    guard.start()
    end_us = time.time_ns() // 1000 + 7_000_000
    guard.spend("acme", 1, "100", window="hour", start_us=end_us - 3_600_000_000, end_us=end_us)
    wait_for(lambda: bool(guard.states("acme")), "a state is published")
    wait_for(lambda: guard.state("acme") == "ok", "the state is ok")
    hard, ok = guard.states("acme")[0], guard.states("acme")[-1]
    assert (hard["state"], hard["valid_until_us"]) == ("hard", end_us)
    assert ok["at_us"] >= end_us


def test_a_retraction_needs_a_correction_in_the_ledger(guard: GuardRun) -> None:
    guard.apply(budget())
    guard.start()
    guard.spend("acme", 5, "85")
    (crossed,) = guard.wait_alerts(1)
    guard.spend("acme", 6, "70")
    guard.wait_passed()
    assert guard.alerts("retraction") == []
    reverse(guard, "acme", 6)
    (retraction,) = guard.wait_alerts(1, "retraction")
    assert (retraction["retracts"], retraction["amount"]) == (crossed["alert_id"], "70")
    wait_for(lambda: guard.state("acme") == "ok", "the state is ok")
    guard.spend("acme", 7, "90")
    again = guard.wait_alerts(2)[-1]
    assert (again["episode"], again["alert_id"] == crossed["alert_id"]) == (2, False)


def test_usage_without_a_price_is_told_once_a_period(guard: GuardRun) -> None:
    guard.start()
    guard.spend("acme", 1, "1", unpriced_price_events=1)
    guard.spend("acme", 2, "1", unpriced_price_events=2)
    guard.wait_alerts(1, "unpriced")
    guard.spend("acme", 3, "1", unpriced_price_events=3)
    guard.wait_passed()
    guard.wait_alerts(1, "unpriced")


def test_an_unreadable_value_stops_nobody(guard: GuardRun) -> None:
    guard.apply(budget())
    process = guard.start()
    producer = guard.pipeline.kafka.producer()
    producer.produce(guard.pipeline.prefix + topics.USAGE_TOTALS, b"\xc3\x01nonsense", b"acme")
    assert producer.flush(30) == 0
    guard.spend("acme", 1, "80")
    guard.wait_alerts(1)
    assert "is passed over" in process.log()


def test_several_guards_share_the_work(guard: GuardRun) -> None:
    guard.apply(budget())
    for slot in range(2):
        guard.start(slot=slot)
    customers = [f"c{number}" for number in range(40)]
    guard.feed(*(running_totals(customer, 1, entry("50")) for customer in customers))
    guard.wait_passed()
    guard.feed(*(running_totals(customer, 2, entry("100")) for customer in customers))
    alerts = guard.wait_alerts(80)
    assert {(alert["customer_id"], alert["threshold"]) for alert in alerts} == {
        (customer, name) for customer in customers for name in ("80", "100")
    }


def keep(guard: GuardRun, *values: dict[str, Any]) -> None:
    """What the sink of totals writes."""
    with connect(guard.pipeline.dsn) as connection:
        for value in values:
            connection.execute(
                "insert into totals.customers (customer_id, as_of_seq, as_of_us, zone, watched, entries)"
                " values (%s, %s, %s, %s, %s, %s::jsonb)",
                (
                    value["customer_id"],
                    value["as_of_seq"],
                    value["as_of_us"],
                    value["zone"],
                    value["watched"],
                    json.dumps(value["entries"]),
                ),
            )


def reverse(guard: GuardRun, customer: str, seq: int) -> None:
    """A customer whose last rated record, of that sequence, is a correction's reversal."""
    made, now = Made(), "2026-11-23T12:00:00Z"
    event = {"customer_id": customer, "at": now}
    rows = [made.rated(event, usd("1"), usd("1")) for _ in range(seq - 1)]
    rows.append(made.rated(event, usd("-1"), usd("-1"), leg="reversal", revision=1, correction_id="c"))
    with connect(guard.pipeline.dsn) as connection:
        write_rows(connection, rows)
