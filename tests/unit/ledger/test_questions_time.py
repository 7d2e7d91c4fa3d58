"""Local periods and the sums that they are made of: days of 23, 24 and 25 hours, by hand."""

from itertools import pairwise

import pytest

from cli.ask import asked_of, zone_of
from ledger.core.questions_time import Asked, QuestionError, asked, cover, local_text
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


def test_a_month_in_utc_is_one_sum_and_a_local_one_has_edges() -> None:
    whole = cover(asked_of("2026-11-01", "2026-12-01", "UTC").bounds)
    assert whole.months == ((at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z")),)
    assert whole.days == whole.quarters == ()
    local = cover(asked_of("2026-11-01", "2026-12-01", "Europe/Berlin").bounds)
    # From 2026-10-31T23:00Z to 2026-11-30T23:00Z: an hour, 29 days, 23 hours; no whole month.
    assert local.months == ()
    assert local.days == ((at("2026-11-01T00:00:00Z"), at("2026-11-30T00:00:00Z")),)
    assert local.quarters == (
        (at("2026-10-31T23:00:00Z"), at("2026-11-01T00:00:00Z")),
        (at("2026-11-30T00:00:00Z"), at("2026-11-30T23:00:00Z")),
    )


@pytest.mark.parametrize("every", ["all", "hour", "day", "week", "month"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Kathmandu"])
def test_what_a_time_is_made_of_is_the_time_once(every: str, zone: str) -> None:
    time = asked_of("2026-02-10", "2026-04-20", zone, every)  # type: ignore[arg-type]  # one of EVERY
    made = cover(time.bounds)
    ranges = sorted((*made.months, *made.days, *made.quarters))
    assert ranges[0][0] == time.start_us
    assert ranges[-1][1] == time.end_us
    assert all(end == start for (_, end), (start, _) in pairwise(ranges))


def test_a_time_that_is_none_is_refused_by_name() -> None:
    utc = zone_of("UTC")
    with pytest.raises(QuestionError, match="must be after from"):
        asked(at("2026-11-02T00:00:00Z"), at("2026-11-01T00:00:00Z"), "all", utc)
    with pytest.raises(QuestionError, match="quarters of an hour"):
        asked(at("2026-11-01T00:00:01Z"), at("2026-11-02T00:00:00Z"), "all", utc)
    with pytest.raises(QuestionError, match="tz Mars/Olympus"):
        asked_of("2026-11-01", "2026-11-02", "Mars/Olympus")
    with pytest.raises(QuestionError, match="from yesterday"):
        asked_of("yesterday", "2026-11-02", "UTC")
    with pytest.raises(QuestionError, match="10000 periods"):
        asked_of("2020-01-01", "2026-01-01", "UTC", "hour")


def test_instants_are_told_with_their_offset() -> None:
    assert local_text(at("2026-11-18T12:00:00Z"), zone_of("UTC")) == "2026-11-18T12:00:00Z"
    assert local_text(at("2026-11-18T12:00:00Z"), zone_of("-03:30")) == "2026-11-18T08:30:00-03:30"
