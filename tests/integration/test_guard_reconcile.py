"""The reconciler, details and operators' alerts: what a guard learns from the ledger."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from cli.reconcile import reconcile
from runtime.postgres import connect
from schemas import topics
from tests.fix_guard import GuardRun, budget, entry, running_totals
from tests.fix_rater import wait_for
from tests.ledger_rows import Made, Written, usd, write_rows

pytestmark = [pytest.mark.broker, pytest.mark.postgres]

AT = "2026-11-20T12:00:00Z"
SOON: dict[str, Any] = {
    "guard__reconcile_s": 1,
    "guard__late_s": 1,
    "guard__stale_s": 2,
}


def write(guard: GuardRun, *records: Written) -> None:
    with connect(guard.pipeline.dsn) as connection:
        write_rows(connection, records)


def spent(made: Made, price: str, **event: Any) -> Written:
    return made.rated({"customer_id": "acme", "at": AT} | event, usd("0"), usd(price), posted=AT)


def keep(guard: GuardRun, totals: dict[str, Any]) -> None:
    """What the sink of usage.totals does."""
    with connect(guard.pipeline.dsn) as connection:
        connection.execute(
            "insert into totals.customers (customer_id, as_of_seq, as_of_us, zone, watched, entries)"
            " values (%(customer_id)s, %(as_of_seq)s, 0, %(zone)s, %(watched)s, %(entries)s::jsonb)",
            totals | {"entries": json.dumps(totals["entries"])},
        )


def test_a_dead_aggregator_makes_alerts_late_and_never_missing(guard: GuardRun) -> None:
    guard.apply(budget(window="lifetime"))
    guard.start(**SOON)
    made = Made()
    write(guard, *(spent(made, "30") for _ in range(3)))
    (alert,) = guard.wait_alerts(1)
    assert (alert["late"], alert["amount"], alert["threshold"]) == (True, "90", "80")
    assert alert["last_seq"] == 3
    wait_for(lambda: [state["state"] for state in guard.states("acme")] == ["soft"], "the state is soft")
    repairs = "select customer_id, by from totals.repairs"
    wait_for(lambda: guard.ask(repairs) == [("acme", "reconciler")], "totals are asked for")
    # The live path comes back, and tells nothing twice.
    guard.spend("acme", 3, "90", window="lifetime", start_us=0, end_us=None)
    guard.wait_passed()
    write(guard, spent(made, "20"))
    assert [alert["threshold"] for alert in guard.wait_alerts(2)] == ["80", "100"]


def test_an_alert_that_the_guard_raises_itself_is_not_late(guard: GuardRun) -> None:
    guard.apply(budget(window="lifetime"))
    guard.start(**(SOON | {"guard__late_s": 30}))
    made = Made()
    write(guard, *(spent(made, "30") for _ in range(3)))
    guard.spend("acme", 3, "90", window="lifetime", start_us=0, end_us=None)
    (alert,) = guard.wait_alerts(1)
    assert alert["late"] is False


def test_details_come_with_the_ledger_and_the_alert_is_published_again(guard: GuardRun) -> None:
    guard.apply(budget(window="lifetime"))
    guard.start()
    guard.spend("acme", 1, "30", window="lifetime", start_us=0, end_us=None)
    guard.wait_passed()
    guard.spend("acme", 4, "110", window="lifetime", start_us=0, end_us=None)
    bare = guard.wait_alerts(2)
    assert [alert["details_complete"] for alert in bare] == [False, False]
    assert [(alert["first_seq"], alert["last_seq"]) for alert in bare] == [(1, 4), (1, 4)]
    made = Made()
    rows = [
        spent(made, "30", feature="chat"),
        spent(made, "20", feature="chat"),
        spent(made, "35", feature="search"),
        spent(made, "25"),
    ]
    write(guard, *rows)
    wait_for(lambda: all(alert["details_complete"] for alert in guard.alerts()), "details are there")
    by_name = {alert["threshold"]: alert for alert in guard.alerts()}
    crossed = {name: alert["crossing_event"]["customer_seq"] for name, alert in by_name.items()}
    assert crossed == {"80": 3, "100": 4}  # 30 + 20 = 50, + 35 = 85, + 25 = 110
    features = [part for part in by_name["80"]["contributors"] if part["dimension"] == "feature"]
    assert [(part["value"], part["amount"], part["share"]) for part in features] == [
        ("chat", "50", "45.45"),
        ("search", "35", "31.81"),
        (None, "25", "22.72"),
    ]

    def told_twice() -> bool:
        told = [(alert["alert_id"], alert["details_complete"]) for alert in guard.published()]
        return all((alert["alert_id"], True) in told for alert in bare)

    wait_for(told_twice, "alerts are published with their details")


def test_the_command_finds_what_differs_and_has_it_built_anew(
    guard: GuardRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(guard, spent(Made(), "30"))
    keep(guard, running_totals("acme", 1, *(one for one in windows("31"))))
    for name, text in guard.pipeline.environ().items():
        monkeypatch.setenv(name, text)
    found = CliRunner().invoke(reconcile, ["--json", "--patience", "0.1"])
    assert found.exit_code == 1, found.output
    report = json.loads(found.output)
    (drift,) = report["drift"]
    assert (drift["customer_id"], drift["as_of_seq"]) == ("acme", 1)
    lifetime = next(one for one in drift["differences"] if one["window"] == "lifetime")
    assert (lifetime["ledger"][1], lifetime["totals"][1]) == ("30", "31")
    assert guard.ask("select customer_id, as_of_seq from totals.drift") == [("acme", 1)]
    assert guard.ask("select customer_id from totals.repairs") == [("acme",)]


def windows(price: str) -> list[dict[str, Any]]:
    """Lifetime alone is enough to differ in."""
    return [entry(price, window="lifetime", start_us=0, end_us=None)]


def test_operators_hear_of_records_that_wait_once_an_episode(guard: GuardRun) -> None:
    guard.start(
        operations__look_s=1, operations__for_s=0, operations__ledger_lag_records=5, operations__rejects=1_000
    )
    producer = guard.pipeline.kafka.producer()
    for number in range(10):
        producer.produce(guard.pipeline.prefix + topics.USAGE_RATED, b"x", str(number).encode())
    assert producer.flush(30) == 0
    (alert,) = guard.wait_alerts(1, "operations")
    assert (alert["customer_id"], alert["measure"], alert["amount"]) == (None, "ledger_lag", "10")
    wait_for(lambda: len(guard.published()) == 1, "it is published")
    opened = "select episode, closed_at is null from guard.episodes"
    assert guard.ask(opened) == [(1, True)]
    with connect(guard.pipeline.dsn) as connection:
        connection.execute(
            "insert into ledger.positions (topic_id, topic, kafka_partition, next_offset)"
            " select 'id', %s, n, 10 from generate_series(0, 3) n",
            (guard.pipeline.prefix + topics.USAGE_RATED,),
        )
    wait_for(lambda: guard.ask(opened) == [(1, False)], "the episode is closed")
    guard.wait_alerts(1, "operations")


def test_a_missing_delivery_is_made(guard: GuardRun) -> None:
    guard.apply(budget())
    guard.start(**SOON)
    guard.spend("acme", 1, "80")
    guard.wait_alerts(1)
    delivered = "select status from guard.deliveries"
    wait_for(lambda: guard.ask(delivered) == [("delivered",)], "it is delivered")
    with connect(guard.pipeline.dsn) as connection:
        connection.execute("delete from guard.deliveries")
    wait_for(lambda: guard.ask(delivered) == [("delivered",)], "it is made and delivered again")


def test_what_a_command_told_is_told_by_no_guard_under_another_version(
    guard: GuardRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    lifetime: dict[str, Any] = {"window": "lifetime", "start_us": 0, "end_us": None}
    guard.apply(budget(window="lifetime"))
    guard.start()
    guard.spend("acme", 1, "30", **lifetime)
    guard.wait_passed()
    made = Made()
    write(guard, *(spent(made, "30") for _ in range(3)))
    for name, text in guard.pipeline.environ().items():
        monkeypatch.setenv(name, text)
    found = CliRunner().invoke(reconcile, ["--json", "--patience", "0.1"])
    (told,) = json.loads(found.output)["late"]
    # The same threshold in a new version: whoever did not hear of the command would make another id.
    guard.apply(budget(window="lifetime"), budget("other", at=((1_000, "none"),)))
    guard.spend("acme", 3, "90", **lifetime)
    guard.spend("acme", 4, "101", **lifetime)
    wait_for(lambda: "100" in [alert["threshold"] for alert in guard.alerts()], "the guard has seen it")
    guard.wait_passed()
    assert [(alert["threshold"], alert["alert_id"] == told) for alert in guard.alerts()] == [
        ("80", True),
        ("100", False),
    ]


def test_a_quantity_is_taken_back_also_where_the_guard_that_waited_for_the_ledger_is_gone(
    guard: GuardRun,
) -> None:
    lifetime: dict[str, Any] = {"window": "lifetime", "start_us": 0, "end_us": None}
    guard.apply(budget(measure="quantity:output_tokens", currency=None, window="lifetime"))
    first = guard.start()
    guard.spend("acme", 2, "60", **lifetime, quantities={"output_tokens": "100"})
    guard.wait_alerts(2)
    first.terminate()
    made = Made()
    rows = [spent(made, "30"), spent(made, "30")]
    write(guard, *rows, made.reversal(rows[1], posted=AT))
    after = entry("30", **lifetime, quantities={"output_tokens": "50"})
    keep(guard, running_totals("acme", 3, after))
    guard.start(**SOON)
    assert {alert["amount"] for alert in guard.wait_alerts(2, "retraction")} == {"50"}
    wait_for(lambda: [state["state"] for state in guard.states("acme")][-1:] == ["ok"], "the state is ok")
