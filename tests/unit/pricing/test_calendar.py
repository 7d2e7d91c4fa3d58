"""Local time: zones, schedules, billing periods."""

from datetime import UTC, datetime

import pytest

from pricing.calendar import BillingCalendar, zones
from pricing.cards import BillingUnit, Zone


def at(text: str) -> int:
    """An instant in UTC, in microseconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


# +01:00, and +02:00 from the last Sunday of March to the last one of October, both at 01:00 UTC.
BERLIN = Zone(
    "Europe/Berlin",
    (
        (at("2025-10-26T01:00"), 3600),
        (at("2026-03-29T01:00"), 7200),
        (at("2026-10-25T01:00"), 3600),
        (at("2027-03-28T01:00"), 7200),
    ),
)
ZONES = zones((BERLIN,))


def period(unit: BillingUnit, instant: str, anchor: int = 1, zone: str = "UTC") -> tuple[str, str]:
    found = BillingCalendar(unit, anchor, ZONES(zone)).period(at(instant))
    first, last = (datetime.fromtimestamp(us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M") for us in found)
    return first, last


@pytest.mark.parametrize(
    ("instant", "expected"),
    [
        ("2026-02-27T23:59", ("2026-01-31T00:00", "2026-02-28T00:00")),
        ("2026-02-28T00:00", ("2026-02-28T00:00", "2026-03-31T00:00")),
        ("2026-03-31T00:00", ("2026-03-31T00:00", "2026-04-30T00:00")),
    ],
)
def test_a_month_anchored_on_the_31st_begins_on_the_last_day_of_shorter_months(
    instant: str, expected: tuple[str, str]
) -> None:
    assert period("month", instant, 31) == expected
