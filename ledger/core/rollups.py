"""The sums of a batch of rated records, exact, for the ledger's roll-ups; pure.

Amounts and quantities are integers times 10**18. A reversal's record holds negated amounts and quantities and
counts as one event less, so an original, its reversal and its replacement are one event at the new price.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from ledger.core.amounts import BUCKET_US, atto
from ledger.core.explain import REVERSAL
from ledger.core.meters import Reasons, meter_lines
from ledger.core.plain import PlainRow, Template
from ledger.core.rows import BadRowError, RatedRow

COLUMNS = frozenset({"model", "provider"})
"""Dimensions that every roll-up has as columns of their own."""

Dimensions = tuple[tuple[str, str | None], ...]
DimensionsOf = Callable[[Mapping[str, Any], int], Dimensions]
"""(event, version of the rate book) -> the dimensions that the version declares, but for COLUMNS."""

_K = TypeVar("_K")
_DEFAULT = ("project", "product", "feature")
_USER = "user_id"
_NUL = "holds NUL, which PostgreSQL cannot store"


class SumsKey(NamedTuple):
    """What sums are about, beside customer and time."""

    plan: str | None
    cost_status: str
    price_status: str
    provider: str
    model: str | None
    cost_currency: str | None
    price_currency: str | None
    service_start_us: int
    posting_start_us: int
    dimensions: Dimensions


class MeterKey(NamedTuple):
    """What a meter's sums are about; a reason is why its line on that side has no price."""

    sums_key: bytes
    meter: str
    cost_reason: str | None
    price_reason: str | None


_PlainKeys = tuple[
    int, bytes, tuple[int, int], list[tuple[bytes, Sequence[int], Sequence[int], Sequence[int]]]
]  # events, key of the sums, the period, keys of the meters' with the places of their lines
Place = tuple[str, int, date, bytes]
"""Whose sums, of which quarter of an hour (microseconds UTC of event time), known since which day; the digest
of their key. A plain tuple, as all that is made for each record.
"""


class Amounts:
    """Sums times 10**18."""

    __slots__ = ("cost", "events", "price", "quantity")

    def __init__(self) -> None:
        self.events = self.quantity = self.cost = self.price = 0


class QuerySums:
    """One query's sums in one currency, and where its records are."""

    __slots__ = ("calls", "cost", "first_seq", "first_us", "last_seq", "last_us", "price")

    def __init__(self, row: RatedRow | PlainRow) -> None:
        self.calls = self.cost = self.price = 0
        self.first_us = self.last_us = row.event_time_us
        self.first_seq = self.last_seq = row.customer_seq


def default_dimensions(event: Mapping[str, Any], _version: int) -> Dimensions:
    """The dimensions of a rate book that declares none."""
    return tuple((name, event[name]) for name in _DEFAULT)


