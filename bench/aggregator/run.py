"""The aggregator beside a stock Faust agent on the same events; its memory over 35 days; its recovery.

Answers first: what both summed is compared with an oracle's sums, entry by entry, before a figure is told.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.aggregator import endurance, oracle, ours
from bench.aggregator.frames import Log
from bench.aggregator.oracle import Scope
from bench.aggregator.stock import PLAIN, WINDOWS
from bench.pipeline.run import PARTITIONS, World, child, empty_database, new_world
from bench.services import Services
from bench.traffic import Happening, Traffic, book, span_us
from cli.topics import specs
from pricing.budgets import Budget, Threshold
from pricing.money import ATTO
from rate_book.budgets.content import BudgetContent
from rate_book.budgets.store import apply_budgets
from rate_book.store import apply
from runtime.kafka import admin
from runtime.postgres import connect, migrate
from runtime.settings import SettingsLoader, TopicsSettings
from schemas.topics import USAGE_RATED, USAGE_TOTALS

WHOLE: Scope = ()
CHAT: Scope = (("feature", "chat"),)
TWO_SCOPES = (WHOLE, CHAT)
ALL_WINDOWS = (*WINDOWS, *PLAIN)
FRAME_MS = 500
_ALONE_CUSTOMERS = 20_000  # more than a frame has events: each of a customer of its own
_UNREACHED = 10**12 * ATTO

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything. `stock_*`: the stock agent takes the first of the same events."""

    events: int = 400_000
    stock_events: int = 12_000
    rate: int = 5_000
    memory_events: int = 2_000_000
    customers: int = 100_000

    @property
    def events_a_frame(self) -> int:
        """Of all partitions together, in a frame's time."""
        return self.rate * FRAME_MS // 1000


def run(loader: SettingsLoader, sizes: Sizes, say: Say) -> dict[str, Any]:
    """The figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dsn = empty_database(loader)
        with connect(dsn) as connection:
            migrate(connection)
            stored = apply(connection, book(), author="bench").stored
        traffic = Traffic.of_trace(book(), stored.content_hash, time.time_ns() // 1000, PARTITIONS)
        bench = Bench(loader, dsn, folder, traffic, sizes, say)
        figures: dict[str, Any] = {"rate": sizes.rate, "frame_ms": FRAME_MS}
        figures["one_window"] = bench.compare(("hour",), (WHOLE,))
        figures["all_windows_two_scopes"] = bench.compare(ALL_WINDOWS, TWO_SCOPES)
        figures["one_event_a_customer_and_frame"] = bench.alone()
        if sizes.memory_events:
            figures["memory"] = endurance.memory(bench)
        if sizes.customers:
            figures["recovery"] = endurance.recovery(bench)
    return figures


@dataclass
class Bench:
    """What the parts of the benchmark share."""

    loader: SettingsLoader
    dsn: str
    folder: Path
    traffic: Traffic
    sizes: Sizes
    say: Say

    def world(self, scopes: Sequence[Scope]) -> World:
        """Topics of their own, and budgets on these scopes that nobody reaches."""
        world = new_world(self.loader, self.dsn, 0, self.folder)
        steps = (Threshold("100%", _UNREACHED, "100"),)
        budgets = [
            Budget(f"watched-{number}", ("*",), scope, "price", "USD", "hour", _UNREACHED, steps)
            for number, scope in enumerate(scopes)
        ]
        with connect(self.dsn) as connection:
            apply_budgets(connection, BudgetContent(tuple(budgets)), author="bench")
        return world

    def play(self, count: int, now_us: int, customers: int | None = None) -> Iterable[Happening]:
        """Calls from now on at the benchmark's rate; the same for the same arguments."""
        return self.traffic.play(count, now_us, span_us(count, self.sizes.rate), customers)

    def services(self, world: World) -> Services:
        """Processes in that world."""
        return Services(ours.environment(world), self.folder)

    def check(self, found: ours.Published, happenings: Iterable[Happening], scopes: Sequence[Scope]) -> None:
        """The totals are the oracle's."""
        wanted = oracle.expected(happenings, self.traffic.book.dimensions, scopes)
        _same("the aggregator", ours.entries(found.latest()), wanted)

    def compare(self, windows: Sequence[str], scopes: Sequence[Scope]) -> dict[str, Any]:
        """The aggregator, which always keeps all windows, beside stock tables of these windows."""
        sizes, title = self.sizes, f"{len(windows)} windows, {len(scopes)} scopes"
        now_us = time.time_ns() // 1000
        few = sizes.stock_events
        world = self.world(scopes)
        self.say(f"aggregator: {title}: the same {few:,} events to both, answers compared ...")
        first = list(_take(self.play(sizes.events, now_us), few))
        Log(world.kafka, self.traffic).write(first, sizes.events_a_frame, rated=True)
        stock, theirs = self._stock(world, first, windows, scopes)
        ours.run_only(world, self.services(world))
        mine = ours.entries(ours.published(world).latest())
        chosen = {key: sums for key, sums in mine.items() if key[1] in windows}
        _same("the stock agent beside the aggregator", theirs, chosen)
        wanted = oracle.expected(first, self.traffic.book.dimensions, scopes)
        _same("the aggregator", mine, wanted)
        self.say(f"aggregator: {title}: {sizes.events:,} events ...")
        world = self.world(scopes)
        Log(world.kafka, self.traffic).write(self.play(sizes.events, now_us), sizes.events_a_frame)
        figures, found = ours.run(world, self.services(world))
        self.check(found, self.play(sizes.events, now_us), scopes)
        return {
            "aggregator": figures,
            "stock": stock,
            "times_events_per_s": round(figures["events_per_s"] / stock["events_per_s"], 1),
            "times_less_cpu": round(stock["cpu_s_per_million"] / figures["cpu_s_per_million"], 1),
        }

    def alone(self) -> dict[str, Any]:
        """No customer has two events in a frame: the least that summing rows first can do."""
        sizes, now_us = self.sizes, time.time_ns() // 1000
        count = sizes.events // 4
        self.say(f"aggregator: one event a customer and frame, {count:,} events ...")
        world = self.world(TWO_SCOPES)
        log = Log(world.kafka, self.traffic)
        log.write(self.play(count, now_us, _ALONE_CUSTOMERS), sizes.events_a_frame)
        figures, found = ours.run(world, self.services(world))
        self.check(found, self.play(count, now_us, _ALONE_CUSTOMERS), TWO_SCOPES)
        return figures

    def _stock(
        self, world: World, first: Sequence[Happening], windows: Sequence[str], scopes: Sequence[Scope]
    ) -> tuple[dict[str, Any], dict[oracle.Key, oracle.Sums]]:
        app_id = f"{world.kafka.topic_prefix}stock"
        told = ["=".join(scope[0]) if scope else "=" for scope in scopes]
        # Made beforehand: with many tables, stock Faust begins before all of its own are there, and fails.
        like = next(
            spec
            for spec in specs(world.kafka, TopicsSettings())
            if spec.name == world.kafka.topic_prefix + USAGE_TOTALS
        )
        tables = [
            f"{window}-{scope.strip('=').replace('=', '-') or 'customer'}"
            for window in windows
            for scope in told
        ]
        admin.create(
            admin.admin_client(world.kafka),
            [replace(like, name=f"{app_id}-{table}-changelog") for table in tables],
        )
        answer = self.folder / "answer.json"
        figures = child(
            ["bench.aggregator.stock",
             "--bootstrap", world.kafka.bootstrap_servers, "--id", app_id,
             "--source", world.kafka.topic_prefix + USAGE_RATED,
             "--directory", str(self.folder / app_id), "--answer", str(answer),
             "--events", str(len(first)), "--partitions", str(PARTITIONS),
             "--windows", *windows, "--scopes", *told],
            world.environment(),
        )  # fmt: skip
        # Faust's tumbling weeks begin on Thursdays; all events are within a minute, so the sums are the same.
        week_us = oracle.windows(first[0].event_time_us, 0)["week"]
        return figures, {
            (customer_id, window, week_us if window == "week" else start_us, _scope(scope)): oracle.Sums(
                totals["cost"], totals["price"], totals["events"], totals["quantities"]
            )
            for customer_id, window, scope, start_us, totals in json.loads(answer.read_text("utf-8"))
        }


