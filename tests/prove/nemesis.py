"""The schedule of faults: lanes side by side, each with what must happen in an order that the seed decides,
then with what the seed adds until the time is over.
"""

import random
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.prove.run import Run

Act = Callable[["Striker"], None]
_OVERTIME_S = 600.0
"""What must happen is still begun so long after the time is over: others may use the machine too."""


@dataclass(frozen=True)
class Step:
    """One thing that happens in a lane."""

    name: str
    act: Act


@dataclass(frozen=True)
class Lane:
    """Steps one after the other, those that must happen first, shuffled unless their order matters.

    Attributes:
        extra: what the seed chooses from while time is left.
        after: lanes whose necessary steps must be over first.
    """

    name: str
    steps: Sequence[Step]
    extra: Sequence[Step] = ()
    shuffled: bool = True
    after: Sequence[str] = ()


@dataclass
class Striker:
    """What a step works with: the run, and the lane's own chance."""

    run: Run
    chance: random.Random
    lane: str = ""

    @property
    def services(self) -> Any:
        return self.run.services

    def pause(self, seconds: float) -> None:
        """Wait, or go on at once where the run ends."""
        self.run.ending.wait(seconds)

    @contextmanager
    def fault(self, name: str, target: str = "", detail: str = "") -> Iterator[None]:
        """Between its beginning and its end, both in the journal."""
        self.run.journal.add("fault", name=name, target=target, detail=detail, lane=self.lane)
        told = " ".join(part for part in (name, target, detail and f"({detail})") if part)
        self.run.say(f"    {self.run.clock_text()} {told}")
        yield
        self.run.journal.add("recovered", name=name, target=target, detail=detail)


@dataclass
class Nemesis:
    """Runs the lanes, each in a thread of its own, until `until_s` by the monotonic clock."""

    run: Run
    lanes: Sequence[Lane]
    until_s: float
    _done: dict[str, threading.Event] = field(default_factory=dict)

    def strike(self) -> None:
        """Run them all and return when the last has ended."""
        self._done = {lane.name: threading.Event() for lane in self.lanes}
        threads = [
            threading.Thread(target=self._lane, args=(lane,), name=f"lane {lane.name}", daemon=True)
            for lane in self.lanes
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.5)  # so that Ctrl-C is heard

    def _lane(self, lane: Lane) -> None:
        chance = random.Random(f"{self.run.seed} {lane.name}")
        steps = list(lane.steps)
        if lane.shuffled:
            chance.shuffle(steps)
        striker = Striker(self.run, chance, lane.name)
        try:
            for name in lane.after:
                self._done[name].wait()
            for step in steps:
                if self.run.ending.is_set():
                    return
                if time.monotonic() > self.until_s + _OVERTIME_S:
                    self.run.journal.add("skipped", name=step.name, lane=lane.name)
                    continue
                self._take(striker, step)
        finally:
            self._done[lane.name].set()
        # While another lane is at what must happen, this one leaves it the machine.
        for event in self._done.values():
            event.wait()
        while lane.extra and not self.run.ending.is_set():
            striker.pause(chance.uniform(2, 8))
            if time.monotonic() > self.until_s - 5:
                return
            self._take(striker, chance.choice(lane.extra))

    def _take(self, striker: Striker, step: Step) -> None:
        try:
            step.act(striker)
        except Exception as error:  # noqa: BLE001 - one step that fails is told, and the others go on
            if not self.run.ending.is_set():
                self.run.failures.append(f"step {step.name}: {type(error).__name__}: {error}")
                self.run.journal.add("step failed", name=step.name, text=traceback.format_exc())
                self.run.say(f"    step {step.name} failed: {error}")
