"""One cell of a card ready to price with: plans for sets of leaves, and the ladder of a context's cells."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pricing.cards import ALL, NotBilled, Operator
from pricing.compiled import (
    CellName,
    CompiledRate,
    LinePlan,
    LineTemplate,
    Pricer,
    Special,
    WholeCall,
)
from pricing.factors import Factor, scale
from pricing.meters import COUNTED_PER_EVENT, MeterRegistry
from pricing.pooled import CompiledPool, PooledLeaf
from pricing.special import (
    MINIMUM_CHARGE,
    PROVIDER_COST,
    MarkedUpLeaf,
    MarkedUpRest,
    Markup,
    RoundedLeaf,
    words_of,
)
from pricing.split import SplitPlan

_PLANS_MAX = 1024
_NOTHING: Final = CompiledRate("0", "1", 0, 1, "")


@dataclass(frozen=True, slots=True)
class Extras:
    """What a version says beyond rates, for one context: empty for most.

    `factors` act on rates in this order. `not_billed` are the rules whose context holds. `included` meters
    are paid for by the query where `has_query`. `minimum` is (amount in atto, its words). Meters
    `at_whole_rate` may take the rate of their whole.
    """

    factors: tuple[Factor, ...] = ()
    not_billed: tuple[NotBilled, ...] = ()
    included: frozenset[str] = frozenset()
    has_query: bool = False
    markup: Markup | None = None
    whole: WholeCall | None = None
    minimum: tuple[int, str] | None = None
    pools: Mapping[str, CompiledPool] = field(default_factory=dict)
    at_whole_rate: frozenset[str] = frozenset()


PLAIN: Final = Extras()


class CompiledCell:
    """The rates of one card version in one context at one threshold step; or, `reason` given, why there are
    none.
    """

    __slots__ = ("_extras", "_made", "_name", "_plans", "_rates", "_registry", "reason")

    def __init__(
        self,
        name: CellName,
        registry: MeterRegistry,
        rates: Mapping[str, CompiledRate],
        extras: Extras = PLAIN,
        reason: str = "",
    ) -> None:
        self.reason = reason
        self._name = name
        self._registry = registry
        self._rates = rates
        self._extras = extras
        self._made: dict[str, tuple[LineTemplate, Pricer | None]] = {}
        self._plans: dict[tuple[str, ...], LinePlan] = {}

    def plan(self, meters: tuple[str, ...]) -> LinePlan:
        """The lines for these leaves, in their order, then the rates counted once per event."""
        found = self._plans.get(meters)
        return found if found is not None else self._make_plan(meters)

    def _make_plan(self, meters: tuple[str, ...]) -> LinePlan:
        waived = self._waived(meters)
        if any(not positions for positions, _ in waived):
            # No leaf can make the call billed: a plain plan of zeros.
            plan = _plain_plan(
                next(zeros for positions, zeros in waived if not positions), 0, self._name.currency
            )
        else:
            once = [meter for meter in COUNTED_PER_EVENT if meter in self._rates and meter not in meters]
            made = [self._leaf(meter) for meter in (*meters, *once)]
            currency = None if self.reason else self._name.currency
            plan = _plain_plan(tuple(template for template, _ in made), len(once), currency)
            special = self._special(plan, tuple(pricer for _, pricer in made), waived)
            if special is not None:
                plan = plan._replace(all_priced=False, special=special)
        if len(self._plans) >= _PLANS_MAX:
            self._plans.clear()
        self._plans[meters] = plan
        return plan

    def _waived(
        self, meters: tuple[str, ...]
    ) -> tuple[tuple[tuple[int, ...], tuple[LineTemplate, ...]], ...]:
        """For each rule by which the call may cost nothing: the positions that must then hold nothing."""
        found = []
        for rule in self._extras.not_billed:
            said = ", ".join(f"{key}={value}" for key, value in rule.when)
            without = f" without {', '.join(rule.without)}" if rule.without else ""
            parts = frozenset(rule.without).union(*(self._registry.parts(meter) for meter in rule.without))
            zeros = tuple(
                self._name.priced(meter, f"not billed: {said}{without}", _NOTHING) for meter in meters
            )
            found.append((tuple(i for i, meter in enumerate(meters) if meter in parts), zeros))
        return tuple(found)

    def _special(
        self,
        plan: LinePlan,
        leaves: tuple[Pricer | None, ...],
        waived: tuple[tuple[tuple[int, ...], tuple[LineTemplate, ...]], ...],
    ) -> Special | None:
        extras = self._extras
        included = any(template.status == "included" for template in plan.templates)
        rest: WholeCall | None = None
        if extras.markup is not None:
            # An event may name a meter as it likes: what it costs as a whole is marked up all the same.
            told = frozenset(template.meter for template in plan.templates)
            rest = MarkedUpRest(extras.markup, told - {MINIMUM_CHARGE, PROVIDER_COST})
        minimum = None
        if extras.minimum is not None:
            amount, words = extras.minimum
            minimum = (amount, self._name.priced(MINIMUM_CHARGE, words))
        if not (any(leaves) or included or waived or rest or minimum or extras.whole):
            return None
        return Special(leaves, waived, extras.whole, rest, minimum)

    def _leaf(self, meter: str) -> tuple[LineTemplate, Pricer | None]:
        made = self._made.get(meter)
        if made is None:
            made = self._make_leaf(meter)
            if meter in self._registry:  # unknown names are without end
                self._made[meter] = made
        return made

    def _make_leaf(self, meter: str) -> tuple[LineTemplate, Pricer | None]:
        name, extras = self._name, self._extras
        if self.reason:
            return LineTemplate(
                name.side, meter, "unpriced", self.reason, card=name.card, version=name.version
            ), None
        found = self._rate_of(meter)
        if not isinstance(found, str):
            return self._at_rate(meter, *found)
        if (ALL in extras.included or meter in extras.included) and meter in self._registry:
            if not extras.has_query:
                why = f"{meter} is included in the price of a query, but the call names no query_id"
                return name.unpriced(meter, why), None
            return name.unpriced(meter, f"{meter} is paid for by the query", "included"), None
        if extras.markup is not None and meter in self._registry:
            return name.unpriced(meter, f"{meter} at its cost"), MarkedUpLeaf(meter, extras.markup)
        return name.unpriced(meter, found), None

    def _rate_of(self, meter: str) -> tuple[CompiledRate, str] | str:
        """The meter's rate and whose it is, or why it has none."""
        own = self._rates.get(meter)
        if own is not None:
            return own, meter
        allowed = self._extras.at_whole_rate
        may = ALL in allowed or meter in allowed
        wholes = self._registry.nearest(meter, self._rates) if may else ()
        rates = [self._rates[whole] for whole in wholes]
        kinds = {
            (rate.numerator, rate.denominator, rate.pool, rate.rule, self._acting(whole))
            for whole, rate in zip(wholes, rates, strict=True)
        }
        if len(kinds) == 1:
            return rates[0], wholes[0]
        if meter not in self._registry:
            return f"meter {meter} is unknown"
        if wholes:
            return f"{meter} has no rate and those of {' and '.join(wholes)} differ"
        return f"{meter} has no rate"

    def _acting(self, *meters: str) -> tuple[Factor, ...]:
        """The factors on the rate of any of these meters."""
        return tuple(
            factor
            for factor in self._extras.factors
            if factor.meters is None or not factor.meters.isdisjoint(meters)
        )

    def _at_rate(self, meter: str, rate: CompiledRate, whose: str) -> tuple[LineTemplate, Pricer | None]:
        name, extras = self._name, self._extras
        own = whose == meter
        words = f"{meter} at {'its own rate' if own else f'the rate of {whose}, having none of its own'}"
        rule = f", {words_of(rate.rule)}" if rate.rule is not None else ""
        if rate.pool is not None:
            origin = f", {rate.origin}" if rate.origin else ""
            pool = extras.pools.get(rate.pool)
            if pool is None:
                return name.unpriced(meter, f"{words}{origin}: pool {rate.pool} is unknown"), None
            leaf = PooledLeaf(name, meter, f"{words}{origin}{rule}", pool, rate.rule)
            return name.unpriced(meter, words), leaf
        # The rate of a whole is what the whole is charged at in this context, factors and all.
        acting = self._acting(meter, whose)
        scaled = scale(rate, acting)
        if isinstance(scaled, str):
            return name.unpriced(meter, f"{words}, {scaled}"), None
        origin = f", {scaled.origin}" if scaled.origin else ""
        template = name.priced(meter, f"{words}{origin}{rule}", scaled)
        return template, RoundedLeaf(name, template, rate.rule) if rate.rule is not None else None


def _plain_plan(templates: tuple[LineTemplate, ...], per_event: int, currency: str | None) -> LinePlan:
    return LinePlan(
        templates,
        tuple(template.numerator for template in templates),
        tuple(template.denominator for template in templates),
        per_event,
        currency is not None and all(template.rate is not None for template in templates),
        currency,
    )


class Ladder:
    """The cells of one context: below the first start, then from each start on."""

    __slots__ = ("_bisect", "_starts", "cells", "selector")

    def __init__(
        self,
        cells: tuple[CompiledCell, ...],
        selector: str | None = None,
        operator: Operator = "gt",
        starts: tuple[int, ...] = (),
    ) -> None:
        self.cells = cells
        self.selector = selector
        self._starts = starts
        # gt: a total equal to a start is still below it; gte: it has reached it.
        self._bisect = bisect_left if operator == "gt" else bisect_right

    def cell(self, plan: SplitPlan, leaves: Sequence[int]) -> CompiledCell:
        """The cell for the whole request, by the selector's inclusive total."""
        if self.selector is None:
            return self.cells[0]
        total = 0
        for position in plan.positions_in(self.selector):
            total += leaves[position]
        return self.cells[self._bisect(self._starts, total)]