def _scope(text: str) -> Scope:
    name, _, value = text.partition("=")
    return ((name, value),) if name else ()


def _take(happenings: Iterable[Happening], count: int) -> Iterable[Happening]:
    return (happening for happening, _ in zip(happenings, range(count), strict=False))


def _same(who: str, found: dict[Any, Any], wanted: dict[Any, Any]) -> None:
    if found == wanted:
        return
    for key in sorted(found.keys() | wanted.keys()):
        if found.get(key) != wanted.get(key):
            sys.exit(f"{who}: {key}: {found.get(key)}, expected {wanted.get(key)}")


def show(figures: dict[str, Any]) -> None:
    """The figures as text."""
    print(f"\naggregator, frames of {figures['frame_ms']} ms at {figures['rate']:,} events/s")
    for name in ("one_window", "all_windows_two_scopes"):
        part = figures[name]
        print(f"  {name}: events/s, CPU-s a million")
        for who in ("aggregator", "stock"):
            print(f"    {who:<12} {part[who]['events_per_s']:>8,}  {part[who]['cpu_s_per_million']:>8}")
        print(f"    times        {part['times_events_per_s']:>8}  {part['times_less_cpu']:>8}")
    alone = figures["one_event_a_customer_and_frame"]
    print(f"  one event a customer and frame: {alone['events_per_s']:,}  {alone['cpu_s_per_million']}")
    for name in ("memory", "recovery"):
        for key, value in figures.get(name, {}).items():
            print(f"  {name}: {key:<36} {value}")


def sizes_from(*, short: bool, rate: int) -> Sizes:
    """The whole, or about a tenth of it."""
    if not short:
        return Sizes(rate=rate)
    return Sizes(events=40_000, stock_events=2_000, rate=rate, memory_events=200_000, customers=10_000)
