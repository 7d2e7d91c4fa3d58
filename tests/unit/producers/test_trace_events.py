"""A trace's requests as events: counts and spacing kept, the rest assigned the same way each time."""

from collections import Counter, defaultdict
from typing import Any

import pytest
from genai_prices.data_snapshot import get_snapshot

from producers.adapters.trace_files import load_traces, shipped_names
from producers.core import catalogue
from producers.core.trace import HEADER, Row, Trace, TraceError, length_us, parse_trace
from producers.core.trace_events import _estimate, trace_events
from schemas import codec
from schemas.event_rules import check_event, check_usage

START_US = 1_795_000_000_000_000
TRACES = load_traces(shipped_names())
EVENTS = list(trace_events(TRACES, START_US))

# USD a million tokens (input, output, cache read, cache write), from the providers' price pages.
PRICES = {
    "gpt-4o": ("2.5", "10", "1.25", "0"),
    "gpt-4o-mini": ("0.15", "0.6", "0.075", "0"),
    "gpt-4.1": ("2", "8", "0.5", "0"),
    "gpt-5-mini": ("0.25", "2", "0.025", "0"),
    "claude-sonnet-4-5": ("3", "15", "0.3", "3.75"),
    "claude-haiku-4-5": ("1", "5", "0.1", "1.25"),
    "gemini-2.5-pro": ("1.25", "10", "0.125", "0"),
    "gemini-2.5-flash": ("0.3", "2.5", "0.03", "0"),
    "gemini-2.5-flash-lite": ("0.1", "0.4", "0.01", "0"),
    "mistral-small-latest": ("0.15", "0.6", "0.015", "0"),
    "llama-3.3-70b-versatile": ("0.59", "0.79", "0", "0"),
}


def trace(*rows: str, name: str = "small") -> Trace:
    return parse_trace(name, [HEADER, *rows])


def input_total(event: dict[str, Any]) -> int:
    usage = event["usage"]
    if event["usage_semantics"] == "inclusive":
        return int(usage["input_tokens"])
    return sum(
        int(usage.get(meter, 0)) for meter in ("input_tokens", "cache_read_tokens", "cache_write_tokens")
    )


def test_the_shipped_traces_are_whole() -> None:
    """19,366 and 8,819 rows are 28,185."""
    assert {trace.name: len(trace.rows) for trace in TRACES} == {
        "azure_llm_2023_conv": 19_366,
        "azure_llm_2023_code": 8_819,
    }
    assert len(EVENTS) == 28_185


def test_every_event_keeps_the_rules_and_has_an_id_of_its_own() -> None:
    for event in EVENTS:
        check_event(event)
        check_usage(event)
    assert len({event["event_id"] for event in EVENTS}) == len(EVENTS)


def test_token_counts_are_the_traces() -> None:
    rows = {f"{trace.name}-{START_US}-{row.number:05d}": row for trace in TRACES for row in trace.rows}
    for event in EVENTS:
        row = rows[event["event_id"]]
        assert input_total(event) == row.context_tokens
        assert int(event["usage"]["output_tokens"]) == row.generated_tokens
        assert int(event["usage"].get("cache_read_tokens", 0)) <= row.context_tokens
    assert sum(map(input_total, EVENTS)) == sum(row.context_tokens for row in rows.values())


def test_spacing_is_the_traces_and_the_first_event_happens_at_the_start() -> None:
    """From 18:15:46.680590 to 19:14:19.928016 it is 58 min 33.247426 s."""
    times = [event["event_time_us"] for event in EVENTS]
    assert times == sorted(times)
    assert (times[0], times[-1]) == (START_US, START_US + 3_513_247_426)
    assert length_us(TRACES) == 3_513_247_426


def test_the_same_start_gives_the_same_bytes_and_another_start_other_ids() -> None:
    again = list(trace_events(load_traces(list(reversed(shipped_names()))), START_US))
    assert [codec.encode("UsageEvent", event) for event in again] == [
        codec.encode("UsageEvent", event) for event in EVENTS
    ]
    later = next(iter(trace_events(TRACES, START_US + 1)))
    assert later["event_id"] != EVENTS[0]["event_id"]
    assert later["usage"] == EVENTS[0]["usage"]


