"""Who runs next, and what time it is: one seed decides, and nothing of the machine does.

Each task is a thread, but only the one that has the baton runs; it goes on until it comes to an effect or
waits, and there the seed may give the baton to another, stop the process for long, or end it.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any

SECOND_US = 1_000_000
_STEPS_MAX = 200_000
_KEPT = 300


class SimulatedCrash(BaseException):
    """The process is gone: nothing in it runs any more."""


class StuckError(AssertionError):
    """The world does not come to rest."""


@dataclass(eq=False)
class Process:
    """What dies, or stands still, as a whole. `fragile`: faults may hit it now."""

    name: str
    dead: bool = False
    fragile: bool = True
    paused_until_us: int = 0
    on_pause: list[Callable[[int], None]] = field(default_factory=list)
    slow_until_us: int = 0
    on_slow: list[Callable[[], None]] = field(default_factory=list)
    on_death: list[Callable[[], None]] = field(default_factory=list)


class Task:
    """One thread; without a process it is the world's own."""

    def __init__(self, name: str, process: Process | None) -> None:
        self.name = name
        self.process = process
        self.baton = threading.Lock()
        self.baton.acquire()
        self.wake_us = 0
        self.ready: Callable[[], bool] | None = None
        self.checked = -1
        self.ended = False
        self.error: BaseException | None = None

    def runs_at(self, now_us: int, changes: int) -> bool:
        """`changes`: only where it has grown what it waits for is looked at again."""
        process = self.process
        if process is not None:
            if process.dead:
                return True  # to unwind
            if process.paused_until_us > now_us:
                return False
        if self.wake_us <= now_us:
            return True
        if self.ready is None or self.checked == changes:
            return False
        self.checked = changes
        return self.ready()


class _Worker:
    """A thread that is used again, seed after seed."""

    idle: "list[_Worker]" = []  # noqa: RUF012 - one pool a process, on purpose

    def __init__(self) -> None:
        self._given = threading.Lock()
        self._given.acquire()
        self._work: Callable[[], None] = lambda: None
        threading.Thread(target=self._loop, daemon=True).start()

    def give(self, work: Callable[[], None]) -> None:
        self._work = work
        self._given.release()

    def _loop(self) -> None:
        while True:
            self._given.acquire()
            self._work()


