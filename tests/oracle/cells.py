"""Which rates hold for a call: attributes, schedules, the cell by exact context, multipliers, steps."""

from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple

from tests.oracle.books import Json
from tests.oracle.meters import is_part, nearest_wholes
from tests.oracle.times import schedule_value

FIELDS = (
    *("status", "stream_complete", "usage_quality", "quality_tier", "query_complexity", "product", "feature"),
    *("project", "user_id", "source", "provider_account", "provider_project", "requested_model"),
    "served_model",
)
ABOUT_TILES = {"image_sizes", "image_detail"}


class Price(NamedTuple):
    """What one unit costs, and how the quantity is billed; or the pool that prices it."""

    unit: Fraction = Fraction(0)
    minimum: Fraction = Fraction(0)
    increment: Fraction = Fraction(0)
    tiles: Json | None = None
    pool: str | None = None


class Cell(NamedTuple):
    """The rates of one call, and the factors that act on them."""

    rates: dict[str, Price]
    factors: list[tuple[Fraction, list[str]]]

    def price_of(self, meter: str, version: Json) -> Price | None:
        """The meter's own rate, or where the version says so that of its nearest whole; with its factors."""
        price, whose = self.rates.get(meter), meter
        listed = version.get("parts_at_whole_rate", [])
        if price is None and ("*" in listed or meter in listed):
            found = {
                (_key(self.rates[whole]), tuple(self._numbers_on(whole))): whole
                for whole in nearest_wholes(meter, self.rates)
            }
            if len(found) == 1:
                whose = next(iter(found.values()))
                price = self.rates[whose]
        if price is None or price.pool is not None:
            return price
        unit = price.unit
        for number in self._numbers_on(meter, whose):
            unit *= self.factors[number][0]
        return price._replace(unit=unit)

    def _numbers_on(self, *meters: str) -> list[int]:
        """Which factors act on the rate of any of these meters."""
        return [n for n, (_, named) in enumerate(self.factors) if "*" in named or set(meters) & set(named)]


def _key(price: Price) -> str:
    return repr(price)


def attributes_of(event: Mapping[str, Any]) -> dict[str, str]:
    """Everything of an event that a card may name as `event. ...`; what the event does not have is absent."""
    found = {f"event.{name}": event[name] for name in FIELDS if event.get(name) is not None}
    found |= {f"event.tag.{name}": value for name, value in event["tags"].items()}
    found["event.has_query"] = "yes" if event["query_id"] is not None else "no"
    return found


def value_of(event: Mapping[str, Any], key: str) -> str | None:
    """A value of the event's context or of one of its attributes."""
    if key.startswith("event.compliance."):
        return "yes" if key.removeprefix("event.compliance.") in event["compliance_tags"] else "no"
    if key.startswith("event."):
        return attributes_of(event).get(key)
    if key in ("region", "endpoint") and event[key] is not None:
        found: str = event[key]
        return found
    value: str | None = event["context"].get(key)
    return value


def has_tiles(version: Json) -> bool:
    cells = [version, *version.get("variants", [])]
    steps = [step for cell in cells for step in (cell.get("thresholds") or {}).get("steps", [])]
    return any(
        "tiles" in said
        for cell in (*cells, *steps)
        for said in cell.get("rates", {}).values()
        if isinstance(said, dict)
    )


def cell_for(
    ignored: set[str], version: Json, event: Mapping[str, Any], leaves: Mapping[str, Fraction]
) -> Cell | None:
    """The cell that names the most; None where the version does not know the context, or two fit alike."""
    beside = _beside(ignored, version, event)
    if beside is None:
        return None
    factors = version.get("multipliers", [])
    by_factor = {pair for factor in factors for pair in factor.get("when", {}).items()}
    fitting: list[tuple[int, Json]] = []
    for cell in ({**version, "when": {}}, *version.get("variants", [])):
        named = set(cell["when"].items())
        if named <= beside and beside - named <= by_factor:
            fitting.append((len(named), cell))
    most = max((size for size, _ in fitting), default=-1)
    chosen = [cell for size, cell in fitting if size == most]
    if len(chosen) != 1:
        return None
    acting = [
        (Fraction(factor["factor"]), factor.get("meters", ["*"]))
        for factor in factors
        for when in [set(factor.get("when", {}).items())]
        if when <= beside and not when & set(chosen[0]["when"].items())
    ]
    rates = _at_step(version, leaves)
    if chosen[0]["when"]:
        own = {meter for part in _parts(chosen[0]) for meter in part.get("rates", {})}
        kept = _kept(rates, chosen[0].get("inherit", []))
        rates = {m: p for m, p in kept.items() if m not in own} | _at_step(chosen[0], leaves)
    return Cell(rates, acting)


def _beside(ignored: set[str], version: Json, event: Mapping[str, Any]) -> set[tuple[str, str]] | None:
    """The pairs that are not defaults, of context, attributes and time; None where one is not known."""
    keys, schedules = version.get("context", {}), version.get("schedules", [])
    told = set(event["context"]) | {name for name in ("region", "endpoint") if event[name] is not None}
    known = set(keys) | ignored | (ABOUT_TILES if has_tiles(version) else set())
    if any(name not in known for name in told) or any(one["key"] in told for one in schedules):
        return None
    beside = set()
    for name, key in keys.items():
        value = value_of(event, name)
        value = key.get("default") if value is None else value
        if value is None or value not in key["values"]:
            return None
        if value != key.get("default"):
            beside.add((name, value))
    for schedule in schedules:
        value = schedule_value(schedule, event["event_time_us"])
        if value != schedule["default"]:
            beside.add((schedule["key"], value))
    return beside


def _parts(cell: Json) -> list[Json]:
    """A cell and its steps."""
    return [cell, *(cell.get("thresholds") or {}).get("steps", [])]


def _at_step(cell: Json, leaves: Mapping[str, Fraction]) -> dict[str, Price]:
    """The rates below the first threshold, or of the last step that the request's total is beyond."""
    base = rates = rates_of(cell)
    thresholds = cell.get("thresholds")
    if thresholds is None:
        return rates
    whole = thresholds.get("selector", "input_tokens")
    inside = (q for meter, q in leaves.items() if meter == whole or is_part(meter, whole))
    total = sum(inside, Fraction(0))
    for step in thresholds["steps"]:
        start = Fraction(step["start"])
        if total > start or (total == start and thresholds.get("operator", "gt") == "gte"):
            rates = _kept(base, step.get("inherit", [])) | rates_of(step)
    return rates


def _kept(rates: dict[str, Price], meters: list[str]) -> dict[str, Price]:
    return {meter: rate for meter, rate in rates.items() if "*" in meters or meter in meters}


@cache
def unit_of(text: str) -> Fraction:
    """Price of one unit: `2.5 per 1000000` is 2.5/1000000."""
    amount, _, per = text.partition(" per ")
    return Fraction(amount) / Fraction(per or "1")


def rates_of(cell: Json) -> dict[str, Price]:
    rates = {}
    for meter, said in cell.get("rates", {}).items():
        if isinstance(said, str):
            rates[meter] = Price(unit_of(said))
            continue
        rates[meter] = Price(
            unit_of(said.get("rate", "0")),
            Fraction(said.get("minimum", "0")),
            Fraction(said.get("increment", "0")),
            said.get("tiles"),
            said.get("pool"),
        )
    return rates


def has_quantity_of(leaves: Mapping[str, Fraction], whole: str) -> bool:
    """Whether any leaf is, or is a part of, that meter and has a quantity."""
    return any(quantity and (meter == whole or is_part(meter, whole)) for meter, quantity in leaves.items())
