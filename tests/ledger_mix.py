"""Rated records of every kind, generated, and their totals by definition: one record at a time."""

import random
from collections.abc import Sequence
from typing import Any

from pricing.calendar import ZoneTable, zones
from pricing.money import parse_signed
from pricing.totals import Key, Live, Scope
from pricing.windows import window_end, window_start
from rate_book.instants import parse_instant
from rate_book.zones import resolve
from tests.ledger_rows import NONE, Made, Written, line, usd

QUARTER_US = 900_000_000


def zone_named(name: str) -> ZoneTable:
    return zones(resolve([name]))(name)


def folded(records: Sequence[Written], until: int, zone: ZoneTable, scopes: Sequence[Scope]) -> Any:
    """What the totals are, by their definition: every window of every record, then the two newest starts."""
    starts: dict[str, set[int]] = {}
    ends: dict[tuple[str, int], int | None] = {}  # of a period, as the customer's rows name it: the latest
    entries: dict[Key, dict[str, Any]] = {}
    for event, rating in (
        (item.record["event"], item.record["rating"]) for item in records if item.row.customer_seq <= until
    ):
        at_us = event["event_time_us"] - event["event_time_us"] % QUARTER_US
        period = rating["service_period"]
        spans: list[tuple[str, int, int | None]] = [
            ("period", period["start_us"], period["end_us"]),
            ("lifetime", 0, None),
        ]
        for kind in ("hour", "day", "week"):
            start_us = window_start(kind, at_us, zone)
            spans.append((kind, start_us, window_end(kind, start_us, zone)))
        told = {name: event[name] for name in ("feature", "product", "project", "provider")}
        told["model"] = event["requested_model"]
        for kind, start_us, end_us in spans:
            starts.setdefault(kind, set()).add(start_us)
            ends[kind, start_us] = end_us and max(ends.get((kind, start_us)) or 0, end_us)
            for scope in scopes:
                if all(told[name] == value for name, value in scope):
                    key = (kind, start_us, scope, rating["cost"]["currency"], rating["price"]["currency"])
                    add(entries.setdefault(key, {}), rating)
    kept = {kind: sorted(found)[-2:] for kind, found in starts.items()}
    return {
        key: (*shown(told), ends[key[0], key[1]]) for key, told in entries.items() if key[1] in kept[key[0]]
    }


def add(entry: dict[str, Any], rating: Any) -> None:
    sign = -1 if rating["leg"] == "reversal" else 1
    for side in ("cost", "price"):
        amount = rating[side]["amount"]
        if amount is not None:
            entry[side] = (entry.get(side) or 0) + parse_signed(amount, side)
        if rating[side]["status"] in ("unpriced", "partial"):
            entry[f"unpriced_{side}"] = entry.get(f"unpriced_{side}", 0) + sign
    entry["events"] = entry.get("events", 0) + sign
    for told in rating["lines"]:
        if told["side"] == "cost" and told["meter"] in ("input_tokens", "output_tokens"):
            quantity = parse_signed(told["quantity"], "quantity")
            entry[told["meter"]] = entry.get(told["meter"], 0) + quantity


def shown(entry: dict[str, Any]) -> tuple[object, ...]:
    meters = {name: entry[name] for name in ("input_tokens", "output_tokens") if entry.get(name)}
    numbers = [entry.get(name, 0) for name in ("events", "unpriced_cost", "unpriced_price")]
    return (entry.get("cost"), entry.get("price"), *numbers, meters)


def shown_live(live: Live) -> dict[Key, tuple[object, ...]]:
    return {
        key: (
            sums.cost_atto,
            sums.price_atto,
            sums.events,
            sums.unpriced_cost_events,
            sums.unpriced_price_events,
            {meter: quantity for meter, quantity in sums.quantities.items() if quantity},
            sums.end_us,
        )
        for key, sums in live.items()
    }


class Generated:
    """Records of one customer around the instants where clocks change, in any order of event time."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._made = Made()
        self._standing: list[Written] = []
        self._second = 0

    def records(self, count: int) -> list[Written]:
        found: list[Written] = []
        while len(found) < count:
            draw = self._random.random()
            if self._standing and draw < 0.25:
                taken = self._standing.pop(self._random.randrange(len(self._standing)))
                found.append(self._made.reversal(taken, posted=self._posted()))
                if draw < 0.15:  # an amendment or a re-rate; else a void
                    cost, price = self._sides()
                    found.append(self._made.replacement(found[-1], cost, price, posted=self._posted()))
            else:
                found.append(self._original())
                if self._random.random() < 0.5:
                    self._standing.append(found[-1])
        return found

    def _original(self) -> Written:
        cost, price = self._sides()
        quantity = str(self._random.randrange(3))
        lines = (
            line("cost", "input_tokens", quantity, "0.1"),
            line("cost", "requests", "1", "0.1"),  # counted once per event: no leaf
            line("price", "input_tokens", quantity, None),
            line("cost", "output_tokens", "0.5", "0.1"),
        )
        at_us = self._at_us()
        day_us = 86_400_000_000
        start_us = at_us - at_us % (14 * day_us)  # its end: as two contracts say, one of them cut short
        end_us = start_us + self._random.choice((14, 14, 3)) * day_us
        return self._made.rated(
            {
                "customer_id": "c",
                "at": "2026-10-25T00:00:00Z",
                "event_time_us": at_us,
                "feature": self._random.choice(("chat", "search", None)),
                "requested_model": self._random.choice(("one", "two")),
                "provider": self._random.choice(("acme", "other")),
            },
            cost,
            price,
            lines,
            posted=self._posted(),
            service_period={"start_us": start_us, "end_us": end_us},
        )

    def _sides(self) -> tuple[dict[str, Any], dict[str, Any]]:
        cost = usd(str(self._random.randrange(5)), self._random.choice(("priced", "partial")))
        price = usd(f"0.{self._random.randrange(1, 99):018}", currency=self._random.choice(("USD", "EUR")))
        return self._random.choice((cost, cost, NONE)), self._random.choice((price, price, NONE))

    def _at_us(self) -> int:
        middle = self._random.choice(
            ("2026-10-25T01:00:00Z", "2026-11-01T06:00:00Z", "2026-11-08T12:00:00Z", "2026-12-31T23:59:59Z")
        )
        return parse_instant(middle) + self._random.randrange(-6, 6) * 1_700_000_000

    def _posted(self) -> str:
        self._second += 1
        return (
            f"2026-{11 + self._second // 40 % 2}-{20 + self._second // 20 % 2}T10:00:{self._second % 60:02}Z"
        )
