"""What is wrong with the cells of a card version: rates, steps, variants."""

from collections.abc import Iterable, Iterator, Mapping

from pricing.cards import CardVersion, Cell, Rate, TileRule, Variant
from pricing.faults import NOT_A_DECIMAL, Fault, Faults, decimal, meters, number, repeated, words
from pricing.meters import MeterRegistry

Keys = Mapping[str, tuple[tuple[str, ...], str | None]]
"""The context keys of a version, schedules among them: values, and the default."""


def context_keys(version: CardVersion) -> Keys:
    keys = {key.key: (key.values, key.default) for key in version.context}
    for schedule in version.schedules:
        values = dict.fromkeys((schedule.default, *(window.value for window in schedule.windows)))
        keys[schedule.key] = (tuple(values), schedule.default)
    return keys


def rates_of(version: CardVersion) -> Iterator[Rate]:
    """Every rate of a version."""
    for cell in (version.base, *(variant.cell for variant in version.variants)):
        yield from cell.rates
        if cell.thresholds is not None:
            for step in cell.thresholds.steps:
                yield from step.rates


def pooled_rates(version: CardVersion) -> list[Rate]:
    """Those that a pool prices."""
    return [rate for rate in rates_of(version) if rate.pool is not None]


def check_variants(field: str, version: CardVersion, registry: MeterRegistry, fault: Fault) -> Faults:
    for when in repeated(frozenset(variant.when) for variant in version.variants):
        yield fault(f"{field}.variants", words(when), "two variants are for the same context")
    for variant in version.variants:
        where = f"{field}.variants[{words(variant.when)}]"
        yield from _check_variant(where, version, variant, registry, fault)


def _check_variant(
    field: str, version: CardVersion, variant: Variant, registry: MeterRegistry, fault: Fault
) -> Faults:
    if not variant.when:
        yield fault(field, "()", "a variant must name a context value; the standard context is the base")
    for name in repeated(name for name, _ in variant.when):
        yield fault(field, name, "is named twice")
    yield from check_pairs(field, variant.when, context_keys(version), "a variant", fault)
    yield from check_cell(field, variant.cell, registry, fault)
    yield from meters(f"{field}.inherit", variant.inherit, registry, fault)
    mine, base = variant.cell.thresholds, version.base.thresholds
    if variant.inherit and mine and base and (mine.selector, mine.operator) != (base.selector, base.operator):
        rule = (
            f"must be those of the base ({base.selector} {base.operator}), since the variant inherits from it"
        )
        yield fault(f"{field}.thresholds", f"{mine.selector} {mine.operator}", rule)


def check_pairs(field: str, when: Iterable[tuple[str, str]], known: Keys, whose: str, fault: Fault) -> Faults:
    """Declared values that are not defaults."""
    for name, value in when:
        if name not in known:
            yield fault(field, name, "is not a context key of this version")
            continue
        values, default = known[name]
        if value not in values:
            yield fault(field, f"{name}={value}", f"must be one of {', '.join(values)}")
        elif value == default:
            yield fault(field, f"{name}={value}", f"is the default: {whose} names only values that are not")


def check_cell(field: str, cell: Cell, registry: MeterRegistry, fault: Fault) -> Faults:
    yield from _check_rates(field, cell.rates, registry, fault)
    thresholds = cell.thresholds
    if thresholds is None:
        return
    where = f"{field}.thresholds"
    if thresholds.selector not in registry:
        yield fault(f"{where}.selector", thresholds.selector, "is not a known meter")
    if thresholds.operator not in ("gt", "gte"):
        yield fault(f"{where}.operator", repr(thresholds.operator), "must be gt or gte")
    if not thresholds.steps:
        yield fault(f"{where}.steps", "()", "thresholds must have a step")
    previous = -1
    for position, step in enumerate(thresholds.steps):
        start = decimal(step.start)
        if start is None:
            yield fault(f"{where}.steps[{position}].start", repr(step.start), "must be a plain decimal")
        elif start <= previous:
            yield fault(f"{where}.steps[{position}].start", step.start, "starts must ascend")
        previous = start if start is not None else previous
        yield from _check_rates(f"{where}.steps[{position}]", step.rates, registry, fault)
        yield from meters(f"{where}.steps[{position}].inherit", step.inherit, registry, fault)


def _check_rates(field: str, rates: tuple[Rate, ...], registry: MeterRegistry, fault: Fault) -> Faults:
    for meter in repeated(rate.meter for rate in rates):
        yield fault(f"{field}.rates", meter, "has two rates")
    yield from meters(f"{field}.rates", (rate.meter for rate in rates), registry, fault, every=False)
    for rate in rates:
        where = f"{field}.rates.{rate.meter}"
        if rate.pool is None:
            yield from number(f"{where}.rate", rate.rate, fault)
            yield from number(f"{where}.per", rate.per, fault, above_0=True)
        elif rate.rate or rate.per != "1":
            stated = f"{rate.rate} per {rate.per}"
            yield fault(where, stated, f"the pool {rate.pool} prices it: there is no rate beside")
        if rate.minimum is not None:
            yield from number(f"{where}.minimum", rate.minimum, fault, above_0=True)
        if rate.increment is not None:
            yield from number(f"{where}.increment", rate.increment, fault, above_0=True)
        if rate.tiles is not None:
            yield from _check_tiles(f"{where}.tiles", rate.meter, rate.tiles, registry, fault)


def _check_tiles(field: str, meter: str, tiles: TileRule, registry: MeterRegistry, fault: Fault) -> Faults:
    if meter in registry and ("family", "images") not in registry.definitions[meter].dimensions:
        yield fault(field, meter, "tiles turn images into tokens: the meter must count images")
    for name in ("low_tokens", "base_tokens", "tile_tokens"):
        text = getattr(tiles, name)
        if decimal(text) is None:
            yield fault(f"{field}.{name}", repr(text), NOT_A_DECIMAL)
    for name in ("tile_px", "fit_px", "short_px"):
        if getattr(tiles, name) <= 0:
            yield fault(f"{field}.{name}", str(getattr(tiles, name)), "must be a whole number above 0")
