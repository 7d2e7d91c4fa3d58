"""`ratestream demo` as a new user runs it, against the stack under test."""

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from cli.demo.traffic import plan
from producers.adapters.trace_files import load_traces, shipped_names
from producers.core.trace_events import trace_events
from runtime.settings import process_environment
from tests.fix_kafka import KafkaFixture

pytestmark = [pytest.mark.broker, pytest.mark.postgres]


def test_the_plan_has_the_whole_trace_some_events_twice_and_each_kind_of_bad_event() -> None:
    """19,366 + 8,819 = 28,185 requests; each 40th twice is 705 more; 5 unpriced; 1 late; 12 bad."""
    events = list(trace_events(load_traces(shipped_names()), 1_763_900_000_000_000))
    planned = plan(events, 1_763_900_000_000_000 + 4_000_000_000)
    assert (planned.rated, planned.duplicates, planned.received) == (28_191, 705, 28_908)
    assert planned.rejected.total() == 12


def test_who_pays_by_the_query_has_each_query_published_once() -> None:
    """azure-studio asks 547 queries in the trace: so many events more, and no duplicate of them."""
    events = list(trace_events(load_traces(shipped_names()), 1_763_900_000_000_000))
    planned = plan(events, 1_763_900_000_000_000 + 4_000_000_000, {"azure-studio"})
    queries = {event["query_id"] for event in events if event["customer_id"] == "azure-studio"}
    assert len(queries) == 547
    assert (planned.rated, planned.duplicates) == (28_191 + 547, 705)


def test_the_demo_verifies_and_leaves_its_summary(
    kafka: KafkaFixture, postgres_server: str, tmp_path: Path
) -> None:
    environment = process_environment() | {
        "RATESTREAM_PROJECT_DIR": str(tmp_path),
        "RATESTREAM_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap,
        "RATESTREAM_KAFKA__PARTITIONS": "4",
        "RATESTREAM_KAFKA__REPLICATION_FACTOR": "1",
        "RATESTREAM_POSTGRES__DSN": postgres_server,
    }
    done = subprocess.run(
        [sys.executable, "-m", "cli", "demo"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "VERIFIED" in done.stdout
    summary = json.loads((tmp_path / ".ratestream/demo/summary.json").read_text(encoding="utf-8"))
    assert summary["verified"] is True
    assert summary["as_planned"] is True
    counts = {name: summary[name] for name in ("received", "rated", "rejected", "duplicates", "pending")}
    assert counts == {"received": 29_495, "rated": 28_778, "rejected": 12, "duplicates": 705, "pending": 0}
    assert summary["events_before_change"] + summary["events_after_change"] == 28_185
    assert summary["covered_at_kill"] > 0
    alerts = summary["alerts"]
    assert (alerts["live"], alerts["live_missing"], alerts["forged"]) == (40, [], 0)
    assert (alerts["retracted"], alerts["hard"]) == ("calls-amber-analytics", 39)
    assert alerts["as_planned"] is True
    assert 0 < summary["alert_latency_ms"]["p50"] <= summary["alert_latency_ms"]["p99"]
    for side in ("cost", "price"):
        by_model = sum(
            (Decimal(sums[side]["USD"]) for sums in summary["by_model"].values() if sums[side]), Decimal(0)
        )
        assert by_model == Decimal(summary[side]["USD"])
    assert summary["by_model"]["house-model-7"]["cost"] == {}
