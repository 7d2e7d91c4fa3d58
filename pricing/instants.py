"""Instants as microseconds since 1970-01-01T00:00:00Z: their text, and the calendar month that holds one."""

from datetime import date
from functools import lru_cache

DAY_US = 86_400_000_000
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


def day_of(instant_us: int) -> date:
    """The UTC day that holds the instant. Raises ValueError outside the years 1 to 9999."""
    try:
        return date.fromordinal(_EPOCH_ORDINAL + instant_us // DAY_US)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"instant {instant_us} us: outside the years 1 to 9999") from error


def instant_text(instant_us: int) -> str:
    """RFC 3339 in UTC: 2026-11-01T00:00:00Z, with six decimals where the instant is not a whole second."""
    seconds, micros = divmod(instant_us % DAY_US, 1_000_000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    fraction = f".{micros:06d}" if micros else ""
    return f"{day_of(instant_us).isoformat()}T{hour:02d}:{minute:02d}:{second:02d}{fraction}Z"


def calendar_month(instant_us: int) -> tuple[int, int]:
    """The UTC calendar month [start_us, end_us) that holds the instant."""
    return _month_of_day(instant_us // DAY_US)


@lru_cache(maxsize=1024)
def _month_of_day(day: int) -> tuple[int, int]:
    first = day_of(day * DAY_US).replace(day=1).toordinal()
    # The 32nd day of a month lies in the next one.
    next_first = day_of((first - _EPOCH_ORDINAL + 31) * DAY_US).replace(day=1).toordinal()
    return (first - _EPOCH_ORDINAL) * DAY_US, (next_first - _EPOCH_ORDINAL) * DAY_US
