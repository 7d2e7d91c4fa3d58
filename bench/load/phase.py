"""One run of everything: services, generator, watcher, webhook, on topics and a database of its own."""

import json
import secrets
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from bench.alerts.costs import Costs
from bench.alerts.generator import write_event
from bench.alerts.plan import CHANNEL, Crossing, plan
from bench.load.disk import Bytes
from bench.load.input import PARTITIONS, make_world
from bench.pipeline.run import World, empty_database
from bench.processes import used
from bench.services import Services
from bench.traffic import Happening, Traffic, book, span_us
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
WARM = 2_000
_WATCHED = 10_000  # events, about; each customer's last beside them
_EVENT_TIME_RATE = 10_000  # a backlog's events lie so many a second apart in event time
_READY_S = 120.0
_DONE_S = 900.0
_LOOK_S = 0.2
_SOON_NS = 500_000_000
_MIB = 1 << 20


@dataclass(frozen=True)
class Ended:
    """What came of it; times in ns, wall clock, by event number."""

    start_ns: int
    sent: dict[int, tuple[int, int]]  # due, acknowledged
    stages: dict[str, dict[int, int]]
    alerts: dict[int, int]
    cpu_s: dict[str, float]
    bytes_an_event: dict[str, object]
    memory: dict[str, Any]
    generator: dict[str, Any]


