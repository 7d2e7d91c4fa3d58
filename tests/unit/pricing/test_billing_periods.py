"""Billing periods: anchor days, units, and the days on which clocks change."""

import pytest

from pricing.calendar import BillingCalendar
from pricing.cards import BillingUnit
from tests.unit.pricing.local_times import ZONES, at, text


def period(unit: BillingUnit, instant: str, anchor: int = 1, zone: str = "UTC") -> tuple[str, str]:
    first, last = BillingCalendar(unit, anchor, ZONES(zone)).period(at(instant))
    return text(first), text(last)


@pytest.mark.parametrize(
    ("anchor", "instant", "first", "last"),
    [
        (31, "2026-01-30T23:59", "2025-12-31T00:00", "2026-01-31T00:00"),
        (31, "2026-01-31T00:00", "2026-01-31T00:00", "2026-02-28T00:00"),
        (31, "2026-02-27T23:59", "2026-01-31T00:00", "2026-02-28T00:00"),
        (31, "2026-02-28T00:00", "2026-02-28T00:00", "2026-03-31T00:00"),
        (31, "2026-03-31T00:00", "2026-03-31T00:00", "2026-04-30T00:00"),
        (30, "2026-02-28T12:00", "2026-02-28T00:00", "2026-03-30T00:00"),
        (29, "2026-02-28T12:00", "2026-02-28T00:00", "2026-03-29T00:00"),
        (29, "2028-02-28T12:00", "2028-01-29T00:00", "2028-02-29T00:00"),
        (29, "2028-02-29T00:00", "2028-02-29T00:00", "2028-03-29T00:00"),
        (31, "2028-02-29T00:00", "2028-02-29T00:00", "2028-03-31T00:00"),
        (15, "2026-01-14T23:59", "2025-12-15T00:00", "2026-01-15T00:00"),
        (1, "2026-12-31T23:59", "2026-12-01T00:00", "2027-01-01T00:00"),
        (1, "1969-12-31T23:59", "1969-12-01T00:00", "1970-01-01T00:00"),
    ],
)
def test_a_month_begins_on_the_anchor_day_or_on_the_last_day_of_a_shorter_month(
    anchor: int, instant: str, first: str, last: str
) -> None:
    assert period("month", instant, anchor) == (first, last)


@pytest.mark.parametrize(
    ("unit", "anchor", "instant", "first", "last"),
    [
        ("day", 1, "2026-11-18T23:59", "2026-11-18T00:00", "2026-11-19T00:00"),
        ("day", 5, "2026-11-19T00:00", "2026-11-19T00:00", "2026-11-20T00:00"),
        ("week", 1, "2026-11-22T23:59", "2026-11-16T00:00", "2026-11-23T00:00"),  # a Sunday
        ("week", 1, "2026-11-23T00:00", "2026-11-23T00:00", "2026-11-30T00:00"),
        ("week", 7, "2026-11-22T00:00", "2026-11-22T00:00", "2026-11-29T00:00"),
        ("week", 7, "2026-11-21T23:59", "2026-11-15T00:00", "2026-11-22T00:00"),
        ("week", 3, "2026-11-18T00:00", "2026-11-18T00:00", "2026-11-25T00:00"),  # a Wednesday
        ("week", 4, "1969-12-31T23:59", "1969-12-25T00:00", "1970-01-01T00:00"),  # day 0 was a Thursday
        ("quarter", 1, "2026-03-31T23:59", "2026-01-01T00:00", "2026-04-01T00:00"),
        ("quarter", 1, "2026-04-01T00:00", "2026-04-01T00:00", "2026-07-01T00:00"),
        ("quarter", 31, "2026-04-29T23:59", "2026-01-31T00:00", "2026-04-30T00:00"),
        ("quarter", 31, "2026-04-30T00:00", "2026-04-30T00:00", "2026-07-31T00:00"),
        ("quarter", 15, "2026-01-14T00:00", "2025-10-15T00:00", "2026-01-15T00:00"),
        ("year", 1, "2026-12-31T23:59", "2026-01-01T00:00", "2027-01-01T00:00"),
        ("year", 31, "2026-01-30T23:59", "2025-01-31T00:00", "2026-01-31T00:00"),
        ("year", 31, "2026-01-31T00:00", "2026-01-31T00:00", "2027-01-31T00:00"),
        ("calendar_month_utc", 1, "2026-11-30T23:59", "2026-11-01T00:00", "2026-12-01T00:00"),
    ],
)
def test_days_weeks_quarters_and_years(
    unit: BillingUnit, anchor: int, instant: str, first: str, last: str
) -> None:
    assert period(unit, instant, anchor) == (first, last)


