"""A thread that does one kind of work a step at a time and outlives failures of what it depends on."""

import logging
import threading
from collections.abc import Callable

from runtime.clock import Clock
from runtime.errors import InfrastructureError

_LOG = logging.getLogger(__name__)
_PAUSE_FIRST_S, _PAUSE_MAX_S = 0.1, 5.0
_JOIN_S = 10.0


class WorkerEndedError(InfrastructureError):
    """A thread of the process ended in a failure: the process stops, and its supervisor starts it again."""


class Worker:
    """Calls `step` again and again; it returns how many seconds to wait, and `wake` cuts that short.

    Args:
        name: of the thread, for people.
        step: the work; InfrastructureError is tried again within `budget_s`, anything else ends the thread.
        close: called in the thread at its end.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], float],
        close: Callable[[], None],
        clock: Clock,
        *,
        budget_s: float,
    ) -> None:
        self._name = name
        self._step = step
        self._close = close
        self._clock = clock
        self._budget_s = budget_s
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Work from now on."""
        self._thread.start()

    def wake(self) -> None:
        """There is something to do."""
        self._wake.set()

    def stop(self) -> None:
        """End after the step under way; one that does not end is left behind with the process."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)

    def check(self) -> None:
        """Raises WorkerEndedError where the thread ended in a failure."""
        if self._failure is not None:
            raise WorkerEndedError(f"{self._name}: {self._failure}") from self._failure

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - `check` raises it in the thread that ends the process
            _LOG.critical("the thread of the %s ends", self._name, exc_info=True)
            self._failure = error
        finally:
            self._close()

    def _work(self) -> None:
        failing_since_s: float | None = None
        pause_s = _PAUSE_FIRST_S
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                wait_s = self._step()
                failing_since_s, pause_s = None, _PAUSE_FIRST_S
            except InfrastructureError as error:
                now_s = self._clock.monotonic_s()
                failing_since_s = failing_since_s if failing_since_s is not None else now_s
                if now_s - failing_since_s >= self._budget_s:
                    raise
                _LOG.warning("%s: %s; again in %.1f s", self._name, error, pause_s)
                self._stopping.wait(pause_s)
                pause_s = min(pause_s * 2, _PAUSE_MAX_S)
                continue
            if wait_s > 0:
                self._wake.wait(wait_s)
