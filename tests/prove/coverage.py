"""What a pass must have seen: a run in which nothing happened has shown nothing. Counted from logs, topics
and tables, never from what the harness meant to do.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.prove.faults.processes import FENCED
from tests.prove.poison import KINDS
from tests.prove.run import Run

_FAULTS = (
    "zombie", "paused", "paused beyond its session", "killed", "wrong clock", "state deleted",
    "state damaged", "no room for files", "aborted transactions", "scaled", "offsets reset",
    "frames are missing",
    "PostgreSQL killed", "PostgreSQL away", "webhook: 500", "webhook: hang", "webhook: redirect",
    "book change", "budgets change", "void", "amend", "re-rate",
)  # fmt: skip
_CLUSTER_FAULTS = (
    "broker killed", "leader killed", "group coordinator killed", "transaction coordinator killed",
    "all brokers killed", "network: delay", "network: long delay", "network: drops", "network: deaf brokers",
    "network: deaf clients", "network: cut",
)  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """One kind, and how often it was seen; `excused` says why it need not be."""

    what: str
    count: int
    excused: str = ""

    @property
    def ok(self) -> bool:
        return self.count > 0 or bool(self.excused)


def required_points() -> Mapping[str, frozenset[str]]:
    """Failpoints by the service that passes them."""
    from aggregator.service import FAILPOINTS as AGGREGATOR  # noqa: PLC0415 - Faust is slow to import
    from aggregator.totals import FAILPOINTS as TOTALS  # noqa: PLC0415
    from budget_guard.adapters.delivery import FAILPOINTS as DELIVERY  # noqa: PLC0415
    from budget_guard.service import FAILPOINTS as GUARD  # noqa: PLC0415
    from ledger.service import FAILPOINTS as LEDGER  # noqa: PLC0415
    from rater.service import FAILPOINTS as RATER  # noqa: PLC0415

    return {
        "rater": RATER,
        "aggregator": AGGREGATOR,
        "totals": TOTALS,
        "ledger": LEDGER,
        "guard": GUARD | DELIVERY,
    }


def seen(run: Run, *, without_previous: str) -> list[Seen]:
    """Every kind that a pass must have seen."""
    logs = {service: run.world.log_text(service) for service in ("rater", "aggregator", "ledger", "guard")}
    found = [
        Seen("aborted transaction", logs["rater"].count("transaction aborted")),
        Seen("fenced producer", _fenced(logs["rater"])),
        Seen("rebalance", max(0, logs["rater"].count("owns partitions") - 3)),
        Seen(
            "gap repaired by the aggregator",
            logs["aggregator"].count("what is missing comes from the ledger"),
        ),
        Seen("ledger without PostgreSQL, and back", logs["ledger"].count("; again in")),
        Seen("webhook tried again", logs["guard"].count("not delivered to hook")),
        Seen(
            "broker failover",
            sum(entry["moved"] and entry["led"] for entry in run.journal.entries("failover")),
        ),
        Seen("stopped for want of room", sum(entry["stopped"] for entry in run.journal.entries("no room"))),
        Seen("old release beside new", _mixed(run), excused=without_previous),
    ]
    found += _of_records(run)
    acted = _acted(run)
    for service, points in required_points().items():
        found += [Seen(f"{service} killed at {point}", acted[service, point]) for point in sorted(points)]
    faults = Counter(entry["name"] for entry in run.journal.entries("recovered"))
    wanted = _FAULTS + (_CLUSTER_FAULTS if len(run.cluster.brokers) > 1 else ())
    found += [Seen(f"fault: {name}", faults[name]) for name in wanted]
    return found


def _of_records(run: Run) -> list[Seen]:
    """From the journal, the topics' positions in the ledger, and the tables."""
    journal = run.journal
    rejected = {
        (str(topic).removeprefix(run.world.prefix), number, offset): reason
        for topic, number, offset, reason in run.watch.ask(
            "select topic, input_partition, input_offset, reason from ledger.rejected"
        )
    }

    def rejections(entry: Mapping[str, Any]) -> bool:
        where = entry["topic"], entry["partition"], entry["offset"]
        return bool(rejected.get(where) == entry["expected_reason"])

    def count(kind: str, wanted: Callable[[Mapping[str, Any]], bool]) -> int:
        return sum(1 for entry in journal.entries(kind) if wanted(entry))

    poisons = Counter(entry["what"] for entry in journal.entries("poison") if rejections(entry))
    alerts = Counter(str(kind) for (kind,) in run.watch.ask("select kind from guard.alerts"))
    versions = run.watch.ask("select count(distinct book_version) from ledger.rated")
    actions = Counter(entry["action"] for entry in journal.entries("correction"))
    return [
        Seen("duplicate of the same bytes", count("repeat", lambda entry: entry["encoding"] == "bytes")),
        Seen("duplicate encoded otherwise", count("repeat", lambda entry: entry["encoding"] == "other")),
        Seen("id conflict", count("conflict", rejections)),
        Seen("late event", count("event", lambda entry: entry["note"] == "late")),
        Seen(
            "too late",
            count("late", lambda entry: entry["expected_reason"] == "too_late" and rejections(entry)),
        ),
        Seen(
            "in future",
            count("late", lambda entry: entry["expected_reason"] == "in_future" and rejections(entry)),
        ),
        *(Seen(f"poison: {what}", poisons[what]) for what in KINDS),
        *(Seen(f"correction: {action}", actions[action]) for action in ("void", "amend", "rerate")),
        Seen("versions of the book in the ledger", int(str(versions[0][0])) - 1),
        Seen("alert", alerts["threshold"]),
        Seen("retraction", alerts["retraction"]),
    ]


def _fenced(log: str) -> int:
    return sum(any(sign in line for sign in FENCED) for line in log.splitlines())


def _mixed(run: Run) -> int:
    """How often a process of this release began while one of the previous was still at work beside it."""
    old: set[str] = set()
    mixed = 0
    for entry in run.journal.entries("started", "ended"):
        name = entry["name"]
        if entry["kind"] == "started" and entry["release"] == "previous":
            old.add(name)
        else:
            old.discard(name)
            service = name.rpartition("-")[0]
            mixed += entry["kind"] == "started" and any(other.startswith(service) for other in old)
    return mixed


def _acted(run: Run) -> Counter[tuple[str, str]]:
    """(service, failpoint) to how often it killed."""
    found: Counter[tuple[str, str]] = Counter()
    for path in (run.directory / "failpoints").glob("*.log"):
        service = path.name.split("-")[0]
        for line in path.read_text(encoding="ascii").splitlines():
            point, _, action = line.partition(" ")
            if action == "kill":
                found[service, point] += 1
    return found
