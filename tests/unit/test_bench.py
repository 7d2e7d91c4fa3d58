"""The benchmarks' own code, as far as it needs no services: arguments, the page that is made of a result."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.__main__ import parse
from bench.load.input import pico
from bench.load.watch import Watch
from bench.load.whole import spread
from bench.parts import PARTS, SIZES
from bench.peers.work import plain
from bench.report import PAGE, TABLES, filled
from schemas.codec import CODEC

SAMPLE = {
    "scaling": {
        "raters": [
            {"raters": 1, "partitions": 4, "events": 200_000, "events_per_s": 40_000,
             "cpu_s_per_million": 21.5, "rss_mib_each": 160},
        ],
        "partitions": [],
    },
    "loops": {
        name: [{"events_per_s": speed, "cpu_s_per_million": 10.0} for speed in (10_000, 30_000, 20_000)]
        for name in ("bare_loop", "rater", "rater_with_known_ids")
    }
    | {"rater_to_bare_events_per_s": {"min": 0.9, "median": 1.0, "max": 1.1}},
}  # fmt: skip


def test_a_run_takes_all_parts_and_half_an_hour_unless_told_otherwise() -> None:
    usual = parse([])
    assert (usual.only, usual.size) == (list(PARTS), "usual")
    assert usual.minutes < 30
    full = parse(["--full", "--only", "whole", "scaling"])
    assert (full.only, full.size, full.minutes) == (["whole", "scaling"], "full", None)
    assert {usual.size, full.size, parse(["--short"]).size} == set(SIZES)


def test_the_page_holds_the_figures_of_a_result_and_says_what_was_not_measured() -> None:
    page = "".join(f"<!-- figures: {name} -->\nold\n<!-- end -->\n" for name in ("raters", "loops", "ledger"))
    made = filled(page, json.loads(json.dumps(SAMPLE)))
    assert "| 1 | 4 | 200,000 | 40,000 | 21.5 | 160 |" in made
    assert "| rater | 20,000 (10,000 to 30,000) | 10.0 (10.0 to 10.0) |" in made
    assert "Not measured in this run." in made
    assert "old" not in made
    assert filled(made, SAMPLE) == made


def test_every_block_of_the_page_has_a_table_and_every_table_its_block() -> None:
    page = PAGE.read_text("utf-8")
    assert all(page.count(f"<!-- figures: {name} -->") == 1 for name in TABLES)
    filled(page, {})
    with pytest.raises(SystemExit, match="no table is called typed"):
        filled("<!-- figures: typed -->\n<!-- end -->", {})


def test_amounts_are_written_and_read_exactly() -> None:
    assert [plain(amount) for amount in (0, 250_000, 3_000_000_000_000)] == ["0", "0.00000025", "3"]
    assert [pico(text) for text in (None, "0.00000025", "3")] == [0, 250_000, 3_000_000_000_000]


def test_percentiles_are_of_what_was_measured() -> None:
    assert spread(range(0, 1_000_000_000, 1_000_000))["p99"] == 990.0
    assert spread([]) == {}


def test_a_watched_event_is_in_the_totals_once_its_sequence_is_and_in_the_ledger_behind_its_position() -> (
    None
):
    def message(topic: str, value: bytes, offset: int) -> Any:
        told = {"topic": topic, "key": b"c", "value": value, "partition": 0, "offset": offset}
        return SimpleNamespace(**{name: lambda said=said: said for name, said in told.items()})

    watch = Watch({1, 2}, "rated")
    for number in range(3):  # sequences 1, 2, 3 at offsets 0, 2, 4
        watch.message(message("rated", b"........c.bench-%09d..." % number, 2 * number), 10 + number)
    totals = CODEC.encode(
        "RunningTotals",
        {"customer_id": "c", "as_of_seq": 2, "as_of_us": 0, "zone": "UTC", "watched": "", "entries": []},
    )
    watch.message(message("totals", totals, 0), 20)
    watch.ledger_at(0, 4, 30)
    assert watch.times == {"rated": {1: 11, 2: 12}, "totals": {1: 20}, "ledger": {1: 30}}
    assert not watch.complete
    watch.ledger_at(0, 5, 31)
    assert watch.times["ledger"] == {1: 30, 2: 31}


def test_kafka_streams_jars_are_pinned() -> None:
    pins = (Path(__file__).parents[2] / "bench/streams/jars.sha256").read_text("utf-8").splitlines()[1:]
    assert any("org/apache/kafka/kafka-streams/" in line for line in pins)
    assert all(len(line.split()[0]) == 64 for line in pins)
