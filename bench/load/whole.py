"""The whole pipeline, every process running: its capacity, then latencies below it in an open loop.

Capacity: a backlog that is published as fast as can be, until rated, in the ledger and in the totals. Then,
on new topics each time, events by a schedule fixed beforehand at shares of that capacity: latency counts from
when an event was due, so a slow moment is not omitted because nothing was sent in it.
"""

import json
import statistics
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.load.phase import Phase
from bench.load.watch import STAGES
from runtime.settings import SettingsLoader

_MILLION = 1_000_000
_LONG_WAIT_MS = 1_000  # what fewer and larger transactions save, for who can wait
_QUANTILES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999))
_PARTS = {  # a part: its process, and what its database connections' names begin with
    "rater": ("rater", ("ratestream-rater", "ratestream-book")),
    "ledger": ("ledger", ("ratestream-ledger",)),
    "aggregator": ("aggregator", ("ratestream-aggregator",)),
    "totals": ("totals", ("ratestream-totals",)),
    "guard": ("guard", ("ratestream-guard", "ratestream-delivery")),
}
_BROKER, _POSTGRES = "broker", "postgresql, all of it"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Events of the backlog, how often; how long each share of the capacity lasts; each one's thresholds.

    While the backlog is worked off one customer of `customers_for_one_that_crosses` reaches them, still far
    more than in life; below capacity all do, for latencies want many alerts.
    """

    backlog: int = 200_000
    rounds: int = 2
    seconds: int = 40
    shares: tuple[int, ...] = (25, 50, 75)
    thresholds: int = 3
    customers_for_one_that_crosses: int = 20


SHORT = Sizes(backlog=10_000, rounds=1, seconds=10, shares=(25, 50), thresholds=1)
FULL = Sizes(backlog=1_000_000, rounds=3, seconds=300)


def run(loader: SettingsLoader, sizes: Sizes, say: Say) -> dict[str, Any]:
    """The figures."""
    capacity = []
    for number in range(1, sizes.rounds + 1):
        say(f"whole pipeline: round {number}: a backlog of {sizes.backlog:,} events ...")
        capacity.append(_capacity(loader, sizes))
    say(f"whole pipeline: the same, transactions of {_LONG_WAIT_MS} ms ...")
    longer = [{"batch_wait_ms": _LONG_WAIT_MS, **_capacity(loader, sizes, _LONG_WAIT_MS)}]
    rates = [figures["events_per_s"] for figures in capacity]
    middle = statistics.median(rates)
    shares = []
    for share in sizes.shares:
        rate = max(1, round(middle * share / 100))
        say(f"whole pipeline: {share} % of its capacity, {rate:,} events/s for {sizes.seconds} s ...")
        shares.append({"share_percent": share, **_open_loop(loader, sizes, rate)})
    return {
        "capacity": capacity,
        "capacity_events_per_s": middle,
        "longer_transactions": longer,
        "open_loop": shares,
    }


def _capacity(loader: SettingsLoader, sizes: Sizes, batch_wait_ms: int | None = None) -> dict[str, Any]:
    """Events a second until the last event has passed each stage, everything from a standing start."""
    with tempfile.TemporaryDirectory() as name:
        phase = Phase.made(
            loader,
            Path(name),
            sizes.backlog,
            _MILLION,
            sizes.thresholds,
            every=sizes.customers_for_one_that_crosses,
            batch_wait_ms=batch_wait_ms,
        )
        try:
            phase.start()
            ended = phase.run()
        finally:
            phase.stop()
    lasts = {stage: (max(times.values()) - ended.start_ns) / 1e9 for stage, times in ended.stages.items()}
    return {
        "events": sizes.backlog,
        "seconds_until_last": {stage: round(last, 2) for stage, last in lasts.items()},
        "events_per_s": round(sizes.backlog / max(lasts.values())),
        "by_stage_events_per_s": {stage: round(sizes.backlog / last) for stage, last in lasts.items()},
        "alerts": len(ended.alerts),
        **_costs(ended.cpu_s, sizes.backlog),
        "bytes_an_event": ended.bytes_an_event,
        "memory": ended.memory,
    }


def _open_loop(loader: SettingsLoader, sizes: Sizes, rate: int) -> dict[str, Any]:
    count = rate * sizes.seconds
    with tempfile.TemporaryDirectory() as name:
        phase = Phase.made(loader, Path(name), count, rate, sizes.thresholds)
        try:
            phase.start()
            ended = phase.run()
        finally:
            phase.stop()
    latencies = {}
    for stage, times in (*ended.stages.items(), ("alert", ended.alerts)):
        chosen = [number for number in times if number in ended.sent]
        latencies[stage] = {
            "samples": len(chosen),
            "ms_from_scheduled": spread(times[number] - ended.sent[number][0] for number in chosen),
            "ms_from_acknowledged": spread(times[number] - ended.sent[number][1] for number in chosen),
        }
    return {
        "rate": rate,
        "events": count,
        "generator": ended.generator,
        "latencies": latencies,
        **_costs(ended.cpu_s, count),
        "bytes_an_event": ended.bytes_an_event,
        "memory": ended.memory,
    }


def _costs(cpu_s: dict[str, float], events: int) -> dict[str, Any]:
    """CPU seconds a million events: each part with its database backends, the broker beside them."""

    def million(seconds: float) -> float:
        return round(seconds / events * _MILLION, 2)

    parts: dict[str, float] = {}
    named = 0.0
    for part, (process, prefixes) in _PARTS.items():
        backends = sum(
            seconds
            for name, seconds in cpu_s.items()
            if name.startswith(tuple(f"postgresql: {prefix}" for prefix in prefixes))
        )
        named += backends
        parts[part] = million(cpu_s.get(process, 0.0) + backends)
    watching = cpu_s.get("postgresql: bench-watch", 0.0)
    rest = max(0.0, cpu_s.get(_POSTGRES, 0.0) - named - watching)
    parts["postgresql, the rest"] = million(rest)
    return {
        "cpu_s_per_million": parts,
        "cpu_s_per_million_together": round(sum(parts.values()), 2),
        "broker_cpu_s_per_million": million(cpu_s.get(_BROKER, 0.0)),
    }


def spread(nanoseconds: Iterable[int]) -> dict[str, float]:
    """Percentiles in ms, to a tenth."""
    ordered = sorted(nanoseconds)
    if not ordered:
        return {}
    found = {
        name: round(ordered[min(len(ordered) - 1, int(len(ordered) * quantile))] / 1e6, 1)
        for name, quantile in _QUANTILES
    }
    return found | {"max": round(ordered[-1] / 1e6, 1)}


def show(figures: dict[str, Any]) -> None:
    """The figures as text."""
    print(f"\nwhole pipeline: {figures['capacity_events_per_s']:,} events/s")
    for round_ in (*figures["capacity"], *figures["longer_transactions"]):
        parts = json.dumps(round_["cpu_s_per_million"])
        print(f"  {round_['events_per_s']:,} events/s; CPU-s a million {parts}")
        print(
            f"    together {round_['cpu_s_per_million_together']}, "
            f"broker {round_['broker_cpu_s_per_million']}"
        )
    for part in figures["open_loop"]:
        print(f"  {part['share_percent']} %, {part['rate']:,} events/s; ms from scheduled, p50, p99, max")
        for stage in (*STAGES, "alert"):
            found = part["latencies"][stage]["ms_from_scheduled"]
            print(f"    {stage:<8} {found.get('p50')!s:>9} {found.get('p99')!s:>9} {found.get('max')!s:>9}")
