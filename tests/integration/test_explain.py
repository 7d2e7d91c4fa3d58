"""`explain` and `book simulate` over what a real rater wrote."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from pricing.instants import instant_text
from rate_book.store import apply
from runtime.postgres import connect
from schemas import topics
from schemas.partitioning import partition_of
from tests.fix_rater import PARTITIONS, Pipeline, usage_event
from tests.pooled_book import POOLED_BOOK

pytestmark = [pytest.mark.broker, pytest.mark.postgres]

# The price rises from 3 to 4 a million input tokens, output stays; the cost card is the same.
DRAFT = """
price_card: list
currency: USD
cards:
  - card: list/one
    provider: acme
    models: [one]
    versions: [{rates: {input_tokens: 4 per 1000000, output_tokens: 15 per 1000000}}]
---
provider: acme
currency: USD
cards:
  - card: acme/one
    models: [one]
    versions: [{rates: {input_tokens: 2 per 1000000, output_tokens: 10 per 1000000}}]
---
contracts: [{contract: standard, currency: USD, price_cards: [list]}]
---
assignments: [{customer: "*", contract: standard}]
"""

# A pool of input at one rate in place of three tiers; output costs each 0.01, whatever the quantity.
POOLED_DRAFT = """
price_card: list
currency: USD
pools: [{pool: input, versions: [{shape: graduated, tiers: [{start: 0, rate: 4 per 1000}]}]}]
cards:
  - card: list/one
    provider: acme
    models: [one]
    versions: [{rates: {input_tokens: {pool: input}, output_tokens: 0.01}}]
