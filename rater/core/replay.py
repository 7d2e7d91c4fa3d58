"""Which rejected records an operator means, and under which key each goes back to its input."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

FIRST_APPEND_HEADER = "ratestream-first-append-us"
MISROUTED = "misrouted"

Identity = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class RejectedItem:
    """A record of usage.rejected with its place there."""

    partition: int
    offset: int
    record: Mapping[str, Any]

    @property
    def identity(self) -> Identity | None:
        """(customer_id, source, event_id), None where the record could not be decoded so far."""
        record = self.record
        if record["customer_id"] is None or record["source"] is None or record["event_id"] is None:
            return None
        return record["customer_id"], record["source"], record["event_id"]


@dataclass(frozen=True, slots=True)
class Selection:
    """What is meant: every condition given must hold; `identities` and `places` are one condition.

    A place is (partition, offset) in usage.rejected.
    """

    reasons: frozenset[str] = frozenset()
    partitions: frozenset[int] = frozenset()
    identities: frozenset[Identity] = frozenset()
    places: frozenset[tuple[int, int]] = frozenset()

    def means(self, item: RejectedItem) -> bool:
        if self.reasons and item.record["reason"] not in self.reasons:
            return False
        if self.partitions and item.partition not in self.partitions:
            return False
        if not self.identities and not self.places:
            return True
        return item.identity in self.identities or (item.partition, item.offset) in self.places


class GoingBack(NamedTuple):
    """A record as it goes back; `partition` None where its key chooses."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]
    partition: int | None


def going_back(item: RejectedItem, customer_of: Callable[[bytes], str | None]) -> GoingBack | None:
    """The original bytes for the original topic; None where they name no customer or were too large to keep.

    A misrouted record gets its customer as key. Any other keeps its key; without one, its partition.
    The header carries when the record arrived first, which lateness is measured from.
    """
    record = item.record
    key, original = record["original_key"], record["original"]
    if record["reason"] == "too_large" and original is None:
        return None  # nothing to send: the record stands at its coordinates, if it is still held
    if record["reason"] == MISROUTED:
        customer = customer_of(original or b"")
        if customer is None:
            return None
        key = customer.encode()
    headers = {FIRST_APPEND_HEADER: str(record["first_append_time_us"]).encode("ascii")}
    return GoingBack(record["topic"], key, original, headers, record["partition"] if key is None else None)
