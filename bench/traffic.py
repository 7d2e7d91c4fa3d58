"""The trace's calls, rated once and played again at any rate: who calls what how often is the trace's own.

One contract for all, without pools: a call's rating then depends on nothing but the call and the month.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any, NamedTuple

from pricing.cards import Assignment, BookContent
from pricing.compile import CompiledBook, compile_book
from pricing.instants import calendar_month
from pricing.rate import Rating, rate
from producers.adapters.trace_files import load_traces, shipped_names
from producers.core.trace_events import trace_events
from rate_book.dimensions import dimension_values
from rate_book.encode import encode_rating
from rate_book.form import load_book, shipped_books
from rate_book.translate import call_of_event
from schemas.codec import CODEC
from schemas.partitioning import partition_of

CONTRACT = "standard"
_SECOND_US = 1_000_000


class Call(NamedTuple):
    """A call of the trace: the event as the codec takes it, its declared dimensions, its rating."""

    event: dict[str, Any]
    dimensions: tuple[str | None, ...]
    rating: Rating


class Happening(NamedTuple):
    """A call as it happens in a run: `number` counts from 0, times in microseconds UTC."""

    number: int
    customer_id: str
    partition: int
    event_time_us: int
    rating: Rating
    call: Call


def book() -> BookContent:
    """The shipped cards, and one contract for everybody."""
    return replace(load_book(shipped_books()), assignments=(Assignment("*", CONTRACT),))


@dataclass(frozen=True, slots=True)
class Traffic:
    """Calls to play, and the book that rated them, as version 1."""

    calls: tuple[Call, ...]
    book: CompiledBook
    partitions: int

    @classmethod
    def of_trace(cls, content: BookContent, content_hash: str, now_us: int, partitions: int) -> "Traffic":
        """Every call of the shipped traces, in order, rated as if it happened at `now_us`."""
        compiled = compile_book(content, 1, content_hash)
        calls = []
        for event in trace_events(load_traces(shipped_names()), now_us):
            told = call_of_event(event | {"event_time_us": now_us}, compiled.attributes)
            values = dimension_values(event, compiled.dimensions)
            calls.append(Call(event, values, rate(compiled, told)))
        return cls(tuple(calls), compiled, partitions)

    def play(
        self, count: int, start_us: int, span_us: int, customers: int | None = None
    ) -> Iterator[Happening]:
        """`count` calls spread evenly over `span_us`, in the trace's order, again and again.

        `customers`: not the trace's, but so many, one after the other.
        """
        partitions: dict[str, int] = {}
        ratings: dict[tuple[int, int], Rating] = {}
        for number, (place, call) in zip(range(count), cycle(enumerate(self.calls)), strict=False):
            customer_id = (
                call.event["customer_id"] if customers is None else f"customer-{number % customers:07d}"
            )
            partition = partitions.get(customer_id)
            if partition is None:
                partition = partitions[customer_id] = partition_of(customer_id.encode(), self.partitions)
            at_us = start_us + number * span_us // count
            rating = call.rating
            if not rating.service_period[0] <= at_us < rating.service_period[1]:
                period = calendar_month(at_us)
                rating = ratings.get((place, period[0])) or ratings.setdefault(
                    (place, period[0]), rating._replace(service_period=period)
                )
            yield Happening(number, customer_id, partition, at_us, rating, call)

    def encoded(self, happening: Happening) -> bytes:
        """The usage event of a call of a run."""
        event = happening.call.event | {
            "customer_id": happening.customer_id,
            "event_id": f"bench-{happening.number:09d}",
            "event_time_us": happening.event_time_us,
        }
        return CODEC.encode("UsageEvent", event)

    def rated(self, happening: Happening, customer_seq: int) -> bytes:
        """Its rated record, as the rater would write it."""
        return CODEC.splice_rated(
            self.encoded(happening), encode_rating(happening.rating, self.book, customer_seq)
        )


def span_us(count: int, rate: int) -> int:
    """How long `count` events take at so many a second, in microseconds."""
    return count * _SECOND_US // rate
