"""The machine's clock, and one that is made wrong."""

import time

import pytest

from runtime.clock import OFFSET_VARIABLE, SystemClock
from runtime.settings import SettingsError


def test_the_offset_moves_the_time_of_day_and_no_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OFFSET_VARIABLE, "-3600")
    clock = SystemClock()
    assert abs(clock.now_us() - (time.time_ns() // 1000 - 3_600_000_000)) < 60_000_000
    assert abs(clock.monotonic_s() - time.monotonic()) < 60


def test_without_one_it_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(OFFSET_VARIABLE, raising=False)
    assert abs(SystemClock().now_us() - time.time_ns() // 1000) < 60_000_000


def test_an_offset_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OFFSET_VARIABLE, "1h")
    with pytest.raises(SettingsError, match="RATESTREAM_CLOCK_OFFSET_S = '1h': must be a whole number"):
        SystemClock()
