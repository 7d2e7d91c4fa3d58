"""A row of ledger.rated in COPY's binary format: each field is its length in four bytes and its value.

The columns go in an order of their own: what has one width first, what many records share together.
"""

import struct
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

from ledger.core.amounts import atto
from ledger.core.rows import BadRowError, RatedRow

FIXED: Final = (
    "posted_day", "customer_seq", "kafka_partition", "kafka_offset", "posted_at", "event_time",
    "event_time_us",
)  # fmt: skip
OWN: Final = (
    "record", "customer_id", "event_id", "query_id", "parent_event_id", "attempt", "user_id", "cost", "price",
)  # fmt: skip
SHARED: Final = tuple(name for name in RatedRow._fields if name not in {*FIXED, *OWN})
"""What a template tells of all its records."""
COLUMNS: Final = (*FIXED, *OWN, *SHARED)

NULL: Final = b"\xff\xff\xff\xff"
EPOCH_US: Final = 946_684_800_000_000
"""PostgreSQL's, 2000-01-01, in microseconds since 1970."""
EPOCH_DAY: Final = 10_957

_INT: Final = struct.Struct(">i")
_LONG: Final = struct.Struct(">iq")
_FIXED: Final = struct.Struct(">hiiiqiiiqiqiqiq")
_FIRST_DAY: Final = date(2000, 1, 1)
_FIRST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_LONGS: Final = frozenset(
    {"revision", "book_version", "service_start_us", "service_end_us", "posting_start_us", "posting_end_us"}
)
_GROUP: Final = 10_000  # PostgreSQL's digit
_GROUPS_AFTER: Final = 5  # of them after the point, for 18 digits
_SCALE: Final = 18
_NEGATIVE: Final = 0x4000


def row_bytes(row: RatedRow) -> bytes:
    """The row.

    Raises:
        BadRowError: a string holds NUL, which PostgreSQL cannot store, or an amount is no plain decimal.
    """
    fixed = _FIXED.pack(
        len(COLUMNS),
        4, (row.posted_day - _FIRST_DAY).days,
        8, row.customer_seq,
        4, row.kafka_partition,
        8, row.kafka_offset,
        8, _instant(row.posted_at),
        8, row.event_time_us - EPOCH_US,
        8, row.event_time_us,
    )  # fmt: skip
    own = (
        _INT.pack(len(row.record)), row.record,
        *(text_bytes(name, getattr(row, name)) for name in OWN[1:5]),
        long_bytes(row.attempt),
        text_bytes("user_id", row.user_id),
        amount_bytes(row.cost)[1],
        amount_bytes(row.price)[1],
    )  # fmt: skip
    return b"".join((fixed, *own, shared_bytes(row)))


def shared_bytes(row: RatedRow) -> bytes:
    """The columns of `SHARED`. Raises BadRowError as `row_bytes` does."""
    return b"".join(
        [
            long_bytes(getattr(row, name)) if name in _LONGS else text_bytes(name, getattr(row, name))
            for name in SHARED
        ]
    )


def text_bytes(name: str, text: str | None) -> bytes:
    """A text, or null. Raises BadRowError where it holds NUL."""
    if text is None:
        return NULL
    if "\0" in text:
        raise BadRowError(f"{name}: holds NUL, which PostgreSQL cannot store")
    told = text.encode()
    return _INT.pack(len(told)) + told


def long_bytes(number: int | None) -> bytes:
    """A bigint, or null."""
    return NULL if number is None else _LONG.pack(8, number)


@lru_cache(maxsize=65_536)  # amounts repeat
def amount_bytes(text: str | None) -> tuple[int, bytes]:
    """An amount times 10**18, and as a numeric; 0 and null where there is none.

    Raises:
        BadRowError: it is no plain decimal.
    """
    if text is None:
        return 0, NULL
    try:
        amount = atto(text.encode("ascii").decode())
    except ValueError as error:
        raise BadRowError(f"rating: {error}") from None
    return amount, numeric_bytes(amount)


def numeric_bytes(amount: int) -> bytes:
    """A numeric of an amount times 10**18."""
    rest, groups = abs(amount) * 100, []
    while rest:
        rest, group = divmod(rest, _GROUP)
        groups.append(group)
    count = len(groups)
    sign = _NEGATIVE if amount < 0 else 0
    weight = count - 1 - _GROUPS_AFTER if count else 0
    return _numeric(count).pack(8 + 2 * count, count, weight, sign, _SCALE, *reversed(groups))


@lru_cache(maxsize=64)
def _numeric(groups: int) -> struct.Struct:
    return struct.Struct(f">ihhHh{groups}H")


@lru_cache(maxsize=65_536)
def _instant(text: str) -> int:
    """PostgreSQL's microseconds of an instant as a row has it."""
    return (datetime.fromisoformat(text) - _FIRST) // _MICROSECOND
