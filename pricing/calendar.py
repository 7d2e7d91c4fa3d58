"""Local time without a machine's time zone data: zones as tables of offsets, schedules of hours and days,
billing periods with an anchor day.
"""

import re
from bisect import bisect_right
from calendar import monthrange
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from functools import lru_cache
from itertools import pairwise

from pricing.cards import CALENDAR_MONTH_UTC, UTC, BillingUnit, Schedule, Zone
from pricing.instants import DAY_US, calendar_month, day_of

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOLIDAY = "holiday"
MINUTE_US = 60_000_000

_SECOND_US = 1_000_000
_EVER_US = -(10**20)  # before any instant of the years 1 to 9999
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_THURSDAY = 3  # 1970-01-01, day 0, where Monday is 0
_OFFSET = re.compile(r"([+-])([01][0-9]|2[0-3]):([0-5][0-9])")
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_DAYS = {"day": 1, "week": 7}


class ZoneTable:
    """The offsets of one zone from UTC, over time."""

    def __init__(self, zone: Zone) -> None:
        """Raises ValueError where there is no offset or the instants do not ascend."""
        starts = tuple(at_us for at_us, _ in zone.transitions)
        if not starts or any(a >= b for a, b in pairwise(starts)):
            raise ValueError(f"zone {zone.name}: transitions must be at least one and ascend")
        self.name = zone.name
        self._starts = (_EVER_US, *starts[1:])  # the first offset also holds before its instant
        self._offsets = tuple(offset_s for _, offset_s in zone.transitions)

    def offset_s(self, at_us: int) -> int:
        """Seconds east of UTC in force at the instant."""
        return self._offsets[bisect_right(self._starts, at_us) - 1]

    def span(self, at_us: int) -> tuple[int, int | None, int]:
        """[start_us, end_us) with one offset that holds the instant, and its seconds east of UTC.

        The first begins before any year; the last has no end.
        """
        number = bisect_right(self._starts, at_us)
        end_us = self._starts[number] if number < len(self._starts) else None
        return self._starts[number - 1], end_us, self._offsets[number - 1]

    def day_start(self, day: int) -> int:
        """The first instant of a local date (days since 1970-01-01), in microseconds UTC.

        Midnight that a clock change leaves out: the instant of the change. Midnight that comes twice: the
        first one. A date that is left out as a whole begins and ends where the next date begins.
        """
        midnight = day * DAY_US
        # No zone is two days from UTC: two days before, the date has not begun whatever the offset.
        number = bisect_right(self._starts, midnight - 2 * DAY_US) - 1
        while True:
            at_us = max(self._starts[number], midnight - self._offsets[number] * _SECOND_US)
            number += 1
            if number == len(self._starts) or at_us < self._starts[number]:
                return at_us


def zones(named: Iterable[Zone]) -> Callable[[str], ZoneTable]:
    """A look-up of `UTC`, offsets (`+08:00`, `-03:30`) and these zones.

    It raises ValueError for any other name, and so does this for a zone that is not sound.
    """
    tables = {zone.name: ZoneTable(zone) for zone in named}
    tables[UTC] = ZoneTable(Zone(UTC, ((0, 0),)))

    def table(name: str) -> ZoneTable:
        if name not in tables:
            match = _OFFSET.fullmatch(name)
            if match is None:
                raise ValueError(
                    f"zone {name} is unknown: UTC, an offset such as +08:00, or a zone of the book"
                )
            sign, hours, minutes = match.groups()
            seconds = int(hours) * 3600 + int(minutes) * 60
            tables[name] = ZoneTable(Zone(name, ((0, -seconds if sign == "-" else seconds),)))
        return tables[name]

    return table


def minute_of_day(text: str) -> int:
    """`HH:MM` up to `24:00` as minutes. Raises ValueError for anything else."""
    if _TIME.fullmatch(text) is None:
        raise ValueError(f"time {text!r}: must be HH:MM from 00:00 to 24:00")
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)


def day_number(text: str) -> int:
    """`YYYY-MM-DD` as days since 1970-01-01. Raises ValueError for anything else."""
    day = date.fromisoformat(text)
    if day.isoformat() != text:
        raise ValueError(f"date {text!r}: must be YYYY-MM-DD")
    return day.toordinal() - _EPOCH_ORDINAL


