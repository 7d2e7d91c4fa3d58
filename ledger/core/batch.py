"""What one transaction of the ledger takes over: rows, the lines that write them, and positions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, NamedTuple

from ledger.core.plain import PlainRow
from ledger.core.rows import Decoded, RatedRow, RejectedRow

Where = tuple[str, int]
"""Topic, as it is named on the broker, and partition."""


class BadRecord(NamedTuple):
    """A record that cannot be a row: where it stands, what is wrong with it, and its bytes."""

    topic: str
    partition: int
    offset: int
    problem: str
    value: bytes | None


@dataclass(slots=True)
class Batch:
    """Records in order; `lines[i]` is `rated[i]` in COPY's binary format, `records[i]` what it came from,
    None for a plain row.
    """

    before: dict[Where, int] = field(default_factory=dict)
    after: dict[Where, int] = field(default_factory=dict)
    rated: list[RatedRow | PlainRow] = field(default_factory=list)
    records: list[Decoded | None] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    rejected: list[RejectedRow] = field(default_factory=list)
    rejected_lines: list[str] = field(default_factory=list)
    bad: list[BadRecord] = field(default_factory=list)

    @property
    def days(self) -> set[date]:
        """Whose partitions must be there."""
        return {row.posted_day for row in self.rated} | {row.posted_day for row in self.rejected}

    def without(self, topic: str, refused: Mapping[int, str]) -> "Batch":
        """The batch with some of its rated rows as bad records: index in `rated` to what is wrong."""
        if not refused:
            return self
        bad = [
            BadRecord(topic, row.kafka_partition, row.kafka_offset, problem, row.record)
            for row, problem in ((self.rated[index], problem) for index, problem in refused.items())
        ]
        return replace(
            self,
            rated=_kept(self.rated, refused),
            records=_kept(self.records, refused),
            lines=_kept(self.lines, refused),
            bad=self.bad + bad,
        )

    def without_rejected(self, topic: str, refused: Mapping[int, str]) -> "Batch":
        """The same of its rejected rows."""
        if not refused:
            return self
        bad = [
            BadRecord(topic, row.kafka_partition, row.kafka_offset, problem, row.record)
            for row, problem in ((self.rejected[index], problem) for index, problem in refused.items())
        ]
        return replace(
            self,
            rejected=_kept(self.rejected, refused),
            rejected_lines=_kept(self.rejected_lines, refused),
            bad=self.bad + bad,
        )


def _kept(items: Sequence[Any], refused: Mapping[int, str]) -> list[Any]:
    return [item for index, item in enumerate(items) if index not in refused]
