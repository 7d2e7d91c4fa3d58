"""Which records rater.state gets, so that a restore needs no frame older than those that are kept.

A customer's sequence and a pool's period are recorded in the same rhythm: at the first activity of a day,
and again once their last frame has aged, active or not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pricing.rate import PoolState
from rater.adapters.state import StateStore
from rater.core.periods import PeriodKey
from rater.core.work import BatchResult


@dataclass(frozen=True, slots=True)
class Recorded:
    """What rater.state gets: last sequences, and pools' states."""

    customers: Mapping[str, int] = field(default_factory=dict)
    periods: Mapping[PeriodKey, PoolState] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.customers or self.periods)


def due(store: StateStore, before_us: int, limit: int) -> tuple[Recorded, bool]:
    """What rater.state lacks and whose last frame is older than that; and whether there is more of it.

    Args:
        store: the partition's.
        before_us: the age.
        limit: so many customers and so many periods at most.
    """
    customers = store.unrecorded_since(before_us, limit)
    periods = store.unrecorded_periods_since(before_us, limit)
    found = Recorded(
        {customer_id: entry.last_seq for customer_id, entry in customers},
        {key: entry.state for key, entry in periods},
    )
    return found, limit in {len(customers), len(periods)}


def recorded_with(store: StateStore, result: BatchResult, day: int, wanted: Recorded) -> Recorded:
    """What is due, and what has its first activity of the day in this batch; all as it stands after it."""
    entries = store.customers(list(result.customers))
    customers = dict(wanted.customers) | {
        customer_id: delta.last_seq
        for customer_id, delta in result.customers.items()
        if customer_id in wanted.customers
        or customer_id not in entries
        or entries[customer_id].recorded_day != day
    }
    periods = dict(wanted.periods)
    for key, state in result.periods.items():
        entry = store.period_entry(key)
        if key in periods or entry is None or entry.recorded_day != day:
            periods[key] = state
    return Recorded(customers, periods)
