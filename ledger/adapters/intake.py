"""Consumed messages as a batch, decoded once; what cannot be decoded is a bad record and stops nothing."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from ledger.adapters.plain_rows import PlainRows
from ledger.core.batch import BadRecord, Batch, Where
from ledger.core.row_bytes import row_bytes
from ledger.core.rows import BadRowError, Decoded, Place, copy_line, rated_row, rejected_row
from rate_book.dimensions import DIMENSION_FIELDS
from runtime.errors import InfrastructureError
from schemas.codec import decode
from schemas.columns import ColumnReader
from schemas.errors import WireError

_READ_AT_ONCE = 5_000  # bounds the reader's copies of their bytes
_LOG_APPEND_TIME = 2  # confluent_kafka.TIMESTAMP_LOG_APPEND_TIME

# What rows and roll-ups read of a record: the rest is not made into objects.
_EVENT = (
    *("customer_id", "source", "event_id", "event_time_us", "query_id", "parent_event_id", "attempt"),
    *("project", "user_id", "product", "feature", "provider"),
    *("requested_model", "served_model", "billed_model"),
)
_RATING = ("customer_seq", "leg", "revision", "correction_id", "book_version", "plan")
_SIDE = dict.fromkeys(("status", "amount", "currency"))
_LINE = dict.fromkeys(("side", "meter", "quantity", "amount", "status", "explain"))
_RATED = ColumnReader(
    "RatedUsage",
    {
        "event": dict.fromkeys((*_EVENT, *DIMENSION_FIELDS)),
        "rating": {
            **dict.fromkeys(_RATING),
            "service_period": dict.fromkeys(("start_us", "end_us")),
            "cost": _SIDE,
            "price": _SIDE,
            "lines": _LINE,
        },
    },
)


class WrongTimestampError(InfrastructureError):
    """A topic is not LogAppendTime: a row's day could be forged, so the ledger stops."""


def batch_of(
    messages: Sequence[Any], positions: Mapping[Where, int], rated_topic: str, plain: PlainRows | None = None
) -> Batch:
    """The messages that continue their partitions; what the client had fetched before a rewind is dropped.

    Positions move behind what was read: offsets that a transaction's marker took are passed with the next
    record.

    Args:
        messages: of confluent_kafka.
        positions: of what comes next.
        rated_topic: its name on the broker; all else is rejected.
        plain: kept from batch to batch, for what it remembers.

    Raises:
        WrongTimestampError: a record's timestamp is not the broker's.
    """
    batch = Batch()
    rated: list[tuple[Place, bytes | None]] = []
    rejected: list[tuple[Place, bytes | None]] = []
    rejected_topic = ""
    for message in messages:
        where = topic, partition = message.topic(), message.partition()
        offset = message.offset()
        position = positions.get(where)
        if position is None or offset < batch.after.get(where, position):
            continue
        batch.before[where] = position
        batch.after[where] = offset + 1
        kind, append_ms = message.timestamp()
        if kind != _LOG_APPEND_TIME:
            raise WrongTimestampError(
                f"{topic} {partition} offset {offset}: timestamp type {kind}, not LogAppendTime"
            )
        if topic == rated_topic:
            rated.append((Place(partition, offset, append_ms), message.value()))
        else:
            rejected_topic = topic
            rejected.append((Place(partition, offset, append_ms), message.value()))
    _take_rated(batch, rated_topic, rated, plain or PlainRows())
    _take_rejected(batch, rejected_topic, rejected)
    return batch


def _take_rated(
    batch: Batch, topic: str, found: Sequence[tuple[Place, bytes | None]], plain: PlainRows
) -> None:
    made = plain.read(found)
    left = [told for told, row in zip(found, made, strict=True) if row is None]
    decoded = chain.from_iterable(
        _RATED.read([value for _, value in left[start : start + _READ_AT_ONCE]])
        for start in range(0, len(left), _READ_AT_ONCE)
    )
    for (place, value), row in zip(found, made, strict=True):
        if row is not None:
            batch.rated.append(row[0])
            batch.records.append(None)
            batch.lines.append(row[1])
        else:
            _take_decoded(batch, topic, place, value, next(decoded))


def _take_decoded(
    batch: Batch, topic: str, place: Place, value: bytes | None, fields: Decoded | None
) -> None:
    try:
        # What the fast reader does not take, the other names the fault of, or reads: an older schema's.
        record = decode("RatedUsage", value) if fields is None else fields
        row = rated_row(record, place, value or b"")
        line = row_bytes(row)
    except (WireError, BadRowError) as error:
        batch.bad.append(BadRecord(topic, place.partition, place.offset, str(error), value))
        return
    batch.rated.append(row)
    batch.records.append(record)
    batch.lines.append(line)


def _take_rejected(batch: Batch, topic: str, found: Iterable[tuple[Place, bytes | None]]) -> None:
    for place, value in found:
        try:
            row = rejected_row(decode("RejectedUsage", value), place, value or b"")
            line = copy_line(row)
        except (WireError, BadRowError) as error:
            batch.bad.append(BadRecord(topic, place.partition, place.offset, str(error), value))
            continue
        batch.rejected.append(row)
        batch.rejected_lines.append(line)
