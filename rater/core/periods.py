"""Pools over periods: what a customer has used of a pool in a period, and what it has been charged for that.

Quantity and amount are absolute and kept for ever. A period is named by customer, pool and start.
"""

from collections.abc import Mapping
from typing import Any

from pricing.money import format_atto, parse_signed
from pricing.rate import PoolState

PeriodKey = tuple[str, str, int]
"""Customer, pool, start of the period in microseconds UTC."""


def pack_key(key: PeriodKey) -> bytes:
    """The key as bytes, each period another: both names may hold slashes, so the customer's length leads."""
    customer_id, pool, start_us = key
    customer = customer_id.encode()
    return b"%d/%b/%b/%d" % (len(customer), customer, pool.encode(), start_us)


def unpack_key(packed: bytes) -> PeriodKey:
    """The key that `pack_key` packed.

    Raises:
        ValueError: it packed no such thing.
    """
    size, _, rest = packed.partition(b"/")
    customer, rest = rest[: int(size)], rest[int(size) :]
    pool, _, start = rest[1:].rpartition(b"/")
    key = customer.decode(), pool.decode(), int(start)
    if pack_key(key) != packed:
        raise ValueError(f"{packed!r} is no key of a period: bytes of the customer, customer, pool, start")
    return key


def state_fields(state: PoolState) -> dict[str, Any]:
    """A pool's state as frames and records of rater.state tell it."""
    return {
        "pool": state.pool,
        "start_us": state.start_us,
        "end_us": state.end_us,
        "quantity": format_atto(state.quantity_atto),
        "amount": format_atto(state.amount_atto),
        "currency": state.currency,
    }


def state_of_fields(fields: Mapping[str, Any]) -> PoolState:
    """The state that `state_fields` told."""
    return PoolState(
        fields["pool"],
        fields["start_us"],
        fields["end_us"],
        parse_signed(fields["quantity"], "quantity"),
        parse_signed(fields["amount"], "amount"),
        fields["currency"],
    )
