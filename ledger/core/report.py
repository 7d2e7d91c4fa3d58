"""The verdict: counts, sums, what each partition proved, and what was found wrong."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ledger.core.against_ledger import LedgerSummary
from ledger.core.findings import Findings
from ledger.core.queries import QueriesWithoutRoot
from ledger.core.totals import Totals
from ledger.core.verification import PartitionSummary

GROUPS_SHOWN = 50  # of one breakdown in the JSON form; `groups_left_out` tells the rest


@dataclass(slots=True)
class Report:
    """The result of one verification at one cut. `of_topics`: records of the topics were read, not only the
    ledger's counts and sums.
    """

    findings: Findings
    totals: Totals
    partitions: Sequence[PartitionSummary]
    queries: QueriesWithoutRoot = field(default_factory=QueriesWithoutRoot)
    of_topics: bool = True
    ledger: LedgerSummary = field(default_factory=lambda: LedgerSummary(present=False))

    @property
    def verified(self) -> bool:
        return self.findings.total == 0

    @property
    def pending(self) -> int:
        return sum(sum(partition.pending.values()) for partition in self.partitions)

    def as_json(self) -> dict[str, Any]:
        """The report with plain decimal strings for amounts, for `--json` and for the demo's summary."""
        return {
            "verified": self.verified,
            **(self._topics_as_json() if self.of_topics else {}),
            "ledger": self.ledger.as_json(),
            "finding_counts": dict(sorted(self.findings.counts.items())),
            "findings": [asdict(finding) for finding in self.findings.kept],
        }

    def _topics_as_json(self) -> dict[str, Any]:
        totals = self.totals
        sums = totals.sums.as_json()
        return {
            "received": totals.received,
            "rated": totals.rated,
            "rejected": totals.rejected,
            "duplicates": totals.duplicates,
            "corrections": totals.corrections,
            "pending": self.pending,
            "cost": sums["cost"],
            "price": sums["price"],
            "by_currency": sums["by_currency"],
            "unpriced_cost_events": sums["unpriced_cost_events"],
            "unpriced_price_events": sums["unpriced_price_events"],
            "rejected_by_reason": dict(sorted(totals.rejected_by_reason.items())),
            **{f"by_{name}": self._groups(name) for name in totals.by},
            "groups_left_out": {
                name: max(0, len(groups) - GROUPS_SHOWN) for name, groups in totals.by.items()
            },
            "queries_without_root": asdict(self.queries),
            "partitions": [
                {**asdict(partition), "pending": dict(partition.pending), "notes": list(partition.notes)}
                for partition in self.partitions
            ],
        }

    def _groups(self, name: str) -> dict[str, Any]:
        """The largest groups first: by price, where there are several currencies by the largest of them."""
        groups = self.totals.by[name].items()
        largest = sorted(
            groups, key=lambda item: (-max(item[1].price.values(), default=0), -item[1].events, item[0])
        )
        return {value: sums.as_json() for value, sums in largest[:GROUPS_SHOWN]}
