"""Pricing against the independent oracle: every request of the shipped traces, and calls made up by rule."""

import random
from collections import Counter
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from pricing.compile import CompiledBook, compile_book
from pricing.errors import UsageError
from pricing.money import ATTO
from pricing.rate import Side, rate
from producers.core.trace import parse_trace
from producers.core.trace_events import trace_events
from rate_book.form import load_book, shipped_books
from rate_book.translate import call_of_event
from tests.fix_rater import whole
from tests.oracle.books import Books
from tests.oracle.money import Amount, Impossible, expected

ROOT = Path(__file__).resolve().parents[2]
START_US = 1_795_478_400_000_000  # 2026-11-24T00:00:00Z
EVENTS = 28_185


@pytest.fixture(scope="module")
def book() -> CompiledBook:
    return compile_book(load_book(shipped_books()), 1, "hash")


@pytest.fixture(scope="module")
def books() -> Books:
    return Books([ROOT / "rate_book/books" / name for name in ("providers", "corrections", "example")])


def as_amount(side: Side) -> Amount:
    amount = None if side.amount_atto is None else Fraction(side.amount_atto, ATTO)
    return Amount(side.status, amount, side.currency)


def rated(book: CompiledBook, event: dict[str, Any]) -> tuple[Amount, Amount]:
    rating = rate(book, call_of_event(event, book.attributes))
    return as_amount(rating.cost), as_amount(rating.price)


def test_every_request_of_the_traces_costs_what_the_oracle_says(book: CompiledBook, books: Books) -> None:
    traces = []
    for name in ("azure_llm_2023_code", "azure_llm_2023_conv"):
        with (ROOT / f"producers/traces/{name}.csv").open(encoding="utf-8") as lines:
            traces.append(parse_trace(name, lines))
    statuses: Counter[tuple[str, str]] = Counter()
    sums = [Fraction(0), Fraction(0), Fraction(0), Fraction(0)]
    for event in trace_events(traces, START_US):
        ours, theirs = rated(book, event), expected(books, event)
        assert ours == theirs, event
        statuses[ours[0].status, ours[1].status] += 1
        for at, side in enumerate((*ours, *theirs)):
            sums[at] += side.amount or 0
    assert statuses.total() == EVENTS
    assert sums[:2] == sums[2:]
    assert statuses["priced", "priced"] > EVENTS * 9 // 10, statuses
    assert sums[0] > 0
    assert sums[1] > 0


MODELS = (
    ("openai", "gpt-4o"),
    ("openai", "GPT-4o-2024-08-06"),
    ("openai", "gpt-4o-mini"),
    ("openai", "gpt-4o-audio-preview"),
    ("openai", "o3"),
    ("openai", "gpt-5"),
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-sonnet-4-5-20250929"),
    ("anthropic", "claude-haiku-4-5"),
    ("google", "gemini-2.5-pro"),
    ("google", "gemini-2.5-flash"),
    ("deepseek", "deepseek-chat"),
    ("groq", "llama-3.3-70b-versatile"),
    ("openai", "no-such-model"),
    ("nobody", "gpt-4o"),
)
CUSTOMERS = ("amber-analytics", "cedar-robotics", "jade-legal", "somebody")
CONTEXTS: tuple[dict[str, str], ...] = (
    {},
    {"processing": "batch"},
    {"processing": "standard"},
    {"processing": "Batch"},
    {"service_tier": "priority"},
    {"service_tier": "flex"},
    {"processing": "batch", "service_tier": "priority"},
    {"requested_service_tier": "auto"},
    {"colour": "blue"},
)
INSTANTS = tuple(
    int(datetime(*at, tzinfo=UTC).timestamp()) * 1_000_000 + shift
    for at in ((2024, 5, 13), (2025, 6, 10), (2026, 7, 1), (2026, 11, 1))
    for shift in (-1, 0)
)


