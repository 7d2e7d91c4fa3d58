"""Bytes on disk: each topic's logs as the local broker holds them, the database, its write-ahead log."""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.stack.local import LocalStack
from runtime.postgres import connect

# How many of the pipeline's processes read each topic; each batch crosses the network once for each.
READERS = {
    "usage.events": 1, "usage.rated": 1, "usage.deltas": 1, "usage.totals": 2, "budget.alerts": 1,
}  # fmt: skip


@dataclass(frozen=True)
class Bytes:
    """At an instant."""

    topics: dict[str, int] = field(default_factory=dict)
    database: int = 0
    wal: int = 0
    loopback: int = 0

    @classmethod
    def now(cls, stack: LocalStack | None, prefix: str, dsn: str) -> "Bytes":
        with connect(dsn) as connection:
            row: tuple[Any, ...] | None = connection.execute(
                "select pg_database_size(current_database()), pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')"
            ).fetchone()
        database, wal = row if row is not None else (0, 0)
        topics = {} if stack is None else _logs(stack.place.kafka / "data", prefix)
        return cls(topics, int(database), int(wal), _loopback())

    def an_event_since(self, before: "Bytes", events: int) -> dict[str, object]:
        """What an event has added."""
        logs = {
            name: round((size - before.topics.get(name, 0)) / events, 1)
            for name, size in sorted(self.topics.items())
        }
        read = sum(size * READERS.get(name, 0) for name, size in logs.items())
        return {
            "logs": logs,
            "logs_together": round(sum(logs.values()), 1),
            "database": round((self.database - before.database) / events, 1),
            "write_ahead_log": round((self.wal - before.wal) / events, 1),
            "to_the_broker": round(sum(logs.values()), 1),
            "from_the_broker": round(read, 1),
            "loopback_everything": round((self.loopback - before.loopback) / events, 1),
        }


def _logs(data: Path, prefix: str) -> dict[str, int]:
    found: defaultdict[str, int] = defaultdict(int)
    for folder in data.glob(f"{prefix}*"):
        topic = folder.name.removeprefix(prefix).rpartition("-")[0]
        for file in folder.glob("*.log"):
            found[topic] += file.stat().st_size
    return {name: size for name, size in found.items() if size}


def _loopback() -> int:
    """Bytes that the loopback interface has carried, whoever's they were."""
    for line in Path("/proc/net/dev").read_text("ascii").splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == "lo":
            return int(counters.split()[0])
    return 0
