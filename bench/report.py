"""Writes the figures of a result into docs/performance.md, between its markers: no figure is typed by hand.

`python -m bench.report RESULT.json` keeps a copy of the result beside the plots; without a name it writes the
document anew from that copy.
"""

import argparse
import json
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
KEPT = ROOT / "docs" / "performance" / "results.json"
_BLOCK = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_SPEED = ("events_per_s", "cpu_s_per_million")
_STAGES = {"ledger": "in the ledger", "totals": "in the totals"}
_NOT_MEASURED = "Not measured in this run.\n"

Figures = dict[str, Any]


def main() -> None:
    """Keep the result, and fill in the page."""
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument("result", type=Path, nargs="?", default=KEPT)
    arguments = parser.parse_args()
    figures: Figures = json.loads(arguments.result.read_text("utf-8"))
    figures["failed"] = sorted(figures.get("failed", ()))
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(filled(PAGE.read_text("utf-8"), figures), encoding="utf-8")


def filled(page: str, figures: Figures) -> str:
    """The page with every block made anew.

    Raises SystemExit where a block has a name that no table has.
    """

    def block(found: re.Match[str]) -> str:
        name = found.group(2)
        if name not in TABLES:
            sys.exit(f"{PAGE.name}: no table is called {name}; there are {', '.join(TABLES)}")
        part, table = TABLES[name]
        text = table(figures[part]) if part in figures else _NOT_MEASURED
        if part in figures and name in PLOTS:
            text += "".join(f"\n![{said}](performance/{plot}.svg)\n" for plot, said in PLOTS[name])
        return f"{found.group(1)}\n{text}\n{found.group(3)}"

    return _BLOCK.sub(block, page)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def number(value: float | str | None) -> str:
    """With separators, to about three digits where it is small."""
    if value is None or isinstance(value, str):
        return value or "-"
    if abs(value) >= 1000 or isinstance(value, int):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def spread(values: Sequence[float]) -> str:
    """Median, and the range beside it where there are several."""
    middle = number(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({number(min(values))} to {number(max(values))})"


def _of(rounds: Sequence[Figures], key: str) -> str:
    return spread([round_[key] for round_ in rounds])


def _machine(figures: Figures) -> str:
    return table(("what", "is"), figures.items())


def _same_work(figures: Figures) -> str:
    rows = []
    for name, guarantee in figures["guarantee"].items():
        rounds = [round_ for round_ in figures.get(name, ()) if "not_run" not in round_]
        if not rounds:
            why = next((round_["not_run"] for round_ in figures.get(name, ())), "left out")
            rows.append((name, f"not run: {why}", "", "", guarantee))
            continue
        told = sorted({round_["guarantee"] for round_ in rounds if "guarantee" in round_})
        said = (
            guarantee.replace("told by each round", ", ".join(told).replace("_", " ")) if told else guarantee
        )
        rows.append(
            (
                name.replace("_", " "),
                _of(rounds, "events_per_s"),
                _of(rounds, "cpu_s_per_million"),
                _of(rounds, "peak_rss_mib"),
                said,
            )
        )
    return table(("who", "events/s", "CPU-s a million", "peak MiB", "what it does"), rows)


def _capacity(figures: Figures) -> str:
    rounds, longer = figures["capacity"], figures.get("longer_transactions")
    head = ["what", f"a backlog of {number(rounds[0]['events'])} events"]
    rows = _capacity_rows(rounds)
    if not longer:
        return table(head, rows.items())
    beside = _capacity_rows(longer)
    head.append(f"once, transactions of {longer[0]['batch_wait_ms'] / 1000:g} s")
    return table(head, ((what, text, beside[what]) for what, text in rows.items()))


def _capacity_rows(rounds: Sequence[Figures]) -> dict[str, str]:
    stages, parts = rounds[0]["by_stage_events_per_s"], rounds[0]["cpu_s_per_million"]
    return {
        "events/s until everything is everywhere": _of(rounds, "events_per_s"),
        **{
            f"events/s until all are {stage}": spread(
                [round_["by_stage_events_per_s"][stage] for round_ in rounds]
            )
            for stage in stages
        },
        **{
            f"CPU-s a million: {part}": spread([round_["cpu_s_per_million"][part] for round_ in rounds])
            for part in parts
        },
        "**CPU-s a million: together**": _of(rounds, "cpu_s_per_million_together"),
        "CPU-s a million: broker, beside it": _of(rounds, "broker_cpu_s_per_million"),
        "alerts meanwhile, which the guard's share holds": _of(rounds, "alerts"),
    }


def _latency(figures: Figures) -> str:
    rows = []
    for part in figures["open_loop"]:
        for stage, found in part["latencies"].items():
            due, acknowledged = found["ms_from_scheduled"], found["ms_from_acknowledged"]
            rows.append(
                (
                    f"{part['share_percent']} % ({number(part['rate'])}/s)",
                    stage,
                    number(found["samples"]),
                    *(number(due.get(name)) for name in ("p50", "p90", "p99", "p999", "max")),
                    *(number(acknowledged.get(name)) for name in ("p50", "p99")),
                )
            )
    head = ("load", "until", "samples", "p50", "p90", "p99", "p99.9", "max", "p50 from ack.", "p99 from ack.")
    return table(head, rows)


def _open_loop_costs(figures: Figures) -> str:
    rows = [
        (
            f"{part['share_percent']} % ({number(part['rate'])}/s)",
            *(number(value) for value in part["cpu_s_per_million"].values()),
            number(part["cpu_s_per_million_together"]),
            number(part["broker_cpu_s_per_million"]),
        )
        for part in figures["open_loop"]
    ]
    names = figures["open_loop"][0]["cpu_s_per_million"] if rows else ()
    return table(("load", *names, "together", "broker"), rows)


def _memory(figures: Figures) -> str:
    part = figures["open_loop"][-1]
    seconds = part["memory"]["seconds"]
    rows = [
        (name, number(values[0]), number(values[len(values) // 2]), number(values[-1]), number(max(values)))
        for name, values in part["memory"]["rss_mib"].items()
    ]
    head = (
        "resident MiB",
        "at the start",
        f"after {number(seconds[len(seconds) // 2])} s",
        "at the end",
        "peak",
    )
    return table(head, rows)


def _bytes(figures: Figures) -> str:
    part = (*figures["capacity"], *figures["open_loop"])[-1]["bytes_an_event"]
    rows = [(f"log of {name}", number(size)) for name, size in part["logs"].items()]
    names = {
        "logs_together": "**logs together**",
        "database": "PostgreSQL: database",
        "write_ahead_log": "PostgreSQL: write-ahead log",
        "to_the_broker": "network, to the broker (from the logs' sizes)",
        "from_the_broker": "network, from the broker (from the logs' sizes and readers)",
        "loopback_everything": "loopback interface, everything on the machine",
    }
    rows += [(said, number(part[name])) for name, said in names.items()]
    return table(("where", "bytes an event"), rows)


def _customers(figures: Figures) -> str:
    rows = [
        (
            number(row["customers"]),
            number(row["events"]),
            *(
                number(row[who][key])
                for who in ("rater", "ledger")
                for key in ("events_per_s", "cpu_s_per_million")
            ),
            number(row["rater"]["peak_rss_mib"]),
        )
        for row in figures["customers"]
    ]
    head = ("customers", "events", "rater events/s", "CPU-s a million", "ledger events/s", "CPU-s a million")
    return table((*head, "rater peak MiB"), rows)


def _known(figures: Figures) -> str:
    mib = 1 << 20
    rows = [
        (
            number(row["known"]),
            number(row["log_bytes"] / mib),
            number(row["state_bytes"] / mib),
            number(row["seconds_from_the_log_to_the_first_commit"]),
            number(row["seconds_from_its_state_to_the_first_commit"]),
            number(row["rater"]["events_per_s"]),
            number(row["rater"]["cpu_s_per_million"]),
            number(row["rater"]["peak_rss_mib"]),
        )
        for row in figures["known_ids"]
    ]
    head = ("known ids", "log MiB", "state MiB", "s from the log", "s from its state", "events/s")
    return table((*head, "CPU-s a million", "peak MiB"), rows)


def _raters(figures: Figures) -> str:
    rows = [
        (
            *(number(row[key]) for key in ("raters", "partitions", "events", "events_per_s")),
            number(row["cpu_s_per_million"]),
            number(row["rss_mib_each"]),
        )
        for row in (*figures["raters"], *figures["partitions"])
    ]
    return table(("raters", "partitions", "events", "events/s", "CPU-s a million", "MiB each, at most"), rows)


def _ledger(figures: Figures) -> str:
    rows = [
        ("ledger, events/s", _of(figures["ledger"], "events_per_s")),
        ("ledger, own CPU-s a million (PostgreSQL's not in it)", _of(figures["ledger"], "cpu_s_per_million")),
        ("one COPY of the same rows, rows/s", _of(figures["copy"], "events_per_s")),
    ]
    for name, what in (
        ("quick_verify", "`verify --quick`"),
        ("counts_and_sums", "its counts and sums alone"),
    ):
        rows.append((f"{what}, {number(figures[name]['rows'])} rows, s", spread(figures[name]["seconds"])))
    return table(("what", "measured"), rows)


def _alerts(figures: Figures) -> str:
    rows = [
        (name.replace("_", " "), *(number(figures[f"ms_{name}"][key]) for key in ("p50", "p99", "max")))
        for name in ("from_acknowledged", "from_scheduled", "of_it_until_raised", "of_it_in_delivery")
    ]
    alerts, rate, behind = (
        number(figures[name]) for name in ("alerts", "rate_achieved", "ledger_behind_events")
    )
    said = (
        f"\n{alerts} alerts at {rate} events/s, ledger and totals at lower priority; "
        f"the ledger was {behind} events behind at the end.\n"
    )
    return table(("ms", "p50", "p99", "max"), rows) + said


def _aggregator(figures: Figures) -> str:
    rows = [
        (
            name.replace("_", " "),
            who,
            number(figures[name][who]["events_per_s"]),
            number(figures[name][who]["cpu_s_per_million"]),
        )
        for name in ("one_window", "all_windows_two_scopes")
        for who in ("aggregator", "stock")
    ]
    alone = figures["one_event_a_customer_and_frame"]
    rows.append(
        ("one event a customer and frame", "aggregator",
         number(alone["events_per_s"]), number(alone["cpu_s_per_million"]))
    )  # fmt: skip
    said = "".join(
        f"\n{part}: {', '.join(f'{key} {value}' for key, value in figures[part].items())}\n".replace("_", " ")
        for part in ("memory", "recovery")
        if part in figures
    )
    return table(("totals of", "who", "events/s", "CPU-s a million"), rows) + said


def _loops(figures: Figures) -> str:
    rows = [
        (name.replace("_", " "), _of(figures[name], "events_per_s"), _of(figures[name], "cpu_s_per_million"))
        for name in ("bare_loop", "rater", "rater_with_known_ids")
    ]
    ratio = figures["rater_to_bare_events_per_s"]
    told = f"{ratio['min']} to {ratio['max']}, median {ratio['median']}"
    said = f"\nThe rater to the bare loop, events/s: {told}.\n"
    return table(("loop", "events/s", "CPU-s a million"), rows) + said


# Name of a block -> the part of the result that it is made of, and how.
TABLES: dict[str, tuple[str, Callable[[Figures], str]]] = {
    "machine": ("machine", _machine),
    "same_work": ("same_work", _same_work),
    "capacity": ("whole", _capacity),
    "latency": ("whole", _latency),
    "open_loop_costs": ("whole", _open_loop_costs),
    "memory": ("whole", _memory),
    "bytes": ("whole", _bytes),
    "customers": ("scaling", _customers),
    "known": ("scaling", _known),
    "raters": ("scaling", _raters),
    "ledger": ("ledger", _ledger),
    "alerts": ("alerts", _alerts),
    "aggregator": ("aggregator", _aggregator),
    "loops": ("loops", _loops),
}

# Name of a block -> the plots (bench.plots) that stand below its table.
PLOTS: dict[str, Sequence[tuple[str, str]]] = {
    "same_work": (("same-work", "CPU seconds a million events of the same work"),),
    "latency": (("latency", "Latency by load"),),
    "memory": (("memory", "Memory over time"),),
    "customers": (("customers", "CPU seconds by number of customers"),),
    "known": (("known-ids", "CPU seconds by known ids"), ("restore", "Restore by size of the state")),
    "raters": (("raters", "Events a second by raters and partitions"),),
}


if __name__ == "__main__":
    main()
