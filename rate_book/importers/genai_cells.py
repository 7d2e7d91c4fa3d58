"""One model's prices of genai-prices over time: a version for each span in which neither prices nor variants
change, with a schedule where it prices hours of the day.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, time
from decimal import Decimal
from typing import Any

from pricing.meters import DEFAULT_METERS, MeterRegistry
from rate_book.importers.price_list import (
    Dated,
    ListedSchedule,
    ListedWindow,
    Prices,
    StepRates,
    VariantPrices,
)

_BEGINNING = date.min

# The value that holds where an event does not name the key. A variant without prices says that its value is
# this one.
_DEFAULTS = {"processing": "standard", "service_tier": "default", "speed": "standard", "route": "default"}
_PROVIDER_DEFAULTS = {("anthropic", "service_tier"): "standard"}
# Every card knows these, so that an event that names the standard value is priced.
_ALWAYS_KNOWN = ("processing", "service_tier")

HOURS = "time_of_day"
PEAK, OFF_PEAK = "peak", "off_peak"

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
    provider: str,
    model: Any,
    units: Mapping[str, Any],
    *,
    variants: bool = True,
    minimum: Mapping[str, str] | None = None,
) -> tuple[list[Dated], list[tuple[str, str]]]:
    """The versions, and what was refused as (what, outcome). No version: the model has no card.

    `minimum`: the least quantity that is billed, by meter.
    """
    listed = model.prices if isinstance(model.prices, list) else [model.prices]
    everything = [(getattr(item, "constraint", None), getattr(item, "prices", item)) for item in listed]
    given = (model.price_variants or ()) if variants else ()
    contexts = [(item.constraint, item.prices, item.when) for item in given]
    hours = [item for item in everything if _is_time_of_day(item[0])]
    standard = [item for item in everything if not _is_time_of_day(item[0])]
    refused = _hours_refused(everything, contexts)
    if refused:
        return [], [(refused, "no card")]
    meters = {unit["price_key"]: (meter, str(unit["per"])) for meter, unit in units.items()}
    faults = []
    versions = []
    constraints = [item[0] for item in (*standard, *contexts)]
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
        _set_minimum([base, *(variant.prices for variant in made)], minimum or {})
        version = Dated(_instant(start), _instant(end), base, context, made, _parts(base))
        if hours:
            _add_hours(version, hours, meters)
        versions.append(version)
    return joined(versions), faults


def has_hours(model: Any) -> bool:
    """Whether the package prices hours of the day for this model."""
    listed = model.prices if isinstance(model.prices, list) else []
    return any(_is_time_of_day(item.constraint) for item in listed)


def _hours_refused(listed: Sequence[tuple[Any, Any]], contexts: Sequence[Any]) -> str | None:
    """Why prices by the hour cannot be said; None where they can, or there are none.

    The last price that is active wins in the package: hours that stand after every date win over them all.
    """
    kinds = [_is_time_of_day(constraint) for constraint, _ in listed]
    if True not in kinds:
        return None
    if any(_is_time_of_day(item[0]) for item in contexts) or contexts:
        return "prices by the time of day beside prices by context"
    if kinds != sorted(kinds) or not any(not kind for kind in kinds):
        return "prices by the time of day that a date overrides"
    times = [
        getattr(constraint, name)
        for constraint, _ in listed
        if _is_time_of_day(constraint)
        for name in ("start_time", "end_time")
    ]
    if any(moment.tzinfo not in (None, UTC) or moment.second or moment.microsecond for moment in times):
        return "hours that are no whole minutes of UTC"
    return None


def _add_hours(
    version: Dated, hours: Sequence[tuple[Any, Any]], meters: Mapping[str, tuple[str, str]]
) -> None:
    """The windows as a schedule in UTC, and a variant for each value with prices of its own."""
    cells = [_prices(prices, meters)[0] for _, prices in hours]
    distinct: list[Prices] = []
    for cell in cells:
        if cell not in distinct:
            distinct.append(cell)
    dearer = _input(distinct[0]) > _input(version.prices)
    names = [PEAK if dearer else OFF_PEAK] if len(distinct) == 1 else []
    names = names or [f"window_{number}" for number in range(1, len(distinct) + 1)]
    windows = [
        ListedWindow(names[distinct.index(cell)], _hour(constraint.start_time), _hour(constraint.end_time))
        for cell, (constraint, _) in zip(cells, hours, strict=True)
    ]
    version.schedules = [ListedSchedule(HOURS, OFF_PEAK if names == [PEAK] else PEAK, windows)]
    for name, cell in zip(names, distinct, strict=True):
        inherit = sorted(version.prices.rates.keys() - cell.rates.keys())
        version.variants.append(VariantPrices({HOURS: name}, cell, inherit))


def _input(prices: Prices) -> Decimal:
    return Decimal(next(iter(prices.rates.values())).partition(" ")[0])


def _hour(moment: time) -> str:
    return f"{moment:%H:%M}"


def _set_minimum(cells: Iterable[Prices], minimum: Mapping[str, str]) -> None:
    for cell in cells:
        cell.minimum = {meter: least for meter, least in minimum.items() if meter in cell.rates}


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
    # Above 199999 is how the list says at 200000 and above: it has no word for it, and tokens are whole.
    reaching = bool(starts) and all(start % 1000 == 999 for start in starts)
    steps = []
    for start in starts:
        above = {meters[key][0]: _rate(_at(value, start), meters[key][1]) for key, value in known.items()}
        changed = {meter: rate for meter, rate in above.items() if rate != rates[meter]}
        shown = start + 1 if reaching else start
        steps.append(StepRates(shown, changed, sorted(above.keys() - changed.keys())))
    return Prices(rates, steps, "gte" if reaching else "gt"), sorted(items.keys() - known.keys())


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


def joined(versions: list[Dated]) -> list[Dated]:
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
    return replace(left, start=None, end=None) == replace(right, start=None, end=None)
