"""The windows that running totals are kept for: which hour, day and week of a zone an instant lies in.

Billing periods are not computed here: each row of a frame names its own. Instants are microseconds UTC.
"""

from functools import lru_cache
from typing import Final

from pricing.calendar import BillingCalendar, ZoneTable

HOUR, DAY, WEEK, PERIOD, LIFETIME = "hour", "day", "week", "period", "lifetime"
WINDOWS: Final = (HOUR, DAY, WEEK, PERIOD, LIFETIME)

Span = tuple[int, int]
"""[start_us, end_us)."""

_HOUR_US: Final = 3_600_000_000
_SECOND_US: Final = 1_000_000
_MONDAY: Final = 1


def window_start(kind: str, at_us: int, zone: ZoneTable) -> int:
    """Where the hour, day or week that holds the instant begins.

    An hour is one of the wall clock under one offset: one that comes twice is two windows, and a clock change
    within an hour cuts it. Days and weeks begin at the first instant of their (Monday's) local date.

    Raises ValueError for another kind: periods come with the row, and lifetime begins at 0.
    """
    return _span(kind, at_us, zone)[0]


def window_end(kind: str, start_us: int, zone: ZoneTable) -> int:
    """Where the hour, day or week that begins at `start_us` ends. Raises as `window_start` does."""
    return _span(kind, start_us, zone)[1]


@lru_cache(maxsize=4096)
def clock_windows(bucket_us: int, zone: ZoneTable) -> tuple[Span, Span, Span]:
    """Hour, day and week that hold the bucket's start: with it the whole bucket, as no zone of today changes
    its clock within a quarter of an hour.
    """
    return _span(HOUR, bucket_us, zone), _span(DAY, bucket_us, zone), _span(WEEK, bucket_us, zone)


def _span(kind: str, at_us: int, zone: ZoneTable) -> Span:
    if kind == HOUR:
        return _hour(at_us, zone)
    if kind == DAY:
        return _calendars(zone)[0].period(at_us)
    if kind == WEEK:
        return _calendars(zone)[1].period(at_us)
    raise ValueError(f"window {kind!r}: only hour, day and week follow from an instant and a zone")


def _hour(at_us: int, zone: ZoneTable) -> Span:
    first_us, last_us, offset_s = zone.span(at_us)
    start_us = at_us - (at_us + offset_s * _SECOND_US) % _HOUR_US
    end_us = start_us + _HOUR_US
    return max(start_us, first_us), end_us if last_us is None else min(end_us, last_us)


@lru_cache(maxsize=256)
def _calendars(zone: ZoneTable) -> tuple[BillingCalendar, BillingCalendar]:
    return BillingCalendar("day", 1, zone), BillingCalendar("week", _MONDAY, zone)
