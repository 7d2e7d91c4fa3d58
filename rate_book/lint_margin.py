"""Soft rules on money: each rate of a price card beside what the same meter of the same model costs us.

The books' own arithmetic decides: calls of every priced meter are rated by both sides, in every context that
the price card knows, at every step of either side, and at each instant at which a price may change, hours of
the day among them. Rates are compared, not amounts: least quantities and minimums are left out.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from math import prod
from typing import NamedTuple

from pricing.cards import (
    Assignment,
    BookContent,
    CardVersion,
    Contract,
    ExchangeRate,
    PriceCard,
    RateCard,
)
from pricing.check_cells import rates_of
from pricing.compile import CompiledBook, compile_book
from pricing.compiled import LineTemplate
from pricing.instants import instant_text
from pricing.match import CardIndex
from pricing.meters import COUNTED_PER_EVENT
from pricing.money import round_half_even
from pricing.rate import Call, rate
from rate_book.lint_remarks import Remark, version_line
from rate_book.spans import at, span

_COMBINATIONS_MAX = 512
_HALF_HOUR_US = 1_800_000_000
_WEEK = range(7 * 48)
_FEES = (*COUNTED_PER_EVENT, "queries")


def lint_margins(content: BookContent) -> Iterator[Remark]:
    """Rates below cost, and below the target margin of a price card that has one."""
    seen: set[tuple[str, str, str]] = set()
    for remark in _Margins(content).remarks():
        key = remark[:3]
        if key not in seen:  # the first instant and model at which a line breaks a rule stand for all
            seen.add(key)
            yield remark


@dataclass(frozen=True, slots=True)
class _Sold:
    """One card of a price card, sold alone to a customer of its own, named by `number`."""

    number: str
    price_card: PriceCard
    card: RateCard

    @property
    def target(self) -> Fraction | None:
        target = self.price_card.target_margin
        return None if target is None else Fraction(target)


@dataclass(frozen=True, slots=True)
class _Place:
    """One call that is compared."""

    sold: _Sold
    version: CardVersion
    call: Call
    step: str

    def line(self, *parts: str) -> str:
        said = ", ".join(f"{key}={value}" for key, value in sorted(self.call.context.items()))
        return version_line(self.version, said, self.step, *parts)


class _Margins:
    def __init__(self, content: BookContent) -> None:
        self._content = content
        self._sold = [
            _Sold(str(number), price_card, card)
            for number, (price_card, card) in enumerate(
                (price_card, card) for price_card in content.price_cards for card in price_card.cards
            )
        ]
        self._book = self._compiled()
        self._costs = CardIndex(content.provider_cards)
        self._models: defaultdict[str, list[str]] = defaultdict(list)
        for card in content.provider_cards:
            self._models[(card.provider or "").lower()] += card.models
        self._targets: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        for alias in content.aliases:
            self._models[alias.provider.lower()].append(alias.alias)
            self._targets[alias.provider.lower(), alias.alias.lower()].add(alias.model)

    def _compiled(self) -> CompiledBook:
        """The book with each card sold alone, in its own currency."""
        cards = tuple(PriceCard(sold.number, (sold.card,), sold.price_card.pools) for sold in self._sold)
        contracts = tuple(Contract(sold.number, sold.card.currency, (sold.number,)) for sold in self._sold)
        assignments = tuple(Assignment(sold.number, sold.number) for sold in self._sold)
        content = replace(self._content, price_cards=cards, contracts=contracts, assignments=assignments)
        return compile_book(content, 0, "")

    def remarks(self) -> Iterator[Remark]:
        for sold in self._sold:
            for version in sold.card.versions:
                accepted = {rule for rule, _ in version.accepted}
                for remark in self._version(sold, version):
                    if remark.rule not in accepted:
                        yield remark

    def _version(self, sold: _Sold, version: CardVersion) -> Iterator[Remark]:
        yield from _markup(sold, version)
        if not _priced_meters([version]):
            return
        models = sorted(self._models_of(sold.card))
        if not models and sold.target is not None and version.markup_percent is None:
            detail = "sold for any model alike: what is left depends on the model that is called"
            yield Remark(sold.card.card_id, version_line(version), "margin_unknown", detail)
        for provider, model in models:
            for place in self._places(sold, version, provider, model):
                yield from self._compared(place)

    def _models_of(self, card: RateCard) -> set[tuple[str, str]]:
        """The models that the card names, at each provider that has them; none for a card of any model."""
        providers = list(self._models) if card.provider is None else [card.provider.lower()]
        named = {name.lower() for name in card.models}
        prefixes = tuple(item.prefix.lower() for item in card.prefixes if item.prefix or card.provider)
        return {
            (provider, model)
            for provider in providers
            for model in {*self._models.get(provider, ()), *(card.models if card.provider else ())}
            if model.lower() in named or (prefixes and model.lower().startswith(prefixes))
        }

    def _costs_of(self, provider: str, model: str) -> list[CardVersion]:
        names = {model, *self._targets.get((provider, model.lower()), ())}
        cards = [self._costs.find(provider, name) for name in names]
        return [version for card in cards if card is not None for version in card.versions]

    def _places(self, sold: _Sold, version: CardVersion, provider: str, model: str) -> Iterator[_Place]:
        costs = self._costs_of(provider, model)
        usage = dict.fromkeys(sorted(_priced_meters([version, *costs])), "1")
        totals = [("", usage)]
        totals += [
            (f"{selector} over {start}", {**usage, selector: str(int(Fraction(start)) + 1)})
            for selector, start in sorted(_starts([version, *costs]))
        ]
        for at_us in self._instants(sold, version, costs):
            for context in _contexts(version):
                for step, counted in totals:
                    call = Call(sold.number, provider, model, at_us, counted, "exclusive", context)
                    yield _Place(sold, version, call, step)

    def _instants(self, sold: _Sold, version: CardVersion, costs: Iterable[CardVersion]) -> list[int]:
        """Where a price or cost of the version may change, and a moment before all of that."""
        dated = [(item.valid_from_us, item.valid_to_us) for item in (version, *costs)]
        dated += [(item.valid_from_us, item.valid_to_us) for item in self._content.exchange]
        dated += [(item.valid_from_us, item.valid_to_us) for item in self._content.aliases]
        dated += [
            (item.valid_from_us, item.valid_to_us) for pool in sold.price_card.pools for item in pool.versions
        ]
        edges = {edge for pair in dated for edge in pair if edge is not None}
        edges.add(min(edges, default=1) - 1)
        if any(item.schedules for item in (version, *costs)):
            edges |= {edge + half * _HALF_HOUR_US for edge in edges for half in _WEEK}
        start, end = span(version.valid_from_us, version.valid_to_us)
        return sorted(edge for edge in edges if start <= edge < end)

    def _compared(self, place: _Place) -> Iterator[Remark]:
        rating = rate(self._book, place.call)
        costs = {line.meter: line.template for line in rating.lines if line.side == "cost" and line.rate}
        pooled = {item.meter: str(item.pool) for item in rates_of(place.version) if item.pool is not None}
        own = _priced_meters([place.version])
        for line in rating.lines:
            if line.side == "cost" or line.rate is None or line.meter not in costs or line.meter in pooled:
                continue
            if place.version.markup_percent is not None and line.meter not in own:
                continue
            if not (line.template.numerator == 0 and _has_fee(place.version)):
                yield from self._judged(place, line.meter, _Price.of(line.template), costs[line.meter])
        for meter in sorted(pooled.keys() & costs.keys()):
            for price in _tiers(place, pooled[meter]):
                yield from self._judged(place, meter, price, costs[meter])

    def _judged(self, place: _Place, meter: str, price: "_Price", costs: LineTemplate) -> Iterator[Remark]:
        sold, at_us = place.sold, place.call.at_us
        who = f"{place.call.provider}/{place.call.model} at {instant_text(at_us)}"
        cost = self._exchanged(costs, sold.card.currency, at_us)
        line = place.line(meter, price.tier)
        if cost is None:
            if sold.target is not None:
                detail = (
                    f"{who}: no rate of exchange between {costs.currency} and {sold.card.currency} in force"
                )
                yield Remark(sold.card.card_id, line, "margin_unknown", detail)
            return
        rule = ""
        if price.value < cost:
            rule = "below_cost"
        elif sold.target is not None and price.value - cost < sold.target * price.value:
            rule = "below_target_margin"
        if rule:
            asked = f", the target is {_percent(sold.target)}" if sold.target is not None else ""
            margin = (
                f"a margin of {_percent(1 - cost / price.value)}{asked}" if price.value else "for nothing"
            )
            costly = f"{costs.rate} per {costs.per} {costs.currency}"
            detail = f"{who}: {price.text} {sold.card.currency}, costs {costly}: {margin}"
            yield Remark(sold.card.card_id, line, rule, detail)

    def _exchanged(self, costs: LineTemplate, to: str, at_us: int) -> Fraction | None:
        """The cost of one unit in the card's currency; None where no rate of exchange says."""
        value = Fraction(costs.numerator, costs.denominator)
        if costs.currency == to:
            return value
        there = self._exchange_rate(str(costs.currency), to, at_us)
        if there is not None:
            return value * there
        back = self._exchange_rate(to, str(costs.currency), at_us)
        return None if back is None else value / back

    def _exchange_rate(self, currency: str, to: str, at_us: int) -> Fraction | None:
        found: ExchangeRate | None = at(
            (
                (span(item.valid_from_us, item.valid_to_us), item)
                for item in self._content.exchange
                if (item.currency, item.to) == (currency, to)
            ),
            at_us,
        )
        return None if found is None else Fraction(found.rate)


