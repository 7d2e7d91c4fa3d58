"""One entry of LiteLLM's list as a card: base, steps, contexts, hours and multipliers."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from pricing.meters import DEFAULT_METERS
from rate_book.importers.genai_cells import HOURS, OFF_PEAK, PEAK
from rate_book.importers.litellm_keys import PriceKey, read_key
from rate_book.importers.price_list import (
    Card,
    Dated,
    ListedFactor,
    ListedSchedule,
    ListedWindow,
    Prices,
    StepRates,
    VariantPrices,
)

SERVICE_DEFAULTS = {"anthropic": "standard"}
# A part without a rate of its own has its whole's, but not its whole's multiplier: all are named.
TOKEN_METERS = [item.name for item in DEFAULT_METERS if dict(item.dimensions)["family"] == "tokens"]

_DAYS = {"1": "mon", "2": "tue", "3": "wed", "4": "thu", "5": "fri", "6": "sat", "7": "sun"}
_HOURS = re.compile(r"(?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d)")
_SEARCH = "search_context_size"
# What their multipliers of an entry stand for: context key and value.
_FACTORS = {"us": ("inference_geo", "us"), "fast": ("speed", "fast")}
_FACTOR_DEFAULTS = {"inference_geo": "global", "speed": "standard"}

Priced = Sequence[tuple[PriceKey, Decimal]]
Remarks = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Entry:
    """What is the same for all of a provider's entries. `reaching`: steps begin at their start."""

    provider: str
    service_default: str
    reaching: bool


def card_of(
    entry: Entry, card_id: str, model: str, prices: Priced, structured: Mapping[str, Any]
) -> tuple[Card | None, Remarks]:
    """The card, and what was refused as (what, outcome). None: no price, or none but zeros."""
    remarks: Remarks = []
    listed = [*prices, *_searches(structured, remarks)]
    base = _cell([item for item in listed if not item[0].context], entry)
    if "tiered_pricing" in structured:
        base = _ranges(structured["tiered_pricing"], base, remarks)
    if not base.rates:
        return None, [*remarks, ("no price for a call", "no card")] if listed else remarks
    if all(Decimal(text.partition(" ")[0]) == 0 for text in base.rates.values()):
        return None, [*remarks, ("every price is 0", "no card: a list of zeros is not a price of 0")]
    version = Dated(None, None, base, {}, [], ["*"])
    version.context = {
        "processing": (["standard"], "standard"),
        "service_tier": ([entry.service_default], entry.service_default),
    }
    for pairs in dict.fromkeys(item[0].context for item in listed if item[0].context):
        own = [item for item in listed if item[0].context == pairs]
        _add_variant(version, dict(pairs), _cell(own, entry))
    _add_hours(version, structured.get("off_peak_pricing"), remarks)
    _add_factors(version, structured.get("provider_specific_entry"), remarks)
    return Card(card_id, [model], [], [version]), remarks


def _add_variant(version: Dated, when: dict[str, str], cell: Prices) -> None:
    """A cell of its own; what it does not name is not listed for that context, and inherits nothing of the
    same family. A size that is not named has the price without a size, where the list has one.
    """
    unnamed = ["default"] if cell.rates.keys() & version.prices.rates.keys() else []
    for key, value in when.items():
        values, default = version.context.get(key, (unnamed, "".join(unnamed)))
        if value not in values:
            version.context[key] = ([*values, value], default)
    inherit = [meter for meter in version.prices.rates if meter not in cell.rates and not _is_token(meter)]
    version.variants.append(VariantPrices(when, cell, inherit if "processing" in when else []))
    if not {"processing", "service_tier"} & when.keys():
        version.variants[-1].inherit = [meter for meter in version.prices.rates if meter not in cell.rates]


def _is_token(meter: str) -> bool:
    return meter in TOKEN_METERS


def _cell(listed: Priced, entry: Entry) -> Prices:
    """The rates below the first step and at each; a meter without a price at a step keeps the one below."""
    rates = {key.meter: _text(amount, key.per) for key, amount in listed if key.step is None}
    starts = sorted({key.step for key, _ in listed if key.step is not None})
    steps = []
    for start in starts:
        above = dict(rates)
        for key, amount in sorted(listed, key=lambda item: item[0].step or 0):
            if key.step is not None and key.step <= start:
                above[key.meter] = _text(amount, key.per)
        changed = {meter: text for meter, text in above.items() if rates.get(meter) != text}
        steps.append(StepRates(start, changed, [meter for meter in above if meter not in changed]))
    return Prices(rates, steps, "gte" if entry.reaching else "gt")


