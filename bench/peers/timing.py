"""One typical call, three meters, two context keys and a threshold, priced by us and by the peers in one run.

The peers are given their usage objects ready-made. Ours is timed twice: the compiled price, look-up to
amounts, from counts that are parsed and split, as `bench.micro.price` does; and rate() whole, from the texts
of the wire to lines with their words.
"""

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

from bench.peers.compare import PEERS, PEERS_PYTHON, ask_peers, kind_of
from pricing.compile import compile_book
from pricing.money import format_atto
from pricing.rate import Call, _side, rate  # one side is what "a price" means
from rate_book.form import load_book, shipped_books
from rate_book.instants import parse_instant

_CALLS, _ROUNDS = 20_000, 7

# 250,000 input above the step at 200,000, 50,000 of them cached, and 2,000 output.
CALL: dict[str, Any] = {
    "provider": "google",
    "model": "gemini-2.5-pro",
    "at": "2026-11-18T12:00:00+00:00",
    "usage": {"input_tokens": "250000", "cache_read_tokens": "50000", "output_tokens": "2000"},
    "context": {"processing": "standard", "service_tier": "default"},
}
# 200,000 x 2.5/M + 50,000 x 0.25/M + 2,000 x 15/M = 0.5 + 0.0125 + 0.03
ANSWER = {"amount": "0.5425"}


def run() -> dict[str, Any] | None:
    """Microseconds a call for each, and how many times faster ours is; None where `.venv-peers` is missing.

    All answers are checked first. Raises SystemExit where one is wrong.
    """
    if not PEERS_PYTHON.exists():
        return None
    call = Call(
        None, CALL["provider"], CALL["model"], parse_instant(CALL["at"].replace("+00:00", "Z")),
        CALL["usage"], "inclusive", CALL["context"],
    )  # fmt: skip
    book = compile_book(load_book(shipped_books()), 1, "bench")
    cost = rate(book, call).cost
    ours = {} if cost.amount_atto is None else {"amount": format_atto(cost.amount_atto)}
    peers = ask_peers("time", CALL)
    for name, said in {"ours": ours, **peers["answers"]}.items():
        if kind_of(ANSWER, said) is not None:
            raise SystemExit(f"{name} says {said}, not {ANSWER}")
    plan, leaves = book.splitter.split(call.semantics, call.usage)
    context = tuple(call.context.items())

    def compiled_price() -> object:
        cell = book.cost_ladder(call.provider, call.model, context, call.at_us).cell(plan, leaves)
        return _side(cell.plan(plan.meters), leaves)

    mine = {"compiled": _timed(compiled_price), "whole": _timed(lambda: rate(book, call))}
    times = peers["microseconds"]
    return {
        **{f"{name}_us": timed for name, timed in (*mine.items(), *((peer, times[peer]) for peer in PEERS))},
        # The best round of each: others share the machine.
        "times_faster": {
            f"{name} than {peer}": round(times[peer]["min"] / timed["min"], 1)
            for name, timed in mine.items()
            for peer in PEERS
        },
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


if __name__ == "__main__":
    print(json.dumps(run() or "make .venv-peers with `make peers`", indent=2))
