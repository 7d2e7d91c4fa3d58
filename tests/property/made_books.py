"""Books made up by rule, as texts of YAML, and calls that stand on and beside their boundaries."""

import json
from itertools import product
from typing import Any

from hypothesis import strategies as st

from tests.oracle.meters import is_part
from tests.oracle.times import instant_us

Json = dict[str, Any]

USED = (
    *("input_tokens", "cache_read_tokens", "cache_write_1h_tokens", "input_audio_tokens", "output_tokens"),
    *("output_reasoning_tokens", "output_images", "input_images", "web_searches", "queries"),
)
POOLED = ("output_images", "web_searches")

CHANGE = "2026-07-01T00:00:00Z"  # versions, aliases and contracts change here
WHERE = "America/New_York"
# On and beside each boundary: of the year's half, peak hours, a billing day, the clock's changes of the zone.
INSTANTS = tuple(
    instant_us(text) + shift
    for text in (
        "2026-07-01T00:00:00+00:00",
        "2026-03-08T06:00:00+00:00",  # 01:00 in New York, an hour before the clock goes ahead; a Sunday
        "2026-07-03T13:00:00+00:00",  # a Friday, 09:00 in New York
        "2026-07-04T02:00:00+00:00",  # still Friday there, 22:00
        "2026-07-15T04:00:00+00:00",  # the first instant of the 15th there
        "2026-11-15T05:00:00+00:00",
    )
    for shift in (-1, 0, 3_600_000_000)
)

KEYS: dict[str, tuple[str, ...]] = {
    "processing": ("standard", "batch"),
    "service_tier": ("default", "flex", "priority"),
    "event.quality_tier": ("economy", "premium"),
    "event.compliance.eu": ("no", "yes"),
}

IGNORED = ["region", "image_sizes", "image_detail", "image_size", "image_quality"]
TABLE = {"image_size": ("small", "large"), "image_quality": ("low", "high")}

rate_texts = st.sampled_from(
    [
        *("0", "1", "0.5", "2.5 per 1000000", "0.13 per 1000000", "3 per 1000", "1 per 3", "0.0375 per 7"),
        *("40 per 1000000", "0.000001", "17.125", "0.01 per 60", "2 per 7", "1000", "6.5 per 1000"),
    ]
)
# The middle of a range: its ends are drawn more often than the rest.
seldom = st.integers(0, 8).map(lambda number: number == 4)
factors = st.sampled_from(["0.5", "1.1", "1.25", "2", "0", "0.333"])
small = st.sampled_from(["1", "2", "5", "10", "60"])


@st.composite
def said_rates(draw: st.DrawFn, meters: tuple[str, ...], least: int = 0) -> Json:
    found: Json = {}
    for meter in draw(st.lists(st.sampled_from(meters), unique=True, min_size=least, max_size=len(meters))):
        found[meter] = draw(rate_texts)
        if draw(seldom):
            found[meter] = {"rate": found[meter], "minimum": draw(small), "increment": draw(small)}
        if meter == "input_images" and draw(st.booleans()):
            found[meter] = {"rate": draw(rate_texts), "tiles": {"low": "85", "base": "85", "tile": "170"}}
    return found


@st.composite
def cells(draw: st.DrawFn, meters: tuple[str, ...], least: int = 0) -> Json:
    """Rates and, at times, steps."""
    cell: Json = {"rates": draw(said_rates(meters, least))}
    if draw(seldom):
        starts = sorted(draw(st.sets(st.sampled_from([10, 100, 200]), min_size=1, max_size=2)))
        steps = [
            {
                "start": str(start),
                "rates": draw(said_rates(meters)),
                "inherit": draw(st.sampled_from([[], ["*"], ["output_tokens", "cache_read_tokens"]])),
            }
            for start in starts
        ]
        for step in steps:
            if not step["rates"] and not step["inherit"]:
                step["inherit"] = ["*"]
        cell["thresholds"] = {
            "selector": draw(st.sampled_from(["input_tokens", "input_tokens", "output_tokens"])),
            "operator": draw(st.sampled_from(["gt", "gte"])),
            "steps": steps,
        }
    return cell


