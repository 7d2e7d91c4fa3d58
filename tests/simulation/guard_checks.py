"""The outbox against the amounts: every alert a crossing, every crossing an alert, each once."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from tests.simulation.checks import Found, need
from tests.simulation.decoding import exact
from tests.simulation.guards import BOOKS, Outbox

if TYPE_CHECKING:
    from collections.abc import Mapping

_DAY_US = 86_400_000_000
_ATTO = 10**18


def check_alerts(outbox: Outbox, found: Found, version: int) -> None:
    """By the running value of each budget's window, customer by customer, at each sequence."""
    values: dict[tuple[str, str, int], list[Fraction]] = {}
    records = found.by_customer()
    for customer in records:
        for budget in BOOKS[version - 1].budgets:
            for start_us in _starts(budget.window, records[customer]):
                values[customer, budget.budget_id, start_us] = running(
                    records[customer], start_us if budget.window == "day" else None, bool(budget.scope)
                )
    _check_firings(outbox, records, values)
    holding = {
        (key.customer_id, key.budget_id, key.period_start_us, firing.threshold_atto)
        for (key, _), firing in outbox.firings.items()
        if firing.holds
    }
    for (customer, name, start_us), running_value in values.items():
        for threshold in next(it for it in BOOKS[version - 1].budgets if it.budget_id == name).thresholds:
            reached = running_value[-1] * _ATTO >= threshold.amount_atto
            held = (customer, name, start_us, threshold.amount_atto) in holding
            need(held or not reached, "a threshold that is reached has fired", customer=customer, budget=name)


def _check_firings(
    outbox: Outbox,
    records: "Mapping[str, list[Any]]",
    values: "Mapping[tuple[str, str, int], list[Fraction]]",
) -> None:
    known = {budget.budget_id for book in BOOKS for budget in book.budgets}
    episodes: dict[Any, list[int]] = {}
    for (key, episode), firing in sorted(outbox.firings.items()):
        if key.budget_id not in known:
            continue  # a notice
        outbox.schedule.saw("alert")
        running_value = values[key.customer_id, key.budget_id, key.period_start_us]
        where = {"customer": key.customer_id, "budget": key.budget_id, "seq": firing.fired_seq}
        at_firing = running_value[firing.fired_seq] * _ATTO
        need(at_firing >= firing.threshold_atto, "an alert is a crossing", **where)
        need(firing.alert_id in outbox.alerts, "what fired has its alert", **where)
        episodes.setdefault(key, []).append(episode)
        if firing.retracted_seq is None:
            continue
        outbox.schedule.saw("retraction")
        below = running_value[firing.retracted_seq] * _ATTO < firing.threshold_atto
        need(below, "a retraction is below the amount", **where)
        between = records[key.customer_id][firing.fired_seq : firing.retracted_seq]
        corrected = any(it["rating"]["leg"] == "reversal" for it in between)
        need(corrected, "a retraction has a correction behind it", **where)
    for key, numbers in episodes.items():
        need(numbers == list(range(1, len(numbers) + 1)), "episodes follow each other", key=key)
        for number in numbers[:-1]:
            need(not outbox.firings[key, number].holds, "one episode holds at a time", key=key)
    told = sum(map(len, episodes.values()))
    told_alerts = [it for it in outbox.alerts.values() if it.kind == "threshold"]
    need(len(told_alerts) == told, "each crossing is told once", alerts=len(told_alerts), firings=told)


def _starts(window: str, records: Sequence[Any]) -> list[int]:
    if window == "lifetime":
        return [0]
    return sorted({it["event"]["event_time_us"] // _DAY_US * _DAY_US for it in records})


def running(records: Sequence[Any], day_us: int | None, scoped: bool) -> list[Fraction]:
    """The value of a window after each sequence, from 0 on."""
    return [Fraction(0), *accumulate(_share(it, day_us, scoped=scoped) for it in records)]


def _share(record: Any, day_us: int | None, *, scoped: bool) -> Fraction:
    event = record["event"]
    outside = day_us is not None and event["event_time_us"] // _DAY_US * _DAY_US != day_us
    if outside or (scoped and event["feature"] != "chat"):
        return Fraction(0)
    return exact(record["rating"]["price"]["amount"])
