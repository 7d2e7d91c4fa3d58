"""The canonical order of a book: every list whose order means nothing sorted, so that moved lines are no
change.
"""

from collections.abc import Iterable
from dataclasses import replace

from pricing.cards import (
    Assignment,
    BookContent,
    CardVersion,
    Cell,
    ContextKey,
    ModelPrefix,
    Multiplier,
    NotBilled,
    Pairs,
    Pool,
    PriceCard,
    RateCard,
    Schedule,
    Thresholds,
    Variant,
    Window,
)
from pricing.meters import MeterDefinition

Start = tuple[bool, int]


def in_order(content: BookContent) -> BookContent:
    """The same book in canonical order.

    The order of a contract's price cards, of multipliers, rules for what is not billed, steps and tiers has a
    meaning, and stays.
    """
    return replace(
        content,
        provider_cards=_cards(content.provider_cards),
        price_cards=tuple(
            _price_card(item) for item in sorted(content.price_cards, key=lambda item: item.price_card_id)
        ),
        contracts=tuple(sorted(content.contracts, key=lambda item: item.contract_id)),
        assignments=tuple(sorted(content.assignments, key=_assignment_key)),
        context_ignored=tuple(sorted(content.context_ignored)),
        meters=tuple(_meter(meter) for meter in sorted(content.meters, key=lambda meter: meter.name)),
        units=tuple(sorted(content.units)),
        aliases=tuple(
            sorted(content.aliases, key=lambda item: (item.provider, item.alias, _start(item.valid_from_us)))
        ),
        exchange=tuple(
            sorted(content.exchange, key=lambda item: (item.currency, item.to, _start(item.valid_from_us)))
        ),
        zones=tuple(sorted(content.zones, key=lambda item: item.name)),
    )


def _start(from_us: int | None) -> Start:
    """Sorts "since ever" first."""
    return from_us is not None, from_us or 0


def _assignment_key(assignment: Assignment) -> tuple[str, Start]:
    return assignment.customer, _start(assignment.valid_from_us)


def _meter(meter: MeterDefinition) -> MeterDefinition:
    return replace(meter, dimensions=_pairs(meter.dimensions))


def _pairs(pairs: Iterable[tuple[str, str]]) -> Pairs:
    return tuple(sorted(pairs))


def _price_card(price_card: PriceCard) -> PriceCard:
    return replace(
        price_card,
        cards=_cards(price_card.cards),
        pools=tuple(_pool(pool) for pool in sorted(price_card.pools, key=lambda pool: pool.pool)),
    )


def _pool(pool: Pool) -> Pool:
    return replace(pool, versions=tuple(sorted(pool.versions, key=lambda item: _start(item.valid_from_us))))


def _cards(cards: tuple[RateCard, ...]) -> tuple[RateCard, ...]:
    return tuple(_card(card) for card in sorted(cards, key=lambda item: item.card_id))


def _card(card: RateCard) -> RateCard:
    versions = sorted(card.versions, key=lambda item: _start(item.valid_from_us))
    return replace(
        card,
        versions=tuple(_version(version) for version in versions),
        models=tuple(sorted(card.models)),
        prefixes=tuple(
            replace(prefix, unless=tuple(sorted(prefix.unless)))
            for prefix in sorted(card.prefixes, key=_prefix_key)
        ),
    )


def _prefix_key(prefix: ModelPrefix) -> tuple[str, int, tuple[str, ...]]:
    return prefix.prefix, prefix.priority, tuple(sorted(prefix.unless))


def _version(version: CardVersion) -> CardVersion:
    variants = (
        replace(
            variant,
            when=_pairs(variant.when),
            cell=_cell(variant.cell),
            inherit=tuple(sorted(variant.inherit)),
        )
        for variant in version.variants
    )
    return replace(
        version,
        base=_cell(version.base),
        context=tuple(_key(key) for key in sorted(version.context, key=lambda key: key.key)),
        variants=tuple(sorted(variants, key=_variant_key)),
        parts_at_whole_rate=tuple(sorted(version.parts_at_whole_rate)),
        schedules=tuple(_schedule(item) for item in sorted(version.schedules, key=lambda item: item.key)),
        multipliers=tuple(_multiplier(item) for item in version.multipliers),
        not_billed=tuple(_not_billed(item) for item in version.not_billed),
        included=tuple(sorted(version.included)),
        accepted=_pairs(version.accepted),
    )


def _key(key: ContextKey) -> ContextKey:
    return replace(key, values=tuple(sorted(key.values)))


def _variant_key(variant: Variant) -> Pairs:
    return variant.when


def _schedule(schedule: Schedule) -> Schedule:
    windows = (replace(window, days=tuple(sorted(window.days))) for window in schedule.windows)
    return replace(
        schedule,
        windows=tuple(sorted(windows, key=_window_key)),
        holidays=tuple(sorted(schedule.holidays)),
    )


def _window_key(window: Window) -> tuple[str, str, str, tuple[str, ...]]:
    return window.value, window.start, window.end, window.days


def _multiplier(multiplier: Multiplier) -> Multiplier:
    return replace(multiplier, when=_pairs(multiplier.when), meters=tuple(sorted(multiplier.meters)))


def _not_billed(rule: NotBilled) -> NotBilled:
    return replace(rule, when=_pairs(rule.when), without=tuple(sorted(rule.without)))


def _cell(cell: Cell) -> Cell:
    thresholds = cell.thresholds
    if thresholds is not None:
        thresholds = _thresholds(thresholds)
    return Cell(tuple(sorted(cell.rates, key=lambda rate: rate.meter)), thresholds)


def _thresholds(thresholds: Thresholds) -> Thresholds:
    steps = (
        replace(
            step,
            rates=tuple(sorted(step.rates, key=lambda rate: rate.meter)),
            inherit=tuple(sorted(step.inherit)),
        )
        for step in thresholds.steps
    )
    return replace(thresholds, steps=tuple(steps))
