"""Where a run lives: what the checks need in order to look at the pipeline from outside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.settings import KafkaSettings


@dataclass
class World:
    """One run. Clients of the checks use `kafka`: the direct listeners, which no proxy cuts."""

    kafka: KafkaSettings
    """Direct bootstrap; topic_prefix is in front of every topic and group."""
    dsn: str
    """PostgreSQL, a role that may read everything. It may be away for a while during faults."""
    directory: Path
    """The run's folder: journal.jsonl, a log for each process life (logs/<name>-<n>.log), failpoints.log."""
    zone: str = "UTC"
    """Of every contract and of the hourly and daily windows of budgets."""
    seed: int = 0
    customers: Sequence[str] = ()
    budgets: Sequence[Mapping[str, Any]] = ()
    """The budgets in force at the end, as the YAML said."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """RATESTREAM_ variables that every service was started with."""
    failures: list[str] = field(default_factory=list)
    """What the harness itself saw go wrong (a process that died of what it was not meant to die of)."""

    @property
    def prefix(self) -> str:
        return self.kafka.topic_prefix

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    def log_text(self, name: str = "") -> str:
        """Logs of every life of the processes whose name begins so, one after the other."""
        paths = sorted(self.logs.glob(f"{name}*.log"))
        return "".join(path.read_text(encoding="utf-8", errors="replace") for path in paths)
