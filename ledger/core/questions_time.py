"""The time of a question: local periods, and which sums of which grain they are made of; pure.

Instants are microseconds UTC; ranges are [start, end).
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Literal

from ledger.core.amounts import BUCKET_US
from pricing.calendar import ZoneTable
from pricing.instants import DAY_US, calendar_month

Every = Literal["all", "hour", "day", "week", "month"]
EVERY: tuple[Every, ...] = ("all", "hour", "day", "week", "month")

Grain = Literal["15m", "day", "month"]
Range = tuple[int, int]

PERIODS_MAX = 10_000
_RANGES_MAX = 400  # of a statement

_SECOND_US = 1_000_000
_HOUR_US = 3600 * _SECOND_US
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_FIRST_US = (date(2, 1, 1).toordinal() - _EPOCH_ORDINAL) * DAY_US
_LAST_US = (date(9999, 1, 1).toordinal() - _EPOCH_ORDINAL) * DAY_US  # months beside a bound are months too


class QuestionError(ValueError):
    """A question that cannot be answered as it was asked; the text names field, value and rule."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Part:
    """Sums of one grain that are added to (`sign` 1) or taken off (-1) the periods that `bounds` tell.

    A sum whose time begins at t is in the period i with bounds[i] <= t < bounds[i + 1].
    """

    grain: Grain
    sign: Literal[1, -1]
    ranges: tuple[Range, ...]
    bounds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """The time that a question is about: period i is [bounds[i], bounds[i + 1])."""

    bounds: tuple[int, ...]
    zone: ZoneTable
    every: Every

    @property
    def start_us(self) -> int:
        return self.bounds[0]

    @property
    def end_us(self) -> int:
        return self.bounds[-1]

    def label(self, period: int) -> str:
        """The local start of a period, with its offset: the hour that comes twice has two."""
        return local_text(self.bounds[period], self.zone)


def asked(from_us: int, to_us: int, every: Every, zone: ZoneTable) -> Asked:
    """The periods between two instants; the first and the last may be cut.

    Raises:
        QuestionError: no time at all, outside the years 2 to 9998, an instant that is no quarter of an hour,
            or too many periods.
    """
    if not _FIRST_US <= from_us <= _LAST_US or not _FIRST_US <= to_us <= _LAST_US:
        raise QuestionError("from and to: must be of the years 2 to 9998")
    if from_us >= to_us:
        raise QuestionError(
            f"to = {local_text(to_us, zone)}: must be after from = {local_text(from_us, zone)}"
        )
    bounds = [from_us]
    while (following := _next(bounds[-1], every, zone)) is not None and following < to_us:
        bounds.append(following)
        if len(bounds) > PERIODS_MAX:
            raise QuestionError(f"every = {every}: more than {PERIODS_MAX} periods; ask about less time")
    bounds.append(to_us)
    for bound in bounds:
        if bound % BUCKET_US:
            raise QuestionError(
                f"{local_text(bound, zone)}: sums are kept by quarters of an hour; this instant is inside one"
            )
    return Asked(tuple(bounds), zone, every)


def cover(time: Asked) -> tuple[Part, ...]:
    """What the periods are made of, so that few sums are read.

    Bounds are rounded to the nearest UTC day (and those to the nearest month), whose sums are whole. What
    lies between a bound and the rounded one is added to the one period and taken off the other, from finer
    sums. A month in Berlin is so the UTC month, an hour more at its start and an hour less at its end.
    """
    exact = time.bounds
    direct = _whole("15m", exact)
    if time.every == "hour":
        return direct
    days = tuple(_nearest_day(bound) for bound in exact)
    edges = _differences("15m", exact, days)
    if sum(len(part.ranges) for part in edges) > _RANGES_MAX:
        return direct
    if time.every in {"day", "week"}:
        return (*_whole("day", days), *edges)
    months = tuple(_nearest_month(day) for day in days)
    return (*_whole("month", months), *_differences("day", days, months), *edges)


def day_start(day: date, zone: ZoneTable) -> int:
    """The first instant of a local date."""
    return zone.day_start(day.toordinal() - _EPOCH_ORDINAL)


def local_date(at_us: int, zone: ZoneTable) -> date:
    """The local date that holds an instant."""
    return date.fromordinal(_EPOCH_ORDINAL + (at_us + zone.offset_s(at_us) * _SECOND_US) // DAY_US)


def local_text(at_us: int, zone: ZoneTable) -> str:
    """RFC 3339 with the zone's offset."""
    offset_s = zone.offset_s(at_us)
    local_us = at_us + offset_s * _SECOND_US
    seconds = local_us % DAY_US // _SECOND_US
    sign, minutes = ("-", -offset_s // 60) if offset_s < 0 else ("+", offset_s // 60)
    offset = "Z" if not offset_s else f"{sign}{minutes // 60:02}:{minutes % 60:02}"
    day = date.fromordinal(_EPOCH_ORDINAL + local_us // DAY_US)
    return f"{day.isoformat()}T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{offset}"


def month_end(day: date) -> date:
    """The last date of the month."""
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


def _next(at_us: int, every: Every, zone: ZoneTable) -> int | None:
    """The start of the period after the one that holds the instant."""
    if every == "all":
        return None
    if every == "hour":
        return _next_hour(at_us, zone)
    day = local_date(at_us, zone)
    if every == "day":
        following = day + timedelta(days=1)
    elif every == "week":
        following = day + timedelta(days=7 - day.weekday())  # weeks begin on Monday
    else:
        following = month_end(day) + timedelta(days=1)
    start_us = day_start(following, zone)
    while start_us <= at_us:  # a date that the zone left out as a whole
        following += timedelta(days=1)
        start_us = day_start(following, zone)
    return start_us


def _next_hour(at_us: int, zone: ZoneTable) -> int:
    """The next full hour of local time; a change of the clock by half an hour ends one early or late."""
    step = BUCKET_US
    following = at_us - at_us % step + step
    while (following + zone.offset_s(following) * _SECOND_US) % _HOUR_US:
        following += step
    return following


def _nearest_day(at_us: int) -> int:
    return (at_us + DAY_US // 2 - 1) // DAY_US * DAY_US


def _nearest_month(day_us: int) -> int:
    start, following = calendar_month(day_us)
    return start if day_us - start <= following - day_us else following


def _whole(grain: Grain, bounds: tuple[int, ...]) -> tuple[Part, ...]:
    """All of the periods between these bounds."""
    return (Part(grain, 1, ((bounds[0], bounds[-1]),), bounds),) if bounds[0] < bounds[-1] else ()


def _differences(grain: Grain, fine: tuple[int, ...], coarse: tuple[int, ...]) -> tuple[Part, ...]:
    """What turns the periods between coarse bounds into those between fine ones."""
    more: list[Range] = []
    less: list[Range] = []
    for start, end in pairwise(sorted({*fine, *coarse})):
        right, told = _period_at(start, fine), _period_at(start, coarse)
        if right == told:
            continue
        if right is not None:
            _join(more, start, end)
        if told is not None:
            _join(less, start, end)
    parts = Part(grain, 1, tuple(more), fine), Part(grain, -1, tuple(less), coarse)
    return tuple(part for part in parts if part.ranges)


def _period_at(at_us: int, bounds: Sequence[int]) -> int | None:
    period = bisect_right(bounds, at_us) - 1
    return period if 0 <= period < len(bounds) - 1 else None


def _join(ranges: list[Range], start: int, end: int) -> None:
    if ranges and ranges[-1][1] == start:
        ranges[-1] = ranges[-1][0], end
    else:
        ranges.append((start, end))
