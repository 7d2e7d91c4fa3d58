"""Queries that nobody was billed for: calls that a query pays for, and no root event that bills the query.

No finding: the root may still come. A query is listed an hour after its last such call, by append time.
"""

from dataclasses import dataclass, field
from typing import Any

from ledger.core.amounts import atto
from ledger.core.model import ORIGINAL, RatedRecord

WAIT_US = 3_600_000_000
SHOWN = 20
ROOT_METER = "queries"
_OPEN_MAX = 200_000
_ROOTS_MAX = 500_000

QueryId = tuple[str, str]  # customer, query


@dataclass(frozen=True, slots=True)
class QueryWithoutRoot:
    """A query whose calls are included in a price that no event bears. Instants in microseconds."""

    customer_id: str
    query_id: str
    calls: int
    last_call_us: int


@dataclass(slots=True)
class QueriesWithoutRoot:
    """All of one verification: a complete count, the first of them, and whether memory sufficed for every
    one.
    """

    count: int = 0
    first: list[QueryWithoutRoot] = field(default_factory=list)
    exact: bool = True

    def add(self, query: QueryWithoutRoot) -> None:
        self.count += 1
        if len(self.first) < SHOWN:
            self.first.append(query)


class OpenQueries:
    """The queries of one partition, record by record. Memory is bounded: beyond it the oldest are let go,
    and the result is no longer exact.
    """

    def __init__(
        self, found: QueriesWithoutRoot, *, open_max: int = _OPEN_MAX, roots_max: int = _ROOTS_MAX
    ) -> None:
        self._found = found
        self._open_max = open_max
        self._roots_max = roots_max
        self._open: dict[QueryId, tuple[int, int]] = {}  # included calls, when the last one came
        self._roots: dict[QueryId, None] = {}

    def follow(self, record: RatedRecord, append_us: int) -> None:
        """A rated record; `append_us` is no earlier than its event was appended."""
        event = record.event
        query_id = event.get("query_id")
        if not query_id or record.rating["leg"] != ORIGINAL:
            return
        query = event["customer_id"], query_id
        if _is_root(event):
            self._open.pop(query, None)
            self._roots[query] = None
            self._let_go(self._roots, self._roots_max)
        elif query not in self._roots and _is_included(record.rating):
            calls, _ = self._open.pop(query, (0, 0))
            self._open[query] = calls + 1, append_us
            if len(self._open) > self._open_max:
                self._list(next(iter(self._open)), append_us)
                self._let_go(self._open, self._open_max)

    def finish(self, highest_append_us: int) -> None:
        """After the last record: what has waited long enough is listed."""
        for query in self._open:
            self._list(query, highest_append_us)

    def _list(self, query: QueryId, now_us: int) -> None:
        calls, last_us = self._open[query]
        if last_us + WAIT_US <= now_us:
            self._found.add(QueryWithoutRoot(*query, calls, last_us))

    def _let_go(self, held: dict[QueryId, Any], limit: int) -> None:
        if len(held) > limit:
            del held[next(iter(held))]
            self._found.exact = False


def _is_root(event: Any) -> bool:
    try:
        return atto(event["usage"].get(ROOT_METER, "0")) > 0
    except ValueError:
        return False  # what it is worth is found by the check of amounts


def _is_included(rating: Any) -> bool:
    return any(line["status"] == "included" for line in rating["lines"])
