"""I4: running totals from scratch, three ways, against usage.totals, its changelog and PostgreSQL."""

from collections import defaultdict
from typing import Any

from tests.oracle.totals import add, nothing, totals
from tests.prove.checks.again import Again
from tests.prove.checks.budgets import scopes_of
from tests.prove.checks.facts import Facts, Json
from tests.prove.checks.rows import Row, Tally
from tests.prove.checks.story import Story, number

BUCKET_US = 15 * 60 * 1_000_000
DEFAULT_DIMENSIONS = ("project", "product", "feature", "model")
SIGN = {"original": 1, "reversal": -1, "replacement": 1}
NUMBERS = ("cost", "price")
COUNTS = ("events", "unpriced_cost_events", "unpriced_price_events")


def delta_rows(facts: Facts, again: Again) -> dict[str, list[tuple[int, Json]]]:
    """(sequence, row) of each customer in order: what each record adds, by the oracle's amounts."""
    declared = _dimensions(facts)
    found: dict[str, list[tuple[int, Json]]] = defaultdict(list)
    legs = {
        (item.record["event"]["customer_id"], item.record["rating"]["customer_seq"]): item
        for item in facts.rated
    }
    for (customer_id, seq), leg in sorted(again.legs.items()):
        sign = SIGN[legs[customer_id, seq].record["rating"]["leg"]]
        event = leg.event
        row = {
            "bucket_us": event["event_time_us"] - event["event_time_us"] % BUCKET_US,
            "period_start_us": leg.period[0],
            "period_end_us": leg.period[1],
            "cost_currency": leg.cost.currency,
            "price_currency": leg.price.currency,
            "dimensions": {name: _dimension(event, name) for name in declared},
            "cost": leg.cost.amount,
            "price": leg.price.amount,
            "events": sign,
            "unpriced_cost_events": sign if leg.cost.status in {"unpriced", "partial"} else 0,
            "unpriced_price_events": sign if leg.price.status in {"unpriced", "partial"} else 0,
            "quantities": dict(leg.leaves),
        }
        found[customer_id].append((seq, row))
    return found


def _dimensions(facts: Facts) -> tuple[str, ...]:
    """Every dimension that some frame declared."""
    names = dict.fromkeys(
        name for frames in facts.frames.values() for frame in frames for name in frame["dimensions"]
    )
    return tuple(names) or DEFAULT_DIMENSIONS


def _dimension(event: Json, name: str) -> str | None:
    found: str | None = event.get(name)
    if name == "model":
        found = event["billed_model"] or event["served_model"] or event["requested_model"]
    return found


def four_ways(facts: Facts, story: Story, again: Again, zone: str) -> Row:
    """usage.totals = the aggregator's changelog = PostgreSQL's copy = a fold of every rated record."""
    tally = Tally(
        "I4", "running totals = the changelog = PostgreSQL's copy = an independent fold of rated records"
    )
    budgets = story.budgets[max(story.budgets)] if story.budgets else []
    copies = {row["customer_id"]: row for row in facts.table("totals.customers")}
    rows = delta_rows(facts, again)
    for customer_id in rows.keys() | facts.totals.keys() | facts.live.keys():
        told = rows.get(customer_id, [])
        last = told[-1][0] if told else 0
        expected = totals([row for _, row in told], zone, scopes_of(budgets, customer_id))
        tally.count("customers")
        tally.count("entries", len(expected))
        live = facts.live.get(customer_id, {"seq": None, "since_seq": None, "entries": []})
        total = facts.totals.get(customer_id, {"as_of_seq": None, "entries": []})
        copy = copies.get(customer_id, {"as_of_seq": None, "entries": []})
        tally.same(f"{customer_id}: as_of_seq of usage.totals", total["as_of_seq"], last)
        tally.same(f"{customer_id}: the changelog's sequence", (live["seq"], live["since_seq"]), (last, None))
        tally.same(f"{customer_id}: as_of_seq in PostgreSQL", copy["as_of_seq"], last)
        for name, entries in (("totals", total), ("changelog", live), ("PostgreSQL", copy)):
            _same_entries(tally, f"{customer_id}, {name}", entries_of(entries["entries"]), expected)
    for partition, frames in facts.frames.items():
        known = facts.live_frames.get(partition)
        if not (story.gap and known is not None and known < len(frames)):
            tally.same(f"frame applied in partition {partition}", known, len(frames))
    _frames(facts, rows, tally)
    return tally.row()


def entries_of(entries: list[Json]) -> dict[Any, Json]:
    """Entries by their key, their numbers exact, as the oracle has them."""
    found = {}
    for one in entries:
        scope = tuple(sorted(one["scope"].items()))
        key = one["window"], one["start_us"], scope, one["cost_currency"], one["price_currency"]
        found[key] = {
            **{name: number(one[name]) for name in NUMBERS},
            **{name: one[name] for name in COUNTS},
            "quantities": {meter: number(text) for meter, text in one["quantities"].items()},
            "end_us": one["end_us"],
        }
    return found


def _same_entries(tally: Tally, name: str, found: dict[Any, Json], expected: dict[Any, Json]) -> None:
    for key in found.keys() | expected.keys():
        tally.same(f"{name}, {key}", _without_nothing(found.get(key)), _without_nothing(expected.get(key)))


def _without_nothing(entry: Json | None) -> Json | None:
    """A meter of which nothing was used may be told or not: what the ledger rebuilds does not tell it."""
    if entry is None:
        return None
    return {**entry, "quantities": {meter: used for meter, used in entry["quantities"].items() if used}}


def _frames(facts: Facts, rows: dict[str, list[tuple[int, Json]]], tally: Tally) -> None:
    """The sums that frames carry, together, are the sums of the records."""
    found: dict[Any, Json] = {}
    for frames in facts.frames.values():
        for frame in frames:
            for customer in frame["customers"]:
                for row in customer["rows"]:
                    named = dict(zip(frame["dimensions"], row["dimensions"], strict=True))
                    _take(found, customer["customer_id"], {**row, "dimensions": named})
    expected: dict[Any, Json] = {}
    for customer_id, told in rows.items():
        for _, row in told:
            _take(expected, customer_id, row)
    for key in found.keys() | expected.keys():
        tally.count("rows of frames")
        tally.same(f"row {key}", found.get(key), expected.get(key))


def _take(sums: dict[Any, Json], customer_id: str, row: Json) -> None:
    dimensions = tuple(
        sorted((name, value) for name, value in row["dimensions"].items() if value is not None)
    )
    period = row["period_start_us"], row["period_end_us"]
    key = customer_id, row["bucket_us"], *period, row["cost_currency"], row["price_currency"], dimensions
    add(sums.setdefault(key, nothing()), row, None)