def made_up(seed: int) -> dict[str, Any]:
    """A call chosen by a seed; parts are counted so that they fit their wholes, most of the time."""
    chance = random.Random(seed)
    provider, model = chance.choice(MODELS)
    total = chance.choice((0, 1, 1200, 127_999, 128_000, 128_001, 199_999, 200_000, 200_001, 1_000_003))
    read = chance.choice((0, 0, total // 3, total + 1 if chance.random() < 0.1 else total))
    written = chance.choice((0, 0, (total - min(read, total)) // 2))
    out = chance.choice((0, 1, 350, 70_001))
    usage = {"input_tokens": total, "output_tokens": out}
    if chance.random() < 0.6:
        usage["cache_read_tokens"] = read
    if chance.random() < 0.4:
        usage["cache_write_tokens"] = written
        usage[chance.choice(("cache_write_5m_tokens", "cache_write_1h_tokens"))] = written // 2
    if chance.random() < 0.3:
        usage["output_reasoning_tokens"] = out // 2
    if chance.random() < 0.15:
        usage["web_searches"] = chance.randrange(4)
    if chance.random() < 0.15:
        usage["input_audio_tokens"] = total // 5
    if chance.random() < 0.05:
        usage["requests"] = 2
    if chance.random() < 0.15:  # all input is of one kind
        usage[chance.choice(("input_audio_tokens", "input_text_tokens", "cache_read_tokens"))] = total
    if chance.random() < 0.05:
        del usage["input_tokens"]
    if chance.random() < 0.03:
        usage = {}
    return whole(
        {
            "customer_id": chance.choice(CUSTOMERS),
            "source": "made up",
            "event_id": str(seed),
            "event_time_us": chance.choice(INSTANTS),
            "provider": provider,
            "requested_model": model,
            "region": chance.choice((None, None, "eu-west-1")),
            "context": chance.choice(CONTEXTS),
            "usage_semantics": chance.choice(("inclusive", "exclusive")),
            "usage": {meter: str(count) for meter, count in usage.items()},
        }
    )


def test_made_up_calls_cost_what_the_oracle_says(book: CompiledBook, books: Books) -> None:
    """Both refuse the same calls, and agree on status, amount and currency of all others."""
    outcomes: Counter[str] = Counter()
    for seed in range(3000):
        event = made_up(seed)
        try:
            theirs = expected(books, event)
        except Impossible:
            with pytest.raises(UsageError) as refused:
                rate(book, call_of_event(event))
            assert refused.value.code == "impossible_counts"
            outcomes["whole missing" if "must report" in refused.value.rule else "impossible"] += 1
            continue
        ours = rated(book, event)
        assert ours == theirs, event
        outcomes.update((f"cost {ours[0].status}", f"price {ours[1].status}"))
        leaves = rate(book, call_of_event(event)).leaves
        outcomes["overlap settled"] += len(leaves) > len(event["usage"])
        outcomes["nothing reported"] += not leaves
    for outcome in (
        "impossible",
        "whole missing",
        "overlap settled",
        "nothing reported",
        *(f"{side} {s}" for side in ("cost", "price") for s in ("priced", "unpriced")),
    ):
        assert outcomes[outcome] > 20, outcomes
    assert outcomes["cost partial"] > 5, outcomes


def test_the_oracle_by_hand(books: Books) -> None:
    """gpt-4o at 2.5 and 10 USD a million: 1200 x 2.5 / 10**6 + 350 x 10 / 10**6 = 0.003 + 0.0035 = 0.0065."""
    event = whole(
        {
            "customer_id": "somebody",
            "source": "s",
            "event_id": "1",
            "event_time_us": START_US,
            "provider": "openai",
            "requested_model": "gpt-4o",
            "usage_semantics": "inclusive",
            "usage": {"input_tokens": "1200", "output_tokens": "350"},
        }
    )
    cost, price = expected(books, event)
    assert cost == Amount("priced", Fraction("0.0065"), "USD")
    assert price.status == "priced"
