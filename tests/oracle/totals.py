"""Running totals from scratch: every row ever rated, its windows by the standard library's local time."""

from datetime import datetime, timedelta
from fractions import Fraction
from functools import cache
from typing import Any

from tests.oracle.times import EPOCH, STEP, Json, zone_of

US = timedelta(microseconds=1)


@cache
def clock_windows(at_us: int, zone: str) -> dict[str, tuple[int, int]]:
    """Hour, day and week of an instant that begins a quarter of an hour; midnight must exist in the zone."""
    at = EPOCH + timedelta(microseconds=at_us)

    def wall(instant: datetime) -> tuple[Any, ...]:
        local = instant.astimezone(zone_of(zone))
        return local.date(), local.hour, local.utcoffset()

    begin = end = at
    while wall(begin - STEP) == wall(at):
        begin -= STEP
    while wall(end) == wall(at):
        end += STEP

    def midnight(days: int) -> int:
        day = at.astimezone(zone_of(zone)).date() + timedelta(days=days)
        return (datetime(day.year, day.month, day.day, tzinfo=zone_of(zone)) - EPOCH) // US

    weekday = at.astimezone(zone_of(zone)).weekday()
    return {
        "hour": ((begin - EPOCH) // US, (end - EPOCH) // US),
        "day": (midnight(0), midnight(1)),
        "week": (midnight(-weekday), midnight(7 - weekday)),
    }


def totals(rows: list[Json], zone: str, scopes: list[dict[str, str]]) -> dict[Any, Json]:
    """Entries by (window, start, scope's pairs, cost currency, price currency).

    A row is a DeltaRow whose `dimensions` are a map. Of each kind the two newest starts of all rows count.
    """
    placed = [(row, spans(row, zone)) for row in rows]
    entries: dict[Any, Json] = {}
    for window in ("hour", "day", "week", "period", "lifetime"):
        newest = sorted({span[window][0] for _, span in placed})[-2:]
        for row, span in placed:
            start_us, end_us = span[window]
            if start_us not in newest:
                continue
            for scope in [{}, *(scope for scope in scopes if scope)]:
                if all(row["dimensions"].get(name) == value for name, value in scope.items()):
                    key = (
                        window,
                        start_us,
                        tuple(sorted(scope.items())),
                        row["cost_currency"],
                        row["price_currency"],
                    )
                    add(entries.setdefault(key, nothing()), row, end_us)
    return entries


def spans(row: Json, zone: str) -> dict[str, tuple[int, int | None]]:
    period = (row["period_start_us"], row["period_end_us"])
    return {**clock_windows(row["bucket_us"], zone), "period": period, "lifetime": (0, None)}


def nothing() -> Json:
    return {
        "end_us": None, "cost": None, "price": None, "events": 0,
        "unpriced_cost_events": 0, "unpriced_price_events": 0, "quantities": {},
    }  # fmt: skip


def add(entry: Json, row: Json, end_us: int | None) -> None:
    for side in ("cost", "price"):
        if row[side] is not None:
            entry[side] = (entry[side] or 0) + Fraction(row[side])
    for count in ("events", "unpriced_cost_events", "unpriced_price_events"):
        entry[count] += row[count]
    for meter, quantity in row["quantities"].items():
        entry["quantities"][meter] = entry["quantities"].get(meter, 0) + Fraction(quantity)
    if end_us is not None:
        entry["end_us"] = max(end_us, entry["end_us"] or end_us)