class CompiledSchedule:
    """The value of a context key at an instant, by local day and time of day.

    Local time decides: an hour that comes twice is in its windows twice, one that is left out never. Where
    two windows hold at once, the one that the schedule lists first.
    """

    def __init__(self, schedule: Schedule, zone: ZoneTable) -> None:
        """Raises ValueError for a malformed time, day or date."""
        self.key = schedule.key
        self.default = schedule.default
        self.values = tuple(dict.fromkeys((schedule.default, *(w.value for w in schedule.windows))))
        self._zone = zone
        self._holidays = frozenset(map(day_number, schedule.holidays))
        self._windows = tuple(
            (window.value, *_span(window.start, window.end), _kinds(window.days))
            for window in schedule.windows
        )

    def value_at(self, at_us: int) -> str:
        day, time_us = divmod(at_us + self._zone.offset_s(at_us) * _SECOND_US, DAY_US)
        today, yesterday = self._kind(day), self._kind(day - 1)
        for value, start, end, kinds in self._windows:
            if today in kinds and start <= time_us < end:
                return value
            if yesterday in kinds and time_us + DAY_US < end:
                return value
        return self.default

    def _kind(self, day: int) -> str:
        return HOLIDAY if day in self._holidays else WEEKDAYS[(day + _THURSDAY) % 7]


def _span(start: str, end: str) -> tuple[int, int]:
    """Microseconds since the midnight before the start; an end at or before the start is a day later."""
    first, last = minute_of_day(start), minute_of_day(end)
    return first * MINUTE_US, last * MINUTE_US + (DAY_US if last <= first else 0)


def _kinds(days: Sequence[str]) -> frozenset[str]:
    every = frozenset((*WEEKDAYS, HOLIDAY))
    strange = sorted(set(days) - every)
    if strange:
        raise ValueError(f"day {strange[0]!r}: must be one of {', '.join((*WEEKDAYS, HOLIDAY))}")
    return frozenset(days) or every


class BillingCalendar:
    """Which billing period holds an instant.

    Periods have neither gap nor overlap: each begins at the first instant of its local date and ends where
    the next begins. `anchor_day` and `zone` mean nothing for `calendar_month_utc`, the anchor nothing for
    `day`.
    """

    def __init__(self, unit: BillingUnit, anchor_day: int, zone: ZoneTable) -> None:
        self.unit = unit
        self.anchor_day = anchor_day
        self.zone = zone
        self._periods_of = lru_cache(maxsize=1024)(self._periods_of_utc_day)

    def period(self, at_us: int) -> tuple[int, int]:
        """[start_us, end_us) of the billing period. Raises ValueError outside the years 1 to 9999."""
        if self.unit == CALENDAR_MONTH_UTC:
            return calendar_month(at_us)
        return next(period for period in self._periods_of(at_us // DAY_US) if at_us < period[1])

    def _periods_of_utc_day(self, utc_day: int) -> tuple[tuple[int, int], ...]:
        """The periods that hold any instant of a day in UTC, in order."""
        first_us = utc_day * DAY_US
        # No zone is two days ahead of UTC. From a date that is too late the way back is by first instants,
        # not by local dates: where the clock goes back over midnight, a date comes twice and begins once.
        number = self._number(utc_day + 2)
        while self._start(number) > first_us:
            number -= 1
        periods = [(self._start(number), self._start(number + 1))]
        while periods[-1][1] < first_us + DAY_US:
            number += 1
            periods.append((self._start(number), self._start(number + 1)))
        return tuple(periods)

    def _start(self, number: int) -> int:
        return self.zone.day_start(self._first_day(number))

    def _number(self, day: int) -> int:
        """The number of the period that this date lies in, or of the next one."""
        if self.unit in _DAYS:
            return (day - self._origin()) // _DAYS[self.unit]
        at = day_of(day * DAY_US)
        return (at.year * 12 + at.month - 1) // _MONTHS[self.unit]

    def _first_day(self, number: int) -> int:
        if self.unit in _DAYS:
            return self._origin() + number * _DAYS[self.unit]
        year, month = divmod(number * _MONTHS[self.unit], 12)
        last = monthrange(year, month + 1)[1]
        return date(year, month + 1, min(self.anchor_day, last)).toordinal() - _EPOCH_ORDINAL

    def _origin(self) -> int:
        """A first day of a period of whole days: of a week, the anchor's weekday (1 Monday to 7 Sunday)."""
        return self.anchor_day - 1 - _THURSDAY if self.unit == "week" else 0
