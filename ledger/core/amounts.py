"""Money: every rating computed again, and every row of sums added up again from the rated records."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ledger.core.findings import Reporter
from ledger.core.model import RatedRecord, frame_where
from ledger.core.recomputed import Recomputed

BUCKET_US = 15 * 60 * 1_000_000
_DIGITS = 18
_UNPRICED = frozenset({"unpriced", "partial"})

RowKey = tuple[int, int, int, str | None, str | None, tuple[str | None, ...]]


class NotRecomputable(Exception):
    """A rating cannot be computed again; the text says why."""


Recompute = Callable[[RatedRecord], Recomputed]
DimensionsOf = Callable[[Mapping[str, Any], Sequence[str]], tuple[str | None, ...]]


@dataclass(slots=True)
class Row:
    """Sums of one row of a frame, times 10**18; an amount is None until one was there."""

    cost: int | None = None
    price: int | None = None
    events: int = 0
    unpriced_cost_events: int = 0
    unpriced_price_events: int = 0
    quantities: Counter[str] = field(default_factory=Counter)

    def add(self, rating: Mapping[str, Any], leaves: Sequence[tuple[str, int]]) -> None:
        self.cost = _plus(self.cost, rating["cost"]["amount"])
        self.price = _plus(self.price, rating["price"]["amount"])
        events = -1 if rating["leg"] == "reversal" else 1
        self.events += events
        self.unpriced_cost_events += events * (rating["cost"]["status"] in _UNPRICED)
        self.unpriced_price_events += events * (rating["price"]["status"] in _UNPRICED)
        for meter, quantity in leaves:
            self.quantities[meter] += quantity

    def told(self) -> tuple[object, ...]:
        """The row as a frame tells it; a meter with quantity 0 is there where a leaf of it was."""
        return (
            self.cost,
            self.price,
            self.events,
            self.unpriced_cost_events,
            self.unpriced_price_events,
            dict(self.quantities),
        )


def atto(text: str) -> int:
    """A plain decimal times 10**18, exact. Raises ValueError for anything else."""
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    whole, point, part = digits.partition(".")
    if not (whole + part).isdigit() or not whole or (point and not part) or len(part) > _DIGITS:
        raise ValueError(f"{text!r} is not a plain decimal of at most {_DIGITS} digits after the point")
    return sign * int(whole + part.ljust(_DIGITS, "0"))


def plain(amount: int) -> str:
    """The plain decimal of an amount times 10**18, without trailing zeros."""
    sign = "-" if amount < 0 else ""
    digits = str(abs(amount))
    whole, part = digits[:-_DIGITS] or "0", digits[-_DIGITS:].rjust(_DIGITS, "0").rstrip("0")
    return f"{sign}{whole}.{part}" if part else sign + whole


def check_amounts(
    rated: Sequence[RatedRecord], recompute: Recompute, report: Reporter
) -> dict[int, Recomputed]:
    """Each rating equals the one computed again; returns those by the record's offset."""
    computed: dict[int, Recomputed] = {}
    for record in rated:
        try:
            again = recompute(record)
        except NotRecomputable as error:
            report("recompute", record.where, f"{record.named}: {error}")
            continue
        computed[record.offset] = again
        if again.rating != record.rating:
            report("amount", record.where, f"{record.named}: {_differences(record.rating, again.rating)}")
    return computed


def check_book(frame: Mapping[str, Any], rated: Sequence[RatedRecord], report: Reporter) -> None:
    """Originals were rated with the frame's version of the rate book."""
    for record in rated:
        version = record.rating["book_version"]
        if record.rating["leg"] == "original" and version != frame["book_version"]:
            report(
                "book_version",
                record.where,
                f"rated with version {version}, the frame with {frame['book_version']}",
            )


def check_rows(
    frame: Mapping[str, Any],
    rated: Sequence[RatedRecord],
    computed: Mapping[int, Recomputed],
    dimensions_of: DimensionsOf,
    report: Reporter,
) -> None:
    """Each customer's rows are the exact sums of its rated records, row by row."""
    names = frame["dimensions"]
    expected: dict[str, dict[RowKey, Row]] = {}
    for record in rated:
        rows = expected.setdefault(record.event["customer_id"], {})
        key = _key_of(record, dimensions_of(record.event, names))
        try:
            again = computed.get(record.offset)
            rows.setdefault(key, Row()).add(record.rating, () if again is None else again.leaves)
        except ValueError as error:
            report("rows", record.where, f"{record.named}: {error}")
    for delta in frame["customers"]:
        customer = delta["customer_id"]
        try:
            told = _told(delta["rows"])
        except ValueError as error:
            report("rows", frame_where(frame), f"customer {customer!r}: {error}")
            continue
        summed = {key: row.told() for key, row in expected.pop(customer, {}).items()}
        for key in sorted(told.keys() ^ summed.keys(), key=repr):
            side = "the frame" if key in told else "the sum of usage.rated"
            report("rows", frame_where(frame), f"customer {customer!r}: row {key} is only in {side}")
        for key in told.keys() & summed.keys():
            if told[key] != summed[key]:
                report(
                    "rows",
                    frame_where(frame),
                    f"customer {customer!r}: row {key}: the frame tells {told[key]}, "
                    f"usage.rated sums to {summed[key]}",
                )
    for customer in expected:
        report("rows", frame_where(frame), f"customer {customer!r} has rated records but is not in the frame")


def _key_of(record: RatedRecord, dimensions: tuple[str | None, ...]) -> RowKey:
    rating = record.rating
    period = rating["service_period"]
    time_us = record.event["event_time_us"]
    bucket = time_us - time_us % BUCKET_US
    currencies = rating["cost"]["currency"], rating["price"]["currency"]
    return (bucket, period["start_us"], period["end_us"], *currencies, dimensions)


def _told(rows: Sequence[Mapping[str, Any]]) -> dict[RowKey, tuple[object, ...]]:
    told: dict[RowKey, tuple[object, ...]] = {}
    for row in rows:
        key: RowKey = (
            row["bucket_us"],
            row["period_start_us"],
            row["period_end_us"],
            row["cost_currency"],
            row["price_currency"],
            tuple(row["dimensions"]),
        )
        if key in told:
            raise ValueError(f"row {key} stands twice")
        told[key] = (
            None if row["cost"] is None else atto(row["cost"]),
            None if row["price"] is None else atto(row["price"]),
            row["events"],
            row["unpriced_cost_events"],
            row["unpriced_price_events"],
            {meter: atto(quantity) for meter, quantity in row["quantities"].items()},
        )
    return told


def _plus(total: int | None, amount: str | None) -> int | None:
    return total if amount is None else (total or 0) + atto(amount)


def _differences(told: Mapping[str, Any], again: Mapping[str, Any]) -> str:
    """The fields that differ, as recorded and as computed again, cut to a readable length."""
    texts = []
    for name in sorted(told.keys() | again.keys()):
        was, now = told.get(name), again.get(name)
        if was != now:
            texts.append(f"{name} recorded {_short(was)}, computed again {_short(now)}")
    return "; ".join(texts)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 300 else text[:297] + "..."
