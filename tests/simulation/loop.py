"""An event loop of asyncio that waits by the schedule: every turn of it is the seed's."""

import asyncio
from asyncio import base_events
from collections.abc import Callable, Coroutine
from typing import Any

from tests.simulation.schedule import SECOND_US, Schedule

_LONG_US = 3_600 * SECOND_US


class SimLoop(base_events.BaseEventLoop):
    """Timers by the simulated clock; threads are calls at once; nothing of the machine is asked."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self._schedule = schedule
        self._selector = self
        self._unwinding = False

    def time(self) -> float:
        return (self._schedule.now_us - self._schedule.start_us) / SECOND_US

    def select(self, timeout: float | None) -> list[object]:
        """What BaseEventLoop asks of its selector: let time pass, or others run."""
        if self._unwinding:
            return []
        if timeout is not None and timeout <= 0:
            self._schedule.effect("a turn of the event loop")
            return []
        wait_us = _LONG_US if timeout is None else int(timeout * SECOND_US) + 1
        self._schedule.wait(self._schedule.now_us + wait_us, self._is_ready)
        return []

    def _is_ready(self) -> bool:
        return bool(self._ready)  # type: ignore[attr-defined]  # BaseEventLoop's queue

    def _process_events(self, event_list: list[object]) -> None:
        """There are none: answers come by call_soon."""

    def _write_to_self(self) -> None:
        """Nobody sleeps in a system call."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """What a crash leaves behind is not told."""

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":  # type: ignore[override]  # nothing is generic here
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - told to whoever awaits it
            future.set_exception(error)
        return future

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run to the end, and leave no task behind whatever the end is."""
        try:
            self.run_until_complete(work)
        finally:
            self._unwinding = True
            left = asyncio.all_tasks(self)
            for task in left:
                task.cancel()
            ends = asyncio.gather(*left, return_exceptions=True) if left else None
            if ends is not None:
                ends.add_done_callback(lambda _: self.stop())
            # Not run_until_complete: where a crash came in the turn that would have ended the loop, the end
            # still waits to be called, and stops it once more.
            while ends is not None and not ends.done():
                self.run_forever()
            self.close()
