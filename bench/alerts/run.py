"""How soon an alert is at the webhook, everything running on the same machine, in an open loop.

Events are published by a schedule fixed beforehand; which of them crosses which threshold is known. Checked
before a figure is told: exactly these alerts came, each marked in time, and the ledger has every event.
"""

import json
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.alerts import generator
from bench.alerts.costs import Costs
from bench.alerts.plan import CHANNEL, Crossing, plan
from bench.pipeline.run import PARTITIONS, World, empty_database, new_world
from bench.services import Services
from bench.traffic import Traffic, book, span_us
from cli.stack.local import LocalStack
from rate_book.budgets.check import check_budgets
from rate_book.budgets.store import apply_budgets
from rate_book.store import apply
from runtime.postgres import connect, migrate
from runtime.settings import SettingsLoader
from schemas.topics import USAGE_EVENTS

MODULES = {
    "rater": "rater",
    "ledger": "ledger",
    "aggregator": "aggregator",
    "totals": "aggregator.totals",
    "guard": "budget_guard",
}
# No alert waits for these: where cores are shared, the others come first.
LATER = ("ledger", "totals")
_NICE = ("nice", "-n", "10")
TRANSACTION_MS = 100
_READY_S = 90.0
_DRAINED_S = 300.0
_LOOK_S = 0.2
_SOON_NS = 500_000_000
_NS = 1_000_000_000

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Events a second, for how long; no threshold is crossed in the first and last `quiet_s`."""

    rate: int = 5_000
    seconds: int = 70
    quiet_s: int = 5
    thresholds: int = 3
    warm: int = 2_000


def sizes_from(*, short: bool, rate: int) -> Sizes:
    """The whole, or a short run."""
    return Sizes(rate=rate, seconds=15, quiet_s=3, thresholds=2, warm=1_000) if short else Sizes(rate=rate)


def run(loader: SettingsLoader, sizes: Sizes, say: Say) -> dict[str, Any]:
    """The figures."""
    with tempfile.TemporaryDirectory() as name:
        bench = _Bench.made(loader, sizes, Path(name), say)
        try:
            bench.start()
            return bench.measure()
        finally:
            bench.stop()


@dataclass
class _Bench:
    loader: SettingsLoader
    sizes: Sizes
    world: World
    folder: Path
    crossings: dict[Crossing, int]
    services: Services
    count: int
    say: Say
    stack: LocalStack | None
    receiver: subprocess.Popen[str] | None = None
    generator: subprocess.Popen[str] | None = None

    @classmethod
    def made(cls, loader: SettingsLoader, sizes: Sizes, folder: Path, say: Say) -> "_Bench":
        say(f"alerts: {sizes.rate * sizes.seconds:,} events and their crossings made beforehand ...")
        dsn = empty_database(loader)
        with connect(dsn) as connection:
            migrate(connection)
            stored = apply(connection, book(), author="bench").stored
        now_us = time.time_ns() // 1000
        traffic = Traffic.of_trace(book(), stored.content_hash, now_us, PARTITIONS)
        count = sizes.warm + sizes.rate * sizes.seconds
        happenings = list(traffic.play(count, now_us, span_us(count, sizes.rate)))
        quiet = sizes.quiet_s * sizes.rate
        content, crossings = plan(happenings, sizes.warm, sizes.warm + quiet, count - quiet, sizes.thresholds)
        check_budgets(content, book())
        with connect(dsn) as connection:
            apply_budgets(connection, content, author="bench")
        world = new_world(loader, dsn, 0, folder)
        with (folder / "events").open("wb") as file:
            for happening in happenings:
                value = traffic.encoded(happening)
                generator.write_event(file, happening.customer_id.encode(), value)
        (folder / "watched").write_text(json.dumps(sorted(crossings.values())), encoding="utf-8")
        environment = world.environment() | {
            "RATESTREAM_RATER__BATCH_WAIT_MS": str(TRANSACTION_MS),
            "RATESTREAM_AGGREGATOR__STATE_DIR": str(folder / "live"),
        }
        stack = None if loader.names_endpoint("kafka") else LocalStack(loader.project_dir)
        return cls(loader, sizes, world, folder, crossings, Services(environment, folder), count, say, stack)

    def start(self) -> None:
        """Everything, and the first events through all of it."""
        self.say("alerts: everything starts ...")
        self.receiver = self._child("bench.alerts.receiver", "--file", str(self.folder / "received"))
        port = int(_line(self.receiver))
        secret = self.folder / "secret"
        secret.touch(mode=0o600)
        secret.write_text("whsec_" + b64encode(secrets.token_bytes(32)).decode(), encoding="ascii")
        (self.folder / "ratestream.toml").write_text(
            f'[channels.{CHANNEL}]\ntype = "webhook"\nurl = "http://127.0.0.1:{port}/"\n'
            'secret_file = "secret"\nallow_http = true\nallow_addresses = ["127.0.0.1/32"]\n'
            "group_after = 1000000\n",
            encoding="utf-8",
        )
        for name, module in MODULES.items():
            self.services.start(name, module, wrapped=_NICE if name in LATER else ())
        self.generator = self._child(
            "bench.alerts.generator",
            "--bootstrap", self.world.kafka.bootstrap_servers,
            "--topic", self.world.kafka.topic_prefix + USAGE_EVENTS,
            "--events", str(self.folder / "events"), "--watched", str(self.folder / "watched"),
            "--answer", str(self.folder / "sent"),
            "--warm", str(self.sizes.warm), "--count", str(self.count), "--rate", str(self.sizes.rate),
        )  # fmt: skip
        _line(self.generator)
        self._wait(lambda: self._in_ledger() == self.sizes.warm, _READY_S, "the ledger has the first events")
        self._wait(lambda: bool(self._arrivals()), _READY_S, "the first alert comes")

    def measure(self) -> dict[str, Any]:
        """The schedule, then the answers, then the figures."""
        sizes, running = self.sizes, self.generator
        if running is None or running.stdin is None:
            raise RuntimeError("start comes first")
        self.say(f"alerts: {sizes.rate:,} events/s for {sizes.seconds} s ...")
        pids = {name: process.pid for name, process in self.services.running.items()}
        before = Costs.now(pids, self.stack, self.world.dsn)
        running.stdin.write(f"{time.time_ns() + _SOON_NS}\n")
        running.stdin.flush()
        if running.wait(sizes.seconds + _DRAINED_S):
            sys.exit("the generator failed")
        sent = json.loads((self.folder / "sent").read_text("utf-8"))
        behind = self.count - self._in_ledger()
        after = Costs.now(pids, self.stack, self.world.dsn)
        self.services.check()
        self.say("alerts: the answers ...")
        began_s = time.monotonic()
        self._wait(lambda: self._in_ledger() == self.count, _DRAINED_S, "the ledger has every event")
        drained_s = time.monotonic() - began_s
        self._wait(
            lambda: len(self._arrivals()) >= len(self.crossings), _READY_S, "every alert has come", fail=False
        )
        arrivals = self._arrivals()
        self._check(arrivals)
        return {
            "events": self.count - sizes.warm,
            "rate_wanted": sizes.rate,
            "rate_achieved": round((self.count - sizes.warm) / sent["sent_s"]),
            "transaction_ms": TRANSACTION_MS,
            "at_lower_priority": list(LATER),
            "generator": {key: value for key, value in sent.items() if key != "times"},
            **self._latencies(arrivals, sent["times"]),
            "ledger_behind_events": behind,
            "ledger_drained_s": round(drained_s, 1),
            "cpu_s": after.since(before),
        }

    def stop(self) -> None:
        """All processes."""
        self.services.stop()
        for process in (self.generator, self.receiver):
            if process is not None:
                process.kill()
                process.wait()

    def _check(self, arrivals: dict[Crossing, tuple[int, dict[str, Any]]]) -> None:
        missing, extra = self.crossings.keys() - arrivals.keys(), arrivals.keys() - self.crossings.keys()
        late = [crossing for crossing, (_, alert) in arrivals.items() if alert["late"]]
        if missing or extra or late:
            sys.exit(
                f"alerts: {len(missing)} of {len(self.crossings)} missing, {len(extra)} for no crossing, "
                f"{len(late)} late; first: {sorted(missing)[:1]} {sorted(extra)[:1]} {late[:1]}"
            )

    def _latencies(
        self, arrivals: dict[Crossing, tuple[int, dict[str, Any]]], times: dict[str, list[int]]
    ) -> dict[str, Any]:
        from_due, from_acknowledged, until_raised, from_raised = [], [], [], []
        for crossing, number in self.crossings.items():
            if number < self.sizes.warm:
                continue
            arrived_ns, alert = arrivals[crossing]
            due_ns, acknowledged_ns = times[str(number)]
            from_due.append(arrived_ns - due_ns)
            from_acknowledged.append(arrived_ns - acknowledged_ns)
            until_raised.append(alert["raised_at_us"] * 1000 - acknowledged_ns)
            from_raised.append(arrived_ns - alert["raised_at_us"] * 1000)
        return {
            "alerts": len(from_due),
            "ms_from_acknowledged": _spread(from_acknowledged),
            "ms_from_scheduled": _spread(from_due),
            "ms_of_it_until_raised": _spread(until_raised),
            "ms_of_it_in_delivery": _spread(from_raised),
        }

    def _arrivals(self) -> dict[Crossing, tuple[int, dict[str, Any]]]:
        """The first arrival of each threshold's alert."""
        found: dict[Crossing, tuple[int, dict[str, Any]]] = {}
        path = self.folder / "received"
        for line in path.read_text("utf-8").splitlines() if path.exists() else ():
            told = json.loads(line)
            data = told["body"]["data"]
            for alert in data.get("alerts", [data]):
                if alert["kind"] == "threshold":
                    key = Crossing(alert["customer_id"], alert["period_start_us"], alert["threshold_amount"])
                    found.setdefault(key, (told["at_ns"], alert))
        return found

    def _in_ledger(self) -> int:
        with connect(self.world.dsn) as connection:
            found = connection.execute(
                "select coalesce(sum(contiguous_seq), 0)::bigint from ledger.customers"
            ).fetchone()
        return int(str(found[0])) if found else 0

    def _wait(self, done: Callable[[], bool], for_s: float, what: str, *, fail: bool = True) -> None:
        deadline_s = time.monotonic() + for_s
        while not done():
            self.services.check()
            if time.monotonic() > deadline_s:
                if fail:
                    sys.exit(f"alerts: not within {for_s:g} s: {what}")
                return
            time.sleep(_LOOK_S)

    def _child(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", *arguments],
            env=dict(self.world.environment()), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip


def _line(process: subprocess.Popen[str]) -> str:
    if process.stdout is None or not (line := process.stdout.readline()):
        sys.exit(f"{process.args!r} ended without a word")
    return line


def _spread(nanoseconds: Sequence[int]) -> dict[str, float]:
    ordered = sorted(nanoseconds)
    return {
        "p50": round(statistics.median(ordered) / 1e6, 1),
        "p99": round(ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] / 1e6, 1),
        "max": round(ordered[-1] / 1e6, 1),
    }


def show(figures: dict[str, Any]) -> None:
    """The figures as text."""
    print(
        f"\nalerts: {figures['rate_achieved']:,} events/s of {figures['rate_wanted']:,} wanted, "
        f"transactions of {figures['transaction_ms']} ms, {figures['alerts']} alerts; ms (p50, p99, max)"
    )
    for name in ("from_acknowledged", "from_scheduled", "of_it_until_raised", "of_it_in_delivery"):
        spread = figures[f"ms_{name}"]
        print(f"  {name.replace('_', ' '):<24} {spread['p50']:>9} {spread['p99']:>9} {spread['max']:>9}")
    print(
        f"  the ledger was {figures['ledger_behind_events']:,} events behind at the end, "
        f"and had them {figures['ledger_drained_s']} s later"
    )
    print("  CPU seconds")
    for name, cpu_s in figures["cpu_s"].items():
        print(f"    {name:<48} {cpu_s:>8}")
