"""A running rater and ledger, scraped: what they count is what they were fed."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rate_book.budgets.form import load_budgets_of
from rate_book.budgets.store import apply_budgets
from runtime.clock import SystemClock
from runtime.kafka.lag import BrokerLag, group_lag
from runtime.kafka.offsets import BrokerOffsets
from runtime.postgres import connect
from runtime.progress import Lag, LagUnknownError
from schemas import topics
from schemas.topics import consumer_limits
from tests.fix_rater import Pipeline, RaterProcess, usage_event, wait_for

pytestmark = [pytest.mark.broker, pytest.mark.postgres]

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def get(process: RaterProcess, path: str) -> tuple[int, str]:
    """An answer of the process's endpoint, whose address its log tells."""
    wait_for(lambda: "telemetry on http://" in process.log(), "the endpoint's address is logged")
    address = process.log().partition("telemetry on http://")[2].split()[0]
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def wait_ready(process: RaterProcess) -> None:
    wait_for(lambda: get(process, "/readyz")[0] == 200, "it is ready")


def scrape(process: RaterProcess) -> Samples:
    """Samples by name and labels."""
    families = text_string_to_metric_families(get(process, "/metrics")[1])
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


def lag(samples: Samples) -> list[float]:
    return [number for (name, _), number in samples.items() if name == "ratestream_process_lag_records"]


def test_a_rater_and_a_ledger_tell_what_they_were_fed(pipeline: Pipeline) -> None:
    """30 events, 4 of them twice, 2 of a model that the book does not know, 3 that are no events."""
    settings: dict[str, Any] = {"telemetry__listen": "127.0.0.1:0", "telemetry__look_s": 0.2}
    events = [usage_event(number % 5, number) for number in range(28)]
    events += [usage_event(1, number, requested_model="unheard-of") for number in (28, 29)]
    pipeline.emit([*events, *events[:4]])
    pipeline.emit_raw([(b"customer-1", b"rubbish")] * 3)
    rater = pipeline.start(**settings)
    pipeline.wait_drained()
    wait_ready(rater)
    sink = pipeline.start(module="ledger", **settings)

    def written() -> bool:
        pipeline.check_alive()
        return value(scrape(sink), "ratestream_ledger_rows_total", table="rated") == 30

    wait_for(written, "the ledger counts 30 rated rows")
    wait_for(lambda: lag(scrape(sink)) == [0.0] * 8, "both topics' four partitions are without lag")
    seen = scrape(rater)
    name = "ratestream_rater_events_total"
    assert [value(seen, name, outcome=it) for it in ("rated", "rejected", "duplicate")] == [30, 3, 4]
    assert value(seen, "ratestream_rater_rejected_total", reason="undecodable") == 3
    name = "ratestream_rater_unpriced_events_total"
    assert [value(seen, name, side=side) for side in ("cost", "price")] == [2, 2]
    assert value(seen, "ratestream_rater_book_version") == 1
    assert value(seen, "ratestream_rater_waiting_partitions") == 0
    frames = sum(head["frame_no"] for head in pipeline.heads().values())
    assert value(seen, "ratestream_rater_frames_total") == frames
    transactions = value(seen, "ratestream_rater_transaction_seconds_count")
    assert transactions is not None
    assert 1 <= transactions <= frames
    assert value(seen, "ratestream_process_partitions", service="rater") == 4
    assert value(seen, "ratestream_process_broker_reachable", service="rater") == 1
    assert value(seen, "ratestream_process_ready", service="rater") == 1
    assert lag(seen) == [0.0] * 8
    told = scrape(sink)
    assert value(told, "ratestream_ledger_rows_total", table="rejected") == 3
    assert value(told, "ratestream_ledger_rows_total", table="bad") == 0
    batches = value(told, "ratestream_ledger_batches_total")
    assert batches == value(told, "ratestream_ledger_commit_seconds_count")
    assert json.loads(get(sink, "/livez")[1]) == {"ok": True, "why": []}
    assert rater.terminate() == 0
    assert sink.terminate() == 0


BUDGETS = """
budgets:
  - budget: small
    customers: [customer-1]
    measure: price
    currency: USD
    window: lifetime
    limit: 0.0090
    thresholds:
      - {at: 100%, severity: critical, action: hard, channels: [log]}
"""