@st.composite
def schedules(draw: st.DrawFn) -> Json:
    window = {
        "value": "peak",
        "from": draw(st.sampled_from(["09:00", "22:00", "00:00"])),
        "to": draw(st.sampled_from(["09:00", "12:00", "02:00", "24:00"])),
        "days": draw(st.sampled_from([[], ["mon", "tue", "wed", "thu", "fri"], ["sat", "holiday"]])),
    }
    zone = draw(st.sampled_from(["UTC", WHERE, "+08:00"]))
    holidays = draw(st.sampled_from([[], ["2026-07-03"]]))
    return {"key": "hours", "default": "off", "zone": zone, "windows": [window], "holidays": holidays}


@st.composite
def versions(draw: st.DrawFn, meters: tuple[str, ...] = USED) -> Json:
    """A version with any of the shapes that both sides know."""
    version: Json = draw(cells(meters, len(meters) - 3))
    version["parts_at_whole_rate"] = draw(st.sampled_from([[], ["*"], ["cache_read_tokens"]]))
    known = {key: values for key, values in KEYS.items() if not draw(seldom)}
    version["context"] = {key: {"values": list(v), "default": v[0]} for key, v in known.items()}
    if "output_images" in meters and draw(seldom):  # a table of prices by size and quality
        version["rates"].pop("output_images", None)
        version["context"] |= {key: {"values": list(v), "default": v[0]} for key, v in TABLE.items()}
        some = draw(
            st.sets(st.sampled_from([list(product(*TABLE.values()))[n] for n in range(4)]), min_size=2)
        )
        cells_ = [{"values": list(values), "rate": draw(rate_texts).split()[0]} for values in sorted(some)]
        version["matrix"] = {"keys": list(TABLE), "meter": "output_images", "per": "10", "cells": cells_}
    if draw(st.booleans()):
        version["schedules"] = [draw(schedules())]
        known["hours"] = ("off", "peak")
    beside = [(key, value) for key, values in known.items() for value in values[1:]]
    if beside:
        version["variants"] = draw(variants(beside, meters))
        version["multipliers"] = draw(multipliers(beside, meters))
    for variant in version.get("variants", []):  # what inherits has the steps of what it inherits from
        if "thresholds" in variant and "thresholds" in version:
            variant["thresholds"] |= {key: version["thresholds"][key] for key in ("selector", "operator")}
    if draw(seldom):
        version["not_billed"] = [{"when": {"event.status": "refused"}, "without": ["output_tokens"]}]
    if draw(seldom):
        version["minimum"] = draw(st.sampled_from(["0.01", "5", "1000"]))
    return version


@st.composite
def variants(draw: st.DrawFn, beside: list[tuple[str, str]], meters: tuple[str, ...]) -> list[Json]:
    found: dict[str, Json] = {}
    for _ in range(draw(st.integers(0, 3))):
        when = dict(draw(st.lists(st.sampled_from(beside), min_size=1, max_size=2)))
        cell = draw(cells(meters))
        inherit = draw(st.sampled_from([["*"], ["input_tokens", "web_searches"]]))
        found[json.dumps(when, sort_keys=True)] = {"when": when, **cell, "inherit": inherit}
    return list(found.values())


@st.composite
def multipliers(draw: st.DrawFn, beside: list[tuple[str, str]], meters: tuple[str, ...]) -> list[Json]:
    found = []
    chosen = [pair for pair in (None, *beside) if not draw(seldom)]
    for number, pair in enumerate(draw(st.permutations(chosen))):
        one: Json = {"name": f"factor {number}", "factor": draw(factors)}
        if pair is not None:
            one["when"] = dict([pair])
        if draw(seldom):
            one["meters"] = draw(st.lists(st.sampled_from(meters), unique=True, min_size=1, max_size=3))
        found.append(one)
    return found


@st.composite
def dated(draw: st.DrawFn, make: st.SearchStrategy[Json]) -> list[Json]:
    """One version, or two that change at a boundary."""
    if draw(st.booleans()):
        return [draw(make)]
    return [{**draw(make), "to": CHANGE}, {**draw(make), "from": CHANGE}]


