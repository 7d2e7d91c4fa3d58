"""I6: an alert for each threshold that the oracle saw crossed, none for another; and what gateways read."""

import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tests.prove.checks.budgets import (
    RANK,
    Mark,
    Series,
    Values,
    budgets_of,
    marks_of,
    name_of,
    scope_key,
    thresholds_of,
    values_of,
)
from tests.prove.checks.facts import Facts, Json
from tests.prove.checks.rows import Row, Tally
from tests.prove.checks.story import Story, exact, identity_of, number

SAYS = (
    *("kind", "customer_id", "budget_id", "budget_version", "window", "period_start_us", "threshold_amount"),
    "episode",
)
WITHIN_S = 30
"""An alert in a quiet time comes within this: some two seconds as measured, and the machine may be busy."""
EDGE_US = 10_000_000
"""A window that begins or ends so near to the look is not judged."""


@dataclass(slots=True)
class Alerting:
    """Everything that alerts are judged by."""

    facts: Facts
    story: Story
    rows: dict[str, list[tuple[int, Json]]]
    zone: str
    tally: Tally
    values: dict[str, Values] = field(default_factory=dict)
    firings: dict[Mark, list[Json]] = field(default_factory=dict)
    reversals: dict[str, list[int]] = field(default_factory=dict)
    delays: list[float] = field(default_factory=list)
    quiet: list[float] = field(default_factory=list)

    def prepare(self) -> None:
        """Fold what all versions of the budgets count; sort firings by what they are about."""
        every = [budget for version in sorted(self.story.budgets) for budget in self.story.budgets[version]]
        for customer_id, rows in self.rows.items():
            self.values[customer_id] = values_of(rows, budgets_of(every, customer_id), self.zone)
        firings: dict[Mark, list[Json]] = defaultdict(list)
        for row in self.facts.table("guard.firings"):
            if row["budget_id"] in {"unpriced", "uncovered_currency"} and not row["threshold_amount"]:
                continue
            mark = Mark(
                row["customer_id"], row["budget_id"], row["scope_key"], row["window_kind"],
                row["period_start_us"], row["measure"], row["currency"], exact(row["threshold_amount"]),
            )  # fmt: skip
            firings[mark].append(row)
        self.firings = {
            mark: sorted(found, key=lambda row: row["episode"]) for mark, found in firings.items()
        }
        for item in self.facts.rated:
            if item.record["rating"]["leg"] == "reversal":
                self.reversals.setdefault(item.record["event"]["customer_id"], []).append(
                    item.record["rating"]["customer_seq"]
                )

    @property
    def newest(self) -> list[Json]:
        """The budgets in force."""
        return self.story.budgets[max(self.story.budgets)] if self.story.budgets else []

    def series(self, alert: Json) -> Series | None:
        """The values of an alert's budget in its window, and None where no applied version has it."""
        budget = next(
            (
                one
                for one in self.story.budgets.get(alert["budget_version"], [])
                if one["budget"] == alert["budget_id"]
                and alert["customer_id"]
                in {*one["customers"]} | ({alert["customer_id"]} if "*" in one["customers"] else set())
            ),
            None,
        )
        values = self.values.get(alert["customer_id"])
        if budget is None or values is None:
            return None
        return values.series.get((name_of(budget), alert["period_start_us"]))

    # --- each alert is true ---

    def sound(self) -> None:
        """No alert without its crossing; no retraction without a correction."""
        bodies = {row["alert_id"]: row["body"] for row in self.facts.table("guard.alerts")}
        said: dict[tuple[Any, ...], str] = {}
        for alert_id, body in bodies.items():
            if body["kind"] not in {"threshold", "retraction"}:
                continue
            self.tally.count(f"{body['kind']}s")
            key = (*(body[name] for name in SAYS), scope_key(body["scope"].items()))
            self.tally.expect(key not in said, f"{alert_id}: says the same as {said.get(key)}")
            said[key] = alert_id
            self._true(alert_id, body, bodies)

    def _true(self, alert_id: str, body: Json, bodies: dict[str, Json]) -> None:
        series = self.series(body)
        if series is None:
            self.tally.expect(False, f"{alert_id}: of no budget or window that there is")
            return
        amount, mark = number(body["amount"]), number(body["threshold_amount"])
        value = series.at(body["last_seq"])
        self.tally.same(
            f"{alert_id} ({body['kind']} {body['budget_id']} {body['customer_id']}): amount", amount, value
        )
        if amount is None or mark is None:
            return
        if body["kind"] == "threshold":
            self.tally.expect(amount >= mark, f"{alert_id}: {amount} is below {mark}")
            self._delay(body, series)
            return
        self.tally.expect(amount < mark, f"{alert_id}: retracted at {amount}, which is not below {mark}")
        retracted = bodies.get(body["retracts"])
        if retracted is None:
            self.tally.expect(False, f"{alert_id}: retracts {body['retracts']}, which is not there")
            return
        reversals = self.reversals.get(body["customer_id"], [])
        behind = [seq for seq in reversals if retracted["last_seq"] < seq <= body["last_seq"]]
        self.tally.expect(bool(behind), f"{alert_id}: retracted without a correction")

    def _delay(self, body: Json, series: Series) -> None:
        """How long after the append of the event that crossed; only first episodes have one such event."""
        crossed = series.reached(exact(body["threshold_amount"]), 0, body["last_seq"])
        appended = self._appended(body["customer_id"], crossed)
        if appended is None or body["episode"] != 1 or self._applied_us(body["budget_version"]) > appended:
            return
        delay = (body["raised_at_us"] - appended) / 1e6
        self.delays.append(delay)
        if not any(begin <= body["raised_at_us"] and end >= appended for begin, end in self.story.faults):
            self.quiet.append(delay)
            self.tally.expect(
                delay <= WITHIN_S, f"{body['alert_id']}: {delay:.1f} s after its event, and no fault was on"
            )

    def _applied_us(self, version: int) -> int:
        rows = [
            row["applied_us"]
            for row in self.facts.table("guard.budget_versions")
            if row["version"] == version
        ]
        return rows[0] if rows else 0

    def _appended(self, customer_id: str, seq: int | None) -> int | None:
        if not self._seq_appends:
            for item in self.facts.rated:
                rating = item.record["rating"]
                entry = self.story.events.get(identity_of(item.record["event"]))
                is_first = rating["leg"] == "original" and entry is not None
                self._seq_appends[item.record["event"]["customer_id"], rating["customer_seq"]] = (
                    entry["append_us"] if is_first and entry else item.append_us
                )
        return None if seq is None else self._seq_appends.get((customer_id, seq))

    _seq_appends: dict[tuple[str, int], int] = field(default_factory=dict)

    # --- none is missing ---

    def complete(self) -> None:
        """What holds now, among the windows that are looked at, is what the oracle says."""
        for customer_id, values in self.values.items():
            last = self.rows[customer_id][-1][0]
            for mark, _, _, series in marks_of(self.newest, customer_id, values):
                firings = self.firings.get(mark, [])
                self._alternate(mark, firings)
                holds = bool(firings) and firings[-1]["retracted_seq"] is None
                if mark.start_us not in values.live(mark.window, last):
                    continue
                self.tally.count("thresholds in live windows")
                value = series.at(last)
                if value >= mark.amount:
                    self.tally.count("crossed")
                    self.tally.expect(holds, f"{mark}: at {value} and no alert holds")
                elif holds:
                    since = firings[-1]["fired_seq"]
                    fell = any(seq > since for seq in self.reversals.get(customer_id, []))
                    self.tally.expect(
                        not fell, f"{mark}: corrected down to {value}, and its alert is not retracted"
                    )

    def _alternate(self, mark: Mark, firings: list[Json]) -> None:
        """Crossing, retraction, crossing: each episode ends before the next."""
        self.tally.same(
            f"{mark}: episodes", [row["episode"] for row in firings], list(range(1, len(firings) + 1))
        )
        for row, following in pairwise(firings):
            ended = row["retracted_seq"]
            in_order = ended is not None and row["fired_seq"] < ended <= following["fired_seq"]
            self.tally.expect(
                in_order, f"{mark}: episode {following['episode']} before the one before it ended"
            )

    def notices(self) -> None:
        """Usage without a price or a cost is told once a customer and billing period."""
        told: set[tuple[str, str, int]] = set()
        for row in self.facts.table("guard.alerts"):
            body = row["body"]
            if body["kind"] == "unpriced":
                key = body["customer_id"], body["measure"], body["period_start_us"]
                self.tally.expect(key not in told, f"{row['alert_id']}: says the same twice: {key}")
                told.add(key)
        for customer_id, rows in self.rows.items():
            counts: dict[tuple[str, int], int] = defaultdict(int)
            ever: set[tuple[str, int]] = set()
            for _, row in rows:
                for side in ("cost", "price"):
                    counts[side, row["period_start_us"]] += row[f"unpriced_{side}_events"]
                    if row[f"unpriced_{side}_events"]:
                        ever.add((side, row["period_start_us"]))
            live = self.values[customer_id].live("period", rows[-1][0])
            for (side, start_us), times in counts.items():
                if times and start_us in live:
                    self.tally.count("unpriced periods")
                    self.tally.expect(
                        (customer_id, side, start_us) in told, f"{customer_id}: unpriced {side}, not told"
                    )
            for key in told:
                self.tally.expect(
                    key[0] != customer_id or key[1:] in ever, f"told of unpriced {key}, and there is none"
                )

    def published(self) -> None:
        """Each alert stands on budget.alerts under its id, saying what PostgreSQL says."""
        topic = {record["alert_id"]: record for record in self.facts.alerts}
        kept = {row["alert_id"]: row["body"] for row in self.facts.table("guard.alerts")}
        for alert_id in topic.keys() | kept.keys():
            if alert_id not in topic or alert_id not in kept:
                where = "PostgreSQL" if alert_id in kept else "budget.alerts"
                self.tally.expect(False, f"{alert_id}: only in {where}")
                continue
            fields = (
                "kind",
                "severity",
                "customer_id",
                "budget_id",
                "amount",
                "episode",
                "last_seq",
                "raised_at_us",
                "text",
            )
            for name in fields:
                self.tally.same(
                    f"{alert_id}: {name} on budget.alerts",
                    topic[alert_id][name],
                    kept[alert_id].get(name, 0 if name == "episode" else None),
                )

    def tell(self) -> None:
        """Delays, for the report."""
        for name, delays in (("all", self.delays), ("without a fault", self.quiet)):
            if delays:
                ordered = sorted(delays)
                p99 = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
                self.tally.told.append(
                    f"event to alert, {name}: median {statistics.median(ordered):.2f} s, p99 {p99:.2f} s"
                )


