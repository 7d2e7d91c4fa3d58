"""`ratestream demo`: one command from nothing to a verified bill."""

import json
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import click
from tqdm import tqdm

from cli.demo.alerts import (
    CHANNEL,
    Crossing,
    apply_budgets,
    crossings,
    publish_live,
    retraction_of,
    states,
    told,
    wait_until,
)
from cli.demo.corrections import LATE_DAYS, Corrections, correct
from cli.demo.from_ledger import ledger_sums, rows_in_ledger
from cli.demo.plans import PER_QUERY, PLANS, bills
from cli.demo.progress import HeadWatch
from cli.demo.receiver import Receiver
from cli.demo.services import Services, Worker
from cli.demo.summary import render, summary_record
from cli.demo.traffic import Plan, plan, sample_of
from cli.demo.world import World, add_webhook, make_world
from cli.stack.local import LocalStack
from ledger.service import verify
from ledger.settings import LedgerSettings
from producers.adapters.publisher import Publisher
from producers.adapters.trace_files import load_traces, shipped_names
from producers.core.trace_events import ASSIGNED, trace_events
from producers.service import default_start_us
from producers.settings import ProducersSettings
from runtime.clock import Clock, SystemClock
from runtime.errors import InfrastructureError
from runtime.settings import SettingsLoader, process_environment

_RATER, _LEDGER = Worker("rater", 0), Worker("ledger", 0)
_AGGREGATOR = Worker("aggregator", 0)
_WORKERS = (_RATER, Worker("rater", 1), _LEDGER, _AGGREGATOR, Worker("totals", 0), Worker("guard", 0))
_BURST = 500
_LOOK_S = 0.2
_KILL_PART = 8  # a rater is killed when one event in so many is covered, and the ledger at half of them
_STALLED_S = 90.0
_STEPS_A_LINE = 15
_DAY_US = 86_400_000_000
_LOOK_CLOSER = """
The data is there. Look closer:
{up}  export RATESTREAM_PROJECT_DIR=.ratestream/demo
  .venv/bin/ratestream verify
  .venv/bin/ratestream rejected list"""
_SILENT_STEP = 5_000  # a line for each so many events where no terminal shows a bar


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
@click.option("--keep-up", is_flag=True, help="Leave the local stack running.")
def demo(*, as_json: bool, keep_up: bool) -> None:
    """Rate 28,185 real LLM requests and prove that nothing was lost or billed twice.

    Starts the local stack if no other is named, publishes two real traces as usage events (with duplicates
    and bad events on purpose), rates them with two raters, keeps the ledger in PostgreSQL, kills a rater, the
    ledger and the aggregator on the way, crosses budgets and sees the alerts arrive at a webhook on this
    machine, corrects, and verifies. Most customers pay by the token; others by graduated tiers, in credits,
    by the query, by quality, or in EUR. The summary is left in .ratestream/demo/summary.json. A stack that
    the demo started it stops; data stay.

    Example: ratestream demo
    """
    clock = SystemClock()
    started_s = clock.monotonic_s()
    loader = SettingsLoader.of_process()
    _say("1/6 Kafka and PostgreSQL")
    with _services(loader, keep_up=keep_up) as started:
        summary = _run(loader, clock, started_s)
        _say("6/6 done")
        click.echo(json.dumps(summary) if as_json else render(summary))
        if not as_json:
            click.echo(_LOOK_CLOSER.format(up="  .venv/bin/ratestream stack up\n" if started else ""))
    if not (summary["verified"] and summary["as_planned"]):
        sys.exit(1)


@contextmanager
def _services(loader: SettingsLoader, *, keep_up: bool) -> Iterator[bool]:
    """The services that the settings name, else the local stack. Yields whether it will be stopped."""
    if loader.names_endpoint("kafka") and loader.names_endpoint("postgres"):
        yield False
        return
    stack = LocalStack(loader.project_dir)
    stop = not (stack.is_up() or keep_up)
    stack.up(_Steps())
    try:
        yield stop
    finally:
        if stop:
            stack.down()


