"""The rater beside the bare loop: each round runs the loops one after the other, so that its ratios share the
machine's mood.
"""

import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.pipeline.run import database, new_world, run_bare, run_rater
from runtime.settings import SettingsLoader


def run(
    loader: SettingsLoader, events: int, known_ids: int, rounds: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """The figures of each round, and the ratios."""
    bare, rated, known = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        dsn = database(loader)
        for number in range(1, rounds + 1):
            say(f"loops: round {number}: bare loop, rater, rater that knows {known_ids:,} ids ...")
            world = new_world(loader, dsn, events, Path(folder))
            bare.append(run_bare(world))
            rated.append(run_rater(world))
            world = new_world(loader, dsn, events, Path(folder), known=known_ids)
            known.append(run_rater(world))
    return {
        "bare_loop": bare,
        "rater": rated,
        "rater_with_known_ids": known,
        "known_ids": known_ids,
        "rater_to_bare_events_per_s": _ratios(rated, bare, "events_per_s"),
        "bare_to_rater_cpu": _ratios(bare, rated, "cpu_s_per_million"),
        "known_to_unknown_events_per_s": _ratios(known, rated, "events_per_s"),
        "unknown_to_known_cpu": _ratios(rated, known, "cpu_s_per_million"),
    }


def _ratios(above: Sequence[dict[str, Any]], below: Sequence[dict[str, Any]], key: str) -> dict[str, Any]:
    """Ratios of the same round: minimum, median, maximum."""
    values = [round(a[key] / b[key], 3) for a, b in zip(above, below, strict=True)]
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def show(figures: dict[str, Any]) -> None:
    """The figures as text."""
    for name in ("bare_loop", "rater", "rater_with_known_ids"):
        print(f"\n{name}: events/s, CPU-s a million, peak MiB")
        for run_ in figures[name]:
            print(f"  {run_['events_per_s']:>8,}  {run_['cpu_s_per_million']:>6}  {run_['peak_rss_mib']:>5}")
    print("\nratios of the same round (min, median, max)")
    for name, ratio in figures.items():
        if isinstance(ratio, dict):
            print(f"  {name:<32} {ratio['min']:.3f}  {ratio['median']:.3f}  {ratio['max']:.3f}")
