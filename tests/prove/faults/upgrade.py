"""A rolling upgrade: every process of the release before this one, replaced one by one while data flows."""

from tests.prove.nemesis import Striker
from tests.prove.run import WORKERS
from tests.prove.services import Life

_WARM_S = 12.0
_BETWEEN_S = 1.5


def begin(striker: Striker) -> None:
    """Start them all: of the previous release where it is at hand, else of this one."""
    for name in WORKERS:
        striker.services.start(name, Life(previous=striker.run.previous))
    striker.run.load.start()
    striker.pause(_WARM_S)


def roll(striker: Striker) -> None:
    """One after the other is stopped and started as this release; both are at work meanwhile."""
    if not striker.run.previous:
        return
    names = list(WORKERS)
    striker.chance.shuffle(names)
    with striker.fault("rolling upgrade", detail=" ".join(names)):
        for name in names:
            striker.services.stop(name)
            striker.services.start(name)
            striker.pause(_BETWEEN_S)
