"""A walk over totals.customers that holds every customer of some partitions against new budgets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from budget_guard.adapters.totals_reader import Kept, TotalsReader

_AT_ONCE = 200
_BEHIND_MAX = 10_000


@dataclass(slots=True)
class Walk:
    """Goes by customer name, a page at a time.

    What the sink has older than what was seen is read again later, when it has caught up.
    """

    reader: TotalsReader
    version: int
    partitions: frozenset[int]
    partition_of: Callable[[str], int]
    after: str = ""
    ended: bool = False
    behind: dict[str, int] = field(default_factory=dict)
    """Customers whose row is older than what was seen, and what was seen."""

    def page(self) -> list[Kept]:
        """The next ones of the partitions. Raises DatabaseUnavailableError: nothing was skipped."""
        rows = self.reader.page(self.after, _AT_ONCE)
        self.ended = len(rows) < _AT_ONCE
        if rows:
            self.after = rows[-1].totals.customer_id
        return [row for row in rows if self.partition_of(row.totals.customer_id) in self.partitions]

    def is_behind(self, kept: Kept, seen_seq: int | None) -> bool:
        """Whether to look at this customer later; beyond some number the reconciler does it."""
        totals = kept.totals
        if seen_seq is None or totals.as_of_seq >= seen_seq:
            return False
        if len(self.behind) < _BEHIND_MAX:
            self.behind[totals.customer_id] = seen_seq
        return True

    def caught_up(self, seen: Mapping[str, int]) -> list[Kept]:
        """Those whose rows are as new as what was seen by now, not to be asked for again. Of those that
        usage.totals told something newer of meanwhile nothing is left to do.
        """
        self.behind = {customer: seq for customer, seq in self.behind.items() if seen.get(customer) == seq}
        found = self.reader.of(list(self.behind)) if self.behind else {}
        ready = [kept for customer, kept in found.items() if kept.totals.as_of_seq >= self.behind[customer]]
        for kept in ready:
            del self.behind[kept.totals.customer_id]
        return ready