class _Price(NamedTuple):
    """What one unit is sold for, in words and in the card's currency; `tier` names the tier of a pool."""

    value: Fraction
    text: str
    tier: str = ""

    @classmethod
    def of(cls, template: LineTemplate) -> "_Price":
        value = Fraction(template.numerator, template.denominator)
        return cls(value, f"{template.rate} per {template.per}")


def _markup(sold: _Sold, version: CardVersion) -> Iterator[Remark]:
    """A percentage on the cost leaves the same share of the price at any cost."""
    if version.markup_percent is None or sold.target is None:
        return
    percent = Fraction(version.markup_percent)
    margin = percent / (100 + percent)
    if margin < sold.target:
        detail = f"{version.markup_percent} % on cost is {_percent(margin)} of the price"
        asked = f"the target is {_percent(sold.target)}"
        yield Remark(
            sold.card.card_id, version_line(version, "markup"), "below_target_margin", f"{detail}, {asked}"
        )


def _tiers(place: _Place, name: str) -> Iterator[_Price]:
    """The rates of the pool that are in force; its free units and flat amounts are left out."""
    pool = next(pool for pool in place.sold.price_card.pools if pool.pool == name)
    version = at(
        ((span(item.valid_from_us, item.valid_to_us), item) for item in pool.versions), place.call.at_us
    )
    for tier in version.tiers if version is not None else ():
        value = Fraction(tier.rate) / Fraction(tier.per)
        yield _Price(value, f"{tier.rate} per {tier.per}", f"pool {name} from {tier.start}")


