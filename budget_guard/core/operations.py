"""What operators are told of the pipeline itself, and under which id."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from budget_guard.core.alert_ids import notice_id
from budget_guard.core.firings import FiringKey


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something measured that is above its limit. `what` names it among all, `text` says it to a person."""

    what: str
    text: str
    look_closer: str
    measured: int
    limit: int


class Episodes:
    """Which troubles have lasted long enough to be told, and which have been over for as long."""

    def __init__(self, for_s: float) -> None:
        self._for_s = for_s
        self._bad: dict[str, float] = {}
        self._good: dict[str, float] = {}

    def look(
        self, troubles: Mapping[str, Trouble], still_open: frozenset[str], now_s: float
    ) -> tuple[list[Trouble], list[str]]:
        """Those to open, and those to close.

        Args:
            troubles: what is wrong now, by name.
            still_open: names that were told of and not closed.
            now_s: never goes back.
        """
        for what in self._bad.keys() - troubles.keys():
            del self._bad[what]
        for what in self._good.keys() - (still_open - troubles.keys()):
            del self._good[what]
        opened = [
            trouble
            for what, trouble in troubles.items()
            if now_s - self._bad.setdefault(what, now_s) >= self._for_s and what not in still_open
        ]
        closed = [
            what
            for what in sorted(still_open - troubles.keys())
            if now_s - self._good.setdefault(what, now_s) >= self._for_s
        ]
        return opened, closed


def operations_body(trouble: Trouble, episode: int, now_us: int) -> dict[str, Any]:
    """The BudgetAlert of an episode of trouble."""
    return {
        "alert_id": notice_id(FiringKey("", "operations", "", "", episode, trouble.what)),
        "kind": "operations",
        "severity": "critical",
        "customer_id": None,
        "scope": {},
        "measure": trouble.what,
        "limit": str(trouble.limit),
        "amount": str(trouble.measured),
        "episode": episode,
        "contributors": [],
        "details_complete": True,
        "late": False,
        "text": trouble.text,
        "look_closer": trouble.look_closer,
        "raised_at_us": now_us,
        "source_append_us": 0,
    }
