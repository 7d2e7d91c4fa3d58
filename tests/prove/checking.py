"""Where the harness calls the checks: every few seconds while faults strike, and once at the end."""

import json
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.fix_stack import ROOT
from tests.prove import checks, looking
from tests.prove.operators import RefusedError
from tests.prove.quiesce import PROMISED_S, Rest
from tests.prove.report import Judged
from tests.prove.run import Run


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
    looking.store(run.world)
    over = threading.Event()
    command = [sys.executable, "-m", "tests.prove.looking", str(run.directory)]
    lives: list[subprocess.Popen[str]] = []

    def look() -> None:
        while not over.is_set():
            with (run.directory / "looking.log").open("ab") as log:
                process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)
            lives.append(process)
            for line in process.stdout or ():
                run.failures.append(f"while faults struck: {json.loads(line)}")
            if process.wait() != -signal.SIGKILL and not over.is_set():
                run.failures.append(f"the continuous checks ended: see {run.directory / 'looking.log'}")
                return

    thread = threading.Thread(target=look, name="continuous checks", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        for process in lives:
            process.kill()
        thread.join(30)


def rows(run: Run, rest: Rest) -> list[Judged]:
    """Every invariant, once all is at rest."""
    found: list[Judged] = []
    try:
        found += checks.check(run.world, run.journal)
    except Exception:  # noqa: BLE001 - the report says what it can, and that the judge failed
        text = traceback.format_exc()
        run.journal.add("judge failed", text=text)
        found.append(Found("I1", "the checks come to a verdict", text, ok=False))
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
