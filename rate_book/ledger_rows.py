"""Single rows of ledger.rated as running totals read them: those above a cut, and around a crossing."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pricing.meters import COUNTED_PER_EVENT
from pricing.money import ATTO
from rate_book.declared import declared_names
from rate_book.dimensions import dimension_values, priced_model
from runtime.postgres import Connection
from schemas.codec import decode

NO_QUANTITY = frozenset({"provider_cost", "minimum_charge", "tier_adjustment", *COUNTED_PER_EVENT})
"""Lines that are no leaves: amounts alone, and what a card counts once per event."""

UNPRICED = ("unpriced", "partial")
_REVERSAL = "reversal"
_BUCKET_US = 15 * 60 * 1_000_000
_AT_ONCE = 2_000  # rows fetched together

_ABOVE = """
select customer_seq, record from ledger.rated
where customer_id = %s and customer_seq > %s order by customer_seq
"""


class RatedRow(NamedTuple):
    """What a rated record adds to sums; amounts and quantities times 10**18, a reversal's negative."""

    customer_seq: int
    source: str
    event_id: str
    event_time_us: int
    bucket_us: int
    period_start_us: int
    cost_currency: str | None
    price_currency: str | None
    dimensions: tuple[str | None, ...]
    cost_atto: int | None
    price_atto: int | None
    events: int
    unpriced_cost_events: int
    unpriced_price_events: int
    quantities: Mapping[str, int]


class RowsAbove:
    """The rows of a customer above a sequence, in order; `names` are the dimensions that they tell.

    `declared` keeps what versions of the book declare, which never changes.
    """

    def __init__(
        self, connection: Connection, names: Sequence[str], declared: dict[int, frozenset[str]]
    ) -> None:
        self._connection = connection
        self._names = tuple(names)
        self._declared = declared

    def read(self, customer_id: str, seq: int) -> Iterator[RatedRow]:
        """A few at a time; the connection is in a snapshot."""
        with self._connection.cursor(name="rated_above") as cursor:
            cursor.itersize = _AT_ONCE
            cursor.execute(_ABOVE, (customer_id, seq))
            for _, record in cursor:
                yield self._row(decode("RatedUsage", _bytes(record)))

    def _row(self, record: Mapping[str, Any]) -> RatedRow:
        event, rating = record["event"], record["rating"]
        cost, price = rating["cost"], rating["price"]
        events = -1 if rating["leg"] == _REVERSAL else 1
        return RatedRow(
            rating["customer_seq"],
            event["source"],
            event["event_id"],
            event["event_time_us"],
            event["event_time_us"] - event["event_time_us"] % _BUCKET_US,
            rating["service_period"]["start_us"],
            cost["currency"],
            price["currency"],
            self._dimensions(event, rating["book_version"]),
            _atto(cost["amount"]),
            _atto(price["amount"]),
            events,
            events * (cost["status"] in UNPRICED),
            events * (price["status"] in UNPRICED),
            leaf_quantities(rating["lines"]),
        )

    def _dimensions(self, event: Mapping[str, Any], version: int) -> tuple[str | None, ...]:
        """As roll-ups have them: provider and model always, others where the version declares them."""
        if not self._names:
            return ()
        declared = self._declared.get(version)
        if declared is None:
            declared = self._declared[version] = frozenset(declared_names(self._connection, version))
        return tuple(_value(event, name, declared) for name in self._names)


def leaf_quantities(lines: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Each meter's quantity: what the lines of cost say, else those of price; as roll-ups sum them."""
    sides: dict[str, dict[str, int]] = {"cost": {}, "price": {}}
    for line in lines:
        meter = line["meter"]
        if meter not in NO_QUANTITY:
            counted = sides[line["side"]]
            counted[meter] = counted.get(meter, 0) + (_atto(line["quantity"]) or 0)
    return sides["price"] | sides["cost"]


def _value(event: Mapping[str, Any], name: str, declared: frozenset[str]) -> str | None:
    if name == "model":
        return priced_model(event)
    if name == "provider" or name in declared:
        return dimension_values(event, (name,))[0]
    return None


def _atto(text: str | None) -> int | None:
    """A plain decimal times 10**18. The wire's rules were checked when the row was written."""
    if text is None:
        return None
    whole, _, fraction = text.lstrip("-").partition(".")
    amount = int(whole) * ATTO + int(fraction.ljust(18, "0"))
    return -amount if text.startswith("-") else amount


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"ledger.rated.record: {type(value).__name__}, rule: bytes")
    return value
