"""Local time: zones, and the hours and days of schedules."""

from datetime import date

import pytest

from pricing.calendar import CompiledSchedule, ZoneTable
from pricing.cards import Schedule, Window, Zone
from tests.unit.pricing.local_times import ZONES, H, at, text

# --- zones


@pytest.mark.parametrize(
    ("zone", "instant", "hours"),
    [
        ("UTC", "2026-07-01T00:00", 0),
        ("Europe/Berlin", "1999-07-01T00:00", 1),
        ("Europe/Berlin", "2026-03-29T00:59:59", 1),
        ("Europe/Berlin", "2026-03-29T01:00", 2),
        ("Europe/Berlin", "2026-10-25T00:59:59", 2),
        ("Europe/Berlin", "2026-10-25T01:00", 1),
        ("Europe/Berlin", "2060-01-01T00:00", 2),
        ("America/New_York", "2026-03-08T06:59:59", -5),
        ("America/New_York", "2026-03-08T07:00", -4),
    ],
)
def test_an_offset_holds_from_its_instant_on_and_the_first_one_before_it(
    zone: str, instant: str, hours: int
) -> None:
    assert ZONES(zone).offset_s(at(instant)) == hours * H


@pytest.mark.parametrize(
    ("name", "seconds"),
    [("+08:00", 28_800), ("-03:30", -12_600), ("+00:00", 0), ("+05:45", 20_700), ("-12:00", -43_200)],
)
def test_an_offset_is_a_zone(name: str, seconds: int) -> None:
    assert ZONES(name).offset_s(0) == seconds
    assert ZONES(name) is ZONES(name)


@pytest.mark.parametrize("name", ["Europe/Paris", "+8:00", "08:00", "+08:60", "+24:00", "utc", "", "Z"])
def test_a_zone_that_the_book_does_not_know_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is unknown: UTC, an offset such as"):
        ZONES(name)


