"""The demo's rate book: shipped provider lists, example contracts, a price change inside the trace."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from pricing.cards import BookContent, CardVersion, Cell, PriceCard, Rate, RateCard

RAISE = Decimal("1.1")


def with_price_change(content: BookContent, at_us: int) -> BookContent:
    """Every customer price card from `at_us` on a tenth dearer: both prices stand in the one version.

    Pools keep their prices, so that a period's quantities grow through the whole trace; so do shares on cost.
    """
    return replace(content, price_cards=tuple(_raised_card(card, at_us) for card in content.price_cards))


def _raised_card(price_card: PriceCard, at_us: int) -> PriceCard:
    return replace(price_card, cards=tuple(_with_both(card, at_us) for card in price_card.cards))


def _with_both(card: RateCard, at_us: int) -> RateCard:
    versions: list[CardVersion] = []
    for version in card.versions:
        begins, ends = version.valid_from_us, version.valid_to_us
        if (ends is not None and ends <= at_us) or (begins is not None and begins >= at_us):
            versions.append(version)
            continue
        versions.append(replace(version, valid_to_us=at_us))
        versions.append(_raised(replace(version, valid_from_us=at_us)))
    return replace(card, versions=tuple(versions))


def _raised(version: CardVersion) -> CardVersion:
    return replace(
        version,
        base=_raised_cell(version.base),
        variants=tuple(replace(variant, cell=_raised_cell(variant.cell)) for variant in version.variants),
    )


def _raised_cell(cell: Cell) -> Cell:
    thresholds = cell.thresholds
    if thresholds is not None:
        steps = tuple(replace(step, rates=_raised_rates(step.rates)) for step in thresholds.steps)
        thresholds = replace(thresholds, steps=steps)
    return Cell(_raised_rates(cell.rates), thresholds)


def _raised_rates(rates: Iterable[Rate]) -> tuple[Rate, ...]:
    return tuple(
        replace(rate, rate=format(Decimal(rate.rate) * RAISE, "f")) if rate.pool is None else rate
        for rate in rates
    )
