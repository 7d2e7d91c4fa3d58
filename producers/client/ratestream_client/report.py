"""What became of emitted events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ratestream_client.event import UsageEvent


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event's end, or its state so far: `why` is None once all replicas have acknowledged it.

    `event` is what `emit` was given, None for `emit_encoded`; `customer_id` and `value` are the record.
    """

    customer_id: str
    value: bytes
    event: UsageEvent | None
    why: str | None
    partition: int | None = None
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Counts since the emitter was made, and every event that is not acknowledged, each with its original."""

    emitted: int
    acknowledged: int
    unacknowledged: tuple[Delivery, ...]
