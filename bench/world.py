"""What the benchmarks work on: a rate book with a threshold and context, and typical events."""

import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from pricing.cards import (
    Assignment,
    BookContent,
    CardVersion,
    Cell,
    ContextKey,
    Contract,
    PriceCard,
    Rate,
    RateCard,
    Step,
    Thresholds,
    Variant,
)

CUSTOMERS = 500
SEED = 20_261_123


def _cell(input_rate: str, cached_rate: str, output_rate: str) -> Cell:
    def rates(factor: int) -> tuple[Rate, ...]:
        return tuple(
            Rate(meter, str(Decimal(rate) * factor), "1000000")
            for meter, rate in (
                ("input_tokens", input_rate),
                ("cache_read_tokens", cached_rate),
                ("output_tokens", output_rate),
            )
        )

    return Cell(rates(1), Thresholds((Step("200000", rates(2)),)))


def _card(card_id: str, provider: str, input_rate: str, cached_rate: str, output_rate: str) -> RateCard:
    return RateCard(
        card_id,
        provider,
        "USD",
        (
            CardVersion(
                _cell(input_rate, cached_rate, output_rate),
                context=(
                    ContextKey("processing", ("standard", "batch"), "standard"),
                    ContextKey("service_tier", ("default", "priority"), "default"),
                ),
                variants=(
                    Variant((("processing", "batch"),), _cell("1", "0.125", "4")),
                    Variant((("service_tier", "priority"),), _cell("4", "0.5", "16")),
                ),
            ),
        ),
        models=("model-large", "model-small"),
    )


# Cost of a standard call below the threshold: input 2, cached 0.25, output 8 USD a million tokens.
# Price: input 3, cached 0.5, output 12.
BOOK = BookContent(
    provider_cards=(_card("acme/large", "acme", "2", "0.25", "8"),),
    price_cards=(PriceCard("list", (_card("list/large", "acme", "3", "0.5", "12"),)),),
    contracts=(Contract("standard", "USD", ("list",)),),
    assignments=(Assignment("*", "standard"),),
)


def events(count: int, now_us: int, first_number: int = 0) -> Iterator[dict[str, Any]]:
    """Typical calls: three meters, two context keys, a product's and a query's names."""
    rng = random.Random(SEED)
    for number in range(first_number, first_number + count):
        customer = rng.randrange(CUSTOMERS)
        input_tokens = rng.randrange(200, 8_000)
        yield {
            "customer_id": f"customer-{customer:04d}",
            "source": "bench-gateway",
            "event_id": f"01JDB{number:021d}",
            "event_time_us": now_us - rng.randrange(3_600_000_000),
            "query_id": f"query-{number // 4}",
            "attempt": 1,
            "project": f"project-{customer % 20}",
            "product": ("assistant", "search", "agents")[number % 3],
            "feature": ("chat", "summary", "answer", "plan")[number % 4],
            "provider": "acme",
            "requested_model": "model-large",
            "served_model": "model-large",
            "region": None,
            "provider_request_id": f"req_{number:024d}",
            "provider_response_id": f"chatcmpl-{number:024d}",
            "context": {"processing": "standard", "service_tier": "default"},
            "usage_semantics": "inclusive",
            "usage": {
                "input_tokens": str(input_tokens),
                "cache_read_tokens": str(input_tokens // 4),
                "output_tokens": str(rng.randrange(20, 900)),
            },
        }


def expected_totals(count: int, now_us: int) -> tuple[Decimal, Decimal]:
    """Cost and price of the first `count` events, from the rates by hand."""
    cost = price = Decimal(0)
    for event in events(count, now_us):
        usage = event["usage"]
        cached, output_tokens = int(usage["cache_read_tokens"]), int(usage["output_tokens"])
        fresh = int(usage["input_tokens"]) - cached
        cost += (fresh * 2 + cached * Decimal("0.25") + output_tokens * 8) / 1_000_000
        price += (fresh * 3 + cached * Decimal("0.5") + output_tokens * 12) / 1_000_000
    return cost, price
