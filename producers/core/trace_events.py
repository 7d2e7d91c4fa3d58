"""A trace's requests as usage events: times and token counts real, everything else assigned by a fixed seed.

The same traces and start give the same events, to the byte: ids derive from trace, row and start, and each
choice from a hash of trace and row. Consecutive requests of one trace make up the calls of a query.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from heapq import merge
from typing import Any, Final

from producers.core.catalogue import (
    CODE_USES,
    CONVERSATION_USES,
    CUSTOMER_BOUNDS,
    CUSTOMERS,
    FAN_OUT,
    PLANNERS,
    PROJECTS,
    ROUTERS,
    SINGLES,
    SPECIALISTS,
    Model,
)
from producers.core.trace import Row, Trace, first_us

SOURCE: Final = "trace-replay"
ASSIGNED: Final = (
    "Times and token counts come from the trace. Customers, models, products, features, projects, queries, "
    "caching and routing are not in it: they are assigned by a fixed seed."
)

_SEED: Final = "ratestream-replay-1"
_DRAW_BYTES: Final = 4
_CACHE_BLOCK_TOKENS: Final = 64
_USERS_PER_CUSTOMER: Final = 50
_MICRO_PER_MILLION_DIGITS: Final = 12  # micro-USD a million tokens, times tokens, is USD times 10**12


@dataclass(slots=True)
class _Query:
    """The query whose calls the next rows of a trace are."""

    customer: str
    query_id: str
    draws: bytes
    calls: int
    done: int = 0
    root_id: str = ""
    last_id: str = ""


def trace_events(traces: Sequence[Trace], start_us: int) -> Iterator[dict[str, Any]]:
    """Usage events, as records for the codec, in order of time; the first of all happens at `start_us`.

    Spacing is kept to the microsecond. Inclusive models get ContextTokens as `input_tokens`; exclusive ones
    get them as the sum of `input_tokens`, `cache_read_tokens` and `cache_write_tokens`.
    """
    shift_us = start_us - first_us(traces)
    queries: dict[str, _Query] = {}
    ordered = merge(
        *([(row.at_us, place, row) for row in trace.rows] for place, trace in enumerate(traces)),
        key=lambda entry: entry[:2],
    )
    for at_us, place, row in ordered:
        name = traces[place].name
        query = queries.get(name)
        if query is None or query.done == query.calls:
            query = queries[name] = _new_query(name, row, start_us)
        yield _event(name, row, query, at_us + shift_us, start_us)


def _digest(*parts: object) -> bytes:
    return blake2b("/".join((_SEED, *map(str, parts))).encode(), digest_size=32).digest()


def _draw(draws: bytes, position: int, among: int) -> int:
    """A number below `among`, the same for the same draws and position."""
    return int.from_bytes(draws[position * _DRAW_BYTES : (position + 1) * _DRAW_BYTES]) % among


def _new_query(name: str, row: Row, start_us: int) -> _Query:
    draws = _digest("query", name, row.number)
    rank = bisect_right(CUSTOMER_BOUNDS, _draw(draws, 0, CUSTOMER_BOUNDS[-1]))
    calls = FAN_OUT[_draw(draws, 1, len(FAN_OUT))]
    return _Query(CUSTOMERS[rank], f"query-{name}-{start_us}-{row.number:05d}", draws, calls)


def _event(name: str, row: Row, query: _Query, at_us: int, start_us: int) -> dict[str, Any]:
    draws = _digest("call", name, row.number)
    event_id = f"{name}-{start_us}-{row.number:05d}"
    first = query.done == 0
    role, model = _role(query, draws)
    retried = not first and _draw(draws, 1, 64) == 0
    routed = not first and (retried or _draw(draws, 2, 3) == 0)
    batch = query.calls == 1 and model.batches and _draw(draws, 3, 20) == 0
    code = "code" in name
    uses = CODE_USES if code else CONVERSATION_USES
    product, feature = uses[_draw(query.draws, 2, len(uses))]
    event = {
        "customer_id": query.customer,
        "source": SOURCE,
        "event_id": event_id,
        "event_time_us": at_us,
        "query_id": query.query_id,
        "parent_event_id": query.root_id or None,
        "attempt": 2 if retried else 1,
        "project": PROJECTS[_draw(query.draws, 3, len(PROJECTS))],
        "user_id": f"{query.customer}-user-{_draw(query.draws, 4, _USERS_PER_CUSTOMER):02d}",
        "product": product,
        "feature": feature,
        "provider": model.provider,
        "requested_model": model.requested,
        "served_model": model.served,
        "billed_model": None,
        "region": None,
        "endpoint": None,
        "provider_account": f"{model.provider}-main",
        "provider_project": product,
        "provider_key_id": None,
        "provider_request_id": f"req-{draws[16:24].hex()}",
        "provider_response_id": f"resp-{draws[24:32].hex()}",
        "context": {"processing": "batch"} if batch else {},
        "status": "ok",
        "stream_complete": "not_streamed" if code or batch else "complete",
        "usage_semantics": "exclusive" if model.exclusive else "inclusive",
        "usage": _usage(row, model, draws, cached=not batch),
        "usage_quality": "provider",
        "provider_cost": None,
        "query_complexity": ("simple", "compound", "complex")[min(query.calls // 3, 2)],
        "quality_tier": None,
        "compliance_tags": [],
        "routing": _routing(row, model, draws, query.last_id if retried else None) if routed else None,
        "tags": {"role": role},
    }
    query.root_id = query.root_id or event_id
    query.last_id = event_id
    query.done += 1
    return event


def _role(query: _Query, draws: bytes) -> tuple[str, Model]:
    """A query of one call is answered at once; a larger one has a router, a planner and specialists."""
    if query.calls == 1:
        return "answer", SINGLES[_draw(draws, 0, len(SINGLES))]
    if query.done == 0:
        return "router", ROUTERS[_draw(draws, 0, len(ROUTERS))]
    if query.done == 1 and query.calls > 2:
        return "planner", PLANNERS[_draw(draws, 0, len(PLANNERS))]
    return "specialist", SPECIALISTS[_draw(draws, 0, len(SPECIALISTS))]


def _usage(row: Row, model: Model, draws: bytes, *, cached: bool) -> dict[str, str]:
    read = written = 0
    if cached and model.caches and _draw(draws, 4, 3) == 0:
        blocks = row.context_tokens // _CACHE_BLOCK_TOKENS
        read = _draw(draws, 5, blocks + 1) * _CACHE_BLOCK_TOKENS
        if model.exclusive:
            written = min(_CACHE_BLOCK_TOKENS * _draw(draws, 6, 8), row.context_tokens - read)
    fresh = row.context_tokens - read - written if model.exclusive else row.context_tokens
    usage = {"input_tokens": str(fresh), "output_tokens": str(row.generated_tokens)}
    if read:
        usage["cache_read_tokens"] = str(read)
    if written:
        usage["cache_write_tokens"] = str(written)
    return usage


def _routing(row: Row, model: Model, draws: bytes, fallback_of: str | None) -> dict[str, Any]:
    others = [other for other in SPECIALISTS if other is not model]
    other = others[_draw(draws, 7, len(others))]
    return {
        "router": "cost-router",
        "policy": "cheapest-that-passes",
        "reason": "fallback" if fallback_of else "quality",
        "candidates": [
            {
                "provider": candidate.provider,
                "model": candidate.requested,
                "estimated_cost": {"amount": _estimate(row, candidate), "currency": "USD"},
            }
            for candidate in (model, other)
        ],
        "chosen_provider": model.provider,
        "chosen_model": model.requested,
        "fallback_of": fallback_of,
    }


def _estimate(row: Row, model: Model) -> str:
    """What a router would expect the call to cost, in USD: all input fresh."""
    amount = row.context_tokens * model.input_rate + row.generated_tokens * model.output_rate
    whole, fraction = divmod(amount, 10**_MICRO_PER_MILLION_DIGITS)
    return f"{whole}.{fraction:0{_MICRO_PER_MILLION_DIGITS}d}".rstrip("0").rstrip(".")
