"""A decoded record of usage.rated or usage.rejected as a row of the ledger, and that row as a line of COPY.

A row is a tuple in the order of its table's columns. The text of a line is made once, by hand: it is the
ledger's hottest loop.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

_DAY_MS = 86_400_000
_SECOND_US = 1_000_000
_EPOCH_DAY = date(1970, 1, 1)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - UTC, written without its offset
_NULL = "\\N"
# An index row of PostgreSQL takes 2,704 bytes, a character up to 4; other columns of the key are short.
_KEY_CHARACTERS_MAX = 640
_LAST_MONTH_US = 253_399_622_400_000_000  # 9999-12-01: what comes then has no month that ends
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})

Decoded = Mapping[str, Any]


class BadRowError(ValueError):
    """A record that cannot be a row; the text names field, value and rule."""


class RatedRow(NamedTuple):
    """A row of ledger.rated. Instants are PostgreSQL's text in UTC or microseconds (`*_us`), amounts plain
    decimals.
    """

    posted_day: date
    customer_id: str
    source: str
    event_id: str
    revision: int
    leg: str
    customer_seq: int
    kafka_partition: int
    kafka_offset: int
    posted_at: str
    event_time: str
    event_time_us: int
    query_id: str | None
    parent_event_id: str | None
    attempt: int | None
    project: str | None
    user_id: str | None
    product: str | None
    feature: str | None
    provider: str
    model: str | None
    plan: str | None
    book_version: int
    correction_id: str | None
    service_start_us: int
    service_end_us: int
    posting_start_us: int
    posting_end_us: int
    cost_status: str
    cost: str | None
    cost_currency: str | None
    price_status: str
    price: str | None
    price_currency: str | None
    record: bytes


class RejectedRow(NamedTuple):
    """A row of ledger.rejected."""

    posted_day: date
    kafka_partition: int
    kafka_offset: int
    reason: str
    field: str | None
    detail: str
    customer_id: str | None
    source: str | None
    event_id: str | None
    topic: str
    input_partition: int
    input_offset: int
    record: bytes


class Place(NamedTuple):
    """Where a record stands: partition, offset, and its append time in milliseconds UTC."""

    partition: int
    offset: int
    append_ms: int


def rated_row(rated: Decoded, place: Place, value: bytes) -> RatedRow:
    """The row of a RatedUsage; its posting period is its service period until a closed statement says else.

    Raises:
        BadRowError: event time is no instant, or names are longer than an index takes.
    """
    event, rating = rated["event"], rated["rating"]
    cost, price, period = rating["cost"], rating["price"], rating["service_period"]
    start_us, end_us = period["start_us"], period["end_us"]
    event_time_us = event["event_time_us"]
    key = (event["customer_id"], event["query_id"] or "", cost["currency"] or "", price["currency"] or "")
    if sum(map(len, key)) > _KEY_CHARACTERS_MAX:
        raise BadRowError(
            f"customer_id, query_id and currencies: {sum(map(len, key))} characters together, rule: at most "
            f"{_KEY_CHARACTERS_MAX}, what an index takes"
        )
    if event_time_us >= _LAST_MONTH_US:
        raise BadRowError(f"event_time_us: {event_time_us}, rule: before 9999-12")
    return RatedRow(
        _day(place.append_ms // _DAY_MS),
        event["customer_id"],
        event["source"],
        event["event_id"],
        rating["revision"],
        rating["leg"],
        rating["customer_seq"],
        place.partition,
        place.offset,
        instant_text(place.append_ms * 1000),
        instant_text(event_time_us),
        event_time_us,
        event["query_id"],
        event["parent_event_id"],
        event["attempt"],
        event["project"],
        event["user_id"],
        event["product"],
        event["feature"],
        event["provider"],
        event["billed_model"] or event["served_model"] or event["requested_model"],
        rating["plan"],
        rating["book_version"],
        rating["correction_id"],
        start_us,
        end_us,
        start_us,
        end_us,
        cost["status"],
        cost["amount"],
        cost["currency"],
        price["status"],
        price["amount"],
        price["currency"],
        value,
    )


def rejected_row(rejected: Decoded, place: Place, value: bytes) -> RejectedRow:
    """The row of a RejectedUsage. Its own strings may hold NUL, which PostgreSQL cannot: see `record`."""
    return RejectedRow(
        _day(place.append_ms // _DAY_MS),
        place.partition,
        place.offset,
        rejected["reason"],
        rejected["field"],
        _shown(rejected["detail"]) or "",
        _shown(rejected["customer_id"]),
        _shown(rejected["source"]),
        _shown(rejected["event_id"]),
        rejected["topic"],
        rejected["partition"],
        rejected["offset"],
        value,
    )


def copy_line(row: Sequence[Any]) -> str:
    """The row as a line of COPY's text format; the last column is bytes.

    Raises:
        BadRowError: a string holds NUL, which PostgreSQL cannot store.
    """
    values = [_NULL if value is None else str(value) for value in row[:-1]]
    line = "\t".join(values)
    # What stands between the values, or for none, is there as often as it must be: nothing needs an escape.
    if (
        line.count("\t") != len(values) - 1
        or line.count("\\") != row.count(None)
        or "\n" in line
        or "\r" in line
    ):
        line = "\t".join([_NULL if value is None else str(value).translate(_ESCAPES) for value in row[:-1]])
    if "\0" in line:
        names = [name for name, value in zip(_names(row), row, strict=False) if "\0" in str(value)]
        raise BadRowError(f"{', '.join(names) or 'a string'}: holds NUL, which PostgreSQL cannot store")
    return f"{line}\t\\\\x{row[-1].hex()}\n"


def posted(row: RatedRow, closed_until_us: int, open_start_us: int, open_end_us: int) -> RatedRow:
    """The row posted to the open period where its own has been closed."""
    if row.service_start_us >= closed_until_us:
        return row
    return row._replace(posting_start_us=open_start_us, posting_end_us=open_end_us)


def instant_text(instant_us: int) -> str:
    """Microseconds UTC as PostgreSQL reads it: 2026-11-23 10:00:00.000001+00.

    Raises:
        BadRowError: before the year 1 or after 9999.
    """
    second, micro = divmod(instant_us, _SECOND_US)
    return f"{_second_text(second)}.{micro:06}+00"


@lru_cache(maxsize=100_000)  # a batch's append times are few, its event times near each other
def _second_text(second: int) -> str:
    try:
        return (_EPOCH + timedelta(seconds=second)).isoformat(" ")
    except OverflowError:
        raise BadRowError(f"event_time_us: second {second} is no instant of the years 1 to 9999") from None


@lru_cache(maxsize=1_000)
def _day(number: int) -> date:
    return _EPOCH_DAY + timedelta(days=number)


def _names(row: Sequence[Any]) -> Sequence[str]:
    return getattr(row, "_fields", ())


def _shown(text: str | None) -> str | None:
    """A string that PostgreSQL can store: NUL, for which records are rejected, is shown as its symbol."""
    return text.replace("\0", "\N{SYMBOL FOR NULL}") if text is not None else None