@pytest.mark.parametrize(
    ("unit", "zone", "instant", "first", "last"),
    [
        ("month", "Europe/Berlin", "2026-03-31T21:59", "2026-02-28T23:00", "2026-03-31T22:00"),
        ("month", "Europe/Berlin", "2026-03-31T22:00", "2026-03-31T22:00", "2026-04-30T22:00"),
        ("month", "America/New_York", "2026-12-01T04:59", "2026-11-01T04:00", "2026-12-01T05:00"),
        ("month", "America/Havana", "2026-11-01T05:30", "2026-11-01T04:00", "2026-12-01T05:00"),
        ("day", "Europe/Berlin", "2026-03-29T12:00", "2026-03-28T23:00", "2026-03-29T22:00"),  # 23 hours
        ("day", "Europe/Berlin", "2026-10-25T12:00", "2026-10-24T22:00", "2026-10-25T23:00"),  # 25 hours
        ("day", "America/New_York", "2026-03-08T12:00", "2026-03-08T05:00", "2026-03-09T04:00"),
        ("day", "America/Havana", "2026-03-08T04:59", "2026-03-07T05:00", "2026-03-08T05:00"),
        ("day", "America/Havana", "2026-03-08T05:00", "2026-03-08T05:00", "2026-03-09T04:00"),
        ("month", "+08:00", "2026-10-31T16:00", "2026-10-31T16:00", "2026-11-30T16:00"),
        ("month", "-03:30", "2026-11-01T03:29", "2026-10-01T03:30", "2026-11-01T03:30"),
        ("calendar_month_utc", "+08:00", "2026-10-31T16:00", "2026-10-01T00:00", "2026-11-01T00:00"),
        ("day", "Back", "2026-11-01T03:59", "2026-10-31T04:00", "2026-11-01T04:00"),
        ("day", "Back", "2026-11-01T04:00", "2026-11-01T04:00", "2026-11-02T05:00"),
        (
            "day",
            "Back",
            "2026-11-01T04:30",
            "2026-11-01T04:00",
            "2026-11-02T05:00",
        ),  # 23:30 of 31 October, again
        ("day", "America/Sao_Paulo", "2018-02-18T02:59", "2018-02-17T02:00", "2018-02-18T03:00"),
        ("day", "Pacific/Apia", "2011-12-30T09:59", "2011-12-29T10:00", "2011-12-30T10:00"),
        ("day", "Pacific/Apia", "2011-12-30T10:00", "2011-12-30T10:00", "2011-12-31T10:00"),
    ],
)
def test_a_period_begins_at_the_first_instant_of_its_local_day(
    unit: BillingUnit, zone: str, instant: str, first: str, last: str
) -> None:
    assert period(unit, instant, 1, zone) == (first, last)


UNITS: tuple[BillingUnit, ...] = ("calendar_month_utc", "day", "week", "month", "quarter", "year")


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("zone", ["UTC", "+08:00", "Europe/Berlin", "America/Havana", "Back"])
@pytest.mark.parametrize("anchor", [1, 7])
def test_periods_leave_no_gap_and_do_not_overlap(unit: BillingUnit, zone: str, anchor: int) -> None:
    """Each period ends where the next begins, and its first and last instant are its own."""
    calendar = BillingCalendar(unit, anchor, ZONES(zone))
    instant = at("2026-01-01T00:00")
    for _ in range(400):
        start, end = calendar.period(instant)
        assert start <= instant < end
        assert calendar.period(start) == calendar.period(end - 1) == (start, end)
        assert calendar.period(end)[0] == end
        instant = end


def test_a_period_outside_the_years_1_to_9999_is_refused() -> None:
    calendar = BillingCalendar("month", 1, ZONES("UTC"))
    for instant in (-(10**18), 10**18):
        with pytest.raises(ValueError):
            calendar.period(instant)
