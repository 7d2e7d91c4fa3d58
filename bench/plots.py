"""Plots of a result as SVG in docs/performance; runs in .venv-bench, which has matplotlib."""

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

FOLDER = Path(__file__).parents[1] / "docs" / "performance"
_SIZE = (8, 4)
_MIB = 1 << 20

Figures = dict[str, Any]


def main() -> None:
    """`python -m bench.plots [RESULT.json]`: every plot whose part was measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.plots", description=__doc__)
    parser.add_argument("result", type=Path, nargs="?", default=FOLDER / "results.json")
    arguments = parser.parse_args()
    figures: Figures = json.loads(arguments.result.read_text("utf-8"))
    # The same result gives the same files: no random ids, no date.
    mpl.rcParams["svg.hashsalt"] = "ratestream"
    mpl.rcParams["svg.fonttype"] = "none"
    for name, (part, draw) in PLOTS.items():
        if part not in figures:
            continue
        figure, axes = plt.subplots(figsize=_SIZE)
        draw(figures[part], axes)
        axes.grid(visible=True, alpha=0.3)
        figure.tight_layout()
        path = FOLDER / f"{name}.svg"
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)
        # matplotlib ends some lines with blanks
        path.write_text(
            "".join(f"{line.rstrip()}\n" for line in path.read_text("utf-8").splitlines()), "utf-8"
        )
        print(path)


def _peers(figures: Figures, axes: Any) -> None:
    names, middles, below, above = [], [], [], []
    for name in reversed(list(figures["guarantee"])):
        values = [round_["cpu_s_per_million"] for round_ in figures.get(name, ()) if "not_run" not in round_]
        if values:
            middle = statistics.median(values)
            names.append(name.replace("_", " "))
            middles.append(middle)
            below.append(middle - min(values))
            above.append(max(values) - middle)
    bars = axes.barh(names, middles, xerr=[below, above])
    axes.bar_label(bars, fmt="%.1f", padding=6)
    axes.set_xscale("log")
    axes.set_xlabel("CPU seconds a million events (log; less is better; median, lines from least to most)")


def _latency(figures: Figures, axes: Any) -> None:
    shares = [f"{part['share_percent']} %" for part in figures["open_loop"]]
    for stage in figures["open_loop"][0]["latencies"]:
        found = [part["latencies"][stage]["ms_from_scheduled"] for part in figures["open_loop"]]
        (line,) = axes.plot(shares, [one.get("p50") for one in found], marker="o", label=f"{stage}, p50")
        axes.plot(
            shares, [one.get("p99") for one in found], marker="^", linestyle="--", color=line.get_color(),
            label=f"{stage}, p99",
        )  # fmt: skip
    axes.set_yscale("log")
    axes.set_xlabel("load, of the measured capacity")
    axes.set_ylabel("ms from the scheduled time (log)")
    axes.legend(ncol=2, fontsize="small")


def _memory(figures: Figures, axes: Any) -> None:
    memory = figures["open_loop"][-1]["memory"]
    for name, values in memory["rss_mib"].items():
        axes.plot(memory["seconds"], values, label=name)
    axes.set_xlabel(f"seconds, at {figures['open_loop'][-1]['rate']:,} events/s")
    axes.set_ylabel("resident MiB")
    axes.set_ylim(bottom=0)
    axes.legend(ncol=2, fontsize="small")


def _restore(figures: Figures, axes: Any) -> None:
    rows = [row for row in figures["known_ids"] if row["known"]]
    sizes = [row["state_bytes"] / _MIB for row in rows]
    for key, label in (
        ("seconds_from_the_log_to_the_first_commit", "from its log, directory empty"),
        ("seconds_from_its_state_to_the_first_commit", "from its own state"),
    ):
        axes.plot(sizes, [row[key] for row in rows], marker="o", label=label)
    axes.set_xscale("log")
    axes.set_xlabel("local state, MiB (log)")
    axes.set_ylabel("seconds to the first commit")
    axes.legend()


def _known(figures: Figures, axes: Any) -> None:
    rows = figures["known_ids"]
    labels = [f"{row['known']:,}" for row in rows]
    axes.plot(labels, [row["rater"]["cpu_s_per_million"] for row in rows], marker="o")
    axes.set_xlabel("ids that the rater knows")
    axes.set_ylabel("CPU seconds a million events")
    axes.set_ylim(bottom=0)


def _customers(figures: Figures, axes: Any) -> None:
    rows = figures["customers"]
    for who in ("rater", "ledger"):
        axes.plot(
            [row["customers"] for row in rows],
            [row[who]["cpu_s_per_million"] for row in rows],
            marker="o",
            label=who,
        )
    axes.set_xscale("log")
    axes.set_xlabel("customers (log)")
    axes.set_ylabel("CPU seconds a million events")
    axes.set_ylim(bottom=0)
    axes.legend()


def _raters(figures: Figures, axes: Any) -> None:
    rows = [*figures["raters"], *figures["partitions"]]
    labels = [f"{row['raters']} x {row['partitions']}" for row in rows]
    axes.bar(range(len(rows)), [row["events_per_s"] for row in rows], tick_label=labels)
    axes.set_xlabel("raters x partitions")
    axes.set_ylabel("events/s, all raters together")


# Name of the file -> the part of the result, and how it is drawn.
PLOTS: dict[str, tuple[str, Callable[[Figures, Any], None]]] = {
    "same-work": ("same_work", _peers),
    "latency": ("whole", _latency),
    "memory": ("whole", _memory),
    "restore": ("scaling", _restore),
    "known-ids": ("scaling", _known),
    "customers": ("scaling", _customers),
    "raters": ("scaling", _raters),
}


if __name__ == "__main__":
    main()
