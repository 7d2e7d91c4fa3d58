"""What the ledger adds to an alert once it has passed it: the event that crossed, and who contributed."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pricing.money import format_atto


@dataclass(frozen=True, slots=True)
class Crossing:
    """The event with which the amount reached the threshold."""

    source: str
    event_id: str
    customer_seq: int
    event_time_us: int


@dataclass(frozen=True, slots=True)
class Part:
    """A value of a dimension (None: the events have none) with its amount; `share` is percent."""

    dimension: str
    value: str | None
    amount_atto: int
    share: str | None


def details(crossing: Crossing | None, parts: Iterable[Part]) -> dict[str, Any]:
    """The fields of the alert that are replaced; complete also where no single event crossed."""
    return {
        "crossing_event": None
        if crossing is None
        else {
            "source": crossing.source,
            "event_id": crossing.event_id,
            "customer_seq": crossing.customer_seq,
            "event_time_us": crossing.event_time_us,
        },
        "contributors": [
            {
                "dimension": part.dimension,
                "value": part.value,
                "amount": format_atto(part.amount_atto),
                "share": part.share or "0.00",
            }
            for part in parts
        ],
        "details_complete": True,
    }
