"""Ends the process when a call into a library does not come back: nothing inside it can interrupt the call.

A process that hangs is worse than one that is gone: it keeps its slot and its place, and nobody restarts it.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from runtime.clock import Clock
from runtime.errors import InfrastructureError

_LOG = logging.getLogger(__name__)
_LOOK_S = 0.5


def end_process(what: str) -> None:
    """Exit at once, with the code of an infrastructure failure and without any clean-up."""
    _LOG.critical("stopped: %s", what)
    os._exit(InfrastructureError.exit_code)


class Watchdog:
    """Watches one call at a time, from a thread that the first one starts.

    Args:
        clock: for deadlines.
        hung: called, from the watchdog's thread, with a sentence about the call that did not return.
    """

    def __init__(self, clock: Clock, hung: Callable[[str], None] = end_process) -> None:
        self._clock = clock
        self._hung = hung
        self._watched: tuple[float, str] | None = None
        self._thread: threading.Thread | None = None

    @contextmanager
    def within(self, limit_s: float, what: str) -> Iterator[None]:
        """The body must end within so many seconds. It is one call; bodies are not nested."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
            self._thread.start()
        self._watched = (self._clock.monotonic_s() + limit_s, f"{what} did not return within {limit_s:g} s")
        try:
            yield
        finally:
            self._watched = None

    def _watch(self) -> None:
        pause = threading.Event()
        late = None
        while not pause.wait(_LOOK_S):
            watched = self._watched
            if watched is None or self._clock.monotonic_s() <= watched[0]:
                late = None
            elif watched is late:
                self._hung(watched[1])
                return
            else:
                # Seen a second time before it counts: a process that stood still as a whole may go on now.
                late = watched
