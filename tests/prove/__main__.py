"""`python -m tests.prove`, which `make prove` calls: one run, or the table of those that were."""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from cli.stack.process import StackError, locked
from schemas.topics import USAGE_EVENTS
from tests.fix_stack import ROOT
from tests.prove import checking, release
from tests.prove.batches import BatchHead, batch_of
from tests.prove.cluster import Cluster
from tests.prove.coverage import seen
from tests.prove.faults import aggregators, behind, brokers, operating, raters, upgrade
from tests.prove.nemesis import Nemesis, Striker
from tests.prove.quiesce import quiesce
from tests.prove.report import Verdict, counts, render, table
from tests.prove.run import Run, prepared
from tests.prove.services import end_left_overs

HOME = ROOT / ".ratestream" / "prove"
RESULTS = HOME / "results"
_RUNS_KEPT = 5


def main(arguments: list[str]) -> int:
    """Returns 0 where everything held and was seen, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.prove", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="decides the stream and the schedule of faults")
    parser.add_argument(
        "--minutes", type=float, default=4.0, help="of faults; what must happen takes about 4"
    )
    parser.add_argument("--keep", action="store_true", help="keep the run's folder though it passed")
    parser.add_argument(
        "--table", action="store_true", help="print the table of the runs so far, and do nothing"
    )
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if given.table:
        print(table(RESULTS))
        return 0
    return prove(given.seed, given.minutes, keep=given.keep)


def prove(seed: int, minutes: float, *, keep: bool) -> int:
    """One run from nothing to its verdict."""
    begun_s = time.monotonic()
    verdict = Verdict(seed, minutes)
    with _folder() as folder:
        end_left_overs(folder / "run" / "pids.jsonl")
        directory = folder / "run"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        previous_dir, excuse = _previous(directory, verdict)
        print(f"prove: seed {seed}, {minutes:g} minutes of faults; a stack of its own comes up", flush=True)
        with (
            Cluster.started(folder / "stack") as cluster,
            prepared(seed, directory, cluster, previous_dir) as run,
        ):
            try:
                _run(run, verdict, minutes, excuse)
            except KeyboardInterrupt:
                run.ending.set()
                print("stopped; cleaning up", flush=True)
                return 130
            verdict.wall_s = time.monotonic() - begun_s
            print(render(run, verdict), flush=True)
        _store(verdict)
        if verdict.passed and not keep:
            shutil.rmtree(directory)
        else:
            print(f"journal and logs: {_kept(directory, seed)}")
    return 0 if verdict.passed else 1


def _run(run: Run, verdict: Verdict, minutes: float, excuse: str) -> None:
    run.begun_s = time.monotonic()
    until_s = run.begun_s + minutes * 60
    striker = Striker(run, random.Random(f"{run.seed} upgrade"), "upgrade")
    run.journal.add("phase", name="warm")
    upgrade.begin(striker)
    with checking.continuously(run):
        run.journal.add("phase", name="faults")
        upgrade.roll(striker)
        lanes = [*raters.lanes(), *aggregators.lanes(), *behind.lanes(), brokers.lane(), operating.lane()]
        Nemesis(run, lanes, until_s).strike()
        print(f"    {run.clock_text()} faults are over: everything must come to rest", flush=True)
        rest = quiesce(run)
    verdict.drained_s = rest.after_s
    verdict.counts = counts(run)
    verdict.rows = checking.rows(run, rest)
    run.journal.add("phase", name="checked")
    verdict.seen = seen(run, without_previous=excuse)
    run.services.close()
    verdict.failures = run.failures
    aborted = [entry["name"] for entry in run.journal.entries("library")]
    if aborted:
        verdict.notes.append(f"ended inside a native library, and started again: {', '.join(aborted)}")
    if run.load.copies:
        verdict.notes.append(_twice(run))


def _twice(run: Run) -> str:
    """What the publisher's client appended again; what the brokers say is not its own fails the run."""
    topic = run.world.prefix + USAGE_EVENTS
    folders = sorted(run.cluster.stack.place.kafka.parent.glob("kafka*/data"))

    def written(partition: int, offset: int) -> BatchHead | None:
        found = (batch_of(data, topic, partition, offset) for data in folders)
        return next((head for head in found if head is not None), None)

    pairs = [(written(partition, copy), written(partition, of)) for partition, copy, of in run.load.copies]
    for (partition, copy, _), (one, _) in zip(run.load.copies, pairs, strict=True):
        if one is None or one.transactional or one.producer_id < 0:
            run.failures.append(f"usage.events ({partition}, {copy}): a copy that is not the client's: {one}")
    return (
        f"{len(pairs)} records stand twice on usage.events: the client appended batches again, "
        f"the first of them as {pairs[0][0]} and {pairs[0][1]}"
    )


def _previous(directory: Path, verdict: Verdict) -> tuple[Path | None, str]:
    """The previous release's folder, and else why there is none."""
    folder = directory / "previous"
    try:
        commit = release.unpack(folder)
    except release.NotThereError as error:
        if "CI" in os.environ and not release.is_shallow():
            verdict.failures.append(str(error))
        verdict.notes.append(f"not covered: old release beside new: {error}")
        return None, str(error)
    verdict.notes.append(f"previous release: {commit[:12]}")
    return folder, ""


@contextmanager
def _folder() -> Iterator[Path]:
    """The first folder that no other run holds, so the next run clears up what a killed one left."""
    with ExitStack() as held:
        for number in count():
            folder = HOME / str(number)
            with suppress(StackError):
                held.enter_context(locked(folder / "session.lock", 0, "another run's"))
                yield folder
                return


def _store(verdict: Verdict) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    path = RESULTS / f"{stamp}-seed{verdict.seed}.json"
    path.write_text(json.dumps(verdict.as_json(), indent=1) + "\n", encoding="utf-8")


def _kept(directory: Path, seed: int) -> Path:
    """Moved to where the next run does not delete it; only the newest few stay."""
    folder = HOME / "kept"
    folder.mkdir(parents=True, exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    shutil.rmtree(directory / "previous", ignore_errors=True)
    target = folder / f"{stamp}-seed{seed}"
    directory.rename(target)
    for old in sorted(folder.iterdir())[:-_RUNS_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return target


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
