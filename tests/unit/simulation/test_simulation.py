"""The simulator itself: some seeds, exact replays, and that it finds what is taken out."""

import subprocess
import sys
from collections import Counter

import pytest

from tests.fix_stack import ROOT
from tests.simulation.mutants import found_by
from tests.simulation.patches import patched
from tests.simulation.world import run

SEEDS = range(20_000, 20_120)


def test_seeds_pass_and_most_kinds_of_faults_are_seen() -> None:
    seen: Counter[str] = Counter()
    with patched():
        for seed in SEEDS:
            result = run(seed)
            assert result.problem is None, f"python -m tests.simulation --seed {seed}: {result.problem}"
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


@pytest.mark.parametrize("name", ["no_rewind", "unfenced_offsets", "no_digests", "folded_twice"])
def test_a_guard_that_is_taken_out_is_missed(name: str) -> None:
    assert found_by(name, range(15)) is not None
