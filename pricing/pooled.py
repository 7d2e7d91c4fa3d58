"""Leaves that a pool prices: lines by what one call adds to the customer's period."""

from typing import NamedTuple

from pricing.cards import Pool, PriceCard, Rate
from pricing.compiled import (
    CellName,
    CompiledRate,
    Env,
    Line,
    LineTemplate,
    PoolState,
    Status,
    compile_rate,
    fits,
    overflow,
)
from pricing.money import format_atto, parse_decimal
from pricing.pools import PoolPrice, Portion, charge
from pricing.quantity import QuantityRule, billed
from pricing.timeline import Span, Timeline, fill_timeline, intersect

TIER_ADJUSTMENT = "tier_adjustment"
"""Name of a line: what a period's price changes beyond the portions of one call."""


class PricedSpan(NamedTuple):
    """A version of a pool in its span."""

    price: PoolPrice
    span: Span


class CompiledPool:
    """A price card's pool; `pool_id` is its name on the wire."""

    def __init__(self, price_card_id: str, pool: Pool) -> None:
        self.price_card_id = price_card_id
        self.pool_id = f"{price_card_id}/{pool.pool}"
        self.currency = pool.currency
        self.versions: Timeline[PricedSpan | None] = fill_timeline(
            (
                (v.valid_from_us, v.valid_to_us, PricedSpan(PoolPrice(v), (v.valid_from_us, v.valid_to_us)))
                for v in pool.versions
            ),
            lambda _after, _before: None,
        )


def compiled_pools(price_card: PriceCard) -> dict[str, CompiledPool]:
    return {pool.pool: CompiledPool(price_card.price_card_id, pool) for pool in price_card.pools}


class PooledLeaf:
    """One meter of one cell that a pool prices."""

    def __init__(
        self, name: CellName, meter: str, words: str, pool: CompiledPool, rule: QuantityRule | None
    ) -> None:
        """`words`: the meter and whose rate names the pool."""
        self._name = name
        self._meter = meter
        self._words = f"{words}, pool {pool.pool_id}"
        self._pool = pool
        self._rule = rule
        self._missing = name.unpriced(meter, f"{self._words}: no prices in force")
        # For each version, kind and tier of a portion: as many as the book has.
        self._templates: dict[tuple[PricedSpan, str, int], LineTemplate] = {}

    def add(self, lines: list[Line], quantity_atto: int, env: Env) -> Status:
        version = self._pool.versions.at(env.at_us)
        if version is None:
            lines.append(Line(self._missing, quantity_atto, None))
            return "unpriced"
        quantity = quantity_atto if self._rule is None else billed(self._rule, quantity_atto, env.context)
        if isinstance(quantity, str):
            lines.append(Line(self._name.unpriced(self._meter, quantity), quantity_atto, None))
            return "unpriced"
        state = self._state(version, env)
        portions, adjustment, amount = charge(version.price, state.quantity_atto, state.amount_atto, quantity)
        after = state._replace(quantity_atto=state.quantity_atto + quantity, amount_atto=amount)
        for number in (after.quantity_atto, amount, *(portion.billed_atto or 0 for portion in portions)):
            if not fits(number):
                raise overflow(self._name.side, number)
        env.after[state.pool, state.start_us] = after
        lines.extend(
            Line(
                self._template(version, portion),
                portion.quantity_atto,
                portion.amount_atto,
                portion.billed_atto,
            )
            for portion in portions
        )
        if adjustment:
            lines.append(Line(self._adjustment(version), 0, adjustment))
        return "priced"

    def _state(self, version: PricedSpan, env: Env) -> PoolState:
        """The pool as the leaves before this one left it."""
        pool = self._pool
        start_us, end_us = intersect(env.period(pool.price_card_id, env.at_us), version.span)
        if start_us is None or end_us is None:
            raise ValueError(f"pool {pool.pool_id}: a billing period has a start and an end")
        key = (pool.pool_id, start_us)
        found = env.after.get(key)
        if found is None:
            quantity, amount = env.pools(*key)
            found = PoolState(pool.pool_id, start_us, end_us, quantity, amount, pool.currency)
            env.before[key] = env.after[key] = found
        return found

    def _template(self, version: PricedSpan, portion: Portion) -> LineTemplate:
        key = (version, portion.kind, portion.tier)
        template = self._templates.get(key)
        if template is None:
            words, rate = _portion_price(version.price, portion)
            template = self._name.priced(self._meter, f"{self._words}, {words}", rate)
            self._templates[key] = template
        return template

    def _adjustment(self, version: PricedSpan) -> LineTemplate:
        key = (version, TIER_ADJUSTMENT, 0)
        template = self._templates.get(key)
        if template is None:
            words = f"{self._words}, what the period's price changes beyond these units"
            template = self._templates[key] = self._name.priced(TIER_ADJUSTMENT, words)
        return template


def _portion_price(price: PoolPrice, portion: Portion) -> tuple[str, CompiledRate]:
    version = price.version
    if portion.kind == "free":
        return f"the first {version.free} are free", CompiledRate("0", "1", 0, 1, "")
    tier = version.tiers[portion.tier]
    rate = compile_rate(Rate("", tier.rate, tier.per))
    # Tiers and packages count what is beyond the free units: a person who checks a line has to know.
    beyond = f" beyond the first {version.free}, which are free" if price.free_atto else ""
    if portion.kind == "package":
        return f"begun packages of {tier.per}{beyond}", rate
    word = "over" if version.operator == "gt" else "from"
    start = format_atto(parse_decimal(tier.start, "start"))
    return f"{version.shape}, {word} {start}{beyond}", rate
