"""The simulator itself: some seeds, exact replays, and that it finds what is taken out."""

import asyncio
import subprocess
import sys
from collections import Counter

import pytest

from tests.fix_stack import ROOT
from tests.simulation.broker import Entry, ProducerState, Transaction
from tests.simulation.loop import SimLoop
from tests.simulation.mutants import found_by
from tests.simulation.schedule import Schedule, SimulatedCrash
from tests.simulation.world import behind, make, run_all

SEEDS = range(20_000, 20_300)


def test_seeds_pass_and_most_kinds_of_faults_are_seen() -> None:
    seen: Counter[str] = Counter()
    for at in range(SEEDS.start, SEEDS.stop, 10):
        for result in run_all(range(at, at + 10)):
            again = f"python -m tests.simulation --seed {result.seed}"
            assert result.problem is None, f"{again}: {result.problem}"
            seen.update(result.seen)
    for what in ("session timed out", "a transaction is aborted", "local state is lost", "correction: amend"):
        assert seen[what], what


def test_a_seed_replays_exactly_whatever_the_hashes_of_strings() -> None:
    told = {
        subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--seed", "4"],
            cwd=ROOT, env={"PYTHONHASHSEED": number}, check=True, capture_output=True, text=True,
        ).stdout
        for number in ("1", "2")
    }  # fmt: skip
    assert len(told) == 1
    assert "trace" in told.pop()


@pytest.mark.parametrize(
    "name",
    ["no_rewind", "no_wait_for_stable", "no_digests", "reply_means_done", "folded_twice", "no_horizon"],
)
def test_a_guard_that_is_taken_out_is_missed(name: str) -> None:
    assert found_by(name, range(15)) is not None


def test_a_record_behind_which_aborted_ones_are_is_not_yet_in_the_ledger() -> None:
    world = make(1)
    log = world.broker.logs["usage.rated", 0]
    aborted = Transaction(ProducerState(), "aborted")
    for transaction in (None, *[aborted] * 5):
        log.append(Entry(0, 0, b"a", b"", transaction))
    assert behind(world) == ["the ledger is at 0 of usage.rated 0"]
    world.database.positions["usage.rated", 0] = 1
    assert "the ledger is at 1 of usage.rated 0" not in behind(world)


def test_a_crash_in_the_turn_that_would_have_ended_a_loop_unwinds() -> None:
    loop = SimLoop(Schedule(1, 0))
    left: list[str] = []

    def crash(_timeout: float | None) -> list[object]:
        if not left:
            return []
        loop.__dict__.pop("select")
        raise SimulatedCrash

    async def other() -> None:
        try:
            await asyncio.sleep(3_600)
        finally:
            left.append("unwound")

    async def work() -> None:
        task = asyncio.create_task(other())
        await asyncio.sleep(0)
        left.append("begun")
        assert not task.done()

    loop.__dict__["select"] = crash
    with pytest.raises(SimulatedCrash):
        loop.run(work())
    assert left == ["begun", "unwound"]
