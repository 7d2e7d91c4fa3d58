"""Instants as text: RFC 3339 to and from microseconds since 1970-01-01T00:00:00Z, exactly."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from schemas import reasons
from schemas.errors import InvalidEvent

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_RFC_3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:[0-5]\d)", re.ASCII
)
_FRACTION_DIGITS_MAX: Final = 6
_RULE: Final = "an RFC 3339 instant with an offset, for example 2026-11-18T12:00:00.000001Z"


def parse_instant(text: str, field: str) -> int:
    """Microseconds since 1970 UTC. Raises InvalidEvent for `field` where the text is no exact instant."""
    match = _RFC_3339.fullmatch(text)
    if match is None:
        raise InvalidEvent(reasons.INVALID_FIELD, field, text, _RULE)
    date, clock, fraction, offset = match.groups(default="")
    if len(fraction) > _FRACTION_DIGITS_MAX:
        rule = "at most 6 digits of a second: finer instants are refused, not rounded"
        raise InvalidEvent(reasons.INVALID_FIELD, field, text, rule)
    try:
        instant = datetime.fromisoformat(f"{date}T{clock}.{fraction:0<6}{offset.upper()}")
        return (instant - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError) as error:
        raise InvalidEvent(reasons.INVALID_FIELD, field, text, f"{_RULE} ({error})") from error


def format_instant(instant_us: int) -> str:
    """RFC 3339 in UTC with six digits of a second.

    Raises InvalidEvent for an instant outside the years 1 to 9999.
    """
    try:
        instant = _EPOCH + timedelta(microseconds=instant_us)
    except OverflowError as error:
        raise InvalidEvent(
            reasons.INVALID_FIELD, "instant", instant_us, "between years 1 and 9999"
        ) from error
    return instant.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
