"""The tools of a batch: decoding by the wire's rules, rating by the confirmed book."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from pricing.errors import UsageError
from pricing.rate import Pools, rate
from rate_book.dimensions import dimension_values
from rate_book.encode import encode_rating
from rate_book.source import Confirmed
from rate_book.translate import call_of_event
from rater.core.batch import RatedEvent, Tools
from rater.core.rejection import Reject
from schemas.codec import CODEC
from schemas.errors import WireError
from schemas.event_rules import check_event
from schemas.partitioning import partition_of
from schemas.reasons import TOO_LARGE
from schemas.topics import USAGE_EVENTS, topic

_CUSTOMERS_CACHED = 100_000
_EVENT_BYTES_MAX = topic(USAGE_EVENTS).value_bytes_max


def decode_event(value: bytes | None) -> Mapping[str, Any]:
    """The event of a record's value, checked.

    Raises:
        Reject: with the wire's reason.
    """
    if value is not None and len(value) > _EVENT_BYTES_MAX:
        raise Reject(TOO_LARGE, None, f"the event has {len(value)} bytes; the limit is {_EVENT_BYTES_MAX}")
    try:
        event = CODEC.decode("UsageEvent", value)
        check_event(event)
    except WireError as error:
        raise Reject(error.reason, error.field, str(error)) from error
    return event


def partitioner(partitions: int) -> Callable[[bytes], int]:
    """murmur2 over a fixed number of partitions, remembering customers."""

    @lru_cache(maxsize=_CUSTOMERS_CACHED)
    def cached(key: bytes) -> int:
        return partition_of(key, partitions)

    return cached


def tools_for(confirmed: Confirmed, partition_of_key: Callable[[bytes], int]) -> Tools:
    """The tools that rate with one confirmed version of the book."""
    book = confirmed.book
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
        horizon_us=confirmed.horizon_us,
    )