@dataclass
class Phase:
    """`made`, `start`, `run`, and whatever happens `stop`."""

    world: World
    folder: Path
    count: int
    rate: int
    crossings: dict[Crossing, int]
    services: Services
    stack: LocalStack | None
    others: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    @classmethod
    def made(
        cls, loader: SettingsLoader, folder: Path, count: int, rate: int, thresholds: int,
        *, every: int = 1, batch_wait_ms: int | None = None,
    ) -> "Phase":  # fmt: skip
        """Events in a file, budgets whose crossings are known, nothing started yet.

        `every` as in `plan`; `batch_wait_ms` is how long a rater gathers a transaction, None: as shipped.
        """
        dsn = empty_database(loader)
        with connect(dsn) as connection:
            migrate(connection)
            stored = apply(connection, book(), author="bench").stored
        now_us = time.time_ns() // 1000
        traffic = Traffic.of_trace(book(), stored.content_hash, now_us, PARTITIONS)
        whole = WARM + count
        span = span_us(whole, min(rate, _EVENT_TIME_RATE))
        happenings = list(traffic.play(whole, now_us - span, span))
        quiet = count // 12
        content, crossings = plan(happenings, WARM, WARM + quiet, whole - quiet, thresholds, every)
        check_budgets(content, book())
        with connect(dsn) as connection:
            apply_budgets(connection, content, author="bench")
        with (folder / "events").open("wb") as file:
            for happening in happenings:
                write_event(file, happening.customer_id.encode(), traffic.encoded(happening))
        (folder / "watched").write_text(json.dumps(_watched(happenings, crossings)), encoding="utf-8")
        world = make_world(loader, dsn, folder)
        environment = world.environment() | {"RATESTREAM_AGGREGATOR__STATE_DIR": str(folder / "live")}
        if batch_wait_ms is not None:
            environment["RATESTREAM_RATER__BATCH_WAIT_MS"] = str(batch_wait_ms)
        stack = None if loader.names_endpoint("kafka") else LocalStack(loader.project_dir)
        return cls(world, folder, whole, rate, crossings, Services(environment, folder), stack)

    def start(self) -> None:
        """Everything, and the warm events through all of it."""
        self._webhook()
        for name, module in MODULES.items():
            self.services.start(name, module)
        kafka = self.world.kafka
        watched = str(self.folder / "watched")
        self._child(
            "watcher", "bench.load.watch", "--bootstrap", kafka.bootstrap_servers,
            "--prefix", kafka.topic_prefix, "--partitions", str(kafka.partitions), "--dsn", self.world.dsn,
            "--watched", watched, "--answer", str(self.folder / "seen"), "--for-s", str(_READY_S + _DONE_S),
        )  # fmt: skip
        self._child(
            "generator", "bench.alerts.generator", "--bootstrap", kafka.bootstrap_servers,
            "--topic", kafka.topic_prefix + USAGE_EVENTS, "--events", str(self.folder / "events"),
            "--watched", watched, "--answer", str(self.folder / "sent"),
            "--warm", str(WARM), "--count", str(self.count), "--rate", str(self.rate),
        )  # fmt: skip
        self._line("watcher")
        self._line("generator")
        self._wait(lambda: self._in_ledger() == WARM, _READY_S, "the ledger has the warm events")
        self._wait(lambda: bool(self._arrivals()), _READY_S, "the first alert comes")

    def run(self) -> Ended:
        """The schedule, until the watcher has seen every watched event everywhere, and every alert came."""
        pids = {name: process.pid for name, process in self.services.running.items()}
        watched_pids = dict(pids)
        if self.stack is not None:
            watched_pids["broker"] = self.stack.status()["kafka"]["pid"] or 0
        told = self.others["generator"]
        if told.stdin is None:
            raise RuntimeError("start comes first")
        disk = Bytes.now(self.stack, self.world.kafka.topic_prefix, self.world.dsn)
        before = Costs.now(pids, self.stack, self.world.dsn)
        start_ns = time.time_ns() + _SOON_NS
        told.stdin.write(f"{start_ns}\n")
        told.stdin.flush()
        with Memory(watched_pids) as memory:
            # The watcher first: an own look at what runs costs nothing, a query of the ledger would.
            self._wait(
                lambda: self.others["watcher"].poll() is not None, _DONE_S, "all events are everywhere"
            )
            after = Costs.now(pids, self.stack, self.world.dsn)
            self._wait(lambda: len(self._arrivals()) >= len(self.crossings), _READY_S, "every alert has come")
        sent = json.loads((self.folder / "sent").read_text("utf-8"))
        seen = json.loads((self.folder / "seen").read_text("utf-8"))
        self._check(seen["times"])
        cpu_s = after.since(before)
        bytes_now = Bytes.now(self.stack, self.world.kafka.topic_prefix, self.world.dsn)
        numbers = {int(number): (due, acknowledged) for number, (due, acknowledged) in sent["times"].items()}
        after_warm = {number: times for number, times in numbers.items() if number >= WARM}
        return Ended(
            start_ns,
            after_warm,
            {
                stage: {int(number): ns for number, ns in times.items() if int(number) >= WARM}
                for stage, times in seen["times"].items()
            },
            {
                self.crossings[crossing]: ns
                for crossing, ns in self._arrivals().items()
                if crossing in self.crossings and self.crossings[crossing] >= WARM
            },
            cpu_s,
            bytes_now.an_event_since(disk, self.count - WARM),
            memory.figures(),
            {key: value for key, value in sent.items() if key != "times"} | {"watcher_cpu_s": seen["cpu_s"]},
        )

    def stop(self) -> None:
        """All processes."""
        self.services.stop()
        for process in self.others.values():
            process.kill()
            process.wait()

    def _check(self, seen: dict[str, dict[str, int]]) -> None:
        wanted = json.loads((self.folder / "watched").read_text("utf-8"))
        for stage, times in seen.items():
            if len(times) != len(wanted):
                sys.exit(f"whole pipeline: {len(times)} of {len(wanted)} watched events reached {stage}")
        if (found := self._in_ledger()) != self.count:
            sys.exit(f"whole pipeline: the ledger has {found} events of {self.count}")
        if self._arrivals().keys() != self.crossings.keys():
            sys.exit(f"whole pipeline: {len(self._arrivals())} alerts, expected {len(self.crossings)}")

    def _webhook(self) -> None:
        self._child("webhook", "bench.alerts.receiver", "--file", str(self.folder / "received"))
        port = int(self._line("webhook"))
        secret = self.folder / "secret"
        secret.touch(mode=0o600)
        secret.write_text("whsec_" + b64encode(secrets.token_bytes(32)).decode(), encoding="ascii")
        (self.folder / "ratestream.toml").write_text(
            f'[channels.{CHANNEL}]\ntype = "webhook"\nurl = "http://127.0.0.1:{port}/"\n'
            'secret_file = "secret"\nallow_http = true\nallow_addresses = ["127.0.0.1/32"]\n'
            "group_after = 1000000\n",
            encoding="utf-8",
        )

    def _arrivals(self) -> dict[Crossing, int]:
        """When the first message of each threshold came."""
        found: dict[Crossing, int] = {}
        path = self.folder / "received"
        for line in path.read_text("utf-8").splitlines() if path.exists() else ():
            told = json.loads(line)
            data = told["body"]["data"]
            for alert in data.get("alerts", [data]):
                if alert["kind"] == "threshold":
                    key = Crossing(alert["customer_id"], alert["period_start_us"], alert["threshold_amount"])
                    found.setdefault(key, told["at_ns"])
        return found

    def _in_ledger(self) -> int:
        with connect(self.world.dsn) as connection:
            found = connection.execute(
                "select coalesce(sum(contiguous_seq), 0)::bigint from ledger.customers"
            ).fetchone()
        return int(str(found[0])) if found else 0

    def _wait(self, done: Callable[[], bool], for_s: float, what: str) -> None:
        deadline_s = time.monotonic() + for_s
        while not done():
            self.services.check()
            if time.monotonic() > deadline_s:
                sys.exit(f"whole pipeline: not within {for_s:g} s: {what}")
            time.sleep(_LOOK_S)

    def _child(self, name: str, *arguments: str) -> None:
        self.others[name] = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            env=self.world.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def _line(self, name: str) -> str:
        process = self.others[name]
        if process.stdout is None or not (line := process.stdout.readline()):
            sys.exit(f"{name} ended without a word")
        return line


class Memory:
    """Resident MiB of each process, once a second."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = pids
        self._seconds: list[float] = []
        self._mib: dict[str, list[int]] = {name: [] for name in pids}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def figures(self) -> dict[str, Any]:
        """Seconds, and each process's MiB at them."""
        return {"seconds": self._seconds, "rss_mib": self._mib}

    def _run(self) -> None:
        began_s = time.monotonic()
        while not self._ended.is_set():
            self._seconds.append(round(time.monotonic() - began_s, 1))
            for name, pid in self._pids.items():
                found = used(pid)
                self._mib[name].append(0 if found is None else found.rss // _MIB)
            self._ended.wait(1.0)


def _watched(happenings: list[Happening], crossings: dict[Crossing, int]) -> list[int]:
    """Some of all, what crosses a threshold, and each customer's last: all before it is there by then."""
    every = max(1, len(happenings) // _WATCHED)
    last = {happening.customer_id: happening.number for happening in happenings}
    return sorted({*range(0, len(happenings), every), *crossings.values(), *last.values()})
