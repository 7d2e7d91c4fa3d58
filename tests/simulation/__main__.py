"""`make simulate`: many seeds, one verdict. `python -m tests.simulation --seed 17` replays one."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

from tqdm import tqdm

from tests.simulation.patches import patched
from tests.simulation.required import REQUIRED
from tests.simulation.world import Result, run, run_all

_SEEDS, _WORKERS = 10_000, 2
_SHOWN, _TRACED = 60, 5
_AT_ONCE = 10


def main(arguments: Sequence[str]) -> int:
    """Run, print what was injected and seen, and the verdict."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=_SEEDS, help="how many, from 0 on")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="this one alone, with its trace")
    parser.add_argument("--workers", type=int, default=_WORKERS)
    told = parser.parse_args(arguments)
    if told.seed is not None:
        return _replay(told.seed)
    began_s = time.monotonic()
    end = told.first + told.seeds
    chunks = [range(at, min(at + _AT_ONCE, end)) for at in range(told.first, end, _AT_ONCE)]
    seen: Counter[str] = Counter()
    failed: list[Result] = []
    steps = 0
    bar = tqdm(total=told.seeds, unit="seed", disable=not sys.stderr.isatty())
    with ProcessPoolExecutor(told.workers, get_context("spawn")) as pool, bar:
        for done in as_completed([pool.submit(run_all, chunk) for chunk in chunks]):
            results = done.result()
            for result in results:
                seen.update(result.seen)
                steps += result.steps
                if result.problem:
                    failed.append(result)
            bar.update(len(results))
    return _tell(told.seeds, time.monotonic() - began_s, steps, seen, failed)


def _tell(seeds: int, took_s: float, steps: int, seen: Counter[str], failed: list[Result]) -> int:
    for what in sorted({*seen, *REQUIRED}):
        print(f"{seen[what]:>10}  {what}")
    missing = [what for what in REQUIRED if not seen[what]]
    for what in missing:
        print(f"NEVER SEEN: {what}")
    failed.sort(key=lambda it: it.seed)
    for result in failed[:_TRACED]:
        print(f"\nseed {result.seed} FAILED: {result.problem}")
        print("\n".join(result.trace[-_SHOWN // 3 :]))
        print(f"replay: python -m tests.simulation --seed {result.seed}")
    if failed:
        print(f"\nfailing seeds: {', '.join(str(it.seed) for it in failed)}")
    verdict = "FAILED" if failed or missing else "passed"
    print(
        f"\n{verdict}: {seeds - len(failed)} of {seeds} seeds passed, {steps} steps, {took_s:.0f} s, "
        f"{len(missing)} kinds of events never seen"
    )
    return 1 if failed or missing else 0


def _replay(seed: int) -> int:
    with patched():
        result = run(seed)
    print("\n".join(result.trace[-_SHOWN:]))
    print(f"seed {seed}: {result.problem or 'passed'}; {result.steps} steps, trace {result.digest}")
    return 1 if result.problem else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