@st.composite
def pool_versions(draw: st.DrawFn) -> Json:
    shape = draw(st.sampled_from(["graduated", "volume", "package"]))
    starts = [0] if shape == "package" else sorted({0, *draw(st.sets(st.sampled_from([3, 10, 25])))})
    tiers = [{"start": str(start), "rate": draw(rate_texts)} for start in starts]
    for tier in tiers:
        if shape != "package" and draw(st.booleans()):
            tier["flat"] = draw(st.sampled_from(["0.5", "3"]))
    return {
        "shape": shape,
        "free": draw(st.sampled_from(["0", "0", "5"])),
        "operator": draw(st.sampled_from(["gt", "gte"])),
        "tiers": tiers,
    }


@st.composite
def sold_versions(draw: st.DrawFn, pooled: bool, markup: bool) -> Json:
    """A version on the customer's side: rates of its own, some in the pool, the rest on cost or included."""
    meters = tuple(meter for meter in USED if not (pooled and meter in POOLED))
    version: Json = draw(versions((*meters, "events", "requests")))
    if pooled:
        for meter in POOLED:
            version["rates"][meter] = {"pool": "shared"}
        steps = version.get("thresholds", {}).get("steps", [])
        for cell in (*steps, *version.get("variants", [])):
            cell["inherit"] = ["*"]  # a pool has one price, whatever the call
        for step in (
            s for v in version.get("variants", []) for s in v.get("thresholds", {}).get("steps", [])
        ):
            step["inherit"] = ["*"]
        for one in version.get("multipliers", []):
            one.setdefault("meters", list(meters))
        version["parts_at_whole_rate"] = [m for m in version["parts_at_whole_rate"] if m != "*"]
    if markup:
        version["markup"] = {"percent": draw(st.sampled_from(["20", "0", "33.3"]))}
        version["parts_at_whole_rate"] = []
        if draw(st.booleans()):
            version["markup"]["minimum"] = "0.25"
            version.pop("minimum", None)
        if draw(st.booleans()):
            version["markup"]["fixed"] = "0.001"
            version["rates"].pop("events", None)
    elif draw(seldom):
        version["included"] = draw(st.sampled_from([["*"], ["output_tokens", "web_searches"]]))
    return version


@st.composite
def contracts(draw: st.DrawFn, name: str, currency: str) -> Json:
    unit, anchor = draw(
        st.sampled_from(
            [
                ("calendar_month_utc", 1),
                ("month", 15),
                ("month", 31),
                ("week", 5),
                ("day", 1),
                ("quarter", 1),
                ("year", 3),
            ]
        )
    )
    contract: Json = {"contract": name, "currency": currency, "billing_period": unit}
    contract["price_cards"] = draw(st.sampled_from([["own", "list"], ["list"]]))
    if unit != "calendar_month_utc":
        contract |= {"anchor_day": str(anchor), "zone": draw(st.sampled_from(["UTC", WHERE, "+08:00"]))}
    if unit == "day":
        del contract["anchor_day"]
    return contract


@st.composite
def provider_files(draw: st.DrawFn) -> Json:
    return {
        "provider": "p",
        "currency": "USD",
        "cards": [
            {"card": "p/m", "models": ["m"], "versions": draw(dated(versions()))},
            {"card": "p/tuned", "prefixes": [{"prefix": "ft:m"}], "like": "p/m", "factor": draw(factors)},
            {"card": "p/old", "models": ["old"], "versions": draw(dated(versions()))},
            {
                "card": "p/stated",
                "models": ["stated"],
                "versions": [{"stated_cost": "true", "multipliers": [{"name": "fee", "factor": "1.055"}]}],
            },
        ],
    }


