"""What one poll of usage.totals gives: each customer's newest totals, and where each partition goes on."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from budget_guard.adapters.wire import TotalsDecoder
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


class TotalsBatches:
    """Makes batches of one topic's messages. For one thread."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._decoder = TotalsDecoder()

    def of(self, messages: Iterable[Message]) -> Batch:
        """Take the messages. A value that cannot be read is passed over: the next one of its customer says it
        all, and the reconciler finds what none says.
        """
        found: dict[str, list[_Value]] = {}
        positions: dict[tuple[str, int], int] = {}
        for message in messages:
            partition, offset, value = message.partition() or 0, message.offset() or 0, message.value()
            positions[self._topic, partition] = offset + 1
            if value is None:
                continue
            try:
                customer, seq = self._decoder.head(value)
            except WireError as error:
                self._passed_over(partition, offset, error)
                continue
            found.setdefault(customer, []).append(_Value(seq, partition, offset, value))
        newest = (self._newest(values) for values in found.values())
        return Batch([totals for totals in newest if totals is not None], positions)

    def _newest(self, values: list["_Value"]) -> Totals | None:
        """The only ones that are read whole; of the same sequence, the last to come."""
        for one in sorted(values, key=lambda one: (one.seq, one.offset), reverse=True):
            try:
                return self._decoder.decode(one.value)
            except ValueError as error:  # a WireError, or a number that is none
                self._passed_over(one.partition, one.offset, error)
        return None

    def _passed_over(self, partition: int, offset: int, error: ValueError) -> None:
        _LOG.error("%s %d at %d is passed over: %s", self._topic, partition, offset, error)


class _Value(NamedTuple):
    seq: int
    partition: int
    offset: int
    value: bytes
