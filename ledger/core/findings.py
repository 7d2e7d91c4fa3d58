"""What verification found wrong: every finding is counted, the first of each kind are kept."""

from collections import Counter
from dataclasses import dataclass, field

KEPT_PER_CHECK = 20  # of one kind: enough to see the pattern, few enough to read at three in the morning


@dataclass(frozen=True, slots=True)
class Finding:
    """One violated rule: which check, in which partition (None: of no single one), at which record, and what
    was expected and seen.
    """

    check: str
    partition: int | None
    where: str
    detail: str


@dataclass(slots=True)
class Findings:
    """All findings of one verification. Counts are complete, `kept` is bounded for each check."""

    kept: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, check: str, partition: int | None, where: str, detail: str) -> None:
        self.counts[check] += 1
        if self.counts[check] <= KEPT_PER_CHECK:
            self.kept.append(Finding(check, partition, where, detail))

    @property
    def total(self) -> int:
        return self.counts.total()


@dataclass(frozen=True, slots=True)
class Reporter:
    """Findings of one partition."""

    findings: Findings
    partition: int | None

    def __call__(self, check: str, where: str, detail: str) -> None:
        self.findings.add(check, self.partition, where, detail)