def _text(amount: Decimal, per: str) -> str:
    text = f"{(amount * int(per)).normalize():f}"
    return text if per == "1" else f"{text} per {per}"


def _searches(structured: Mapping[str, Any], remarks: Remarks) -> list[tuple[PriceKey, Decimal]]:
    """A price for a search; by the size of its context where that makes a difference."""
    given = structured.get("search_context_cost_per_query")
    if given is None:
        return []
    prices = {}
    for size in ("low", "medium", "high"):
        try:
            prices[size] = Decimal(str(given.get(f"search_context_size_{size}")))
        except (AttributeError, InvalidOperation):
            remarks.append(("search_context_cost_per_query", f"no price for {size}: not taken"))
            return []
    if len(set(prices.values())) == 1:
        return [(PriceKey("web_searches", "1000"), prices["low"])]
    return [
        (PriceKey("web_searches", "1000", None, ((_SEARCH, size),)), amount)
        for size, amount in prices.items()
    ]


def _ranges(ranges: Any, base: Prices, remarks: Remarks) -> Prices:
    """Ranges (start, end] of input tokens as steps above their start."""
    cells: list[tuple[int, dict[str, str]]] = []
    for item in ranges if isinstance(ranges, list) else ():
        bounds = item.get("range")
        if not bounds:
            remarks.append(("tiered_pricing", "ranges of something else than input tokens: not taken"))
            return base
        rates = {}
        for name, value in item.items():
            key = read_key(name, "")
            if isinstance(key, PriceKey) and key.step is None and not key.context:
                rates[key.meter] = _text(Decimal(value), key.per)
            elif name != "range":
                remarks.append((f"tiered_pricing {name}", key if isinstance(key, str) else "not taken"))
        cells.append((int(Decimal(bounds[0])), rates))
    cells.sort(key=lambda cell: cell[0])
    if not cells or cells[0][0] != 0:
        return base
    first = {**base.rates, **cells[0][1]}
    steps = []
    for start, rates in cells[1:]:
        changed = {meter: text for meter, text in rates.items() if first.get(meter) != text}
        kept = [meter for meter in first if meter not in changed]
        steps.append(StepRates(start, changed, kept))
    return Prices(first, steps)


def _add_hours(version: Dated, given: Any, remarks: Remarks) -> None:
    if given is None:
        return
    if given.get("weekday_timezone") not in (None, "UTC"):
        remarks.append(("off_peak_pricing", "hours in UTC on weekdays of another zone: not taken"))
        return
    windows = []
    for window in given.get("windows") or [{"hours_utc": given.get("hours_utc")}]:
        days = [_DAYS[day] for day in window.get("weekdays", ())]
        hours = window["hours_utc"]
        for text in [hours] if isinstance(hours, str) else hours:
            found = _HOURS.fullmatch(text)
            if not found:
                remarks.append(("off_peak_pricing", f"hours {text!r} are not HH:MM-HH:MM: not taken"))
                return
            end = "24:00" if found["end"] == "00:00" else found["end"]
            windows.append(ListedWindow(OFF_PEAK, found["start"], end, days))
    rates = {}
    for name, value in given.items():
        key = read_key(name, "")
        if isinstance(key, PriceKey):
            rates[key.meter] = _text(Decimal(value), key.per)
    version.schedules = [ListedSchedule(HOURS, PEAK, windows)]
    inherit = [meter for meter in version.prices.rates if meter not in rates]
    version.variants.append(VariantPrices({HOURS: OFF_PEAK}, Prices(rates), inherit))


def _add_factors(version: Dated, given: Any, remarks: Remarks) -> None:
    for name, value in (given or {}).items():
        pair = _FACTORS.get(name)
        if pair is None:
            remarks.append((f"provider_specific_entry {name}", "not known to be a price: not taken"))
            continue
        default = _FACTOR_DEFAULTS[pair[0]]
        version.context[pair[0]] = ([default, pair[1]], default)
        version.factors.append(ListedFactor(f"{pair[0]} {pair[1]}", str(value), pair, TOKEN_METERS))
