"""Input records as the core takes them."""

from collections.abc import Sequence
from typing import Any

from rater.core.replay import FIRST_APPEND_HEADER
from rater.core.work import Record
from runtime.errors import InfrastructureError

_LOG_APPEND_TIME = 2  # confluent_kafka.TIMESTAMP_LOG_APPEND_TIME


class WrongTimestampError(InfrastructureError):
    """usage.events is not LogAppendTime: lateness could be forged, so the rater stops."""


def record_of(message: Any) -> Record:
    """A consumed message's offset, append time, key, value, and first append time where it is a replay.

    Raises:
        WrongTimestampError: its timestamp is not the broker's.
    """
    kind, append_ms = message.timestamp()
    if kind != _LOG_APPEND_TIME:
        raise WrongTimestampError(
            f"{message.topic()} {message.partition()} offset {message.offset()}: "
            f"timestamp type {kind}, not LogAppendTime"
        )
    headers = message.headers()
    first_append_us = None if headers is None else _first_append_us(headers)
    return Record(message.offset(), append_ms * 1000, message.key(), message.value(), first_append_us)


def _first_append_us(headers: Sequence[tuple[str, bytes | None]]) -> int | None:
    """When a replayed record arrived first; a header that is no number says nothing."""
    for name, value in headers:
        if name == FIRST_APPEND_HEADER and value is not None and len(value) <= 18 and value.isdigit():
            return int(value)
    return None
