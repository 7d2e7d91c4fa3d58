"""`make bench`: parts beside their baselines, answers checked before a figure is told; JSON out."""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.parts import PARTS, SIZES, Size
from bench.pipeline.run import clean_up
from cli.stack.local import LocalStack
from runtime.settings import SettingsLoader

RESULTS = Path(__file__).parent / "results"
_CHANGEABLE = ("events", "known", "rounds", "cards", "month_events", "ledger_rows", "rate")
_MINUTES = 27  # after which no further part begins, so that it ends within half an hour


def parse(given: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command was asked."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only", choices=PARTS, nargs="+", default=list(PARTS), help="these parts; by default all"
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--short", dest="size", action="store_const", const="short", help="a few minutes; a try"
    )
    size.add_argument(
        "--full", dest="size", action="store_const", const="full", help="hours; no limit of time"
    )
    parser.add_argument(
        "--minutes", type=float, help=f"no part begins later; {_MINUTES}, and none with --full"
    )
    parser.add_argument("--output", type=Path, help="the JSON; by default bench/results/<time>.json")
    for name in _CHANGEABLE:
        parser.add_argument(f"--{name.replace('_', '-')}", type=int)
    arguments = parser.parse_args(given)
    arguments.size = arguments.size or "usual"
    if arguments.minutes is None and arguments.size != "full":
        arguments.minutes = _MINUTES
    return arguments


def main() -> None:
    """Run the parts, and write their figures after each, so that a run that breaks off leaves what it had."""
    arguments = parse()
    size = _size(arguments)
    loader = SettingsLoader.of_process()
    path = arguments.output or RESULTS / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    began_s = time.monotonic()
    figures: dict[str, Any] = {
        "machine": machine(), "size": arguments.size, "seconds": {}, "left_out": [], "failed": {},
    }  # fmt: skip
    with _services(loader):
        for name in PARTS:
            if name not in arguments.only:
                continue
            part_began_s = time.monotonic()
            if arguments.minutes is not None and part_began_s - began_s > arguments.minutes * 60:
                figures["left_out"].append(name)
                continue
            print(f"== {name}", flush=True)
            try:
                figures[name] = PARTS[name].run(loader, size, partial(print, flush=True))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - told in the result and by the exit code
                traceback.print_exc()
                figures["failed"][name] = f"{type(error).__name__}: {error}"[-2_000:]
            finally:
                clean_up(loader)
            figures["seconds"][name] = round(time.monotonic() - part_began_s, 1)
            path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    for name, part in PARTS.items():
        if name in figures:
            part.show(figures[name])
    _close(figures, path)


def _close(figures: dict[str, Any], path: Path) -> None:
    print(f"\nseconds: {json.dumps(figures['seconds'])}")
    if figures["left_out"]:
        print(f"left out for want of time: {', '.join(figures['left_out'])}")
    print(f"written to {path}")
    if figures["failed"]:
        sys.exit("".join(f"failed: {name}: {why}\n" for name, why in figures["failed"].items()))


def _size(arguments: argparse.Namespace) -> Size:
    chosen: Size = SIZES[arguments.size]
    told = {name: getattr(arguments, name) for name in _CHANGEABLE}
    changed: Size = replace(chosen, **{name: value for name, value in told.items() if value is not None})
    rate = changed.rate if arguments.rate is not None else None
    if rate is not None:
        changed = replace(
            changed,
            aggregator_sizes=replace(changed.aggregator_sizes, rate=rate),
            alerts_sizes=replace(changed.alerts_sizes, rate=rate),
        )
    return changed


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
        if stack is not None and not was_up:
            stack.down()


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    names = ("ratestream", "confluent-kafka", "fastavro", "rocksdict", "faust-streaming", "psycopg")
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": _commit(),
        "cpus": os.cpu_count(),
        "cpu": _first_of("/proc/cpuinfo", "model name"),
        "memory_mib": int(_first_of("/proc/meminfo", "MemTotal").split()[0] or 0) // 1024,
        "kernel": platform.release(),
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }


def _first_of(path: str, name: str) -> str:
    for line in Path(path).read_text("utf-8").splitlines() if Path(path).exists() else ():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "0"


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip()


if __name__ == "__main__":
    main()
