"""The end of a run: faults are over, nothing new is published, and everything must come to rest."""

import time
from dataclasses import dataclass

from tests.prove.run import Run
from tests.prove.watching import AWAY, wait_for

LIMIT_S, PROMISED_S = 90.0, 60.0
_EVERY_S = 0.5


@dataclass(frozen=True)
class Rest:
    """Whether it came to rest, after how many seconds, and what was left."""

    after_s: float
    left: str

    @property
    def ok(self) -> bool:
        return not self.left and self.after_s <= PROMISED_S


def quiesce(run: Run) -> Rest:
    """Stop the load and wait until nothing is behind."""
    run.journal.add("phase", name="quiesce")
    begun_s = time.monotonic()
    for name in run.services.names():
        run.services.resume(name)
    run.receiver.mode = "ok"
    for proxy in run.cluster.proxies.values():
        proxy.clear()
    run.load.stop()
    if run.load.unacknowledged:
        run.failures.append(f"{run.load.unacknowledged} records were not acknowledged")
    left = "unknown"
    while True:
        try:
            behind = run.watch.behind()
            left = ", ".join(f"{number} {what}" for what, number in behind.items())
        except AWAY as error:
            left = f"cannot be asked: {error}"
        after_s = time.monotonic() - begun_s
        if not left or after_s > LIMIT_S or run.ending.is_set():
            run.journal.add("phase", name="drained", after_s=round(after_s, 1), left=left)
            _find_copies(run)
            return Rest(after_s, left)
        time.sleep(_EVERY_S)


def _find_copies(run: Run) -> None:
    def found() -> bool:
        run.load.find_copies()
        return True

    if not wait_for(found, LIMIT_S, run.ending.is_set):
        run.failures.append("usage.events cannot be read for what the client published twice")
