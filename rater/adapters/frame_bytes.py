"""DeltaFrame in bytes, faster than from dictionaries: what rows of one kind share is encoded once.

The bytes are those of `CODEC.encode("DeltaFrame", frame_record(...))`; tests hold them equal.
"""

from functools import lru_cache
from typing import Any, Final

from pricing.money import format_atto
from rater.core.frames import customer_record, frame_record
from rater.core.rows import CustomerDelta, Row, RowKey
from rater.core.work import BatchResult
from schemas.codec import CODEC, long_bytes

_NULL, _SOME, _END = b"\0", b"\2", b"\0"
_LONGS: Final = tuple(long_bytes(number) for number in range(64))
_SHORT: Final = len(_LONGS)
_KINDS_MAX: Final = 65_536
_METERS_MAX: Final = 1_024
_NOTHING: Final = bytes(3)  # no pools, no revisions, no runs


def encode_frame(result: BatchResult, process: str, build: str) -> bytes:
    """The DeltaFrame of a batch in single-object encoding."""
    # The last field is the array of customers; without any it is its end alone, one byte 0.
    parts = [CODEC.encode("DeltaFrame", frame_record(result, process, build, customers=()))[:-1]]
    if result.customers:
        parts.append(_long(len(result.customers)))
        for customer_id, delta in sorted(result.customers.items()):
            _add_customer(parts, customer_id, delta)
    parts.append(_END)
    return b"".join(parts)


def _add_customer(parts: list[bytes], customer_id: str, delta: CustomerDelta) -> None:
    parts += (_string(customer_id), _long(delta.first_seq), _long(delta.last_seq))
    if delta.rows:
        parts.append(_long(len(delta.rows)))
        for key, row in delta.rows.items():
            _add_row(parts, key, row)
    parts += (_END, _rest(customer_id, delta))


def _add_row(parts: list[bytes], key: RowKey, row: Row) -> None:
    parts += (
        _instant(key[0]),
        _kind(key[1:]),
        _amount(row.cost_atto),
        _amount(row.price_atto),
        _long(row.events),
        _long(row.unpriced_cost_events),
        _long(row.unpriced_price_events),
    )
    if row.quantities:
        parts.append(_long(len(row.quantities)))
        for meter, quantity in row.quantities.items():
            parts += (_meter(meter), _string(format_atto(quantity)))
    parts.append(_END)


def _rest(customer_id: str, delta: CustomerDelta) -> bytes:
    """A customer's last fields: pools, revisions and runs, of which nearly every one has none."""
    if not (delta.pools or delta.revisions or delta.runs):
        return _NOTHING
    alone = customer_record(customer_id, delta) | {"first_seq": 0, "last_seq": 0, "rows": ()}
    head = _string(customer_id) + b"\0\0\0"
    # One customer in a block of one, between an empty frame and the array's end.
    return CODEC.encode_body("DeltaFrame", _EMPTY | {"customers": (alone,)})[
        len(_EMPTY_BYTES) + len(head) : -len(_END)
    ]


_RANGE: Final = {"from_offset": 0, "to_offset": 0}
_EMPTY: Final[dict[str, Any]] = {
    field["name"]: {"array": (), "map": {}}.get(field["type"]["type"], _RANGE)
    if isinstance(field["type"], dict)
    else {"long": 0, "string": ""}.get(field["type"], _RANGE)
    for field in CODEC.schema("DeltaFrame")["fields"]
}
_EMPTY_BYTES: Final = CODEC.encode_body("DeltaFrame", _EMPTY)  # as long as one without its end, with a count


@lru_cache(maxsize=_KINDS_MAX)
def _kind(
    of: tuple[int, int, str | None, str | None, tuple[str | None, ...]],
) -> bytes:
    """A row's fields from its period's start to its dimensions."""
    start_us, end_us, cost_currency, price_currency, dimensions = of
    values = [_optional(value) for value in dimensions]
    array = (_long(len(values)), *values) if values else ()
    return b"".join(
        (
            long_bytes(start_us),
            long_bytes(end_us),
            _optional(cost_currency),
            _optional(price_currency),
            *array,
            _END,
        )
    )


@lru_cache(maxsize=_METERS_MAX)
def _instant(bucket_us: int) -> bytes:
    return long_bytes(bucket_us)


@lru_cache(maxsize=_METERS_MAX)
def _meter(meter: str) -> bytes:
    return _string(meter)


def _amount(atto: int | None) -> bytes:
    return _NULL if atto is None else _SOME + _string(format_atto(atto))


def _optional(text: str | None) -> bytes:
    return _NULL if text is None else _SOME + _string(text)


def _string(text: str) -> bytes:
    data = text.encode()
    return _long(len(data)) + data


def _long(number: int) -> bytes:
    return _LONGS[number] if 0 <= number < _SHORT else long_bytes(number)
