"""Prices by the hour: windows, midnight, weekdays, holidays, zones; versions that change within a window."""

from dataclasses import replace

import pytest

from pricing.cards import BookContent, CardVersion, Multiplier, Schedule, Window, Zone
from pricing.instants import DAY_US
from tests.unit.pricing.build import PROCESSING, M, book, card, cell, cost, variant

HOUR = 3_600_000_000
WEDNESDAY = 20_775 * DAY_US  # 2026-11-18T00:00:00Z
USAGE = {"input_tokens": M}

PEAK = Schedule(
    "hours",
    "standard",
    (
        Window("peak", "09:00", "12:00", ("mon", "tue", "wed", "thu", "fri")),
        Window("night", "22:00", "06:00"),
    ),
    holidays=("2026-11-19",),
)


def hourly(schedule: Schedule = PEAK) -> CardVersion:
    return CardVersion(
        cell({"input_tokens": "2"}),
        schedules=(schedule,),
        variants=(
            variant({"input_tokens": "3"}, hours="peak"),
            variant({"input_tokens": "1"}, hours="night"),
        ),
    )


@pytest.mark.parametrize(
    ("after_wednesday_us", "rate"),
    [
        (9 * HOUR - 1, "2"),  # before the window
        (9 * HOUR, "3"),  # its first instant
        (12 * HOUR - 1, "3"),  # its last one
        (12 * HOUR, "2"),  # the end is excluded
        (22 * HOUR - 1, "2"),
        (22 * HOUR, "1"),  # the night begins
        (24 * HOUR, "1"),  # midnight is in it
        (30 * HOUR - 1, "1"),
        (30 * HOUR, "2"),  # 06:00 of Thursday
        (24 * HOUR + 10 * HOUR, "2"),  # Thursday the 19th is a holiday: no weekday
        (2 * 24 * HOUR + 10 * HOUR, "3"),  # Friday
        (3 * 24 * HOUR + 10 * HOUR, "2"),  # Saturday
    ],
)
def test_the_hour_and_the_day_of_the_event_decide(after_wednesday_us: int, rate: str) -> None:
    line = cost(book(card(hourly())), USAGE, at_us=WEDNESDAY + after_wednesday_us).lines[0]
    assert line.rate == rate


def test_hours_are_those_of_the_schedules_zone() -> None:
    """09:00 at +08:00 is 01:00 UTC; in the zone of the book, an hour east, 08:00 UTC."""
    window = (Window("peak", "09:00", "10:00"),)
    peak = (variant({"input_tokens": "3"}, hours="peak"),)
    here, there = (
        replace(hourly(Schedule("hours", "standard", window, zone=zone)), variants=peak)
        for zone in ("+08:00", "Near/East")
    )
    east, near = card(here), card(there, model="near")
    priced_by = book(content=BookContent((east, near), zones=(Zone("Near/East", ((0, 3600),)),)))
    rates = {
        hour: [
            cost(priced_by, USAGE, model=model, at_us=WEDNESDAY + hour * HOUR).lines[0].rate
            for model in ("m", "near")
        ]
        for hour in (0, 1, 8, 9)
    }
    assert rates == {0: ["2", "2"], 1: ["3", "2"], 8: ["2", "3"], 9: ["2", "2"]}


def test_the_context_must_not_say_the_hour() -> None:
    line = cost(book(card(hourly())), USAGE, context={"hours": "night"}).lines[0]
    assert (line.status, line.explain) == (
        "unpriced",
        "card p/m: hours follows from the time of the event, the context must not name it",
    )


def test_hours_and_context_together_need_a_cell_for_both() -> None:
    """Batch at peak has no cell, unless a multiplier stands for batch: then 3 x 0.5 = 1.5."""
    at_ten = WEDNESDAY + 10 * HOUR
    without = card(replace(hourly(), context=(PROCESSING,)))
    assert (
        cost(book(without), USAGE, at_us=at_ten, processing="batch").lines[0].explain
        == "card p/m: no prices for the context hours=peak, processing=batch"
    )
    half = Multiplier("batch", "0.5", (("processing", "batch"),))
    stacked = card(replace(hourly(), context=(PROCESSING,), multipliers=(half,)))
    assert cost(book(stacked), USAGE, at_us=at_ten, processing="batch").lines[0].rate == "1.5"


def test_a_version_may_begin_in_the_middle_of_a_window() -> None:
    """Prices double at 10:00, peak or not."""
    ten = WEDNESDAY + 10 * HOUR
    first = replace(hourly(), valid_to_us=ten)
    dearer = CardVersion(
        cell({"input_tokens": "4"}),
        ten,
        schedules=(PEAK,),
        variants=(
            variant({"input_tokens": "6"}, hours="peak"),
            variant({"input_tokens": "2"}, hours="night"),
        ),
    )
    priced_by = book(card(first, dearer))
    rates = [
        cost(priced_by, USAGE, at_us=at).lines[0].rate
        for at in (ten - 1, ten, ten + 2 * HOUR, ten + 12 * HOUR)
    ]
    assert rates == ["3", "6", "4", "2"]


def test_the_line_says_the_hours() -> None:
    explained = cost(book(card(hourly())), USAGE, at_us=WEDNESDAY + 9 * HOUR).lines[0].explain
    assert explained == "card p/m: input_tokens at its own rate; hours=peak"