@pytest.mark.parametrize("transitions", [(), ((5, 0), (5, 60)), ((6, 0), (5, 60))])
def test_a_zone_without_an_order_is_refused(transitions: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(ValueError, match="zone X: transitions must be at least one and ascend"):
        ZoneTable(Zone("X", transitions))


@pytest.mark.parametrize(
    ("zone", "day", "start"),
    [
        ("UTC", "2026-03-08", "2026-03-08T00:00"),
        ("+08:00", "2026-03-08", "2026-03-07T16:00"),
        ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00"),
        ("Europe/Berlin", "2026-03-30", "2026-03-29T22:00"),
        ("Europe/Berlin", "2026-10-25", "2026-10-24T22:00"),
        ("Europe/Berlin", "2026-10-26", "2026-10-25T23:00"),
        ("Europe/Berlin", "1999-07-01", "1999-06-30T23:00"),
        ("America/Havana", "2026-03-08", "2026-03-08T05:00"),  # 01:00 local, the first instant there is
        (
            "America/Havana",
            "2026-11-01",
            "2026-11-01T04:00",
        ),  # 00:00 for the first time, an hour before the second
        ("Back", "2026-11-01", "2026-11-01T04:00"),  # one minute before the clock goes back
        ("America/Sao_Paulo", "2018-02-18", "2018-02-18T03:00"),  # an hour after it would have begun
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00"),  # never: begins and ends with the 31st
        ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00"),
    ],
)
def test_a_local_day_begins_at_its_first_instant(zone: str, day: str, start: str) -> None:
    number = (date.fromisoformat(day) - date(1970, 1, 1)).days
    assert text(ZONES(zone).day_start(number)) == start


# --- schedules


def value(schedule: Schedule, instant: str) -> str:
    return CompiledSchedule(schedule, ZONES(schedule.zone)).value_at(at(instant))


WORK = ("mon", "tue", "wed", "thu", "fri")


@pytest.mark.parametrize(
    ("instant", "expected"),
    [
        ("2026-11-18T08:59:59.999999", "off"),
        ("2026-11-18T09:00", "peak"),
        ("2026-11-18T11:59:59.999999", "peak"),
        ("2026-11-18T12:00", "off"),
        ("2026-11-18T13:59", "off"),
        ("2026-11-18T14:00", "peak"),
        ("2026-11-18T18:00", "off"),
    ],
)
def test_windows_hold_from_their_start_until_their_end(instant: str, expected: str) -> None:
    two = Schedule("hours", "off", (Window("peak", "09:00", "12:00"), Window("peak", "14:00", "18:00")))
    assert value(two, instant) == expected


@pytest.mark.parametrize(
    ("instant", "expected"),
    [
        ("2026-11-20T21:59", "day"),  # Friday
        ("2026-11-20T22:00", "night"),
        ("2026-11-21T05:59", "night"),  # Saturday, still Friday's window
        ("2026-11-21T06:00", "day"),
        ("2026-11-21T22:00", "day"),  # Saturday's own evening
        ("2026-11-23T05:59", "day"),  # Monday: Sunday has no window
        ("2026-11-23T22:00", "night"),
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_starts(instant: str, expected: str) -> None:
    night = Schedule("hours", "day", (Window("night", "22:00", "06:00", WORK),))
    assert value(night, instant) == expected


@pytest.mark.parametrize(
    ("start", "end", "holds"),
    [
        ("00:00", "24:00", ("2026-11-18T00:00", "2026-11-18T23:59")),
        ("18:00", "24:00", ("2026-11-18T18:00", "2026-11-18T23:59")),
        ("18:00", "00:00", ("2026-11-18T18:00", "2026-11-18T23:59")),
        ("09:00", "09:00", ("2026-11-18T09:00", "2026-11-19T08:59")),
    ],
)
def test_a_window_may_end_with_the_day_and_hold_for_a_whole_one(
    start: str, end: str, holds: tuple[str, str]
) -> None:
    """A window of Wednesdays, 18 November 2026 is one: not before its start, not after its last minute."""
    schedule = Schedule("hours", "other", (Window("this", start, end, ("wed",)),))
    first, last = holds
    assert (value(schedule, first), value(schedule, last)) == ("this", "this")
    compiled = CompiledSchedule(schedule, ZONES("UTC"))
    assert compiled.value_at(at(first) - 1) == "other"
    assert compiled.value_at(at(last) + 60_000_000) == "other"


@pytest.mark.parametrize(
    ("instant", "expected"),
    [
        ("2026-12-24T12:00", "peak"),  # Thursday
        ("2026-12-25T12:00", "holiday"),  # Friday, a holiday and no weekday
        ("2026-12-25T23:30", "off"),
        ("2026-12-26T12:00", "weekend"),  # Saturday
        ("2026-12-28T12:00", "peak"),
    ],
)
def test_a_holiday_is_no_weekday(instant: str, expected: str) -> None:
    schedule = Schedule(
        "hours",
        "off",
        (
            Window("peak", "09:00", "18:00", WORK),
            Window("weekend", "00:00", "24:00", ("sat", "sun")),
            Window("holiday", "08:00", "20:00", ("holiday",)),
        ),
        holidays=("2026-12-25",),
    )
    assert value(schedule, instant) == expected
    assert CompiledSchedule(schedule, ZONES("UTC")).values == ("off", "peak", "weekend", "holiday")


def test_a_window_without_days_holds_on_holidays_too() -> None:
    schedule = Schedule("hours", "off", (Window("peak", "09:00", "18:00"),), holidays=("2026-12-25",))
    assert value(schedule, "2026-12-25T09:00") == "peak"


def test_the_night_before_a_holiday_is_that_of_its_own_day() -> None:
    """Thursday 24 December 22:00 to Friday 06:00 is Thursday's; Friday's evening, a holiday, has none."""
    schedule = Schedule("h", "day", (Window("night", "22:00", "06:00", WORK),), holidays=("2026-12-25",))
    assert value(schedule, "2026-12-25T05:59") == "night"
    assert value(schedule, "2026-12-25T22:00") == "day"
    assert value(schedule, "2026-12-26T05:59") == "day"


def test_hours_and_days_are_those_of_the_zone() -> None:
    """Monday 08:30 in Shanghai is Monday 00:30 UTC; Monday 00:30 there is Sunday 16:30 UTC."""
    schedule = Schedule("hours", "off", (Window("peak", "08:30", "24:00", ("mon",)),), "+08:00")
    assert value(schedule, "2026-11-23T00:29") == "off"
    assert value(schedule, "2026-11-23T00:30") == "peak"
    assert value(schedule, "2026-11-23T15:59") == "peak"
    assert value(schedule, "2026-11-23T16:00") == "off"
    early = Schedule("hours", "off", (Window("peak", "00:30", "01:00", ("mon",)),), "+08:00")
    assert value(early, "2026-11-22T16:30") == "peak"


def test_an_hour_that_is_left_out_has_no_window_and_one_that_comes_twice_has_it_twice() -> None:
    """Berlin, 02:30 to 03:30: on 29 March 2026 only 03:00 to 03:30 exists, 01:00 to 01:30 UTC.

    On 25 October 02:30 comes at 00:30 and at 01:30 UTC; 02:00, at 01:00 UTC the second time, is in between.
    """
    schedule = Schedule("hours", "off", (Window("peak", "02:30", "03:30"),), "Europe/Berlin")
    spring = ["2026-03-29T00:59", "2026-03-29T01:00", "2026-03-29T01:29", "2026-03-29T01:30"]
    assert [value(schedule, instant) for instant in spring] == ["off", "peak", "peak", "off"]
    autumn = [
        "2026-10-25T00:29",
        "2026-10-25T00:30",
        "2026-10-25T01:00",
        "2026-10-25T01:30",
        "2026-10-25T02:30",
    ]
    assert [value(schedule, instant) for instant in autumn] == ["off", "peak", "off", "peak", "off"]


def test_of_two_windows_at_once_the_one_listed_first_holds() -> None:
    schedule = Schedule("hours", "off", (Window("a", "09:00", "12:00"), Window("b", "08:00", "10:00")))
    assert [value(schedule, f"2026-11-18T{hour}:00") for hour in ("08", "09", "11", "12")] == [
        "b",
        "a",
        "a",
        "off",
    ]


def test_a_schedule_holds_before_1970_as_after_it() -> None:
    """31 December 1969 was a Wednesday."""
    schedule = Schedule("hours", "off", (Window("wed", "00:00", "24:00", ("wed",)),))
    assert value(schedule, "1969-12-31T23:59") == "wed"
    assert value(schedule, "1970-01-01T00:00") == "off"


@pytest.mark.parametrize(
    ("window", "holidays", "message"),
    [
        (Window("a", "9:00", "12:00"), (), "time '9:00': must be HH:MM"),
        (Window("a", "09:00", "24:01"), (), "time '24:01'"),
        (Window("a", "09:00", "12:60"), (), "time '12:60'"),
        (Window("a", "09:00", "12:00", ("monday",)), (), "day 'monday': must be one of mon, tue"),
        (Window("a", "09:00", "12:00"), ("20261225",), "date '20261225': must be YYYY-MM-DD"),
        (Window("a", "09:00", "12:00"), ("2026-02-29",), "day"),
    ],
)
def test_a_malformed_schedule_is_refused(window: Window, holidays: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CompiledSchedule(Schedule("hours", "off", (window,), holidays=holidays), ZONES("UTC"))
