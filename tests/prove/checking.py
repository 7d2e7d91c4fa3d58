"""Where the harness calls the checks: every few seconds while faults strike, and once at the end."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.prove import checks
from tests.prove.operators import RefusedError
from tests.prove.quiesce import PROMISED_S, Rest
from tests.prove.report import Judged
from tests.prove.run import Run
from tests.prove.watching import AWAY

_EVERY_S = 5.0


@dataclass(frozen=True)
class Found:
    """A row of the harness's own."""

    invariant: str
    promise: str
    measured: str
    ok: bool


@contextmanager
def continuously(run: Run) -> Iterator[None]:
    """What must hold at every moment is looked at every few seconds; what breaks it fails the run."""
    over = threading.Event()
    told: set[str] = set()

    def look() -> None:
        while not over.wait(_EVERY_S):
            try:
                found = checks.continuous(run.world, run.journal)
            except AWAY:
                continue
            for text in found:
                if text not in told:
                    told.add(text)
                    run.failures.append(f"while faults struck: {text}")

    thread = threading.Thread(target=look, name="continuous checks", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)


def rows(run: Run, rest: Rest) -> list[Judged]:
    """Every invariant, once all is at rest."""
    found: list[Judged] = list(checks.check(run.world, run.journal))
    left = f", left: {rest.left}" if rest.left else ""
    found.append(
        Found(
            "I9",
            f"everything is done within {PROMISED_S:.0f} s of the last fault",
            f"{rest.after_s:.1f} s{left}",
            rest.ok,
        )
    )
    try:
        report = run.operators.run("verify", "--complete", findings_are_final=True, limit_s=60)
    except RefusedError as error:
        found.append(
            Found("own", "`ratestream verify --complete` finds nothing", str(error)[:1500], ok=False)
        )
    else:
        told = (
            f"{report['received']:,} received, {report['rated']:,} rated, {report['duplicates']:,} duplicates"
        )
        found.append(Found("own", "`ratestream verify --complete` finds nothing", told, report["verified"]))
    return found