@st.composite
def books(draw: st.DrawFn) -> list[str]:
    """The files of a book."""
    pooled, markup = draw(st.booleans()), draw(st.integers(0, 2)) == 1
    currency = draw(st.sampled_from(["USD", "EUR", "CREDIT"]))
    card_currency = currency if pooled or markup else draw(st.sampled_from(["USD", currency]))
    sold: Json = {
        "price_card": "list",
        "currency": card_currency,
        "cards": [
            {
                "card": "list/any",
                "prefixes": [{"prefix": "*"}],
                "versions": draw(dated(sold_versions(pooled, markup))),
            },
            {
                "card": "list/m",
                "provider": "p",
                "models": ["m"],
                "versions": draw(dated(sold_versions(pooled, markup))),
            },
        ],
    }
    own: Json = {
        "price_card": "own",
        "currency": currency,
        "cards": [
            {"card": "own/old", "models": ["old"], "versions": draw(dated(sold_versions(False, markup)))},
        ],
    }
    if pooled:
        sold["pools"] = [{"pool": "shared", "versions": draw(dated(pool_versions()))}]
    first, second = draw(contracts("first", currency)), draw(contracts("second", currency))
    if draw(st.booleans()):
        second = {**first, "contract": "second"}
    if draw(st.booleans()):
        second["carry_over"] = "true"
    rates_of_exchange = [
        {"currency": "USD", "to": currency, "rate": "0.92", "until": CHANGE},
        {"currency": "USD", "to": currency, "rate": "0.8999", "from": CHANGE},
    ]
    documents: list[Json] = [
        draw(provider_files()),
        sold,
        own,
        {"contracts": [first, second]},
        {
            "assignments": [
                {"customer": "*", "contract": "first"},
                {"customer": "acme", "contract": "first", "to": CHANGE},
                {"customer": "acme", "contract": "second", "from": CHANGE},
            ]
        },
        {
            "aliases": [
                {"provider": "p", "alias": "latest", "model": "old", "to": CHANGE},
                {"provider": "p", "alias": "latest", "model": "m", "from": CHANGE},
            ]
        },
        {"settings": {"units": ["CREDIT"], "context_ignored": draw(st.sampled_from([IGNORED, ["region"]]))}},
    ]
    if currency != "USD":
        documents.append({"exchange": rates_of_exchange})
    return [json.dumps(document) for document in documents]


counts = st.sampled_from([0, 1, 3, 5, 9, 10, 11, 99, 100, 101, 200, 1000, 1_000_003])


@st.composite
def events(draw: st.DrawFn) -> Json:
    """A call; what an event leaves out is left out."""
    leaves = draw(st.dictionaries(st.sampled_from(USED), counts, min_size=0, max_size=5))
    semantics = draw(st.sampled_from(["inclusive", "exclusive"]))
    if semantics == "inclusive":
        leaves = dict.fromkeys(("input_tokens", "output_tokens"), 0) | leaves
        leaves = {
            whole: sum(n for m, n in leaves.items() if m == whole or is_part(m, whole)) for whole in leaves
        }
    context = {
        key: draw(st.sampled_from([KEYS[key][0], *KEYS[key]]))
        for key in ("processing", "service_tier")
        if draw(st.booleans())
    }
    if "input_images" in leaves:
        context["image_sizes"] = draw(st.sampled_from(["1024x1024", "513x3000,2049x100,1x1", "10x10,", "?"]))
        context["image_detail"] = draw(st.sampled_from(["high", "low", "high", "auto"]))
    if "output_images" in leaves and draw(st.booleans()):
        context |= {key: draw(st.sampled_from(values)) for key, values in TABLE.items()}
    if draw(seldom):
        context[draw(st.sampled_from(["hours", "colour", "region", "service_tier"]))] = "peak"
    return {
        "customer_id": draw(st.sampled_from(["acme", "acme", "acme", "somebody"])),
        "event_time_us": draw(st.sampled_from(INSTANTS)),
        "provider": draw(st.sampled_from(["p", "p", "p", "p", "p", "p", "P", "other"])),
        "requested_model": draw(
            st.sampled_from(["m", "m", "m", "M", "latest", "latest", "old", "ft:m-7", "stated", "unknown"])
        ),
        "query_id": draw(st.sampled_from([None, "q"])),
        "status": draw(st.sampled_from(["ok", "ok", "refused"])),
        "quality_tier": draw(st.sampled_from([None, "premium", "economy"])),
        "compliance_tags": draw(st.sampled_from([[], ["eu"]])),
        "provider_cost": draw(
            st.sampled_from(
                [{"amount": "7", "currency": "USD"}, None, {"amount": "0.0123", "currency": "USD"}]
            )
        ),
        "context": context,
        "usage_semantics": semantics,
        "usage": {meter: str(count) for meter, count in leaves.items()},
    }