def test_an_alert_is_told_from_the_event_to_its_channel(pipeline: Pipeline, tmp_path: Path) -> None:
    """0.0045 USD an event (see check_exactly_once), two of them reach the limit."""
    path = tmp_path / "budgets.yaml"
    path.write_text(BUDGETS, encoding="utf-8")
    with connect(pipeline.dsn) as connection:
        apply_budgets(connection, load_budgets_of([path]), author="test")
    settings: dict[str, Any] = {"telemetry__listen": "127.0.0.1:0", "telemetry__look_s": 0.5}
    modules = ("rater", "ledger", "aggregator", "aggregator.totals", "budget_guard")
    processes = {
        module: pipeline.start(
            module=module, aggregator__state_dir=tmp_path / "aggregator", totals__write_ms=50, **settings
        )
        for module in modules
    }
    for process in processes.values():
        wait_ready(process)
    pipeline.emit([usage_event(1, number) for number in range(2)])
    guard = processes["budget_guard"]

    def delivered() -> bool:
        pipeline.check_alive()
        labels = {"channel": "log", "outcome": "delivered"}
        return value(scrape(guard), "ratestream_delivery_attempts_total", **labels) == 1

    wait_for(delivered, "the alert is delivered")
    seen = scrape(guard)
    assert value(seen, "ratestream_guard_alerts_total", kind="threshold", severity="critical") == 1
    assert (value(seen, "ratestream_guard_totals_evaluated_total") or 0) >= 1
    assert value(seen, "ratestream_delivery_alert_latency_seconds_count") == 1
    assert 0 < (value(seen, "ratestream_delivery_alert_latency_seconds_sum") or 0) < 60
    totals = scrape(processes["aggregator"])
    assert (value(totals, "ratestream_aggregator_published_total") or 0) >= 1
    assert (value(totals, "ratestream_aggregator_publish_latency_seconds_count") or 0) >= 1
    assert value(totals, "ratestream_aggregator_repairs_open") == 0
    sink = processes["aggregator.totals"]
    wait_for(
        lambda: value(scrape(sink), "ratestream_totals_customers_written_total") == 1,
        "the totals are written",
    )
    for process in processes.values():
        assert process.terminate() == 0, process.log()


def test_lag_is_of_the_broker(pipeline: Pipeline) -> None:
    """Records by the broker's end, age by the first one's append time, markers of transactions are none."""
    pipeline.emit([usage_event(1, number) for number in range(3)])
    pipeline.start()
    pipeline.wait_drained()
    events, rated = (pipeline.prefix + name for name in (topics.USAGE_EVENTS, topics.USAGE_RATED))
    message = pipeline.read(topics.USAGE_RATED)[-1]
    partition, offset = message.partition() or 0, message.offset() or 0
    config = pipeline.settings.client_config()
    with BrokerLag(config, SystemClock(), consumer_limits(topics.USAGE_RATED)) as ask:
        assert ask({(events, partition): 3}) == {(events, partition): Lag(0, 0.0)}
        positions = {(events, partition): 1, (rated, partition): offset + 1}
        ask(positions)
        found = ask(positions)
        assert found[rated, partition] == Lag(0, 0.0), "only the transaction's marker is left"
        assert found[events, partition].records == 2
        assert 0 < found[events, partition].seconds < 60
        assert found[events, partition].seconds <= ask(positions)[events, partition].seconds
    with BrokerOffsets(config, f"{pipeline.prefix}rater") as rater:
        assert group_lag(rater, [events]) == {(events, number): 0 for number in range(4)}
        with pytest.raises(LagUnknownError, match="no topic"):
            group_lag(rater, ["absent"])
    with BrokerOffsets(config, f"{pipeline.prefix}nobody") as nobody:
        unread = group_lag(nobody, [events])
    assert unread == {(events, number): 3 * (number == partition) for number in range(4)}


def test_a_broker_that_is_away_is_told_and_ends_nothing() -> None:
    config = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}
    with BrokerLag(config, SystemClock(), {}) as ask, pytest.raises(LagUnknownError):
        ask({})
