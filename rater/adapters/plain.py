"""Events by columns: read in lockstep, and rated by what others like them were rated by."""

from collections.abc import Callable, Hashable, Sequence
from typing import Final, NamedTuple, TypeVar

from pricing.attributes import HAS_QUERY
from pricing.cards import ATTRIBUTE_PREFIX
from pricing.compile import CompiledBook
from rate_book.plain import Plain, PlainCall, PlainPricer, Shape
from rater.adapters.decoding import decode_event
from rater.core.identity import digest_under, identity_prefix
from rater.core.rejection import Reject
from rater.core.work import Customer, Record, Seen
from schemas.codec import CODEC, HEADER_BYTES
from schemas.plain import PlainEvent, Reading, plain_events

_AT_ONCE: Final = 1_000  # arrays of so many positions stay in the processor's cache
_SHAPES_MAX: Final = 32_768
_CUSTOMERS_MAX: Final = 200_000
_USER: Final = "user_id"
_TAG: Final = f"{ATTRIBUTE_PREFIX}tag."

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


class _Who(NamedTuple):
    customer: Customer
    prefix: bytes  # of its identities


class PlainColumns:
    """rater.core.work.Columns for one version of the book.

    A memo's key is bytes of an event that was decoded and found valid; others with the same bytes there are.
    """

    def __init__(self, book: CompiledBook, partition_of_key: Callable[[bytes], int]) -> None:
        self._pricer = PlainPricer(book)
        self._partition_of = partition_of_key
        self._header = CODEC.fingerprint("RatedUsage")
        self._customers: dict[bytes, _Who] = {}
        self._shapes: dict[bytes, Shape] = {}
        self._reading = Reading(
            with_user=_USER in book.dimensions or ATTRIBUTE_PREFIX + _USER in book.attributes,
            with_query=HAS_QUERY in book.attributes,
            with_tags=any(key.startswith(_TAG) for key in book.attributes),
        )

    def read(self, records: Sequence[Record]) -> list[Seen | None]:
        """The events that are valid and plain."""
        found: list[Seen | None] = []
        for start in range(0, len(records), _AT_ONCE):
            values = [record.value for record in records[start : start + _AT_ONCE]]
            events = plain_events(values, self._reading)
            found += [
                None if event is None else self._seen(event, value)
                for event, value in zip(events, values, strict=True)
            ]
        return found

    def _seen(self, event: PlainEvent, value: bytes | None) -> Seen | None:
        who, shape = self._customers.get(event.who), self._shapes.get(event.shape)
        if who is None or shape is None:
            try:
                decoded = decode_event(value)
            except Reject:
                return None
            customer_id, source = decoded["customer_id"], decoded["source"]
            key = customer_id.encode()
            customer = Customer(customer_id, key, self._partition_of(key))
            who = _Who(customer, identity_prefix(customer_id, source))
            _keep(self._customers, event.who, who, _CUSTOMERS_MAX)
            shape = shape or self._pricer.shape(decoded)
            _keep(self._shapes, event.shape, shape, _SHAPES_MAX)
        call = PlainCall(who.customer.customer_id, event.event_time_us, event.quantities)
        return Seen(
            who.customer, digest_under(who.prefix, event.event_id), event.event_time_us, (shape, call)
        )

    def rate(self, seen: Seen, value: bytes, customer_seq: int) -> Plain | None:
        """The RatedUsage record, where the prices are plain."""
        shape, call = seen.what
        return self._pricer.rate(shape, call, customer_seq, (self._header, value[HEADER_BYTES:]))


def _keep(memo: dict[_K, _V], key: _K, value: _V, most: int) -> None:
    if len(memo) >= most:
        memo.clear()
    memo[key] = value
