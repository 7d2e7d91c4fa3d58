"""`make bench`: figures beside a baseline of the same run, answers checked before timing; JSON out."""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import book, ledger_questions
from bench.aggregator import run as aggregator
from bench.alerts import run as alerts
from bench.ledger import quick
from bench.ledger import run as ledger
from bench.micro import price
from bench.peers import timing
from bench.pipeline.run import clean_up, database, empty_database, new_world, run_bare, run_rater
from cli.stack.local import LocalStack
from runtime.settings import SettingsLoader

PARTS = ("price", "book", "questions", "ledger", "loops", "aggregator", "alerts")
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Run the benchmarks and write their figures."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000, help="events a loop copies or rates")
    parser.add_argument("--known", type=int, default=1_000_000, help="ids that the rater knows beforehand")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cards", type=int, default=book.CARDS, help="cards of the big book")
    parser.add_argument(
        "--month-events",
        type=int,
        default=ledger_questions.EVENTS,
        help="events that questions are asked about",
    )
    parser.add_argument(
        "--ledger-rows", type=int, default=quick.ROWS, help="rows that a quick verification counts and sums"
    )
    parser.add_argument(
        "--short", action="store_true", help="of aggregator and alerts: a tenth of everything"
    )
    parser.add_argument(
        "--rate", type=int, default=5_000, help="events a second, of aggregator's frames and of alerts"
    )
    parser.add_argument("--only", choices=PARTS, help="one part; by default all")
    arguments = parser.parse_args()
    parts = PARTS if arguments.only is None else (arguments.only,)
    loader = SettingsLoader.of_process()
    figures: dict[str, Any] = {"machine": _machine()}
    with _services(loader):
        if "price" in parts:
            print("one price ...", flush=True)
            figures |= {"price": price.run(), "peers": timing.run()}
        if "book" in parts:
            print(f"a book of {arguments.cards:,} cards, {book.VERSIONS} versions each ...", flush=True)
            figures["book"] = book.run(empty_database(loader), arguments.cards)
        if "questions" in parts:
            print(f"questions over a month of {arguments.month_events:,} events ...", flush=True)
            figures["questions"] = ledger_questions.run(empty_database(loader), arguments.month_events)
        if "ledger" in parts:
            figures["ledger"] = ledger.run(
                loader, arguments.events, arguments.rounds, arguments.ledger_rows, partial(print, flush=True)
            )
        if "loops" in parts:
            figures |= _loops(loader, arguments)
        if "aggregator" in parts:
            sizes = aggregator.sizes_from(short=arguments.short, rate=arguments.rate)
            figures["aggregator"] = aggregator.run(loader, sizes, partial(print, flush=True))
        if "alerts" in parts:
            figures["alerts"] = alerts.run(
                loader,
                alerts.sizes_from(short=arguments.short, rate=arguments.rate),
                partial(print, flush=True),
            )
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.json"
    path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    _show(figures, path)


@contextmanager
def _services(loader: SettingsLoader) -> Iterator[None]:
    """The services that the settings name, else the local stack, stopped again if it was down."""
    stack = None if loader.names_endpoint("kafka") else LocalStack(loader.project_dir)
    was_up = stack is None or stack.is_up()
    if stack is not None:
        stack.up()
    try:
        yield
    finally:
        clean_up(loader)
        if stack is not None and not was_up:
            stack.down()


def _loops(loader: SettingsLoader, arguments: argparse.Namespace) -> dict[str, Any]:
    """Each round runs the three loops one after the other, so that its ratios share the machine's mood."""
    bare, rated, known = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        dsn = database(loader)
        for number in range(1, arguments.rounds + 1):
            print(
                f"round {number}: bare loop, rater, rater that knows {arguments.known:,} ids ...", flush=True
            )
            world = new_world(loader, dsn, arguments.events, Path(folder))
            bare.append(run_bare(world))
            rated.append(run_rater(world))
            world = new_world(loader, dsn, arguments.events, Path(folder), known=arguments.known)
            known.append(run_rater(world))
    return {
        "bare_loop": bare,
        "rater": rated,
        "rater_with_known_ids": known,
        "known_ids": arguments.known,
        "rater_to_bare_events_per_s": _ratios(rated, bare, "events_per_s"),
        "bare_to_rater_cpu": _ratios(bare, rated, "cpu_s_per_million"),
        "known_to_unknown_events_per_s": _ratios(known, rated, "events_per_s"),
        "unknown_to_known_cpu": _ratios(rated, known, "cpu_s_per_million"),
    }


def _ratios(above: Sequence[dict[str, Any]], below: Sequence[dict[str, Any]], key: str) -> dict[str, Any]:
    """Ratios of the same round: minimum, median, maximum."""
    values = [round(a[key] / b[key], 3) for a, b in zip(above, below, strict=True)]
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def _machine() -> dict[str, Any]:
    return {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "ratestream": version("ratestream"),
        "confluent-kafka": version("confluent-kafka"),
        "fastavro": version("fastavro"),
        "rocksdict": version("rocksdict"),
    }


def _show(figures: dict[str, Any], path: Path) -> None:
    if "bare_loop" in figures:
        _show_loops(figures)
    if "book" in figures:
        print("\na book of many years")
        for name, value in figures["book"].items():
            print(f"  {name:<28} {value}")
    for name, part in (("ledger", ledger), ("aggregator", aggregator), ("alerts", alerts)):
        if name in figures:
            part.show(figures[name])
    if "questions" in figures:
        _show_questions(figures["questions"])
    if "price" in figures:
        print("\none price, microseconds (min, median, max)")
        for name, timed in figures["price"].items():
            print(f"  {name:<20} {timed['min']:.2f}  {timed['median']:.2f}  {timed['max']:.2f}")
        _show_peers(figures["peers"])
    print(f"\nwritten to {path}")


def _show_questions(figures: dict[str, Any]) -> None:
    print(f"\nquestions over {figures['events']:,} events, ms (min, median, max)")
    for name, took in figures["ms"].items():
        print(f"  {name:<42} {took['min']:>8} {took['median']:>8} {took['max']:>8}")


def _show_loops(figures: dict[str, Any]) -> None:
    for name in ("bare_loop", "rater", "rater_with_known_ids"):
        runs = figures[name]
        print(f"\n{name}: events/s, CPU-s a million, peak MiB")
        for run in runs:
            print(f"  {run['events_per_s']:>8,}  {run['cpu_s_per_million']:>6}  {run['peak_rss_mib']:>5}")
    print("\nratios of the same round (min, median, max)")
    for name in (
        "rater_to_bare_events_per_s",
        "bare_to_rater_cpu",
        "known_to_unknown_events_per_s",
        "unknown_to_known_cpu",
    ):
        ratio = figures[name]
        print(f"  {name:<32} {ratio['min']:.3f}  {ratio['median']:.3f}  {ratio['max']:.3f}")


def _show_peers(figures: dict[str, Any] | None) -> None:
    if figures is None:
        print("\nnot beside genai-prices and LiteLLM: `make peers` makes their environment")
        return
    print("\none price beside other packages, times faster (best rounds of this run)")
    for name, times in figures["times_faster"].items():
        print(f"  {name:<28} {times:.1f}")


if __name__ == "__main__":
    main()
