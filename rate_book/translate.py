"""The wire and pricing in each other's words: UsageEvent -> Call, Rating -> the Avro record Rating.

Shared by the rater, the ledger, `ratestream verify` and `ratestream price`; `rate_book.encode` writes the
same record as bytes, faster.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from pricing.compile import CompiledBook
from pricing.corrections import Prices, closing, prices_in
from pricing.money import format_atto, parse_decimal, parse_signed
from pricing.rate import Call, Line, PoolState, Rating, Side, no_pools, rate
from rate_book.dimensions import with_attributes


def call_of_event(event: Mapping[str, Any], attributes: Sequence[str] = ()) -> Call:
    """The call that a decoded UsageEvent reports, with the attributes that the book reads.

    The model is the billed one, else the served, else the requested one; where no model is named it is "",
    which only a card for any model prices. Region and endpoint join the context under these names where the
    event has them.
    """
    context = event["context"]
    region, endpoint = event["region"], event["endpoint"]
    if region is not None or endpoint is not None:
        context = dict(context)
        if region is not None:
            context["region"] = region
        if endpoint is not None:
            context["endpoint"] = endpoint
    if attributes:
        context = with_attributes(context, event, attributes)
    stated = event["provider_cost"]
    return Call(
        event["customer_id"],
        event["provider"],
        event["billed_model"] or event["served_model"] or event["requested_model"] or "",
        event["event_time_us"],
        event["usage"],
        event["usage_semantics"],
        context,
        None if stated is None else (parse_decimal(stated["amount"], "provider_cost"), stated["currency"]),
    )


def rating_record(
    rating: Rating,
    book: CompiledBook,
    *,
    customer_seq: int,
    leg: str = "original",
    revision: int = 0,
    correction_id: str | None = None,
) -> dict[str, Any]:
    """The Avro record Rating; what has no amount has None, never 0."""
    return {
        "customer_seq": customer_seq,
        "leg": leg,
        "revision": revision,
        "correction_id": correction_id,
        "book_version": book.version,
        "book_hash": book.content_hash,
        "service_period": _period(*rating.service_period),
        "pools_before": [_pool_record(pool) for pool in rating.pools_before],
        "cost": _side_record(rating.cost),
        "price": _side_record(rating.price),
        "lines": [_line_record(line) for line in rating.lines],
        "plan": rating.plan,
    }


def rerate(event: Mapping[str, Any], recorded: Mapping[str, Any], book: CompiledBook) -> dict[str, Any]:
    """The Rating record of an original or replacement computed again: equal to `recorded`, or one of them is
    wrong.

    `event` and `recorded` are the two fields of a decoded RatedUsage, `book` the version that `recorded`
    names. Sequence, leg, revision and correction are taken as recorded: rating does not determine them.

    Raises:
        pricing.errors.UsageError: the event cannot be rated at all.
    """
    return rating_record(
        rate_again(event, recorded, book),
        book,
        customer_seq=recorded["customer_seq"],
        leg=recorded["leg"],
        revision=recorded["revision"],
        correction_id=recorded["correction_id"],
    )


def rate_again(event: Mapping[str, Any], recorded: Mapping[str, Any], book: CompiledBook) -> Rating:
    """The event rated from the period quantities that the Rating record `recorded` names.

    A pool that it does not name stands at 0, so that one left out shows. What a replacement names beyond the
    pools of its call are the periods that it closed.

    Raises:
        pricing.errors.UsageError: the event cannot be rated at all.
    """
    return with_closed(rate_call_again(event, recorded, book), recorded, book)


def rate_call_again(event: Mapping[str, Any], recorded: Mapping[str, Any], book: CompiledBook) -> Rating:
    """The same without what it closed."""
    told = [pool_of_record(pool) for pool in recorded["pools_before"]]
    before: dict[tuple[str, int], tuple[int, int]] = {}
    for state in told:  # the first: a period that is closed may be the call's own
        before.setdefault((state.pool, state.start_us), (state.quantity_atto, state.amount_atto))

    def pools(pool: str, start_us: int) -> tuple[int, int]:
        return before.get((pool, start_us)) or no_pools(pool, start_us)

    return rate(book, call_of_event(event, book.attributes), pools)


def with_closed(rating: Rating, recorded: Mapping[str, Any], book: CompiledBook) -> Rating:
    """The rating with the periods that the Rating record `recorded` closed after it: see `rate_again`."""
    told = recorded["pools_before"][len(rating.pools_before) :]
    if not told or recorded["leg"] != "replacement":
        return rating
    try:
        return closing(rating, [pool_of_record(pool) for pool in told], pool_prices(book))
    except ValueError:
        return rating  # a period that this version does not price cannot have been closed with it


@lru_cache(maxsize=8)
def pool_prices(book: CompiledBook) -> Prices:
    """The prices of the book's pools; see `pricing.corrections.prices_in`."""
    return prices_in(book)


def pool_of_record(pool: Mapping[str, Any]) -> PoolState:
    """The state that a PoolState record tells."""
    return PoolState(
        pool["pool"],
        pool["period"]["start_us"],
        pool["period"]["end_us"],
        parse_signed(pool["quantity"], "pool"),
        parse_signed(pool["amount"], "pool"),
        pool["currency"],
    )


def optional_atto(atto: int | None) -> str | None:
    """The plain decimal, or None where there is no number."""
    return None if atto is None else format_atto(atto)


def _side_record(side: Side) -> dict[str, Any]:
    return {"status": side.status, "amount": optional_atto(side.amount_atto), "currency": side.currency}


def _line_record(line: Line) -> dict[str, Any]:
    template = line.template
    return {
        "side": template.side,
        "meter": template.meter,
        "quantity": format_atto(line.quantity_atto),
        "rate": template.rate,
        "per": template.per,
        "amount": optional_atto(line.amount_atto),
        "currency": template.currency,
        "card": template.card,
        "version": template.version,
        "status": template.status,
        "explain": template.explain,
        "billed_quantity": optional_atto(line.billed_atto),
    }


def _period(start_us: int, end_us: int) -> dict[str, int]:
    return {"start_us": start_us, "end_us": end_us}


def _pool_record(pool: PoolState) -> dict[str, Any]:
    return {
        "pool": pool.pool,
        "period": _period(pool.start_us, pool.end_us),
        "quantity": format_atto(pool.quantity_atto),
        "amount": format_atto(pool.amount_atto),
        "currency": pool.currency,
    }
