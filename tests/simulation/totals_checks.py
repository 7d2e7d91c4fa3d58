"""usage.totals against sums of what was rated: every record that was ever published, and the newest whole."""

from collections.abc import Mapping
from fractions import Fraction
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from pricing.totals import watched_hash
from tests.oracle.totals import totals
from tests.simulation.aggregators import BUCKET_US, SCOPE
from tests.simulation.checks import Found, need
from tests.simulation.decoding import decoded, exact
from tests.simulation.stream import PARTITIONS

if TYPE_CHECKING:
    from tests.simulation.world import World

_SIDES = ("cost", "price")
SCOPED = watched_hash("UTC", [(), SCOPE])
"""What totals are made for that have the scope."""
_COUNTS = ("events", "unpriced_cost_events", "unpriced_price_events")


def newest(world: "World") -> dict[str, Mapping[str, Any]]:
    """The best that was ever published of each customer: the highest sequence, of equals one with the scopes
    of now, and the later of two. A zombie's records may stand behind: see "still open" in docs/simulation.md.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for (topic, _), log in world.broker.logs.items():
        for entry in log.appended if topic == "usage.totals" else ():
            record = decoded("RunningTotals", entry.value or b"")
            held = found.get(record["customer_id"])
            if held is None or _rank(record) >= _rank(held):
                found[record["customer_id"]] = record
    return found


def _rank(record: Mapping[str, Any]) -> tuple[int, bool]:
    return record["as_of_seq"], record["watched"] == SCOPED


def check_totals(world: "World", found: Found) -> None:
    """Each record's lifetime is the sum up to its sequence; the newest has all windows and scopes."""
    by_customer = found.by_customer()
    sums = {
        customer: [Fraction(0), *accumulate(exact(it["rating"]["price"]["amount"]) for it in records)]
        for customer, records in by_customer.items()
    }
    for (topic, _), log in world.broker.logs.items():
        for entry in log.appended if topic == "usage.totals" else ():
            record = decoded("RunningTotals", entry.value or b"")
            customer, seq = record["customer_id"], record["as_of_seq"]
            lifetime = sum(
                exact(it["price"])
                for it in record["entries"]
                if it["window"] == "lifetime" and not it["scope"]
            )
            wanted = sums[customer][seq]
            need(lifetime == wanted, "totals are the fold up to their sequence", customer=customer, seq=seq)
            world.schedule.saw("totals published")
    _see_those_behind(world)
    for customer, latest in newest(world).items():
        records = by_customer[customer]
        need(latest["as_of_seq"] == len(records), "the newest totals have everything", customer=customer)
        scoped = world.change_us is not None or customer in "ab"
        wanted_entries = totals([_row(it) for it in records], "UTC", [dict(SCOPE)] if scoped else [])
        told = {
            (
                it["window"], it["start_us"], tuple(sorted(it["scope"].items())),
                it["cost_currency"], it["price_currency"],
            ): _entry(it)
            for it in latest["entries"]
        }  # fmt: skip
        wanted_told = {key: _entry(it) for key, it in wanted_entries.items()}
        differ = {key for key in {*told, *wanted_told} if told.get(key) != wanted_told.get(key)}
        first: Any = min(differ, key=repr) if differ else None
        need(
            not differ, "every window is the sum of its records", customer=customer, key=first,
            found=told.get(first), wanted=wanted_told.get(first),
        )  # fmt: skip


def _see_those_behind(world: "World") -> None:
    """Count the customers of whom the topic's last record is not the newest: a zombie wrote it."""
    held = newest(world)
    for number in range(PARTITIONS):
        last = {it.key: it.value or b"" for it in world.broker.logs["usage.totals", number].entries}
        for value in last.values():
            record = decoded("RunningTotals", value)
            older = _rank(record) < _rank(held[record["customer_id"]])
            world.schedule.saw("older totals are last in the topic", older)


def _entry(it: Mapping[str, Any]) -> tuple[Any, ...]:
    amounts = [None if it[side] is None else exact(it[side]) for side in _SIDES]
    quantities = {meter: exact(quantity) for meter, quantity in it["quantities"].items()}
    kept = sorted((meter, quantity) for meter, quantity in quantities.items() if quantity)
    return (*amounts, *(it[count] for count in _COUNTS), tuple(kept))


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    event, rating = record["event"], record["rating"]
    sign = -1 if rating["leg"] == "reversal" else 1
    return {
        "bucket_us": event["event_time_us"] - event["event_time_us"] % BUCKET_US,
        "period_start_us": rating["service_period"]["start_us"],
        "period_end_us": rating["service_period"]["end_us"],
        "cost_currency": rating["cost"]["currency"],
        "price_currency": rating["price"]["currency"],
        "dimensions": {"feature": event["feature"]},
        **{
            side: None if rating[side]["amount"] is None else exact(rating[side]["amount"]) for side in _SIDES
        },
        "events": sign,
        "unpriced_cost_events": sign * (rating["cost"]["status"] == "unpriced"),
        "unpriced_price_events": sign * (rating["price"]["status"] == "unpriced"),
        "quantities": {meter: sign * exact(quantity) for meter, quantity in event["usage"].items()},
    }