class Schedule:
    """The baton, the clock and the dice."""

    running: "Schedule"
    """Of the world that runs: a module's clock belongs to no process."""

    def __init__(self, seed: int, start_us: int) -> None:
        Schedule.running = self
        self.random = Random(seed)
        self.start_us = start_us
        self.now_us = start_us
        self.steps = 0
        self.seen: Counter[str] = Counter()
        self.kept: deque[str] = deque(maxlen=_KEPT)
        self.crash_rate = self.pause_rate = 0.0
        self.switch_rate = 0.12
        self.changes = 0
        """Grows with whatever somebody may wait for."""
        self.quiet = False
        """No more faults."""
        self._hash = blake2b(digest_size=8)
        self._main = Task("world", None)
        self.current = self._main
        self.tasks = [self._main]
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = count()

    # --- the trace ---

    def note(self, what: str) -> None:
        """A line of the trace: what a replay must repeat."""
        line = f"{(self.now_us - self.start_us) / SECOND_US:9.3f} {self.current.name}: {what}"
        self.kept.append(line)
        self._hash.update(line.encode())

    def saw(self, what: str, times: int = 1) -> None:
        """Counted for the table of what was injected and seen."""
        self.seen[what] += times

    @property
    def digest(self) -> str:
        """Of the whole trace."""
        return self._hash.hexdigest()

    # --- tasks ---

    def spawn(self, name: str, process: Process | None, work: Callable[[], Any]) -> Task:
        """Another task; it begins when the baton comes to it."""
        task = Task(name, process)
        worker = _Worker.idle.pop() if _Worker.idle else _Worker()

        def body() -> None:
            task.baton.acquire()
            try:
                if process is None or not process.dead:
                    work()
            except BaseException as error:  # noqa: BLE001 - told to whoever looks after the task
                task.error = error
            task.ended = True
            self.changes += 1
            self.tasks.remove(task)
            _Worker.idle.append(worker)
            self._pick().baton.release()

        self.tasks.append(task)
        worker.give(body)
        return task

    def at(self, when_us: int, act: Callable[[], None]) -> None:
        """Something that happens by itself at that time."""
        heappush(self._events, (when_us, next(self._numbers), act))

    def after(self, delay_us: int, act: Callable[[], None]) -> None:
        """The same, from now."""
        self.at(self.now_us + delay_us, act)

    def wait(self, until_us: int, ready: Callable[[], bool] | None = None) -> None:
        """Let others run until that time, or until it is ready before.

        Raises:
            SimulatedCrash: the process died meanwhile.
        """
        task = self.current
        self._check(task)
        task.wake_us, task.ready, task.checked = until_us, ready, -1
        following = self._pick()
        if following is not task:
            following.baton.release()
            task.baton.acquire()
        task.ready = None
        self._check(task)

    def sleep(self, seconds: float) -> None:
        """As time.sleep."""
        self.wait(self.now_us + max(0, int(seconds * SECOND_US)))

    def effect(self, what: str) -> None:
        """A call out of the process: here it may die, stand still, or others may come first.

        Raises:
            SimulatedCrash: it dies here, or has died.
        """
        task = self.current
        self._check(task)
        random = self.random.random
        self.now_us += int(random() * 400)
        process = task.process
        if process is None:
            return
        dice = random()
        if process.fragile and not self.quiet:
            if dice < self.crash_rate:
                self.saw(f"crash: {process.name.split('-')[0]} at {what}")
                self.kill(process)
                raise SimulatedCrash
            dice -= self.crash_rate
            if dice < self.pause_rate:
                self.saw(f"stands still: {process.name.split('-')[0]}")
                self.pause(process, int((2 + 60 * random() ** 2) * SECOND_US))
                self.wait(self.now_us)
                return
            dice -= self.pause_rate
            if dice < self.pause_rate / 4:
                self.saw(f"works very slowly: {process.name.split('-')[0]}")
                process.slow_until_us = self.now_us + int((60 + 60 * random()) * SECOND_US)
                for told in process.on_slow:
                    told()
                self.wait(process.slow_until_us)
                return
        if dice < self.switch_rate:
            self.wait(self.now_us)

    def kill(self, process: Process) -> None:
        """End it: its tasks unwind when they come to their next effect."""
        if not process.dead:
            self.note(f"{process.name} dies")
            process.dead = True
            for told in process.on_death:
                told()

    def pause(self, process: Process, for_us: int) -> None:
        """It stands still, as under SIGSTOP: no heartbeat either."""
        self.note(f"{process.name} stands still for {for_us / SECOND_US:.1f} s")
        process.paused_until_us = self.now_us + for_us
        for told in process.on_pause:
            told(process.paused_until_us)

    def finish(self) -> None:
        """Unwind every task that is left."""
        self.quiet = True
        for task in self.tasks:
            if task.process is not None:
                task.process.dead = True
        self.wait(self.now_us, lambda: len(self.tasks) == 1)
        while len(self.tasks) > 1:
            self.wait(self.now_us)

    def _check(self, task: Task) -> None:
        if task.process is not None and task.process.dead:
            raise SimulatedCrash

    def _pick(self) -> Task:
        self.steps += 1
        if self.steps > _STEPS_MAX:
            self.current = self._main
            for task in self.tasks:
                if task.process is not None:
                    task.process.dead = True
            self._main.error = StuckError(f"no rest within {_STEPS_MAX} steps")
            self.steps = 0
        while True:
            while self._events and self._events[0][0] <= self.now_us:
                heappop(self._events)[2]()
            ready = [task for task in self.tasks if task.runs_at(self.now_us, self.changes)]
            if ready:
                chosen = ready[int(self.random.random() * len(ready))] if len(ready) > 1 else ready[0]
                self.current = chosen
                return chosen
            self.now_us = self._next_us()

    def _next_us(self) -> int:
        instants = [self._events[0][0]] if self._events else []
        for task in self.tasks:
            paused_us = task.process.paused_until_us if task.process is not None else 0
            if paused_us > self.now_us:
                instants.append(max(paused_us, min(task.wake_us, paused_us)))
            else:
                instants.append(task.wake_us)
        return min(instants)


class SimClock:
    """runtime.clock.Clock by the schedule."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def now_us(self) -> int:
        return self._schedule.now_us

    def monotonic_s(self) -> float:
        return (self._schedule.now_us - self._schedule.start_us) / SECOND_US