---
contracts: [{contract: standard, currency: USD, price_cards: [list]}]
---
assignments: [{customer: "*", contract: standard}]
"""


def command(pipeline: Pipeline, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        env=pipeline.environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 1, 2}, done.stderr
    return done.returncode, done.stdout or done.stderr


def rated_run(pipeline: Pipeline) -> None:
    """Ten events, an id at two sources, one event with impossible counts; the rater is gone afterwards."""
    pipeline.emit([usage_event(number % 3, number) for number in range(10)])
    pipeline.emit([usage_event(1, 3, source="other")])
    pipeline.emit([usage_event(1, 99, usage={"input_tokens": "1", "cache_read_tokens": "2"})])
    rater = pipeline.start()
    pipeline.wait_drained()
    rater.terminate()


def test_an_event_is_walked_from_its_offset_to_its_amounts(pipeline: Pipeline) -> None:
    """1000 x 2 / 1000000 + 100 x 10 / 1000000 = 0.003; 1000 x 3 / 1000000 + 100 x 15 / 1000000 = 0.0045."""
    rated_run(pipeline)
    code, answer = command(pipeline, "explain", "event-4", "--customer", "customer-1", "--json")
    found = json.loads(answer)
    assert (code, found["equal"]) == (0, True)
    (one,) = found["records"]
    (record,) = [r for r in pipeline.read(topics.USAGE_EVENTS) if b"event-4" in (r.value() or b"")]
    assert (one["came"]["partition"], one["came"]["offset"]) == (record.partition(), record.offset())
    assert one["book"]["author"] == "test"
    assert [(side["side"], side["amount"], side["sum"]) for side in one["sides"]] == [
        ("cost", "0.003", "0.002 + 0.001 = 0.003"),
        ("price", "0.0045", "0.003 + 0.0015 = 0.0045"),
    ]
    assert {check["name"] for check in one["checks"]} >= {"event as it came", "rating", "book hash"}
    code, text = command(pipeline, "explain", "event-4")
    assert code == 0
    assert "input_tokens             1,000 x 3 / 1,000,000 = 0.003\n" in text
    assert "recomputed: equal" in text


def test_several_none_and_rejected_events_are_told_apart(pipeline: Pipeline) -> None:
    rated_run(pipeline)
    code, text = command(pipeline, "explain", "event-3")
    assert code == 2
    assert "--customer customer-0 --source test" in text
    assert "--customer customer-1 --source other" in text
    assert command(pipeline, "explain", "event-3", "--source", "other")[0] == 0
    code, text = command(pipeline, "explain", "event-99", "--customer", "customer-1")
    assert code == 1
    assert "it was rejected as impossible_counts" in text
    code, text = command(pipeline, "explain", "event-98")
    assert code == 1
    assert "nor in usage.rejected" in text


def test_what_retention_deleted_is_said(pipeline: Pipeline) -> None:
    rated_run(pipeline)
    partition = partition_of(b"customer-1", PARTITIONS)
    asked = TopicPartition(pipeline.prefix + topics.USAGE_EVENTS, partition, -1)
    for future in pipeline.kafka.admin().delete_records([asked]).values():
        future.result(30)
    code, text = command(pipeline, "explain", "event-4", "--customer", "customer-1")
    assert code == 0
    assert "the record is gone: retention deleted it" in text
    asked = TopicPartition(pipeline.prefix + topics.USAGE_DELTAS, partition, -1)
    for future in pipeline.kafka.admin().delete_records([asked]).values():
        future.result(30)
    code, text = command(pipeline, "explain", "event-4", "--customer", "customer-1")
    assert code == 0
    assert "no frame names the event" in text


def written(folder: Path, files: str) -> Path:
    folder.mkdir()
    for number, text in enumerate(files.split("---\n")):
        (folder / f"{number}.yaml").write_text(text, encoding="utf-8")
    return folder


def simulate(pipeline: Pipeline, draft: Path, *arguments: str) -> Any:
    whole = ("--from", "2026-01-01T00:00:00Z", "--to", "2100-01-01T00:00:00Z")
    code, answer = command(pipeline, "book", "simulate", str(draft), *(arguments or whole), "--json")
    assert code == 0, answer
    return json.loads(answer)


def test_a_draft_is_compared_and_nothing_is_written(pipeline: Pipeline, tmp_path: Path) -> None:
    """11 events of 1000 input tokens, 0.001 more each: 0.0495 -> 0.0605; the cost is 0.033 in both."""
    rated_run(pipeline)
    draft = written(tmp_path / "draft", DRAFT)
    before = {name: len(pipeline.read(name)) for name in (topics.USAGE_RATED, topics.RATER_STATE)}
    found = simulate(pipeline, draft)
    assert (found["total"]["events"], found["total"]["changed"]) == (11, 11)
    assert [(a["side"], a["recorded"], a["draft"], a["difference"]) for a in found["total"]["amounts"]] == [
        ("cost", "0.033", "0.033", "0"),
        ("price", "0.0495", "0.0605", "0.011"),
    ]
    assert {group["customer"]: group["events"] for group in found["by_customer"]} == {
        "customer-0": 4,
        "customer-1": 4,
        "customer-2": 3,
    }
    assert [group["model"] for group in found["by_model"]] == ["acme: one"]
    assert len(found["top_changes"]) == 11
    one = ("--from", "2026-01-01T00:00:00Z", "--to", "2100-01-01T00:00:00Z", "--customer", "customer-2")
    assert simulate(pipeline, draft, *one)["total"]["events"] == 3
    past = ("--from", "2026-01-01T00:00:00Z", "--to", "2026-01-02T00:00:00Z")
    assert simulate(pipeline, draft, *past)["total"]["events"] == 0
    assert {name: len(pipeline.read(name)) for name in before} == before
    wrong = command(
        pipeline, "book", "simulate", str(draft), "--from", "yesterday", "--to", "2100-01-01T00:00:00Z"
    )
    assert wrong[0] == 2
    assert "must be an instant with its zone" in wrong[1]


def test_prices_over_a_period_are_explained_and_compared_over_the_whole_of_it(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    """Three events of 1000 input and 100 output. The third takes input from 2000 to 3000: P is 6 before, then
    2500 x 3 / 1000 + 500 x 2 / 1000 + 1 = 9.5, to pay 3.5; output 100 x 0.01 = 1.

    The draft: 3000 x 4 / 1000 + 300 x 0.01 = 15, recorded 9.5 + 3 = 12.5.
    """
    with connect(pipeline.dsn) as connection:
        apply(connection, POOLED_BOOK, author="test", retroactive=True)
    pipeline.emit([usage_event(0, number, customer_id="steps-0") for number in range(3)])
    rater = pipeline.start()
    pipeline.wait_drained()
    rater.terminate()
    code, answer = command(pipeline, "explain", "event-2", "--json")
    assert code == 0, answer
    (one,) = json.loads(answer)["records"]
    price = one["sides"][1]
    told = {
        pool["pool"]: (pool["quantity_before"], pool["amount_after"], pool["charged"])
        for pool in price["pools"]
    }
    assert told == {"steps/input": ("2000", "9.5", "3.5"), "steps/output": ("200", "3", "1")}
    assert price["amount"] == "4.5"

    hour_ago = instant_text(time.time_ns() // 1000 - 3_600_000_000)
    span = ("--from", hour_ago, "--to", "2100-01-01T00:00:00Z", "--customer", "steps-0")
    found = simulate(pipeline, written(tmp_path / "draft", POOLED_DRAFT), *span)
    assert [period["customer"] for period in found["whole_periods"]] == ["steps-0"]
    amounts = {item["side"]: (item["recorded"], item["draft"]) for item in found["total"]["amounts"]}
    assert amounts == {"cost": ("0.009", "0"), "price": ("12.5", "15")}
    assert found["total"]["newly_unpriced"] == {"cost": 3, "price": 0}
