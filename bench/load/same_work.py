"""The same work by others, in the same run: bare loops, stock Faust, quixstreams, Kafka Streams.

Everybody reads the same usage events, rates them by a small table, writes whole rated records and keeps each
customer's totals. Who has a store keeps them there, with its changelog, and these too are checked. Nobody but
the rater removes duplicates, gives sequences that survive, checks events, or has a rate book.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Any

from bench.load.input import (
    PARTITIONS,
    Input,
    check_rated,
    check_totals,
    last_line,
    make_world,
    publish,
    topic,
)
from bench.pipeline.run import database, run_bare, run_rater
from bench.streams import run as streams
from runtime.settings import SettingsLoader
from schemas.codec import CODEC
from schemas.topics import USAGE_EVENTS, USAGE_RATED

ROOT = Path(__file__).parents[2]
_THEIRS = ROOT / ".venv-bench" / "bin" / "python"
_RUN_S = 900
_LOOK_AT = 50_000  # records that are all decoded when answers are checked
COMMIT_MS = (500, 100)
_LONGS = Struct(">qqq")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Events for each, warm ones of Java aside, and rounds."""

    loops: int = 300_000
    quix: int = 40_000
    faust: int = 15_000
    streams: int = 500_000
    streams_warm: int = 1_000_000
    rounds: int = 2


SHORT = Sizes(25_000, 5_000, 2_000, 50_000, 50_000, 1)
FULL = Sizes(1_000_000, 100_000, 40_000, 2_000_000, 1_000_000, 5)


def run(loader: SettingsLoader, sizes: Sizes, say: Say) -> dict[str, Any]:
    """Each peer's rounds: what it did, or why it did not run."""
    found: dict[str, Any] = {"guarantee": GUARANTEE}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        schemas = folder / "schemas.json"
        schemas.write_text(
            json.dumps(
                {
                    "event": CODEC.schema("UsageEvent"), "rated": CODEC.schema("RatedUsage"),
                    "rated_header": CODEC.fingerprint("RatedUsage").hex(),
                }
            ),
            encoding="utf-8",
        )  # fmt: skip
        bench = _Bench(loader, database(loader), folder, schemas, sizes)
        for number in range(1, sizes.rounds + 1):
            say(f"same work, round {number}: bare loops, the rater ...")
            for key, figures in bench.loops(number).items():
                found.setdefault(key, []).append(figures)
            for key, part in (("quixstreams", bench.quix), ("faust", bench.faust)):
                say(f"same work, round {number}: {key} ...")
                found.setdefault(key, []).append(part(number))
            say(f"same work, round {number}: Kafka Streams ...")
            for key, figures in bench.java(number).items():
                found.setdefault(key, []).append(figures)
    return found


GUARANTEE = {
    "bare_bytes": "transactions of 500 ms; no work, no state",
    "bare_codec": "transactions of 500 ms; decodes and encodes, no rating, no state",
    "bare_naive": "transactions of 500 ms; totals in a dictionary that a restart loses",
    "rater": "exactly once; duplicates removed, sequences, checks, rate book, state restored from its log",
    "quixstreams": "exactly once, commits every 500 ms; totals in RocksDB with changelog",
    "faust": "told by each round; totals in RocksDB with changelog",
    "kafka_streams_500ms": "exactly once v2, commits every 500 ms; totals in RocksDB with changelog",
    "kafka_streams_100ms": "exactly once v2, commits every 100 ms; totals in RocksDB with changelog",
}


