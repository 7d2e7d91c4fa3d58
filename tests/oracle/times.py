"""Local time by the standard library's zone data: hours of the day, and billing periods."""

from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import cache
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

Json = dict[str, Any]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
QUARTERS = (1, 4, 7, 10)
LONGEST = {"day": 1, "week": 7, "month": 31, "calendar_month_utc": 31, "quarter": 92, "year": 366}
STEP = timedelta(minutes=15)  # every change of the clock since 2000 is at such an instant


@cache
def instant_us(text: str) -> int:
    """Microseconds since 1970; a text without a zone is UTC."""
    at = datetime.fromisoformat(text)
    return _us(at if at.tzinfo else at.replace(tzinfo=UTC))


def _us(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


def in_force(dated: Json, at_us: int, *, ends: str = "to") -> bool:
    """Whether from <= instant < to; what is not said is open."""
    begin, end = dated.get("from"), dated.get(ends)
    return (begin is None or instant_us(begin) <= at_us) and (end is None or at_us < instant_us(end))


@cache
def zone_of(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    if name[0] in "+-":
        hours, minutes = name[1:].split(":")
        ahead = timedelta(hours=int(hours), minutes=int(minutes))
        return timezone(ahead if name[0] == "+" else -ahead)
    # The machine may have other zone data than the package that is pinned.
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def local_of(at_us: int, zone: str) -> datetime:
    """What a clock on the wall of that zone shows."""
    return (EPOCH + timedelta(microseconds=at_us)).astimezone(zone_of(zone)).replace(tzinfo=None)


def schedule_value(schedule: Json, at_us: int) -> str:
    """The value of the window that the wall clock is in, else the default."""
    now = local_of(at_us, schedule.get("zone", "UTC"))
    for window in schedule.get("windows", []):
        for day in (now.date(), now.date() - timedelta(days=1)):
            midnight = datetime.combine(day, datetime.min.time())
            begin, end = (midnight + _clock(window[side]) for side in ("from", "to"))
            if end <= begin:
                end += timedelta(days=1)
            if _is_day(window, schedule, day) and begin <= now < end:
                value: str = window["value"]
                return value
    default: str = schedule["default"]
    return default


def _clock(text: str) -> timedelta:
    hours, minutes = text.split(":")
    return timedelta(hours=int(hours), minutes=int(minutes))


def _is_day(window: Json, schedule: Json, day: date) -> bool:
    name = "holiday" if day.isoformat() in schedule.get("holidays", []) else DAYS[day.weekday()]
    return not window.get("days") or name in window["days"]


def period_of(contract: Json | None, at_us: int) -> tuple[int, int]:
    """The billing period [start, end) that holds an instant; a calendar month where there is no contract."""
    said = contract or {}
    unit = said.get("billing_period", "calendar_month_utc")
    zone = "UTC" if unit == "calendar_month_utc" else said.get("zone", "UTC")
    anchor = 1 if unit == "calendar_month_utc" else int(said.get("anchor_day", 1))
    today = local_of(at_us, zone).date()
    # Where the clock goes back over midnight, the first instants of a date lie before some of the day before.
    starts = [
        first_instant(day, zone)
        for away in range(-LONGEST[unit] - 2, LONGEST[unit] + 3)
        for day in [today + timedelta(days=away)]
        if _begins(unit, anchor, day)
    ]
    start = max(begin for begin in starts if begin <= at_us)
    return start, min(begin for begin in starts if begin > at_us)


def _begins(unit: str, anchor: int, day: date) -> bool:
    """Whether a period begins on that day."""
    if unit == "day":
        return True
    if unit == "week":
        return day.isoweekday() == anchor
    if unit == "quarter" and day.month not in QUARTERS:
        return False
    if unit == "year" and day.month != 1:
        return False
    is_last = (day + timedelta(days=1)).day == 1
    return day.day == anchor or (is_last and anchor > day.day)


@cache
def first_instant(day: date, zone: str) -> int:
    """The first instant at which a wall clock of the zone shows that date (or, if none does, a later one)."""
    at = datetime.combine(day, datetime.min.time(), UTC) - timedelta(hours=16)
    while local_of(_us(at), zone).date() < day:
        at += STEP
    return _us(at)
