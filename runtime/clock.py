"""The clock, passed in: nothing else asks the operating system for the time."""

import time
from typing import Protocol


class Clock(Protocol):
    """What a part may know about time; tests bring their own."""

    def now_us(self) -> int:
        """Return microseconds since 1970-01-01T00:00:00Z."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds that never go back: for deadlines, never for records."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_us(self) -> int:
        """Return microseconds since 1970-01-01T00:00:00Z."""
        return time.time_ns() // 1000

    def monotonic_s(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()
