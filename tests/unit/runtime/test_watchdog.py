"""A call that does not return is noticed; one that does is not."""

import queue
import threading

from runtime.clock import SystemClock
from runtime.watchdog import Watchdog


def test_a_call_that_does_not_return_is_reported() -> None:
    reported: queue.Queue[str] = queue.Queue()
    dog = Watchdog(SystemClock(), hung=reported.put)
    with dog.within(0.1, "the call"):
        assert reported.get(timeout=30) == "the call did not return within 0.1 s"


def test_a_call_that_returned_or_failed_is_not() -> None:
    reported: list[str] = []
    looked = threading.Event()

    class Clock(SystemClock):
        """Says that the watchdog has looked once more after the last call."""

        def monotonic_s(self) -> float:
            if threading.current_thread() is not threading.main_thread():
                looked.set()
            return super().monotonic_s()

    dog = Watchdog(Clock(), hung=reported.append)
    for error in (None, ValueError("a failure is not a hang")):
        try:
            with dog.within(0.01, "an earlier call"):
                if error is not None:
                    raise error
        except ValueError:
            pass
    with dog.within(600, "the call under way"):
        assert looked.wait(30)
    assert reported == []