def alerts(facts: Facts, story: Story, rows: dict[str, list[tuple[int, Json]]], zone: str) -> Row:
    """Exactly one alert for each crossing, none without."""
    promise = "an alert exactly where the oracle crossed, once, in time; taken back only by a correction"
    alerting = Alerting(facts, story, rows, zone, Tally("I6", promise))
    alerting.prepare()
    alerting.sound()
    alerting.complete()
    alerting.notices()
    alerting.published()
    alerting.tell()
    return alerting.tally.row()


def states(facts: Facts, story: Story, rows: dict[str, list[tuple[int, Json]]], zone: str) -> Row:
    """What a gateway reads is the worst action of the thresholds that hold in windows that contain now."""
    tally = Tally("I6", "budget.state = the worst action among the oracle's thresholds that hold now")
    alerting = Alerting(facts, story, rows, zone, tally)
    alerting.prepare()
    now_us = facts.at_us
    expected: dict[str, str] = {}
    unsure: set[str] = set()
    for customer_id, values in alerting.values.items():
        last = rows[customer_id][-1][0]
        for mark, _, threshold, series in marks_of(alerting.newest, customer_id, values):
            if mark.start_us not in values.live(mark.window, last):
                continue
            key = f"{customer_id}\n{mark.scope}"
            action = threshold.get("action", "none")
            if any(
                edge is not None and abs(edge - now_us) < EDGE_US for edge in (mark.start_us, series.end_us)
            ):
                unsure.add(key)
            inside = mark.start_us <= now_us and (series.end_us is None or now_us < series.end_us)
            firings = alerting.firings.get(mark, [])
            stays = bool(firings) and firings[-1]["retracted_seq"] is None
            if (
                inside
                and (series.at(last) >= mark.amount or stays)
                and RANK[action] > RANK[expected.get(key, "ok")]
            ):
                expected[key] = action
    for key in expected.keys() | facts.states.keys():
        if key in unsure:
            tally.count("at the edge of a window, not judged")
            continue
        tally.count("scopes")
        record = facts.states.get(key, {"state": "ok", "valid_until_us": None})
        is_over = record["valid_until_us"] is not None and record["valid_until_us"] <= now_us
        tally.same(f"state of {key!r}", "ok" if is_over else record["state"], expected.get(key, "ok"))
    kept = {
        f"{row['customer_id']}\n{row['scope_key']}": row["body"]["state"]
        for row in facts.table("guard.states")
    }
    tally.same("states in PostgreSQL", kept, {key: record["state"] for key, record in facts.states.items()})
    return tally.row()


__all__ = ["Alerting", "alerts", "scope_key", "states", "thresholds_of"]
