"""Local periods and the sums that they are made of: days of 23, 24 and 25 hours, by hand."""

from bisect import bisect_right
from collections import Counter
from itertools import pairwise

import pytest

from cli.ask import asked_of, zone_of
from ledger.core.questions_time import (
    EVERY,
    Asked,
    Every,
    Part,
    QuestionError,
    asked,
    cover,
    local_text,
)
from rate_book.instants import parse_instant

HOUR = 3_600_000_000


def at(text: str) -> int:
    return parse_instant(text)


def hours(time: Asked) -> list[int]:
    return [(end - start) // HOUR for start, end in pairwise(time.bounds)]


def test_days_over_a_change_of_the_clock_have_23_and_25_hours() -> None:
    # Berlin puts its clock forward on 2026-03-29 and back on 2026-10-25.
    assert hours(asked_of("2026-03-28", "2026-03-31", "Europe/Berlin", "day")) == [24, 23, 24]
    assert hours(asked_of("2026-10-24", "2026-10-27", "Europe/Berlin", "day")) == [24, 25, 24]
    assert hours(asked_of("2026-10-19", "2026-10-26", "Europe/Berlin", "week")) == [169]


def test_the_hour_that_comes_twice_is_two_with_their_offsets() -> None:
    time = asked_of("2026-10-25", "2026-10-26", "Europe/Berlin", "hour")
    assert len(time.bounds) - 1 == 25
    assert [time.label(number) for number in (1, 2, 3, 4)] == [
        "2026-10-25T01:00:00+02:00",
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:00:00+01:00",
        "2026-10-25T03:00:00+01:00",
    ]


def test_a_zone_of_half_hours_has_its_own_hours_and_days() -> None:
    time = asked_of("2026-11-18", "2026-11-19", "Asia/Kolkata", "day")
    assert time.bounds == (at("2026-11-17T18:30:00Z"), at("2026-11-18T18:30:00Z"))
    hourly = asked_of("2026-11-18", "2026-11-19", "Asia/Kolkata", "hour")
    assert hours(hourly) == [1] * 24
    # Lord Howe goes back by half an hour at 02:00 (2026-04-05): that local hour lasts an hour and a half.
    howe = asked_of("2026-04-05", "2026-04-06", "Australia/Lord_Howe", "hour")
    assert sum(end - start for start, end in pairwise(howe.bounds)) == 24 * HOUR + HOUR // 2


def test_a_date_that_a_zone_left_out_is_no_period() -> None:
    # Samoa had no 30 December 2011.
    time = asked_of("2011-12-29", "2012-01-01", "Pacific/Apia", "day")
    assert hours(time) == [24, 24]


def test_a_month_in_utc_is_one_sum_and_a_local_one_that_sum_and_two_hours() -> None:
    november = at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z")
    utc = asked_of("2026-11-01", "2026-12-01", "UTC")
    assert cover(utc) == (Part("month", 1, (november,), november),)
    # In Berlin from 2026-10-31T23:00Z to 2026-11-30T23:00Z: an hour more, an hour less.
    berlin = asked_of("2026-11-01", "2026-12-01", "Europe/Berlin")
    assert cover(berlin) == (
        Part("month", 1, (november,), november),
        Part("15m", 1, ((at("2026-10-31T23:00:00Z"), november[0]),), berlin.bounds),
        Part("15m", -1, ((at("2026-11-30T23:00:00Z"), november[1]),), november),
    )


QUARTER = HOUR // 4


def periods_of(at_us: int, time: Asked) -> Counter[int]:
    """How often the sums of a quarter of an hour count in each period."""
    counted: Counter[int] = Counter()
    for part in cover(time):
        if any(start <= at_us < end for start, end in part.ranges):
            counted[bisect_right(part.bounds, at_us) - 1] += part.sign
    return Counter({period: times for period, times in counted.items() if times})


@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize(
    "zone", ["UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Kathmandu", "Pacific/Apia"]
)
@pytest.mark.parametrize(
    ("from_text", "to_text"),
    [
        ("2026-02-26", "2026-04-02"),
        ("2026-03-28T10:15:00Z", "2026-03-30T14:00:00Z"),
        ("2026-03-28T10:15:00Z", "2026-03-28T10:30:00Z"),
    ],
)
def test_each_quarter_of_an_hour_counts_once_and_in_its_period(
    every: Every, zone: str, from_text: str, to_text: str
) -> None:
    time = asked_of(from_text, to_text, zone, every)
    for at_us in range(at("2026-02-20T00:00:00Z"), at("2026-04-05T00:00:00Z"), QUARTER):
        within = time.start_us <= at_us < time.end_us
        expected = {bisect_right(time.bounds, at_us) - 1: 1} if within else {}
        assert periods_of(at_us, time) == expected, (at_us, time.label(0))


def test_a_time_that_is_none_is_refused_by_name() -> None:
    utc = zone_of("UTC")
    with pytest.raises(QuestionError, match="must be after from"):
        asked(at("2026-11-02T00:00:00Z"), at("2026-11-01T00:00:00Z"), "all", utc)
    with pytest.raises(QuestionError, match="quarters of an hour"):
        asked(at("2026-11-01T00:00:01Z"), at("2026-11-02T00:00:00Z"), "all", utc)
    for first, last in (("0001-12-31", "2026-11-01"), ("2026-11-01", "9999-01-02")):
        with pytest.raises(QuestionError, match="years 2 to 9998"):
            asked_of(first, last, "UTC", "month")
    with pytest.raises(QuestionError, match="tz Mars/Olympus"):
        asked_of("2026-11-01", "2026-11-02", "Mars/Olympus")
    with pytest.raises(QuestionError, match="from yesterday"):
        asked_of("yesterday", "2026-11-02", "UTC")
    with pytest.raises(QuestionError, match="10000 periods"):
        asked_of("2020-01-01", "2026-01-01", "UTC", "hour")


def test_instants_are_told_with_their_offset() -> None:
    assert local_text(at("2026-11-18T12:00:00Z"), zone_of("UTC")) == "2026-11-18T12:00:00Z"
    assert local_text(at("2026-11-18T12:00:00Z"), zone_of("-03:30")) == "2026-11-18T08:30:00-03:30"