def test_a_fifth_of_the_customers_makes_about_four_fifths_of_the_cost() -> None:
    """Costs in units of 10**-9 USD: the prices above times 1,000, times tokens."""
    cost: Counter[str] = Counter()
    for event in EVENTS:
        usage = event["usage"]
        fresh, output, read, write = map(thousandths, PRICES[event["requested_model"]])
        cached = int(usage.get("cache_read_tokens", 0))
        tokens = int(usage["input_tokens"]) - (cached if event["usage_semantics"] == "inclusive" else 0)
        cost[event["customer_id"]] += (
            tokens * fresh
            + int(usage["output_tokens"]) * output
            + cached * read
            + int(usage.get("cache_write_tokens", 0)) * write
        )
    assert len(cost) == 200
    top = sum(amount for _, amount in cost.most_common(200 // 5))
    assert 75 <= top * 100 // cost.total() <= 85


def thousandths(price: str) -> int:
    whole, _, fraction = price.partition(".")
    return int(whole + f"{fraction:0<3}")


def test_a_query_is_one_customers_and_fans_out_over_several_providers() -> None:
    calls = defaultdict(list)
    for event in EVENTS:
        calls[event["query_id"]].append(event)
    assert max(map(len, calls.values())) == 12
    for events in calls.values():
        assert len({(event["customer_id"], event["product"], event["project"]) for event in events}) == 1
        root, *others = events
        assert root["parent_event_id"] is None
        assert {event["parent_event_id"] for event in others} <= {root["event_id"]}
    assert sum(1 for events in calls.values() if len({event["provider"] for event in events}) >= 3) > 500


def test_some_calls_are_cached_batched_routed_or_retried() -> None:
    assert sum(1 for event in EVENTS if "cache_read_tokens" in event["usage"]) > 1_000
    assert sum(1 for event in EVENTS if event["context"] == {"processing": "batch"}) > 100
    assert sum(1 for event in EVENTS if event["routing"]) > 1_000
    retried = [event for event in EVENTS if event["attempt"] == 2]
    assert len(retried) > 100
    ids = {event["event_id"] for event in EVENTS}
    assert all(event["routing"]["fallback_of"] in ids for event in retried)
    assert {event["usage_semantics"] for event in EVENTS} == {"inclusive", "exclusive"}


def test_every_model_is_known_to_the_price_data_that_ships_with_the_book() -> None:
    providers = {provider.id: provider for provider in get_snapshot().providers}
    for model in catalogue.MODELS:
        for name in (model.requested, model.served):
            known = next((one for one in providers[model.provider].models if one.is_match(name)), None)
            assert known is not None, name
            batch = any(variant.when == {"processing": "batch"} for variant in known.price_variants or ())
            assert batch or not model.batches, name
    assert set(PRICES) == {model.requested for model in catalogue.MODELS}


def test_an_estimate_is_a_plain_decimal() -> None:
    """1,000 tokens in and 10 out of gpt-4o: 1,000 * 2.5 + 10 * 10 USD a million is 0.0026 USD."""
    assert _estimate(Row(1, 0, 1000, 10), catalogue.GPT_4O) == "0.0026"
    assert _estimate(Row(1, 0, 0, 0), catalogue.GPT_4O) == "0"


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ([], "has no rows"),
        ([HEADER], "has no rows"),
        (["time,in,out"], "line 1"),
        ([HEADER, "2023-11-16 18:15:46.6805900,1"], "line 2"),
        ([HEADER, "2023-11-16 18:15:46.6805900,1,2", "yesterday,1,2"], "line 3"),
        ([HEADER, "2023-11-16 18:15:46.6805900,1.5,2"], "line 2"),
        ([HEADER, "2023-11-16 18:15:46.6805900,-1,2"], "line 2"),
    ],
)
def test_a_bad_trace_is_refused_with_its_line(lines: list[str], fault: str) -> None:
    with pytest.raises(TraceError, match=fault):
        parse_trace("small", lines)


def test_rows_are_put_in_order_of_time() -> None:
    late, early = "2023-11-16 00:00:01.0000010,1,2", "2023-11-16 00:00:00.0000000,3,4"
    assert [(row.number, row.context_tokens) for row in trace(late, early).rows] == [(2, 3), (1, 1)]
