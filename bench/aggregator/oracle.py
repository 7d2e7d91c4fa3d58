"""What the totals must be, summed one event at a time with nothing of the project's but the ratings."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from bench.traffic import Happening

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
WEEK_US = 7 * DAY_US
_MONDAY_US = 4 * DAY_US  # 1970-01-01 was a Thursday: Monday the 5th
_KEPT = 2

Scope = tuple[tuple[str, str], ...]
Key = tuple[str, str, int, Scope]
"""Customer, window, start, scope; all is in one currency here."""


class Sums(NamedTuple):
    """Amounts in units of 10**-18."""

    cost: int
    price: int
    events: int
    quantities: Mapping[str, int]


def windows(event_time_us: int, period_start_us: int) -> dict[str, int]:
    """Start of each window in UTC."""
    return {
        "hour": event_time_us - event_time_us % HOUR_US,
        "day": event_time_us - event_time_us % DAY_US,
        "week": event_time_us - (event_time_us - _MONDAY_US) % WEEK_US,
        "period": period_start_us,
        "lifetime": 0,
    }


def expected(
    happenings: Iterable[Happening], names: Iterable[str], scopes: Iterable[Scope]
) -> dict[Key, Sums]:
    """The totals of every kept window after the events."""
    names, scopes = tuple(names), tuple(scopes)
    sums: dict[Key, list[Any]] = {}
    for happening in happenings:
        rating = happening.rating
        values = dict(zip(names, happening.call.dimensions, strict=True))
        starts = windows(happening.event_time_us, rating.service_period[0])
        for scope in scopes:
            if any(values[name] != value for name, value in scope):
                continue
            for window, start_us in starts.items():
                found = sums.setdefault((happening.customer_id, window, start_us, scope), [0, 0, 0, {}])
                found[0] += rating.cost.amount_atto or 0
                found[1] += rating.price.amount_atto or 0
                found[2] += 1
                for meter, quantity in rating.leaves:
                    found[3][meter] = found[3].get(meter, 0) + quantity
    starts_of: dict[tuple[str, str], set[int]] = {}
    for customer_id, window, start_us, _ in sums:
        starts_of.setdefault((customer_id, window), set()).add(start_us)
    kept = {place: set(sorted(starts)[-_KEPT:]) for place, starts in starts_of.items()}
    return {key: Sums(*found) for key, found in sums.items() if key[2] in kept[key[0], key[1]]}
