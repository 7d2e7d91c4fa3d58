"""Instants as text, to the microsecond."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InvalidEvent
from schemas.instants import format_instant, parse_instant

YEAR_1_US = -62_135_596_800_000_000
YEAR_9999_US = 253_402_300_799_999_999


@pytest.mark.parametrize(
    ("text", "instant_us"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.1Z", 100_000),
        ("1969-12-31T23:59:59.999999Z", -1),
        ("1970-01-01t01:00:00+01:00", 0),
        ("1970-01-01 00:00:01z", 1_000_000),
        ("1969-12-31T19:30:00-04:30", 0),
    ],
)
def test_an_instant_is_read_exactly(text: str, instant_us: int) -> None:
    assert parse_instant(text, "time") == instant_us


@given(st.integers(YEAR_1_US, YEAR_9999_US))
def test_an_instant_comes_back_as_it_went(instant_us: int) -> None:
    assert parse_instant(format_instant(instant_us), "time") == instant_us


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "2026-11-18", "2026-11-18T12:00:00", "2026-11-18T12:00Z", "2026-11-18T12:00:60Z",
        "2026-13-01T00:00:00Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00x", "2026-11-18T12:00:00.Z",
        "2026-11-18T12:00:00.1234567Z", "2026-11-18T12:00:00+0100", "2026-11-18T12:00:00+01:60",
        "2026-11-18T12:00:00-00:99", "2026-11-18T12:00:00+24:00", "٢٠٢٦-11-18T12:00:00Z",
    ],
)  # fmt: skip
def test_what_is_no_exact_instant_is_refused(text: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        parse_instant(text, "--start")
    assert caught.value.field == "--start"


def test_an_instant_beyond_the_calendar_is_refused() -> None:
    for instant_us in (YEAR_9999_US + 1, YEAR_1_US - 1, 2**63 - 1):
        with pytest.raises(InvalidEvent):
            format_instant(instant_us)
