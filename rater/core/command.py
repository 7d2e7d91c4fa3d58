"""A correction as the core takes it, and what it asks of the wire and of the book's versions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pricing.pools import PoolPrice
from pricing.rate import Pools, Rating

Leg = Literal["reversal", "replacement"]


class NotYetError(Exception):
    """A version of the book cannot be had now, or is not confirmed so far: the command waits."""


@dataclass(frozen=True, slots=True)
class EventAt:
    """A decoded event, and its value in single-object encoding."""

    event: Mapping[str, Any]
    value: bytes


@dataclass(frozen=True, slots=True)
class Command:
    """A checked Correction.

    `amended` is there for an amend, `book_version` for a re-rate; `closes` are pools and starts of periods.
    """

    correction_id: str
    customer_id: str
    source: str
    event_id: str
    expected_revision: int
    command: Literal["void", "amend", "rerate"]
    record: Mapping[str, Any]
    """The decoded RatedUsage."""
    record_value: bytes
    book_version: int | None = None
    amended: EventAt | None = None
    run_id: str | None = None
    closes: tuple[tuple[str, int], ...] = ()

    @property
    def identity(self) -> tuple[str, str, str]:
        return self.customer_id, self.source, self.event_id


@dataclass(frozen=True, slots=True)
class Target:
    """The record that a command names, computed again."""

    event: EventAt
    rating: Rating
    book_version: int


@dataclass(frozen=True, slots=True)
class Written:
    """One record that a correction writes."""

    event: EventAt
    rating: Rating
    book_version: int
    leg: Leg
    revision: int
    correction_id: str


class Corrector(Protocol):
    """Each raises Reject; what asks for a version of the book raises NotYetError while it cannot be had."""

    def decode(self, value: bytes | None) -> Mapping[str, Any]:
        """The decoded Correction of a record's value."""
        ...

    def command(self, decoded: Mapping[str, Any]) -> Command:
        """The same, checked."""
        ...

    def target(self, command: Command) -> Target:
        """The command's record computed again, equal to what was recorded."""
        ...

    def rate(self, event: EventAt, version: int, pools: Pools) -> Rating:
        """The event rated with a version of the book."""
        ...

    def price(self, version: int, pool: str, start_us: int) -> PoolPrice | None:
        """The price of a pool's period in a version of the book."""
        ...

    def encode(self, written: Written, customer_seq: int) -> bytes:
        """RatedUsage in single-object encoding. Its version was asked for before."""
        ...
