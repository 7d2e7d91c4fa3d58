"""Consumed messages as a batch, decoded once; what cannot be decoded is a bad record and stops nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

from ledger.core.batch import BadRecord, Batch, Where
from ledger.core.rows import BadRowError, Place, copy_line, rated_row, rejected_row
from runtime.errors import InfrastructureError
from schemas.codec import decode
from schemas.errors import WireError

_LOG_APPEND_TIME = 2  # confluent_kafka.TIMESTAMP_LOG_APPEND_TIME


class WrongTimestampError(InfrastructureError):
    """A topic is not LogAppendTime: a row's day could be forged, so the ledger stops."""


def batch_of(messages: Sequence[Any], positions: Mapping[Where, int], rated_topic: str) -> Batch:
    """The messages that continue their partitions; what the client had fetched before a rewind is dropped.

    Positions move behind what was read: offsets that a transaction's marker took are passed with the next
    record.

    Raises:
        WrongTimestampError: a record's timestamp is not the broker's.
    """
    batch = Batch()
    for message in messages:
        where = message.topic(), message.partition()
        offset = message.offset()
        position = positions.get(where)
        if position is None or offset < batch.after.get(where, position):
            continue
        batch.before[where] = position
        batch.after[where] = offset + 1
        kind, append_ms = message.timestamp()
        if kind != _LOG_APPEND_TIME:
            raise WrongTimestampError(
                f"{where[0]} {where[1]} offset {offset}: timestamp type {kind}, not LogAppendTime"
            )
        place = Place(where[1], offset, append_ms)
        value = message.value()
        try:
            if where[0] == rated_topic:
                _take_rated(batch, place, value)
            else:
                _take_rejected(batch, place, value)
        except (WireError, BadRowError) as error:
            batch.bad.append(BadRecord(*where, offset, str(error), value))
    return batch


def _take_rated(batch: Batch, place: Place, value: bytes) -> None:
    record = decode("RatedUsage", value)
    row = rated_row(record, place, value)
    batch.lines.append(copy_line(row))
    batch.rated.append(row)
    batch.records.append(record)


def _take_rejected(batch: Batch, place: Place, value: bytes) -> None:
    row = rejected_row(decode("RejectedUsage", value), place, value)
    batch.rejected_lines.append(copy_line(row))
    batch.rejected.append(row)
