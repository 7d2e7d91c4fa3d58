"""Soft rules on the cells of one card version: caches, steps, missing meters, missing combinations."""

from collections.abc import Iterator, Mapping
from itertools import product
from math import prod

from pricing.cards import CardVersion, RateCard
from pricing.cells import Steps
from pricing.check_cells import context_keys
from pricing.chosen import choose_cell
from pricing.compiled import CompiledRate
from pricing.faults import words
from pricing.meters import DEFAULT_METERS, MeterRegistry
from rate_book.lint_remarks import Remark, not_accepted, version_line

_COMBINATIONS_MAX = 4096
_SHOWN = 3
_MODALITIES = ("", "text_", "audio_", "image_", "video_")
_WRITES = ("write", "write_5m", "write_1h")

Rates = Mapping[str, CompiledRate]


def lint_cells(card: RateCard) -> Iterator[Remark]:
    """Every remark on the card's versions that they do not accept."""
    for version in card.versions:
        yield from not_accepted(version, _version(card.card_id, version))


def _version(card_id: str, version: CardVersion) -> Iterator[Remark]:
    base = Steps.of(version.base)
    cells = [("", base)]
    cells += [
        (words(variant.when), Steps.of(variant.cell).with_base(base, variant.inherit))
        for variant in version.variants
    ]
    for context, steps in cells:
        for position, (rates, where) in enumerate(zip(steps.rates, steps.words(), strict=True)):
            line = version_line(version, context, *where)
            for rule, detail in (
                *_caches(rates),
                *(_below(rates, steps.rates[position - 1]) if position else ()),
                *(_missing(rates, base.rates[0], version) if position or context else ()),
            ):
                yield Remark(card_id, line, rule, detail)
    missing = _combinations(version)
    if missing:
        yield Remark(card_id, version_line(version), "combination_missing", missing)


def _caches(rates: Rates) -> Iterator[tuple[str, str]]:
    """Reading from a cache costs no more than fresh input, writing no less; modality by modality."""
    for modality in _MODALITIES:
        fresh = _priced(rates, f"input_{modality}tokens")
        if fresh is None:
            continue
        read = _priced(rates, f"cache_{modality}read_tokens")
        if read is not None and _less(fresh, read):
            said = f"cache_{modality}read_tokens {_text(read)} is above input_{modality}tokens {_text(fresh)}"
            yield "cache_read_above_input", said
        for kind in _WRITES:
            write = _priced(rates, f"cache_{modality}{kind}_tokens")
            if write is not None and _less(write, fresh):
                said = f"cache_{modality}{kind}_tokens {_text(write)} is below input_{modality}tokens"
                yield "cache_write_below_input", f"{said} {_text(fresh)}"


def _below(rates: Rates, before: Rates) -> Iterator[tuple[str, str]]:
    for meter in rates:
        mine, under = _priced(rates, meter), _priced(before, meter)
        if mine is not None and under is not None and _less(mine, under):
            yield "step_below_base", f"{meter} {_text(mine)} is below the {_text(under)} of the step before"


def _missing(rates: Rates, base: Rates, version: CardVersion) -> Iterator[tuple[str, str]]:
    """What the standard context prices below its first step has a price here, too."""
    gone = [meter for meter in base if meter not in rates]
    if not gone:
        return
    whole = frozenset(version.parts_at_whole_rate)
    registry = MeterRegistry(DEFAULT_METERS)
    charged = [
        meter for meter in gone if (whole.intersection((meter, "*"))) and registry.nearest(meter, rates)
    ]
    unpriced = [meter for meter in gone if meter not in charged]
    if unpriced:
        yield "meter_missing", f"no price, and not inherited: {', '.join(unpriced)}"
    if charged:
        yield "meter_missing", f"no price of its own, so at the rate of its whole: {', '.join(charged)}"


def _combinations(version: CardVersion) -> str:
    """The combinations of context values for which no cell is chosen, in words."""
    known = context_keys(version)
    dated = {schedule.key for schedule in version.schedules}
    count = prod(len(values) for values, _ in known.values())
    if count > _COMBINATIONS_MAX:
        return f"{count} combinations of context values: more than are looked at"
    missing = []
    for values in product(*(values for values, _ in known.values())):
        pairs = dict(zip(known, values, strict=True))
        said = tuple((key, value) for key, value in pairs.items() if key not in dated)
        choice = choose_cell(version, said, {key: pairs[key] for key in dated}, frozenset())
        if isinstance(choice, str):
            missing.append(choice)
    if not missing:
        return ""
    more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    return f"{len(missing)} of {count} combinations: {'; '.join(missing[:_SHOWN])}{more}"


def _priced(rates: Rates, meter: str) -> CompiledRate | None:
    rate = rates.get(meter)
    return None if rate is None or rate.pool is not None else rate


def _less(one: CompiledRate, other: CompiledRate) -> bool:
    return one.numerator * other.denominator < other.numerator * one.denominator


def _text(rate: CompiledRate) -> str:
    return rate.rate if rate.per == "1" else f"{rate.rate} per {rate.per}"
