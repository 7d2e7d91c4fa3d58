"""What was read of the pipeline: plain values, so that a fixture can be one. Judging reads nothing else."""

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
Place = tuple[int, int]
"""Partition and offset."""


@dataclass(slots=True)
class Item:
    """One record of a topic; `record` is what its bytes say, empty where nobody decodes it."""

    partition: int
    offset: int
    append_us: int
    key: bytes | None
    value: bytes | None
    record: Json = field(default_factory=dict)

    @property
    def place(self) -> Place:
        return self.partition, self.offset


@dataclass(slots=True)
class Facts:
    """Committed records of every topic, and the tables of PostgreSQL as lists of rows."""

    events: list[Item] = field(default_factory=list)
    corrections: list[Item] = field(default_factory=list)
    rated: list[Item] = field(default_factory=list)
    rejected: list[Item] = field(default_factory=list)
    frames: dict[int, list[Json]] = field(default_factory=dict)
    heads: dict[int, Json] = field(default_factory=dict)
    periods: list[Json] = field(default_factory=list)
    """PeriodState of rater.state, the newest of each key."""
    totals: dict[str, Json] = field(default_factory=dict)
    """RunningTotals, the one with the highest as_of_seq."""
    live: dict[str, Json] = field(default_factory=dict)
    """LiveCustomer of aggregator.state."""
    live_frames: dict[int, int] = field(default_factory=dict)
    """The last frame of each partition that the aggregator's changelog has."""
    alerts: list[Json] = field(default_factory=list)
    states: dict[str, Json] = field(default_factory=dict)
    """BudgetState by key."""
    ends: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    """(last stable offset, high watermark) of each topic without prefix, and partition."""
    tables: dict[str, list[Json]] = field(default_factory=dict)
    """Rows by table, see reading.TABLES."""
    problems: list[str] = field(default_factory=list)
    """What could not be decoded or put together."""
    at_us: int = 0
    """When budget.state was read, by PostgreSQL's clock."""

    def table(self, name: str) -> list[Json]:
        return self.tables.get(name, [])