@dataclass
class _Bench:
    loader: SettingsLoader
    dsn: str
    folder: Path
    schemas: Path
    sizes: Sizes
    for_java: Input | None = None

    def _input(self, count: int) -> Input:
        return publish(make_world(self.loader, self.dsn, self.folder), count)

    def loops(self, number: int) -> dict[str, dict[str, Any]]:
        """What needs no framework, and the rater, on one input."""
        made = self._input(self.sizes.loops)
        every = max(1, made.count // _LOOK_AT)
        found = {"bare_codec": run_bare(made.world)}
        for work in ("bytes", "naive"):
            target = topic(made.world, work)
            arguments = self._told(made, target, f"bare-{work}-{number}")
            found[f"bare_{work}"] = self._child(
                sys.executable, "bench.peers.loop", [*arguments, "--work", work, "--commit-ms", "500"]
            )
        check_rated(made, made.world.kafka.topic_prefix + "naive", every)
        found["rater"] = run_rater(made.world, check=False)
        check_rated(made, made.world.kafka.topic_prefix + USAGE_RATED, every)
        return found

    def quix(self, number: int) -> dict[str, Any]:
        """quixstreams, exactly once."""
        if not _THEIRS.exists():
            return _not_run("no environment for it: make bench-peers")
        made = self._input(self.sizes.quix)
        name = f"quix-{number}"
        target = topic(made.world, "quix")
        arguments = [*self._told(made, target, name), "--directory", str(self.folder / name)]
        figures = self._child(str(_THEIRS), "bench.peers.quix", [*arguments, "--commit-ms", "500"])
        check_rated(made, target)
        prefix = made.world.kafka.topic_prefix
        check_totals(made, f"changelog__{prefix}{name}--{prefix}{USAGE_EVENTS}--default", _of_json)
        return figures

    def faust(self, number: int) -> dict[str, Any]:
        """Stock Faust: exactly once where it works, else at least once, and which."""
        tried = {}
        for guarantee in ("exactly_once", "at_least_once"):
            made = self._input(self.sizes.faust)
            name = f"faust-{guarantee}-{number}"
            target, prefix = topic(made.world, "faust"), made.world.kafka.topic_prefix
            topic(made.world, f"{name}-totals-changelog")  # stock Faust begins before its own is there
            arguments = [
                *self._told(made, target, name), "--directory", str(self.folder / name),
                "--guarantee", guarantee, "--commit-ms", "500", "--partitions", str(PARTITIONS),
            ]  # fmt: skip
            try:
                figures = self._child(sys.executable, "bench.peers.faust_rater", arguments)
                check_rated(made, target)
                check_totals(made, f"{prefix}{name}-totals-changelog", _of_json)
            except (subprocess.SubprocessError, SystemExit) as error:
                tried[guarantee] = str(error)[-300:]
                continue
            return figures | {"guarantee": guarantee} | ({"tried": tried} if tried else {})
        return _not_run(f"no guarantee gave right answers: {tried}")

    def java(self, number: int) -> dict[str, dict[str, Any]]:
        """Kafka Streams, at each commit interval."""
        names = {commit_ms: f"kafka_streams_{commit_ms}ms" for commit_ms in COMMIT_MS}
        if streams.compiler() is None:
            return {name: _not_run("no Java compiler") for name in names.values()}
        # The largest input by far: made once.
        self.for_java = made = self.for_java or self._input(self.sizes.streams + self.sizes.streams_warm)
        found = {}
        for commit_ms, name in names.items():
            figures = streams.run(
                self.loader,
                made,
                self.folder,
                f"streams-{commit_ms}-{number}",
                warm=self.sizes.streams_warm,
                commit_ms=commit_ms,
            )
            check_rated(made, figures.pop("target"), max(1, made.count // _LOOK_AT))
            check_totals(made, figures.pop("changelog"), _of_longs)
            found[name] = figures
        return found

    def _told(self, made: Input, target: str, name: str) -> list[str]:
        kafka = made.world.kafka
        return [
            "--bootstrap", kafka.bootstrap_servers, "--id", kafka.topic_prefix + name,
            "--source", kafka.topic_prefix + USAGE_EVENTS, "--target", target,
            "--schemas", str(self.schemas), "--events", str(made.count),
        ]  # fmt: skip

    def _child(self, python: str, module: str, arguments: Sequence[str]) -> dict[str, Any]:
        done = subprocess.run(
            [python, "-m", module, *arguments],
            cwd=ROOT, env=dict(os.environ), stdout=subprocess.PIPE, timeout=_RUN_S, check=True,
        )  # fmt: skip
        return last_line(done.stdout)


def _not_run(why: str) -> dict[str, Any]:
    return {"not_run": why}


def _of_json(value: bytes) -> tuple[int, int, int]:
    events, cost, price = json.loads(value)
    return events, cost, price


def _of_longs(value: bytes) -> tuple[int, int, int]:
    events, cost, price = _LONGS.unpack(value)
    return events, cost, price


def show(figures: dict[str, Any]) -> None:
    """The figures as text."""
    print("\nthe same work: events/s, CPU-s a million, peak MiB of each round")
    for name in figures["guarantee"]:
        for round_ in figures.get(name, ()):
            if "not_run" in round_:
                print(f"  {name:<22} not run: {round_['not_run']}")
            else:
                print(
                    f"  {name:<22} {round_['events_per_s']:>8,}  {round_['cpu_s_per_million']:>7}  "
                    f"{round_['peak_rss_mib']:>5}  {round_.get('guarantee', '')}"
                )