def _priced_meters(versions: Iterable[CardVersion]) -> set[str]:
    """Meters with a rate, fees aside; images that become tokens are left out: their sizes decide."""
    rates = [rate for version in versions for rate in rates_of(version)]
    tiled = {rate.meter for rate in rates if rate.tiles is not None}
    return {rate.meter for rate in rates} - tiled - set(_FEES)


def _starts(versions: Iterable[CardVersion]) -> set[tuple[str, str]]:
    """The selector and start of every step."""
    return {
        (cell.thresholds.selector, step.start)
        for version in versions
        for cell in (version.base, *(variant.cell for variant in version.variants))
        if cell.thresholds is not None
        for step in cell.thresholds.steps
    }


def _contexts(version: CardVersion) -> list[Mapping[str, str]]:
    """Every combination of the values that the version knows, defaults left unsaid; no more than can be
    looked at.
    """
    if prod(len(key.values) for key in version.context) > _COMBINATIONS_MAX:
        return [{}]
    return [
        {key.key: value for key, value in zip(version.context, values, strict=True) if value != key.default}
        for values in product(*(key.values for key in version.context))
    ]


def _has_fee(version: CardVersion) -> bool:
    """Whether something else than its meters pays for a call."""
    return any(item.meter in _FEES and Fraction(item.rate) > 0 for item in rates_of(version) if item.rate)


def _percent(share: Fraction) -> str:
    hundredths = round_half_even(share.numerator * 10_000, share.denominator)
    whole, rest = divmod(abs(hundredths), 100)
    return f"{'-' if hundredths < 0 else ''}{whole}.{rest:02d} %"
