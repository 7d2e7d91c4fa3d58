"""Rates events once; then, each round, the ledger takes them over and a COPY writes the same rows alone.

Both begin with an empty database. What the ledger wrote is checked before a figure is told: every row, its
sums to the last digit in each grain, and a verification without a finding.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.ledger import quick
from bench.pipeline.run import World, child, clean_up, database, empty_database, new_world, run_rater
from bench.world import expected_totals
from runtime.postgres import connect
from runtime.settings import SettingsLoader

_CHUNK = 1 << 20
_QUICK_ROUNDS = 5


def run(
    loader: SettingsLoader, count: int, rounds: int, rows: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """The figures of `rounds` rounds over `count` rated records, and of verifying `rows` generated ones."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        say(f"ledger: {count:,} events, rated ...")
        world = new_world(loader, database(loader), count, folder)
        run_rater(world)
        sink, copies = [], []
        for number in range(1, rounds + 1):
            say(f"ledger: round {number}: the ledger, a COPY of its rows ...")
            world = replace(world, dsn=database(loader))
            sink.append(child(["bench.ledger.sink", "--events", str(count)], world.environment()))
            _check(world)
            copies.append(_copy(world, database(loader), folder / "rows"))
        say("ledger: quick verifications ...")
        verified = [_verify(world) for _ in range(_QUICK_ROUNDS)]
    say(f"ledger: {rows:,} rows generated, their counts and sums ...")
    return {
        "ledger": sink,
        "copy": copies,
        "quick_verify": {"rows": count, "seconds": verified},
        "counts_and_sums": {"rows": rows, "seconds": quick.run(empty_database(loader), rows)},
    }


def _check(world: World) -> None:
    """Rows, roll-ups and queries hold exactly what the rates by hand give."""
    expected = (world.count, *expected_totals(world.count, world.now_us))
    with connect(world.dsn) as connection:
        for table in ("rated", "sums_15m", "sums_day", "sums_month", "queries"):
            counted = {"rated": "count(*)", "queries": "sum(calls)"}.get(table, "sum(events)")
            found = connection.execute(
                f"select {counted}, sum(cost), sum(price) from ledger.{table}".encode()  # noqa: S608 - names of above
            ).fetchone()
            if found != expected:
                sys.exit(f"ledger.{table}: count, cost and price are {found}, expected {expected}")


def _copy(world: World, dsn: str, path: Path) -> dict[str, Any]:
    """The same rows into the same table with its keys, by one COPY in one transaction, from a file."""
    with connect(world.dsn, statement_timeout_ms=0) as connection, path.open("wb") as file:
        days = connection.execute("select distinct posted_day from ledger.rated").fetchall()
        with connection.cursor().copy("copy (select * from ledger.rated) to stdout") as copy:
            for data in copy:
                file.write(data)
    with connect(dsn, statement_timeout_ms=0) as connection:
        for (day,) in days:
            connection.execute("select ledger.make_day(%s)", (day,))
        connection.commit()
        started_s = time.monotonic()
        with path.open("rb") as file, connection.cursor().copy("copy ledger.rated from stdin") as copy:
            while data := file.read(_CHUNK):
                copy.write(data)
        connection.commit()
        wall_s = time.monotonic() - started_s
        ((rows,),) = connection.execute("select count(*) from ledger.rated").fetchall()
    if rows != world.count:
        sys.exit(f"the COPY wrote {rows} rows of {world.count}")
    return {"events": rows, "wall_s": round(wall_s, 3), "events_per_s": round(world.count / wall_s)}


def _verify(world: World) -> float:
    """Seconds of one `ratestream verify --quick`, start of the process included."""
    started_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "cli", "verify", "--quick"],
        env=world.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    wall_s = time.monotonic() - started_s
    if done.returncode:
        sys.exit(f"the ledger is not verified:\n{done.stdout}{done.stderr}")
    return round(wall_s, 2)


def show(figures: dict[str, Any]) -> None:
    """The figures as text."""
    print("\nledger beside a COPY of its rows: events/s, CPU-s a million; rows/s")
    for ledger, copy in zip(figures["ledger"], figures["copy"], strict=True):
        ratio = ledger["events_per_s"] / copy["events_per_s"]
        figure = f"{ledger['events_per_s']:>8,}  {ledger['cpu_s_per_million']:>6}  {copy['events_per_s']:>8,}"
        print(f"  {figure}   ratio {ratio:.3f}")
    for name, what in (("quick_verify", "verify --quick"), ("counts_and_sums", "its counts and sums alone")):
        rows, times = figures[name]["rows"], figures[name]["seconds"]
        print(f"{what}, {rows:,} rows: {min(times)} to {max(times)} s")


def main() -> None:
    """`python -m bench.ledger.run [--events N] [--rounds N]`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--rows", type=int, default=quick.ROWS)
    arguments = parser.parse_args()
    loader = SettingsLoader.of_process()
    try:
        show(
            run(
                loader,
                arguments.events,
                arguments.rounds,
                arguments.rows,
                lambda text: print(text, flush=True),
            )
        )
    finally:
        clean_up(loader)


if __name__ == "__main__":
    main()
