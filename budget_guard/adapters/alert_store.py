"""The outbox: alerts, what crossed, deliveries and states, written in one transaction.

Ids are made of what an alert says, so what is written again changes nothing: a redelivery, a second guard and
the reconciler all write through here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class NewAlert:
    """An alert to be raised, and where it goes. `body` is the BudgetAlert as plain JSON values."""

    alert_id: str
    kind: str
    severity: str
    customer_id: str | None
    body: Mapping[str, Any]
    channels: tuple[str, ...]
    late: bool = False
