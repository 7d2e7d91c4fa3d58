"""Faults of one process, whichever service it belongs to."""

import shutil
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.prove.nemesis import Act, Step, Striker
from tests.prove.run import SESSION_MS, TRANSACTION_MS
from tests.prove.services import Life
from tests.prove.watching import wait_for

ACTS_S = 40.0
"""How long a failpoint may take to be reached, before it is tried anew."""
_GIVES_UP_S = 200.0
_ZOMBIES = 3
_FENCED_S = 12.0
FENCED = ("FencedError", "fenced", "FENCED", "INVALID_PRODUCER_EPOCH")
"""What a producer's log says when it was fenced."""
OWNS = "owns partitions"
ZOMBIE_S = (max(SESSION_MS, TRANSACTION_MS) + 4_000) / 1000


def killed_at(name: str, *points: str, nth: int = 2) -> Step:
    """SIGKILL to itself at one failpoint after the other: what starts it again orders the next."""

    def act(striker: Striker) -> None:
        ordered = striker.chance.sample(points, len(points))
        lives = [Life(failpoints=f"{point}:{nth}:kill") for point in ordered]
        with striker.services.alone(name):
            for number, (point, life) in enumerate(zip(ordered, lives, strict=True)):
                with striker.fault("killed at a failpoint", name, point):
                    reach(striker, name, life, then=lives[number + 1] if number + 1 < len(lives) else None)

    return Step(f"{name} killed at {', '.join(points)}", act)


def reach(
    striker: Striker, name: str, life: Life, *, nudge: Act | None = None, prepare: Act | None = None,
    then: Life | None = None,
) -> int:  # fmt: skip
    """Give the process a life with failpoints and wait until one has acted. Returns the life's number.

    Args:
        nudge: what makes it pass the point, once it runs and owns partitions.
        prepare: what is done while it is down.
        then: its next life, where this one ends there.
    """
    services, ending = striker.services, striker.run.ending.is_set
    number = 0
    end_s = time.monotonic() + _GIVES_UP_S
    while time.monotonic() < end_s:
        worker = services.worker(name)
        if not (worker.life == life and worker.running):  # the supervisor may have given it already
            if striker.chance.random() < 0.5:
                services.kill(name, again=False)
            else:
                services.stop(name)
            if prepare is not None:
                prepare(striker)
            services.start(name, life)
        number = int(worker.lives)
        if then is not None:
            services.then(name, then)
        if nudge is not None:
            wait_for(partial(_owns, striker, name, number), ACTS_S, ending)
            nudge(striker)
        wait_for(partial(_over, striker, name, number), ACTS_S, ending)
        if services.acted(name, number) or ending():
            break
    return number


def _shows(striker: Striker, name: str, number: int, signs: Sequence[str]) -> bool:
    return any(sign in striker.services.log(name, number) for sign in signs)


def _owns(striker: Striker, name: str, number: int) -> bool:
    return OWNS in striker.services.log(name, number)


def _over(striker: Striker, name: str, number: int) -> bool:
    """A failpoint has acted and, where it killed, the next life has begun; or the life ended otherwise."""
    acted = striker.services.acted(name, number)
    if acted and not acted[-1].endswith(" kill"):
        return True
    return bool(striker.services.worker(name).lives != number)


def killed(name: str) -> Step:
    """SIGKILL wherever it is."""

    def act(striker: Striker) -> None:
        with striker.services.alone(name), striker.fault("killed", name):
            striker.services.kill(name)
            striker.pause(1)

    return Step(f"{name} killed", act)


def paused(name: str, seconds: float, what: str = "paused") -> Step:
    """SIGSTOP and, so much later, SIGCONT."""

    def act(striker: Striker) -> None:
        with striker.services.alone(name), striker.fault(what, name, f"{seconds:.0f} s"):
            striker.services.pause(name)
            striker.pause(seconds)
            striker.services.resume(name)

    return Step(f"{name} {what}", act)


def zombie(name: str, point: str, shows: Sequence[str] = ()) -> Step:
    """Stopped at a failpoint for longer than its session and its transaction may last; then it goes on.

    Where its log then shows none of `shows`, since another fault came between, it is done again.
    """

    def act(striker: Striker) -> None:
        services = striker.services
        with services.alone(name), striker.fault("zombie", name, f"{point}, {ZOMBIE_S:.0f} s"):
            for _ in range(_ZOMBIES):
                number = reach(striker, name, Life(failpoints=f"{point}:2:stop"))
                services.pause(name)
                striker.pause(ZOMBIE_S)
                services.resume(name)
                striker.pause(3)
                shown = partial(_shows, striker, name, number, shows)
                if not shows or wait_for(shown, _FENCED_S, striker.run.ending.is_set):
                    break

    return Step(f"{name} as a zombie", act)


def wrong_clock(name: str, hours: int) -> Step:
    """Restarted with a clock that is wrong by hours, and after a while with one that is right."""

    def act(striker: Striker) -> None:
        with striker.services.alone(name), striker.fault("wrong clock", name, f"{hours:+d} h"):
            striker.services.stop(name)
            striker.services.start(name, Life(clock_offset_s=hours * 3600))
            striker.pause(8)
            striker.services.stop(name)
            striker.services.start(name)

    return Step(f"{name} with a wrong clock", act)


def state_deleted(name: str, folder: str) -> Step:
    """Killed, its files deleted, started again."""

    def act(striker: Striker) -> None:
        with striker.services.alone(name), striker.fault("state deleted", name):
            striker.services.kill(name, again=False)
            shutil.rmtree(state_dir(striker, folder), ignore_errors=True)
            striker.services.start(name)
            striker.pause(2)

    return Step(f"{name} without its state", act)


def state_dir(striker: Striker, folder: str) -> Path:
    """A service's folder in the run's project: rater/slot-0."""
    return striker.run.directory / "project" / ".ratestream" / folder
