"""What one poll of usage.totals gives: each customer's newest totals, and where each partition goes on."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from budget_guard.adapters.wire import decode_totals
from budget_guard.core.firings import Totals
from schemas.errors import WireError

_LOG = logging.getLogger(__name__)


class Message(Protocol):
    """What is read of a Kafka client's message."""

    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...
    def value(self) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class Batch:
    """Totals in the order of their customers' first appearance."""

    totals: list[Totals]
    positions: dict[tuple[str, int], int]

    @classmethod
    def of(cls, messages: Iterable[Message], topic: str) -> "Batch":
        """Take the messages. A value that cannot be read is passed over: the next one of its customer says it
        all, and the reconciler finds what none says.
        """
        newest: dict[str, Totals] = {}
        positions: dict[tuple[str, int], int] = {}
        for message in messages:
            partition, offset, value = message.partition() or 0, message.offset() or 0, message.value()
            positions[topic, partition] = offset + 1
            if value is None:
                continue
            try:
                totals = decode_totals(value)
            except (WireError, ValueError) as error:
                _LOG.error("%s %d at %d is passed over: %s", topic, partition, offset, error)
                continue
            before = newest.get(totals.customer_id)
            if before is None or totals.as_of_seq >= before.as_of_seq:
                newest[totals.customer_id] = totals
        return cls(list(newest.values()), positions)
