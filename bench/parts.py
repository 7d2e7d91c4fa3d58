"""The parts of the benchmark: what each takes at each size, in the order in which they run."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench import book, ledger_questions, loops
from bench.aggregator import run as aggregator
from bench.alerts import run as alerts
from bench.ledger import quick
from bench.ledger import run as ledger
from bench.load import same_work, scaling, whole
from bench.micro import price
from bench.peers import timing
from bench.pipeline.run import empty_database
from runtime.settings import SettingsLoader

Figures = dict[str, Any]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything; `usual` is for half an hour on two cores."""

    events: int = 200_000
    known: int = 1_000_000
    rounds: int = 2
    cards: int = 1_000
    month_events: int = 300_000
    ledger_rows: int = 300_000
    rate: int = 5_000
    same_work_sizes: same_work.Sizes = field(default_factory=same_work.Sizes)
    whole_sizes: whole.Sizes = field(default_factory=whole.Sizes)
    scaling_sizes: scaling.Sizes = field(default_factory=scaling.Sizes)
    aggregator_sizes: aggregator.Sizes = field(
        default_factory=lambda: aggregator.Sizes(
            events=150_000, stock_events=6_000, memory_events=300_000, customers=20_000
        )
    )
    alerts_sizes: alerts.Sizes = field(default_factory=lambda: alerts.Sizes(seconds=30))


SIZES = {
    "short": Size(
        events=25_000,
        known=20_000,
        rounds=1,
        cards=100,
        month_events=20_000,
        ledger_rows=20_000,
        same_work_sizes=same_work.SHORT,
        whole_sizes=whole.SHORT,
        scaling_sizes=scaling.SHORT,
        aggregator_sizes=aggregator.sizes_from(short=True, rate=1_000),
        alerts_sizes=alerts.sizes_from(short=True, rate=1_000),
    ),
    "usual": Size(),
    "full": Size(
        rounds=3,
        cards=book.CARDS,
        month_events=ledger_questions.EVENTS,
        ledger_rows=quick.ROWS,
        same_work_sizes=same_work.FULL,
        whole_sizes=whole.FULL,
        scaling_sizes=scaling.FULL,
        aggregator_sizes=aggregator.Sizes(),
        alerts_sizes=alerts.Sizes(),
    ),
}


@dataclass(frozen=True, slots=True)
class Part:
    """One part: `run` gives its figures for the JSON, `show` prints them."""

    run: Callable[[SettingsLoader, Size, Say], Figures]
    show: Callable[[Figures], None]


def _price(_loader: SettingsLoader, _size: Size, _say: Say) -> Figures:
    return {"ours": price.run(), "peers": timing.run()}


def _show_price(figures: Figures) -> None:
    print("\none price, microseconds (min, median, max)")
    for name, timed in figures["ours"].items():
        print(f"  {name:<20} {timed['min']:.2f}  {timed['median']:.2f}  {timed['max']:.2f}")
    if figures["peers"] is None:
        print("not beside genai-prices and LiteLLM: `make peers` makes their environment")
        return
    print("one price beside other packages, times faster (best rounds of this run)")
    for name, times in figures["peers"]["times_faster"].items():
        print(f"  {name:<28} {times:.1f}")


def _show_book(figures: Figures) -> None:
    print("\na book of many years")
    for name, value in figures.items():
        print(f"  {name:<28} {value}")


def _show_questions(figures: Figures) -> None:
    print(f"\nquestions over {figures['events']:,} events, ms (min, median, max)")
    for name, took in figures["ms"].items():
        print(f"  {name:<42} {took['min']:>8} {took['median']:>8} {took['max']:>8}")


# What the published figures need most comes first: a run that is short of time leaves out the last ones.
PARTS: dict[str, Part] = {
    "same_work": Part(
        lambda loader, size, say: same_work.run(loader, size.same_work_sizes, say), same_work.show
    ),
    "whole": Part(lambda loader, size, say: whole.run(loader, size.whole_sizes, say), whole.show),
    "ledger": Part(
        lambda loader, size, say: ledger.run(loader, size.events, size.rounds, size.ledger_rows, say),
        ledger.show,
    ),
    "scaling": Part(lambda loader, size, say: scaling.run(loader, size.scaling_sizes, say), scaling.show),
    "alerts": Part(lambda loader, size, say: alerts.run(loader, size.alerts_sizes, say), alerts.show),
    "aggregator": Part(
        lambda loader, size, say: aggregator.run(loader, size.aggregator_sizes, say), aggregator.show
    ),
    "loops": Part(
        lambda loader, size, say: loops.run(loader, size.events, size.known, size.rounds, say), loops.show
    ),
    "price": Part(_price, _show_price),
    "questions": Part(
        lambda loader, size, _say: ledger_questions.run(empty_database(loader), size.month_events),
        _show_questions,
    ),
    "book": Part(lambda loader, size, _say: book.run(empty_database(loader), size.cards), _show_book),
}