def _run(loader: SettingsLoader, clock: Clock, started_s: float) -> dict[str, Any]:
    """Make the demo's world, send everything through it, verify, and return the summary."""
    traces = load_traces(shipped_names())
    start_us = default_start_us(traces, clock)
    events = list(trace_events(traces, start_us))
    change_us = events[len(events) // 2]["event_time_us"]
    _say("2/6 topics, a rate book whose prices change inside the trace, and budgets")
    world = make_world(loader, change_us)
    planned = plan(events, clock.now_us(), PER_QUERY)
    live = crossings(events, but=sample_of(events)["customer_id"])
    receiver = Receiver(clock, secrets.token_bytes(32))
    add_webhook(world, CHANNEL, receiver.start(), receiver.secret)
    try:
        apply_budgets(world, live)
        _say(f"3/6 publishing and rating {planned.received:,} messages\n    {ASSIGNED}")
        outcome = _Work(world, planned, events, live, receiver, clock).run()
    finally:
        receiver.close()
    _say("5/6 verifying")
    report = _verified(SettingsLoader(world.directory, world.environment(process_environment()))).as_json()
    before = sum(event["event_time_us"] < change_us for event in events)
    in_ledger = ledger_sums(
        world.dsn, events[0]["event_time_us"] - LATE_DAYS * _DAY_US, events[-1]["event_time_us"]
    )
    corrections = outcome.corrections
    summary = summary_record(
        report,
        {
            **in_ledger,
            "wall_s": round(clock.monotonic_s() - started_s, 1),
            "as_planned": _as_planned(report, planned, len(live))
            and all(in_ledger[side] == report[side] for side in ("cost", "price"))
            and corrections.rerate["as_planned"]
            and outcome.alerts["as_planned"],
            "price_change_at": datetime.fromtimestamp(change_us // 1_000_000, UTC).isoformat(),
            "events_before_change": before,
            "events_after_change": len(events) - before,
            "covered_at_kill": outcome.killed_at,
            "assigned": ASSIGNED,
            "corrections": corrections.as_json(),
            "alerts": outcome.alerts,
            "alert_latency_ms": outcome.latency_ms,
            "plans": {
                customer: bill.as_json()
                for customer, bill in bills(world.kafka, PLANS, world.book.exchange).items()
            },
        },
    )
    (world.directory / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What was seen while everything ran."""

    killed_at: int
    corrections: Corrections
    alerts: dict[str, Any]
    latency_ms: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Work:
    """Everything that happens while the services run."""

    world: World
    planned: Plan
    events: Sequence[dict[str, Any]]
    live: Sequence[Crossing]
    receiver: Receiver
    clock: Clock

    def run(self) -> _Outcome:
        """Publish while raters rate, cross budgets, then correct."""
        world = self.world
        services = Services(_WORKERS, world.environment(process_environment()), world.directory)
        watch = HeadWatch(world.kafka)
        flow = _Flow(
            services, watch, _Bars(self.planned.received), kill_at=self.planned.received // _KILL_PART
        )
        services.start()
        try:
            self._publish(flow)
            self._in_ledger(services, self.planned.rated)
            _say(f"    crossing {len(self.live)} budgets, one after another")
            watched = publish_live(world, self.receiver, self.live, self.clock, services.keep_alive)
            self._in_ledger(services, self.planned.rated + len(self.live))
            _say("4/6 correcting: a void, and a re-rate by the book as it should have been")
            first_us, last_us = self.events[0]["event_time_us"], self.events[-1]["event_time_us"]
            voided = self.live[0]
            corrections = correct(world, voided.event, first_us, last_us)
            retraction = retraction_of(self.receiver, voided, self.clock, services.keep_alive)
            wait_until(
                lambda: states(world).get(voided.customer_id) != "hard", self.clock, services.keep_alive
            )
            alerts = told(self.receiver, self.live, watched, retraction, states(world))
        finally:
            flow.bars.close()
            watch.close()
            services.stop()
        return _Outcome(flow.killed_at, corrections, alerts, watched.as_json())

    def _publish(self, flow: "_Flow") -> None:
        """All but the live events, and wait until frames cover them."""
        planned, clock = self.planned, self.clock
        publisher = Publisher(self.world.kafka, ProducersSettings())
        for number, message in enumerate(planned.messages, start=1):
            publisher.send(message.key, message.value)
            if number % _BURST == 0:
                flow.look(number)
        report = publisher.finish()
        if report.unacknowledged:
            raise InfrastructureError(f"{len(report.unacknowledged)} events were not acknowledged by Kafka")
        progress_s = clock.monotonic_s()
        while (before := flow.covered) < planned.received:
            if flow.look(planned.received) > before:
                progress_s = clock.monotonic_s()
            elif clock.monotonic_s() - progress_s > _STALLED_S:
                raise InfrastructureError(
                    f"no progress for {_STALLED_S:g} s: see {self.world.directory}/*.log"
                )
            time.sleep(_LOOK_S)

    def _in_ledger(self, services: Services, rows: int) -> None:
        """Wait until the ledger has so many rows."""
        if not wait_until(
            lambda: rows_in_ledger(self.world.dsn) >= rows, self.clock, services.keep_alive, _STALLED_S
        ):
            raise InfrastructureError(
                f"the ledger falls behind: see {self.world.directory}/{_LEDGER.name}.log"
            )


@dataclass(slots=True)
class _Flow:
    """What is looked at again and again while events flow."""

    services: Services
    watch: HeadWatch
    bars: "_Bars"
    kill_at: int
    covered: int = 0
    killed_at: int = 0
    ledger_killed: bool = False

    def look(self, published: int) -> int:
        """Show progress, kill the first rater once, keep the others alive. Returns the events covered."""
        self.covered = self.watch.covered()
        self.bars.show(published, self.covered)
        if not self.killed_at and self.covered >= self.kill_at:
            self.services.kill(_RATER)
            self.killed_at = self.covered
            self.bars.say(f"    rater 0 killed with SIGKILL after {self.covered:,} events; starting it again")
        if not self.ledger_killed and self.covered >= self.kill_at * _KILL_PART // 2:
            self.services.kill(_LEDGER)
            self.ledger_killed = True
            self.services.kill(_AGGREGATOR)
            self.bars.say("    the ledger and the aggregator killed with SIGKILL; starting them again")
        self.services.keep_alive()
        return self.covered


class _Bars:
    """Published and rated: two bars on a terminal, now and then a line elsewhere."""

    def __init__(self, total: int) -> None:
        terminal = sys.stderr.isatty()
        self._published = tqdm(total=total, desc="    published", unit="", disable=not terminal)
        self._rated = tqdm(total=total, desc="    rated    ", unit="", disable=not terminal)
        self._terminal = terminal
        self._told = 0

    def show(self, published: int, rated: int) -> None:
        """Bring both up to date."""
        self._published.update(published - self._published.n)
        self._rated.update(rated - self._rated.n)
        if not self._terminal and published + rated - self._told >= _SILENT_STEP:
            self._told = published + rated
            _say(f"    published {published:,}, rated {rated:,}")

    def say(self, text: str) -> None:
        """A line beside the bars."""
        tqdm.write(text, file=sys.stderr)

    def close(self) -> None:
        """End both."""
        self._published.close()
        self._rated.close()


def _verified(loader: SettingsLoader) -> Any:
    terminal = sys.stderr.isatty()
    with tqdm(total=None, desc="    records", unit="", disable=not terminal) as bar:
        return verify(LedgerSettings.load(loader), progress=partial(_advance, bar))


def _advance(bar: Any, done: int, of: int) -> None:
    bar.total = of
    bar.update(done)


def _as_planned(report: dict[str, Any], planned: Plan, live: int) -> bool:
    """What was published is what came out: counts by kind, rejects by reason."""
    return (
        (report["received"], report["rated"], report["duplicates"], report["pending"])
        == (planned.received + live, planned.rated + live, planned.duplicates, 0)
    ) and Counter(report["rejected_by_reason"]) == planned.rejected


class _Steps:
    """The stack's steps: counted ones share a line of a terminal, and are told now and then elsewhere."""

    def __init__(self) -> None:
        self._told = 0

    def __call__(self, step: str) -> None:
        """Tell a step."""
        counted = any(character.isdigit() for character in step)
        self._told += 1
        if sys.stderr.isatty():
            click.echo(f"\r\033[K    {step}", err=True, nl=not counted)
        elif not counted or self._told % _STEPS_A_LINE == 1:
            _say(f"    {step}")


def _say(text: str) -> None:
    click.echo(text, err=True)
