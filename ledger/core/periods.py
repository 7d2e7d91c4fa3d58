"""A customer's pool in a period, as records, frames and rater.state tell it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PeriodKey = tuple[str, str, int]
"""Customer, pool, start of the period in microseconds UTC."""


@dataclass(frozen=True, slots=True)
class PoolAt:
    """Where a customer's pool stands in a period: plain decimals as they are told."""

    quantity: str
    amount: str
    currency: str

    def __str__(self) -> str:
        return f"quantity {self.quantity}, amount {self.amount} {self.currency}"


def pool_at(told: Mapping[str, Any]) -> PoolAt:
    """Of a record, a frame or rater.state: they name these fields alike."""
    return PoolAt(told["quantity"], told["amount"], told["currency"])


def period_key(key: PeriodKey) -> bytes:
    """The key in rater.state: the length tells where the customer ends."""
    customer, pool, start_us = key
    return f"p/{len(customer.encode())}/{customer}/{pool}/{start_us}".encode()
