"""Whether a service gets on: what its loop says of itself, and the thread that ends a process that does not.

Progress is any of: a position moved, a restore advanced, a retry within its budget is under way. A process
that owns a partition with lag and does none of these for the limit is ended with a message: its supervisor
starts it again, and nothing inside the process could interrupt the call that hangs.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from runtime.clock import Clock

_LOG = logging.getLogger(__name__)
STUCK_EXIT_CODE = 70
_STOP_S = 2.0

Where = tuple[str, int]
"""Topic, as it is named on the broker, and partition."""


def end_stuck(what: str) -> None:
    """Exit at once, without any clean-up: whatever would clean up may be what hangs."""
    _LOG.critical("stopped: %s", what)
    os._exit(STUCK_EXIT_CODE)


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a position is behind. `records` counts offsets; 0 where only transactions' markers are left."""

    records: int
    seconds: float


class LagUnknownError(Exception):
    """The broker did not tell: it is away. That is no stall of the process."""


class Progress:
    """What a service's loop tells of itself; other threads read. Each call costs less than a microsecond.

    The loop calls `turned` each round and `stands` with the positions behind what is done for good; around
    what may take long within a budget of its own it opens `budget`.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._budgets: dict[int, tuple[str, float]] = {}
        self._budgets_begun = 0
        self.turned_s = clock.monotonic_s()
        self.turned_us = clock.now_us()
        self.advanced = 0
        """Grows with each step of a restore."""
        self.positions: Mapping[Where, int] = {}
        self.assigned = False
        """Whether the group has answered: a member without partitions stands by and is ready."""
        self.excused: Mapping[int, str] = {}
        """Partitions that wait for something that no restart mends, and for what."""
        self.problems: dict[str, str] = {}
        """Dependencies that failed the last time the loop asked them, and how."""

    def turned(self, *, assigned: bool | None = None) -> None:
        """The loop began a round; where it knows, whether its group has answered."""
        if assigned is not None:
            self.assigned = assigned
        self.turned_s = self._clock.monotonic_s()
        self.turned_us = self._clock.now_us()

    def stands(self, positions: Mapping[Where, int]) -> None:
        """The partitions owned and restored, and where each goes on; a mapping that nobody changes later."""
        self.positions = positions
        self.assigned = True

    def gave_up(self) -> None:
        """No partition is owned."""
        self.positions, self.excused, self.assigned = {}, {}, False

    def advance(self) -> None:
        """A restore took one more step: it stands for the loop, which waits for it."""
        self.advanced += 1
        self.turned_s = self._clock.monotonic_s()

    def excuse(self, partitions: Mapping[int, str]) -> None:
        """These partitions, and no others, wait for what is said; told again each round."""
        self.excused = partitions

    def found(self, dependency: str, problem: str | None) -> None:
        """How a dependency answered just now; None: well."""
        with self._lock:
            if problem is None:
                self.problems.pop(dependency, None)
            else:
                self.problems[dependency] = problem

    @contextmanager
    def budget(self, what: str, limit_s: float) -> Iterator[None]:
        """The body may take so many seconds before it counts as a stall. From any thread; may be nested."""
        with self._lock:
            self._budgets_begun += 1
            mine = self._budgets_begun
            self._budgets[mine] = (what, self._clock.monotonic_s() + limit_s)
        try:
            yield
        finally:
            with self._lock:
                del self._budgets[mine]

    def within_budget(self) -> str | None:
        """What takes its time within its budget, if anything does."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            return next((what for what, end_s in self._budgets.values() if now_s < end_s), None)

    def over_budget(self) -> str | None:
        """What has used up its budget and goes on, if anything does."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            return next((what for what, end_s in self._budgets.values() if now_s >= end_s), None)


class LagSource(Protocol):
    """Tells lag, from the broker."""

    def __call__(self, positions: Mapping[Where, int]) -> Mapping[Where, Lag]:
        """The lag of each position. Raises LagUnknownError."""
        ...


class ProgressWatchdog:
    """Looks at lag and progress in a thread of its own.

    Time counts towards the limit only between two looks at which the broker answered, and at most two looks'
    worth at once: neither a broker that is away nor a machine that slept is a stall of the process. Time
    within a budget does not count, and does not make up for time that did: a busy loop is often in one.

    Args:
        progress: what the loop tells.
        lag: asks the broker; a look, so it may take some seconds.
        clock: for deadlines.
        limit_s: how long a partition with lag may stand still.
        look_s: between two looks.
        on_stuck: given the message.
        looked: called after each look with the lags, None when the broker did not answer.
        ended: called in the thread at its end, to release what `lag` holds.
    """

    def __init__(
        self,
        progress: Progress,
        lag: LagSource,
        clock: Clock,
        *,
        limit_s: float = 60.0,
        look_s: float = 5.0,
        on_stuck: Callable[[str], None] = end_stuck,
        looked: Callable[[Mapping[Where, Lag] | None], None] = lambda _lags: None,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._progress = progress
        self._lag = lag
        self._clock = clock
        self._limit_s = limit_s
        self._look_s = min(look_s, limit_s / 4)
        self._on_stuck = on_stuck
        self._looked = looked
        self._ended = ended
        self._still: dict[Where, tuple[int, float]] = {}  # position, and for how long it has stood there
        self._over: tuple[str | None, float] = None, 0.0  # what is beyond its budget, and for how long
        self._advanced = 0
        self._looked_s = clock.monotonic_s()
        self._away = False
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Look from now on."""
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more; a look under way that waits for the broker is not waited for."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_STOP_S)

    def _run(self) -> None:
        while not self._stopping.wait(self._look_s):
            stuck = self.look()
            if stuck is not None and not self._stopping.is_set():
                self._on_stuck(stuck)
                break
        self._ended()

    def look(self) -> str | None:
        """One look. Returns what is stuck, in a sentence, once it has been for the limit."""
        progress = self._progress
        positions = progress.positions
        try:
            lags: Mapping[Where, Lag] | None = self._lag(positions)
        except LagUnknownError as error:
            lags = None
            if not self._away:
                _LOG.warning("lag is unknown, no stall is counted until it is: %s", error)
        self._away = lags is None
        now_s = self._clock.monotonic_s()
        passed_s, self._looked_s = min(now_s - self._looked_s, 2 * self._look_s), now_s
        self._looked(lags)
        if lags is None:
            return None
        advanced, self._advanced = self._advanced != progress.advanced, progress.advanced
        excused = advanced or progress.within_budget() is not None
        self._still = {
            where: self._stood(where, position, 0.0 if excused else passed_s)
            for where, position in positions.items()
            if lags[where].records > 0 and where[1] not in progress.excused
        }
        over = None if excused else progress.over_budget()
        self._over = over, self._over[1] + passed_s if over is not None and over == self._over[0] else 0.0
        stuck = [where for where, (_, still_s) in self._still.items() if still_s >= self._limit_s]
        if not stuck and self._over[1] < self._limit_s:
            return None
        return self._message(stuck, positions, lags)

    def _stood(self, where: Where, position: int, passed_s: float) -> tuple[int, float]:
        before = self._still.get(where)
        # Lag that was not there at the last look began somewhere in between: it counts from now.
        if before is None or before[0] != position:
            return position, 0.0
        return position, before[1] + passed_s

    def _message(self, stuck: list[Where], positions: Mapping[Where, int], lags: Mapping[Where, Lag]) -> str:
        told = [
            f"{topic} {partition} at {positions[topic, partition]} with a lag of "
            f"{lags[topic, partition].records} (the oldest of {lags[topic, partition].seconds:.0f} s)"
            for topic, partition in sorted(stuck)
        ]
        if self._over[0] is not None:
            told.append(f"beyond its budget: {self._over[0]}")
        quiet_s = self._clock.monotonic_s() - self._progress.turned_s
        told.append(f"the loop last moved {quiet_s:.0f} s ago")
        return f"no progress for {self._limit_s:g} s: {'; '.join(told)}"
