"""The clock, passed in: nothing else asks the operating system for the time.

RATESTREAM_CLOCK_OFFSET_S=3600 makes the clock of a process wrong by so many seconds: so tests show
that nothing that is billed depends on it. Deadlines do not move.
"""

import time
from typing import Protocol

from runtime.settings import SettingsError, process_environment

OFFSET_VARIABLE = "RATESTREAM_CLOCK_OFFSET_S"


class Clock(Protocol):
    """What a part may know about time; tests bring their own."""

    def now_us(self) -> int:
        """Return microseconds since 1970-01-01T00:00:00Z."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds that never go back: for deadlines, never for records."""
        ...


class SystemClock:
    """The machine's clock, wrong by `offset_s`, or by what the environment says: mostly nothing.

    Raises:
        SettingsError: the environment's offset is no whole number of seconds.
    """

    def __init__(self, offset_s: int | None = None) -> None:
        self._offset_us = (_ordered_offset_s() if offset_s is None else offset_s) * 1_000_000

    def now_us(self) -> int:
        """Return microseconds since 1970-01-01T00:00:00Z."""
        return time.time_ns() // 1000 + self._offset_us

    def monotonic_s(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()


def _ordered_offset_s() -> int:
    text = process_environment().get(OFFSET_VARIABLE, "0")
    try:
        return int(text)
    except ValueError:
        raise SettingsError(f"{OFFSET_VARIABLE} = {text!r}: must be a whole number of seconds") from None
