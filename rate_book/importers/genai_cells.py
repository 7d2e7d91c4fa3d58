"""One model's prices of genai-prices over time: a version for each span in which neither prices nor variants
change.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from pricing.meters import DEFAULT_METERS, MeterRegistry
from rate_book.importers.price_list import Dated, Prices, StepRates, VariantPrices

_BEGINNING = date.min

# The value that holds where an event does not name the key. A variant without prices says that its value is
# this one.
_DEFAULTS = {"processing": "standard", "service_tier": "default", "speed": "standard", "route": "default"}
_PROVIDER_DEFAULTS = {("anthropic", "service_tier"): "standard"}
# Every card knows these, so that an event that names the standard value is priced.
_ALWAYS_KNOWN = ("processing", "service_tier")

_UNPRICED = "unpriced"
_DUST = "taken as listed, though it has more digits than a price list shows"
_NO_RATE = f"{_UNPRICED}: an empty list is not a price of 0"

# Where a list prices cache writes but not those kept for an hour, an hour's write is not charged at the
# shorter rate.
_METERS = MeterRegistry(DEFAULT_METERS)
_PARTS_WITHOUT_HOUR = sorted(
    name
    for name, definition in _METERS.definitions.items()
    if _METERS.wholes(name) and ("cache_ttl", "1h") not in definition.dimensions
)


def dated_prices(
    provider: str, model: Any, units: Mapping[str, Any], *, variants: bool = True
) -> tuple[list[Dated], list[tuple[str, str]]]:
    """The versions, and what was refused as (what, outcome). No version: the model has no card."""
    listed = model.prices if isinstance(model.prices, list) else [model.prices]
    standard = [(getattr(item, "constraint", None), getattr(item, "prices", item)) for item in listed]
    given = (model.price_variants or ()) if variants else ()
    contexts = [(item.constraint, item.prices, item.when) for item in given]
    constraints = [item[0] for item in (*standard, *contexts)]
    if any(_is_time_of_day(constraint) for constraint in constraints):
        return [], [("prices by the time of day", "no card until such prices can be said")]
    meters = {unit["price_key"]: (meter, str(unit["per"])) for meter, unit in units.items()}
    faults = []
    versions = []
    starts = sorted({_BEGINNING, *(_start(constraint) for constraint in constraints)})
    for position, start in enumerate(starts):
        prices = next(prices for constraint, prices in reversed(standard) if _start(constraint) <= start)
        end = starts[position + 1] if position + 1 < len(starts) else None
        base, unknown = _prices(prices, meters)
        faults += [(f"price {key}", f"{_UNPRICED}: not a meter") for key in unknown]
        faults += [
            (f"rate {rate} of {meter}", _DUST) for meter, rate in base.rates.items() if _is_dusty(rate)
        ]
        if not base.rates:
            faults.append((f"no rate is listed from {_shown(start)}", _NO_RATE))
            continue
        active = [(items, when) for constraint, items, when in contexts if _start(constraint) <= start]
        context, made = _variants(provider, active, base, meters)
        versions.append(Dated(_instant(start), _instant(end), base, context, made, _parts(base)))
    return _joined(versions), faults


def _is_dusty(rate: str) -> bool:
    """More digits than anybody publishes: somebody upstream computed with float."""
    return len(rate.partition(" ")[0].partition(".")[2]) > 12


def _is_time_of_day(constraint: Any) -> bool:
    return type(constraint).__name__ == "TimeOfDateConstraint"


def _start(constraint: Any) -> date:
    return _BEGINNING if constraint is None else constraint.start_date


def _shown(start: date) -> str:
    return "the beginning" if start == _BEGINNING else start.isoformat()


def _instant(day: date | None) -> str | None:
    return None if day is None or day == _BEGINNING else f"{day.isoformat()}T00:00:00Z"


def _parts(base: Prices) -> list[str]:
    hour_unknown = "cache_write_tokens" in base.rates and "cache_write_1h_tokens" not in base.rates
    return _PARTS_WITHOUT_HOUR if hour_unknown else ["*"]


def _prices(listed: Any, meters: Mapping[str, tuple[str, str]]) -> tuple[Prices, list[str]]:
    """The cell, and the price keys that are no meter of ours."""
    items = {key: value for key, value in vars(listed).items() if value is not None}
    known = {key: value for key, value in items.items() if key in meters}
    rates = {meters[key][0]: _rate(_at(value, None), meters[key][1]) for key, value in known.items()}
    starts = sorted({tier.start for value in known.values() for tier in getattr(value, "tiers", ())})
    steps = []
    for start in starts:
        above = {meters[key][0]: _rate(_at(value, start), meters[key][1]) for key, value in known.items()}
        changed = {meter: rate for meter, rate in above.items() if rate != rates[meter]}
        steps.append(StepRates(start, changed, sorted(above.keys() - changed.keys())))
    return Prices(rates, steps), sorted(items.keys() - known.keys())


def _at(value: Any, start: int | None) -> Decimal:
    """The price beyond `start` input tokens: the last tier that begins there or below."""
    if isinstance(value, Decimal):
        return value
    price: Decimal = value.base
    for tier in value.tiers:
        if start is not None and tier.start <= start:
            price = tier.price
    return price


def _rate(value: Decimal, per: str) -> str:
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text if per == "1" else f"{text} per {per}"


def _variants(
    provider: str,
    active: Sequence[tuple[Any, Mapping[str, str]]],
    base: Prices,
    meters: Mapping[str, tuple[str, str]],
) -> tuple[dict[str, tuple[list[str], str]], list[VariantPrices]]:
    """The context keys with their values and default, and a cell for each value that has prices of its own.

    For one value the first price listed for a meter wins; what a value does not price is charged as without
    it.
    """
    merged: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    defaults = {key: _PROVIDER_DEFAULTS.get((provider, key), _DEFAULTS[key]) for key in _ALWAYS_KNOWN}
    values: dict[str, list[str]] = {key: [] for key in _ALWAYS_KNOWN}
    for prices, when in active:
        listed = {key: value for key, value in vars(prices).items() if value is not None}
        for key, value in when.items():
            if not listed:
                defaults[key] = value
            values.setdefault(key, []).append(value)
        merged[tuple(when.items())] = {**listed, **merged.get(tuple(when.items()), {})}
    context = {}
    for key, named in values.items():
        default = defaults.get(key, _DEFAULTS.get(key, "default"))
        context[key] = (list(dict.fromkeys([default, *named])), default)
    made = []
    for when_pairs, listed in merged.items():
        if not listed:
            continue
        cell, _ = _prices(_Listed(listed), meters)
        inherit = sorted(base.rates.keys() - cell.rates.keys())
        made.append(VariantPrices(dict(when_pairs), cell, inherit))
    return context, made


class _Listed:
    """Merged price keys in the shape of the package's ModelPrice."""

    def __init__(self, prices: Mapping[str, Any]) -> None:
        self.__dict__.update(prices)


def _joined(versions: list[Dated]) -> list[Dated]:
    """Neighbours that price alike as one version."""
    result: list[Dated] = []
    for version in versions:
        before = result[-1] if result else None
        if before and before.end == version.start and _same(before, version):
            before.end = version.end
        else:
            result.append(version)
    return result


def _same(left: Dated, right: Dated) -> bool:
    return (left.prices, left.context, left.variants, left.parts_at_whole_rate) == (
        right.prices,
        right.context,
        right.variants,
        right.parts_at_whole_rate,
    )
