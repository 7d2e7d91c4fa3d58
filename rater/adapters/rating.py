"""The tools of a batch: decoding by the wire's rules, rating by the confirmed book."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from pricing.compile import CompiledBook
from pricing.errors import UsageError
from pricing.rate import Pools, rate
from rate_book.dimensions import dimension_values
from rate_book.encode import encode_rating
from rate_book.errors import NoBookError
from rate_book.source import Confirmed
from rate_book.translate import call_of_event
from rater.adapters.corrector import WireCorrector
from rater.adapters.decoding import decode_event
from rater.adapters.plain import PlainColumns
from rater.core.command import NotYetError
from rater.core.rejection import Reject
from rater.core.work import RatedEvent, Tools
from schemas.codec import CODEC
from schemas.partitioning import partition_of

OlderBook = Callable[[int], CompiledBook | None]
"""A version below the confirmed one; None while it is being loaded. NoBookError: there is none."""

_CUSTOMERS_CACHED = 100_000


def partitioner(partitions: int) -> Callable[[bytes], int]:
    """murmur2 over a fixed number of partitions, remembering customers."""

    @lru_cache(maxsize=_CUSTOMERS_CACHED)
    def cached(key: bytes) -> int:
        return partition_of(key, partitions)

    return cached


def _no_other_book(version: int) -> CompiledBook | None:
    raise NoBookError(f"version {version} of the rate book: only the confirmed one is at hand")


def tools_for(
    confirmed: Confirmed, partition_of_key: Callable[[bytes], int], book_at: OlderBook = _no_other_book
) -> Tools:
    """The tools that rate with one confirmed version of the book; `book_at` gives corrections older ones."""
    book = confirmed.book

    def book_of(version: int) -> CompiledBook:
        if version == book.version:
            return book
        if version > book.version:
            raise NoBookError(f"version {version} of the rate book is not confirmed, {book.version} is")
        older = book_at(version)
        if older is None:
            raise NotYetError(f"version {version} of the rate book is not loaded yet")
        return older

    names, attributes = book.dimensions, book.attributes

    def rate_event(event: Mapping[str, Any], value: bytes, pools: Pools) -> RatedEvent:
        try:
            rating = rate(book, call_of_event(event, attributes), pools)
        except UsageError as error:
            raise Reject(error.code, error.field, str(error)) from error
        return RatedEvent(
            rating,
            lambda customer_seq: CODEC.splice_rated(
                value, encode_rating(rating, book, customer_seq=customer_seq)
            ),
        )

    return Tools(
        decode=decode_event,
        partition_of=partition_of_key,
        rate=rate_event,
        dimensions=tuple(names),
        dimension_values=lambda event: dimension_values(event, names),
        book_version=book.version,
        corrector=WireCorrector(book_of),
        horizon_us=confirmed.horizon_us,
        columns=PlainColumns(book, partition_of_key),
    )


class Toolbox:
    """The tools for each confirmation. A book is confirmed every few seconds and changes seldom: what its
    tools remember of it is kept, and only the horizon moves.
    """

    def __init__(self, partition_of_key: Callable[[bytes], int], book_at: OlderBook = _no_other_book) -> None:
        self._partition_of_key = partition_of_key
        self._book_at = book_at
        self._held: tuple[CompiledBook, Tools] | None = None

    def tools(self, confirmed: Confirmed) -> Tools:
        """As `tools_for`."""
        held = self._held
        if held is None or held[0] is not confirmed.book:
            made = tools_for(confirmed, self._partition_of_key, self._book_at)
        elif held[1].horizon_us != confirmed.horizon_us:
            made = replace(held[1], horizon_us=confirmed.horizon_us)
        else:
            return held[1]
        self._held = confirmed.book, made
        return made
