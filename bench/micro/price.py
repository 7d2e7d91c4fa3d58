"""One price of three meters, two context keys and a threshold: look-up to amounts; whole; with its bytes.

`compiled_price` begins with parsed leaves and ends with integer amounts on lines; `split` parses texts and
takes parts out of their wholes; `cost_only` and `cost_and_price` are rate() whole.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

from bench.world import BOOK
from pricing.compile import compile_book
from pricing.money import format_atto
from pricing.rate import Call, _side, rate  # one side is what "a price" means
from rate_book.encode import encode_rating

_CALLS = 20_000
_ROUNDS = 7


def run() -> dict[str, Any]:
    """Microseconds a call: minimum, median and maximum of the rounds. The answer is checked first."""
    book = compile_book(BOOK, 1, "bench")
    call = Call(
        customer_id="customer-0001",
        provider="acme",
        model="model-large",
        at_us=1_763_900_000_000_000,
        usage={"input_tokens": "1200", "cache_read_tokens": "300", "output_tokens": "350"},
        semantics="inclusive",
        context={"processing": "standard", "service_tier": "default"},
    )
    # Cost: 900 x 2 + 300 x 0.25 + 350 x 8 = 4675 millionths; price: 900 x 3 + 300 x 0.5 + 350 x 12 = 7050.
    rating = rate(book, call)
    answers = [
        None if side.amount_atto is None else format_atto(side.amount_atto)
        for side in (rating.cost, rating.price)
    ]
    if answers != ["0.004675", "0.00705"]:
        raise SystemExit(f"wrong price: {answers}")
    cost_only = rate(book, call._replace(customer_id=None))
    if cost_only.cost != rating.cost:
        raise SystemExit("the cost depends on the customer")
    plan, leaves = book.splitter.split(call.semantics, call.usage)
    context = tuple(call.context.items())

    def compiled_price() -> object:
        cell = book.cost_ladder(call.provider, call.model, context, call.at_us).cell(plan, leaves)
        return _side(cell.plan(plan.meters), leaves)

    return {
        "compiled_price_us": _timed(compiled_price),
        "split_us": _timed(lambda: book.splitter.split(call.semantics, call.usage)),
        "cost_only_us": _timed(lambda: rate(book, call._replace(customer_id=None))),
        "cost_and_price_us": _timed(lambda: rate(book, call)),
        "encode_us": _timed(lambda: encode_rating(rating, book, customer_seq=123_456)),
    }


def _timed(function: Callable[[], object]) -> dict[str, float]:
    rounds = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        for _ in range(_CALLS):
            function()
        rounds.append((time.perf_counter() - started) / _CALLS * 1e6)
    return {
        "min": round(min(rounds), 2),
        "median": round(statistics.median(rounds), 2),
        "max": round(max(rounds), 2),
    }