class Rollups:
    """Sums of the records added so far."""

    __slots__ = (
        "_digests", "_dimensions_of", "_plain", "first_seqs", "keys", "meter_keys", "meters", "periods",
        "queries", "sums",
    )  # fmt: skip

    def __init__(self, dimensions_of: DimensionsOf = default_dimensions) -> None:
        self._dimensions_of = dimensions_of
        self._plain: dict[Template | tuple[Template, str | None], _PlainKeys] = {}
        self._digests: dict[tuple[Any, ...], bytes] = {}  # of both kinds of key: their lengths differ
        self.keys: dict[SumsKey, bytes] = {}
        self.meter_keys: dict[MeterKey, bytes] = {}
        self.sums: dict[Place, Amounts] = {}
        self.meters: dict[Place, Amounts] = {}
        self.first_seqs: dict[Place, int] = {}
        """The lowest sequence in each of `sums`: a sum of 0 tells not whether it had a row at some cut."""
        self.periods: dict[tuple[str, int, int], int] = {}
        """Customer, start and end of a service period: the lowest sequence with it."""
        self.queries: dict[tuple[str, str, str], QuerySums] = {}

    def __len__(self) -> int:
        return len(self.sums)

    def add(self, row: RatedRow, record: Mapping[str, Any]) -> None:
        """Add a row of ledger.rated and the decoded RatedUsage that it was made of.

        Raises:
            BadRowError: an amount or a quantity is no plain decimal, or what tells a key holds NUL; nothing
                was added.
        """
        try:
            cost, price = _number(row.cost), _number(row.price)
            meters = _meters(record["rating"])
        except ValueError as error:
            raise BadRowError(f"rating: {error}") from None
        customer_id, posted_day, time_us = row.customer_id, row.posted_day, row.event_time_us
        bucket_us = time_us - time_us % BUCKET_US
        events = _events(row)
        key = self._key(row, self._dimensions_of(record["event"], row.book_version))
        place = customer_id, bucket_us, posted_day, key
        _plus(self.sums, place, events, (0, cost, price))
        _lower(self.first_seqs, place, row.customer_seq)
        _lower(self.periods, (customer_id, row.service_start_us, row.service_end_us), row.customer_seq)
        for meter, reasons, part in meters:
            meter_key = self._meter_key(key, meter, reasons)
            _plus(self.meters, (customer_id, bucket_us, posted_day, meter_key), events, part)
        if row.query_id:
            self._add_query(row, row, events, cost, price)

    def add_plain(self, row: PlainRow) -> None:
        """Add a plain row: what `add` makes of its record.

        Raises:
            BadRowError: as `add`; nothing was added.
        """
        template, customer_id, posted_day, time_us = (
            row.template,
            row.customer_id,
            row.posted_day,
            row.event_time_us,
        )
        found = self._plain.get(template) or self._plain.get((template, row.user_id)) or self._new_plain(row)
        bucket_us = time_us - time_us % BUCKET_US
        events, key, period, meters = found
        cost, price = row.cost_atto, row.price_atto
        place = customer_id, bucket_us, posted_day, key
        sums = self.sums.get(place)
        if sums is None:
            sums = self.sums[place] = Amounts()
        sums.events += events
        sums.cost += cost
        sums.price += price
        _lower(self.first_seqs, place, row.customer_seq)
        _lower(self.periods, (customer_id, *period), row.customer_seq)
        quantities, amounts = row.quantities, row.amounts
        for meter_key, quantity_at, cost_at, price_at in meters:
            place = customer_id, bucket_us, posted_day, meter_key
            sums = self.meters.get(place)
            if sums is None:
                sums = self.meters[place] = Amounts()
            sums.events += events
            for at in quantity_at:
                sums.quantity += quantities[at]
            for at in cost_at:
                sums.cost += amounts[at]
            for at in price_at:
                sums.price += amounts[at]
        if row.query_id:
            self._add_query(row, template.row, events, cost, price)

    def _new_plain(self, row: PlainRow) -> _PlainKeys:
        """What rows of this template add to; of this template and user where users are a dimension."""
        template = row.template
        event = {**template.record["event"], "user_id": row.user_id}
        dimensions = self._dimensions_of(event, template.row.book_version)
        key = self._key(template.row, dimensions)
        meters = [
            (self._meter_key(key, meter, reasons), quantity, cost, price)
            for meter, reasons, quantity, cost, price in template.meters
        ]
        period = template.row.service_start_us, template.row.service_end_us
        found = _events(template.row), key, period, meters
        by_user = any(name == _USER for name, _ in dimensions)
        self._plain[(template, row.user_id) if by_user else template] = found
        return found

    def _key(self, row: RatedRow, dimensions: Dimensions) -> bytes:
        told = (
            row.plan,
            row.cost_status,
            row.price_status,
            row.provider,
            row.model,
            row.cost_currency,
            row.price_currency,
            row.service_start_us,
            row.posting_start_us,
            dimensions,
        )
        return self._digests.get(told) or self._new_key(SumsKey(*told))

    def _meter_key(self, key: bytes, meter: str, reasons: Reasons) -> bytes:
        told = key, meter, *reasons
        return self._digests.get(told) or self._new_meter_key(MeterKey(*told))

    def _new_key(self, key: SumsKey) -> bytes:
        for name, value in key.dimensions:
            if value is not None and "\0" in value:
                raise BadRowError(f"event.{name}: {_NUL}")
        found = self._digests[key] = self.keys[key] = _digest([*key[:-1], dict(key.dimensions)])
        return found

    def _new_meter_key(self, key: MeterKey) -> bytes:
        found = self._digests[key] = self.meter_keys[key] = _digest([key.sums_key.hex(), *key[1:]])
        return found

    def _add_query(self, row: RatedRow | PlainRow, told: RatedRow, calls: int, cost: int, price: int) -> None:
        """`told` has the currencies."""
        counted_in = told.cost_currency or told.price_currency or ""
        charged_in = told.price_currency or counted_in
        self._add_part(row, counted_in, (calls, cost, price if charged_in == counted_in else 0))
        if charged_in != counted_in:
            self._add_part(row, charged_in, (0, 0, price))

    def _add_part(self, row: RatedRow | PlainRow, currency: str, part: tuple[int, int, int]) -> None:
        place = row.customer_id, row.query_id or "", currency
        sums = self.queries.get(place)
        if sums is None:
            sums = self.queries[place] = QuerySums(row)
        calls, cost, price = part
        sums.calls += calls
        sums.cost += cost
        sums.price += price
        time_us, number = row.event_time_us, row.customer_seq
        if time_us < sums.first_us:
            sums.first_us = time_us
        elif time_us > sums.last_us:
            sums.last_us = time_us
        if number < sums.first_seq:
            sums.first_seq = number
        elif number > sums.last_seq:
            sums.last_seq = number


_Part = tuple[int, int, int]  # quantity, cost, price


def _meters(rating: Mapping[str, Any]) -> list[tuple[str, Reasons, _Part]]:
    """Each meter's sums in a record."""
    lines = rating["lines"]
    return [
        (
            meter,
            reasons,
            (
                sum([_number(lines[place]["quantity"]) for place in quantity]),
                sum([_number(lines[place]["amount"]) for place in cost]),
                sum([_number(lines[place]["amount"]) for place in price]),
            ),
        )
        for meter, reasons, quantity, cost, price in meter_lines(rating)
    ]


def _events(row: RatedRow) -> int:
    return -1 if row.leg == REVERSAL else 1


def _plus(sums: dict[Place, Amounts], place: Place, events: int, part: _Part) -> None:
    found = sums.get(place)
    if found is None:
        found = sums[place] = Amounts()
    quantity, cost, price = part
    found.events += events
    found.quantity += quantity
    found.cost += cost
    found.price += price


def _lower(lowest: dict[_K, int], key: _K, number: int) -> None:
    held = lowest.get(key)
    if held is None or number < held:
        lowest[key] = number


@lru_cache(maxsize=65_536)  # quantities and amounts of a batch repeat
def _number(text: str | None) -> int:
    return 0 if text is None else atto(text)


def _digest(told: list[Any]) -> bytes:
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
