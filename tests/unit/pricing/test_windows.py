"""Hours, days and weeks by local time: instants worked out by hand, over clock changes in both directions."""

import pytest

from pricing.calendar import ZoneTable, zones
from pricing.windows import WINDOWS, clock_windows, window_end, window_start
from rate_book.zones import resolve
from tests.unit.pricing.local_times import at, text

ZONES = zones(resolve(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]))

# zone, instant, kind, start, end: all UTC.
CASES = """
UTC                 2026-12-31T23:59  hour 2026-12-31T23:00 2027-01-01T00:00
UTC                 2026-12-31T23:59  day  2026-12-31T00:00 2027-01-01T00:00
UTC                 2026-12-31T23:59  week 2026-12-28T00:00 2027-01-04T00:00
UTC                 2027-01-04T00:00  week 2027-01-04T00:00 2027-01-11T00:00
UTC                 1969-12-31T23:45  hour 1969-12-31T23:00 1970-01-01T00:00
Europe/Berlin       2026-12-31T23:30  hour 2026-12-31T23:00 2027-01-01T00:00
Europe/Berlin       2026-12-31T23:30  day  2026-12-31T23:00 2027-01-01T23:00
Europe/Berlin       2026-12-31T22:45  day  2026-12-30T23:00 2026-12-31T23:00
Europe/Berlin       2026-12-31T23:30  week 2026-12-27T23:00 2027-01-03T23:00
Europe/Berlin       2026-03-29T00:45  hour 2026-03-29T00:00 2026-03-29T01:00
Europe/Berlin       2026-03-29T01:00  hour 2026-03-29T01:00 2026-03-29T02:00
Europe/Berlin       2026-03-29T12:00  day  2026-03-28T23:00 2026-03-29T22:00
Europe/Berlin       2026-03-29T12:00  week 2026-03-22T23:00 2026-03-29T22:00
Europe/Berlin       2026-10-25T00:45  hour 2026-10-25T00:00 2026-10-25T01:00
Europe/Berlin       2026-10-25T01:45  hour 2026-10-25T01:00 2026-10-25T02:00
Europe/Berlin       2026-10-25T01:45  day  2026-10-24T22:00 2026-10-25T23:00
Europe/Berlin       2026-10-25T22:59  week 2026-10-18T22:00 2026-10-25T23:00
Europe/Berlin       2026-10-25T23:00  week 2026-10-25T23:00 2026-11-01T23:00
America/New_York    2026-03-08T06:45  hour 2026-03-08T06:00 2026-03-08T07:00
America/New_York    2026-03-08T07:15  hour 2026-03-08T07:00 2026-03-08T08:00
America/New_York    2026-03-08T07:15  day  2026-03-08T05:00 2026-03-09T04:00
America/New_York    2026-11-01T05:15  hour 2026-11-01T05:00 2026-11-01T06:00
America/New_York    2026-11-01T06:15  hour 2026-11-01T06:00 2026-11-01T07:00
America/New_York    2026-11-01T06:15  day  2026-11-01T04:00 2026-11-02T05:00
America/New_York    2026-11-01T06:15  week 2026-10-26T04:00 2026-11-02T05:00
Asia/Kolkata        2026-06-01T10:15  hour 2026-06-01T09:30 2026-06-01T10:30
Asia/Kolkata        2026-06-01T10:30  hour 2026-06-01T10:30 2026-06-01T11:30
Asia/Kolkata        2026-05-31T18:30  day  2026-05-31T18:30 2026-06-01T18:30
Asia/Kolkata        2026-05-31T18:15  day  2026-05-30T18:30 2026-05-31T18:30
Asia/Kolkata        2026-05-31T18:30  week 2026-05-31T18:30 2026-06-07T18:30
+05:45              2026-06-01T10:00  hour 2026-06-01T09:15 2026-06-01T10:15
Australia/Lord_Howe 2026-04-04T14:45  hour 2026-04-04T14:00 2026-04-04T15:00
Australia/Lord_Howe 2026-04-04T15:15  hour 2026-04-04T15:00 2026-04-04T15:30
Australia/Lord_Howe 2026-04-04T15:45  hour 2026-04-04T15:30 2026-04-04T16:30
Australia/Lord_Howe 2026-04-04T15:15  day  2026-04-04T13:00 2026-04-05T13:30
Australia/Lord_Howe 2026-10-03T15:15  hour 2026-10-03T14:30 2026-10-03T15:30
Australia/Lord_Howe 2026-10-03T15:45  hour 2026-10-03T15:30 2026-10-03T16:00
Australia/Lord_Howe 2026-10-03T16:15  hour 2026-10-03T16:00 2026-10-03T17:00
Australia/Lord_Howe 2026-10-03T15:45  day  2026-10-03T13:30 2026-10-04T13:00
"""


@pytest.mark.parametrize("case", CASES.strip().splitlines())
def test_a_window_of_an_instant(case: str) -> None:
    name, instant, kind, start, end = case.split()
    zone = ZONES(name)
    start_us = window_start(kind, at(instant), zone)
    assert (text(start_us), text(window_end(kind, start_us, zone))) == (start, end)
    assert window_start(kind, start_us, zone) == start_us
    spans = dict(zip(WINDOWS, clock_windows(at(instant), zone), strict=False))
    assert spans[kind] == (at(start), at(end))


@pytest.mark.parametrize("kind", ["hour", "day", "week"])
@pytest.mark.parametrize("name", ["Europe/Berlin", "Australia/Lord_Howe"])
def test_windows_follow_each_other_without_gap_or_overlap(kind: str, name: str) -> None:
    zone: ZoneTable = ZONES(name)
    at_us = window_start(kind, at("2026-03-01T00:00"), zone)
    while at_us < at("2026-12-01T00:00"):
        end_us = window_end(kind, at_us, zone)
        assert end_us > at_us
        assert window_start(kind, end_us - 1, zone) == at_us
        assert window_start(kind, end_us, zone) == end_us
        at_us = end_us


@pytest.mark.parametrize("kind", ["period", "lifetime", "year"])
def test_other_windows_do_not_follow_from_an_instant(kind: str) -> None:
    with pytest.raises(ValueError, match="only hour, day and week"):
        window_start(kind, 0, ZONES("UTC"))
    with pytest.raises(ValueError, match=kind):
        window_end(kind, 0, ZONES("UTC"))
