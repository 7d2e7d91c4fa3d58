"""What docs/operating tells an operator to do, done: each command as it stands there, on its own stack."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Producer
from psycopg.conninfo import conninfo_to_dict

from runtime.settings import KafkaSettings, SettingsLoader
from schemas.codec import CODEC
from schemas.partitioning import partition_of
from tests.fix_rater import usage_event, wait_for, whole
from tests.fix_stack import stack_of_its_own
from tests.runbook_world import BOOK, BUDGET, SETTINGS, Operator, cloud_event

pytestmark = [pytest.mark.broker, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(900)]

WHO: dict[str, Any] = {"AUTHOR": "ops", "REASON": "test"}
NINE = "0.009000000000000000"
PIPELINE = ("rater --slot 0", "ledger", "aggregator --slot 0", "totals", "guard")


@pytest.fixture(scope="module")
def machine() -> Iterator[Operator]:
    with stack_of_its_own() as stack:
        operator = Operator(stack)
        operator.write("ratestream.toml", SETTINGS)
        yield operator
        operator.kill()


@pytest.fixture
def operator(machine: Operator) -> Iterator[Operator]:
    """An empty stack with topics, tables and a book, and no service yet."""
    machine.environment = {}
    machine.stack.reset()
    machine.stack.up()
    machine.write_book()
    machine.shell("ratestream topics apply")
    machine.shell("ratestream book apply books --author test")
    yield machine
    machine.kill()


def total(operator: Operator, seq: int) -> None:
    """Until the table of totals has the one customer as of a sequence."""
    operator.until("select customer_id, as_of_seq from totals.customers", [("customer-1", seq)])


def test_lag(operator: Operator) -> None:
    operator.emit(*(cloud_event(number, f"customer-{number % 5}") for number in range(40)))
    assert operator.asked("ratestream verify")["pending"] == 40
    operator.run("rater --slot 0", "ledger")
    operator.until_billed(40, "0.18")  # 40 x 0.0045
    operator.stop("ledger")
    operator.emit(*(cloud_event(number) for number in range(40, 50)))

    def rated() -> bool:
        return bool(operator.asked("ratestream verify")["rated"] == 50)

    wait_for(rated, "all is rated")
    seen, quick = operator.follow("lag.md", "Look")
    assert json.loads(seen) == {"received": 50, "rated": 50, "rejected": 0, "duplicates": 0, "pending": 0}
    assert "behind" in quick
    assert "10   records that the ledger has not taken over yet" in quick
    metrics, ready = operator.follow("lag.md", "Look at one process", ADDRESS=operator.addresses["rater-0"])
    assert 'ratestream_process_partitions{service="rater"} 4.0' in metrics
    assert json.loads(ready) == {"ok": True, "why": []}
    operator.follow("lag.md", "End a process that stands still", PID=operator.running["rater-0"].pid)
    assert "rater-0" not in operator.running
    operator.run("rater --slot 0", "ledger")
    operator.until_billed(50, "0.225")
    operator.follow("lag.md", "Check")


def publish_raw(operator: Operator, key: str, event: dict[str, Any]) -> None:
    """As a producer of another make."""
    kafka = SettingsLoader(operator.directory, {}).section("kafka", KafkaSettings)
    producer = Producer(kafka.client_config())
    # Its own customer's partition, under a key of its own.
    partition = partition_of(event["customer_id"].encode(), 4)
    producer.produce("usage.events", CODEC.encode("UsageEvent", whole(event)), key, partition=partition)
    assert producer.flush(30) == 0


def test_poison(operator: Operator) -> None:
    operator.run("rater --slot 0", "ledger")
    publish_raw(operator, "somebody-else", usage_event(1, 1))
    publish_raw(operator, "customer-1", usage_event(1, 2, usage={"input_tokens": "-1000"}))
    operator.emit(cloud_event(3))
    operator.until_billed(1, "0.0045")
    operator.until("select count(*) from ledger.rejected", [(2,)])
    everything, one = operator.follow("poison.md", "Look", REASON="misrouted")
    assert "2 rejected records, 2 shown" in everything
    assert one.startswith("usage.events\t")
    first = operator.follow("poison.md", "Send again", REASON="misrouted")
    assert "1 rejected records meant, 1 would be published again" in first[0]
    assert "1 rejected records meant, 1 published again and acknowledged" in first[1]
    assert "1 published again" in first[3]
    operator.until_billed(2, "0.009")  # sent twice, billed once
    operator.write("mended.jsonl", json.dumps(cloud_event(2)) + "\n")
    operator.follow("poison.md", "Publish the right event", FILE="mended.jsonl")
    operator.until_billed(3, "0.0135")
    walked, verdict = operator.follow("poison.md", "Check", EVENT_ID="event-1", CUSTOMER="customer-1")
    assert "0.0045" in walked
    assert verdict.startswith("VERIFIED")
    told = operator.verified()
    assert (told["received"], told["rated"], told["rejected"], told["duplicates"]) == (6, 3, 2, 1)


def test_re_rate(operator: Operator) -> None:
    operator.write("budgets.yaml", BUDGET)
    operator.shell("ratestream budget apply budgets.yaml --by test")
    operator.run(*PIPELINE)
    operator.emit(*(cloud_event(number, requested_model="two") for number in range(3)))
    operator.emit(cloud_event(3), cloud_event(4))
    operator.until("select count(*), sum(price)::text from ledger.rated where price > 0", [(2, NINE)])
    told = operator.follow("re-rate.md", "Usage without a price", ends=(4,))
    assert "customer-1" in told[0]
    both = {name: BOOK[f"{name}.yaml"].replace("[one]", "[one, two]") for name in ("provider", "prices")}
    operator.write_book("mended", **both)
    dry, _, history = operator.follow("re-rate.md", "Mend the book", BOOK_DIR="mended", **WHO)
    assert "nothing is stored" in dry
    assert "version 2" in history
    operator.until_metric("rater-0", "ratestream_rater_book_version", "2.0")
    now_s = time.time()
    when: dict[str, Any] = {
        "SINCE": time.strftime("%Y-%m-%dT%H:00:00Z", time.gmtime(now_s - 3600)),
        "UNTIL": time.strftime("%Y-%m-%dT%H:00:00Z", time.gmtime(now_s + 3600)),
        "VERSION": 2,
    }
    wait_for(
        lambda: operator.try_it(f"ratestream rerate --from {when['SINCE']} --to {when['UNTIL']} --book 2"),
        "ready",
    )
    _, done = operator.follow("re-rate.md", "Rate again", **when, **WHO)
    assert "realised cost 0.009 USD, price 0.0135 USD" in done  # 3 x 0.003, 3 x 0.0045
    alert = "select body->>'amount' from guard.alerts where kind = 'threshold'"
    operator.until(alert, [("0.0225",)])  # 5 x 0.0045, which is the budget
    one: dict[str, Any] = {"CUSTOMER": "customer-1", "EVENT_ID": "event-3"}
    operator.follow("re-rate.md", "Take one event back", **one, **WHO)
    operator.until("select count(*) from guard.alerts where kind = 'retraction'", [(1,)])
    # Twice the tokens: 0.009 in place of 0.0045.
    right = cloud_event(4, usage={"input_tokens": "2000", "output_tokens": "200"})
    operator.write("right.json", json.dumps(right))
    one["EVENT_ID"] = "event-4"
    operator.follow("re-rate.md", "Correct one event", FILE="right.json", **one, **WHO)
    # 5 originals, 3 x 2 of the re-rate, one reversal, two of the amendment; 3 x 0.0045 + 0.009.
    operator.until_billed(14, "0.0225")
    today = time.strftime("%Y-%m-%d", time.gmtime())
    usage, statement = operator.follow("re-rate.md", "What others see", DAY=today, CUSTOMER="customer-1")
    assert "0.0225" in usage
    assert "0.02" in statement
    operator.follow("re-rate.md", "Check")
    operator.verified()


def test_restore_postgresql(operator: Operator) -> None:
    server = conninfo_to_dict(operator.dsn())
    database = str(server["dbname"])
    operator.environment = {
        "PGHOST": str(server["host"]),
        "PGPORT": str(server["port"]),
        "PGUSER": str(server["user"]),
        "PGPASSWORD": str(server["password"]),
    }
    names: dict[str, Any] = {"DATABASE": database}
    operator.write("budgets.yaml", BUDGET)
    operator.shell("ratestream budget apply budgets.yaml --by test")
    operator.run(*PIPELINE)
    operator.emit(*(cloud_event(number) for number in range(4)))
    operator.until_billed(4, "0.018")
    *_, tables = operator.follow("restore.md", "Back up", **names)
    assert int(tables) > 20

    # After the backup: a dearer book (6 a million input tokens: 0.0075 an event), usage, an alert, a void.
    operator.write_book("dearer", prices=BOOK["prices.yaml"].replace("3 per", "6 per"))
    operator.shell("ratestream book apply dearer --retroactive --author test")
    operator.until_metric("rater-0", "ratestream_rater_book_version", "2.0")
    operator.emit(*(cloud_event(number) for number in range(4, 8)))
    operator.until_billed(8, "0.048")
    versions = "select version, content_hash from rate_book.versions order by version"
    known = operator.rows(versions)
    alert = "select alert_id from guard.alerts where kind = 'threshold'"
    wait_for(lambda: len(operator.rows(alert)) == 1, "the alert is raised")
    alerted = operator.rows(alert)
    void = "ratestream void event-7 --customer customer-1 --author ops --reason test --apply"
    operator.shell(void)
    operator.until_billed(9, "0.0405")
    rows = "select customer_seq, event_id, leg, price::text from ledger.rated order by 1"
    lines = operator.rows(rows)

    pids: dict[str, Any] = {
        f"{name.upper()}_PID": operator.running[name].pid for name in ("ledger", "totals", "guard")
    }
    operator.follow("restore.md", "Stop what writes PostgreSQL", **pids)
    operator.follow("restore.md", "Restore PostgreSQL", **names)
    operator.emit(cloud_event(0), cloud_event(8))  # a repeat, and a new one, meanwhile
    history = operator.follow("restore.md", "Apply again what was applied since", BOOK_DIR="dearer", **WHO)[1]
    assert "version 2" in history
    assert operator.rows(versions) == known
    operator.follow("restore.md", "Start again, and let it catch up", ends=(0, 1))
    operator.until_billed(10, "0.048")  # 0.0405 + 0.0075
    assert operator.rows(rows)[:9] == lines
    total(operator, 10)
    operator.until(alert, alerted)
    assert operator.asked("ratestream verify")["duplicates"] == 1
    operator.follow("restore.md", "Check")


def test_upgrade(operator: Operator) -> None:
    operator.run(*PIPELINE)
    operator.emit(*(cloud_event(number) for number in range(4)))
    operator.until_billed(4, "0.018")
    before = operator.follow("upgrade.md", "Before")
    assert "to change" in before[2]
    migrated, applied = operator.follow("upgrade.md", "Tables and topics")
    assert migrated == "nothing to apply\n"
    assert " 0 changed" in applied
    assert " 1 changed" in operator.follow("local-stack.md", "Topics")[0]
    for name in ("guard", "totals", "ledger", "aggregator --slot 0", "rater --slot 0"):
        pid = operator.running[name.replace(" --slot ", "-")].pid
        operator.emit(cloud_event(pid))
        operator.follow("upgrade.md", "Services, one process at a time", PID=pid, SERVICE=name)
    operator.until_billed(9, "0.0405")
    total(operator, 9)
    operator.follow("upgrade.md", "Check")


def test_add_raters_and_take_one_away(operator: Operator) -> None:
    operator.run("rater --slot 0", "ledger")
    operator.emit(*(cloud_event(number, f"customer-{number % 7}") for number in range(20)))
    operator.until_billed(20, "0.09")
    operator.follow("add-raters.md", "Out", SLOT=1, REPLICAS=2)
    for name in ("rater-0", "rater-1"):
        operator.until_metric(name, 'ratestream_process_partitions{service="rater"}', "2.0")
    operator.emit(*(cloud_event(number, f"customer-{number % 7}") for number in range(10, 40)))
    operator.until_billed(40, "0.18")
    operator.follow("add-raters.md", "In", PID=operator.running["rater-1"].pid)
    operator.emit(*(cloud_event(number, f"customer-{number % 7}") for number in range(40, 50)))
    operator.until_billed(50, "0.225")
    operator.follow("add-raters.md", "Check")
    assert operator.verified()["duplicates"] == 10


def test_lost_state(operator: Operator) -> None:
    server = conninfo_to_dict(operator.dsn())
    operator.environment = {
        f"PG{key.upper()}": str(server[key]) for key in ("host", "port", "user", "password")
    }
    operator.run(*PIPELINE)
    operator.emit(*(cloud_event(number) for number in range(6)))
    operator.until_billed(6, "0.027")
    total(operator, 6)
    pid = operator.running["rater-0"].pid
    folder = next((operator.directory / ".ratestream/rater").iterdir()).name
    operator.follow("lost-state.md", "A rater's state", PID=pid, SLOT=0, SLOT_FOLDER=folder)
    operator.emit(*(cloud_event(number) for number in range(8)))  # six repeats, two new ones
    operator.until_billed(8, "0.036")
    pid = operator.running["aggregator-0"].pid
    folder = next((operator.directory / ".ratestream/aggregator").iterdir()).name
    operator.follow("lost-state.md", "An aggregator's state", PID=pid, SLOT=0, SLOT_FOLDER=folder)
    operator.emit(cloud_event(8))
    operator.until_billed(9, "0.0405")
    total(operator, 9)
    operator.stop("aggregator-0", "totals")
    shown = operator.follow("totals.md", "Running totals", CUSTOMER="customer-1")[-1]
    assert "as of sequence 9" in shown
    database: dict[str, Any] = {"DATABASE": server["dbname"]}
    operator.follow("lost-state.md", "The table of totals", ends=(0, 1), **database)
    total(operator, 9)
    operator.follow("lost-state.md", "Check")
    told = operator.verified()
    assert (told["rated"], told["duplicates"]) == (9, 6)
