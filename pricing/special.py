"""Prices that are more than rate x quantity: rounded quantities, shares on cost, stated costs, minimum
amounts, calls that are not billed or that their query pays for.
"""

from collections.abc import Sequence
from typing import Final

from pricing.compiled import (
    UNPRICED,
    CellName,
    CompiledRate,
    Env,
    Line,
    LinePlan,
    LineTemplate,
    Side,
    Special,
    Status,
    WholeCall,
    fits,
    overflow,
)
from pricing.factors import Exchange, Factor, scale
from pricing.money import ATTO, format_atto, round_half_even
from pricing.quantity import QuantityRule, billed

MINIMUM_CHARGE = "minimum_charge"
PROVIDER_COST = "provider_cost"
"""Names of lines, not meters: nothing counts them."""

_MEMO_MAX = 1024
_ONE: Final = CompiledRate("1", "1", 1, 1, "")


def special_side(plan: LinePlan, special: Special, leaves: list[int], env: Env) -> tuple[Side, list[Line]]:
    """One side by a plan whose prices are not all rate x quantity.

    Raises:
        UsageError: amount_overflow.
    """
    for positions, templates in special.waived:
        if not any(leaves[position] for position in positions):
            nothing = [Line(template, leaf, 0) for template, leaf in zip(templates, leaves, strict=True)]
            return Side("priced", 0, plan.currency), nothing
    lines, seen = _whole_call(special.whole, env) if special.whole else _leaves(plan, special, leaves, env)
    if special.rest is not None:
        seen |= special.rest.add(lines, env)
    if not lines:
        return UNPRICED, lines
    total = sum(line.amount_atto or 0 for line in lines)
    status = _status(seen)
    if status == "priced" and special.minimum is not None and any(leaves):
        minimum, template = special.minimum
        if 0 <= total < minimum:  # below 0 a pool gives back what its period paid too much
            lines.append(Line(template, 0, minimum - total))
            total = minimum
    if not fits(total):
        raise overflow(lines[0].side, total)
    if status in ("priced", "partial"):
        return Side(status, total, plan.currency), lines
    return Side(status, None, None), lines


def _whole_call(whole: WholeCall, env: Env) -> tuple[list[Line], set[Status]]:
    lines: list[Line] = []
    return lines, whole.add(lines, env)


def _leaves(plan: LinePlan, special: Special, leaves: list[int], env: Env) -> tuple[list[Line], set[Status]]:
    """The lines, and the statuses of the leaves that have a quantity."""
    lines: list[Line] = []
    seen: set[Status] = set()
    quantities = leaves + [ATTO] * plan.per_event
    for template, pricer, quantity in zip(plan.templates, special.leaves, quantities, strict=True):
        if pricer is None:
            amount = None
            if template.rate is not None:
                amount = round_half_even(quantity * template.numerator, template.denominator)
            lines.append(Line(template, quantity, amount))
            if quantity:
                seen.add(template.status)
        else:
            first = len(lines)
            status = pricer.add(lines, quantity, env)
            # An amount that a leaf of 0 brings, a correction of its period, is the side's as well.
            if status is not None and (quantity or any(line.amount_atto for line in lines[first:])):
                seen.add(status)
    return lines, seen


def _status(seen: set[Status]) -> Status:
    """The side's status from those of the leaves that have a quantity."""
    if "unpriced" in seen:
        return "partial" if "priced" in seen else "unpriced"
    return "included" if "included" in seen and "priced" not in seen else "priced"


class RoundedLeaf:
    """A leaf billed by another quantity than the counted one."""

    def __init__(self, name: CellName, template: LineTemplate, rule: QuantityRule) -> None:
        self._name = name
        self._template = template
        self._rule = rule

    def add(self, lines: list[Line], quantity_atto: int, env: Env) -> Status:
        template = self._template
        quantity = billed(self._rule, quantity_atto, env.context)
        if isinstance(quantity, str):
            # What is wrong with sizes has words without end: nothing is kept of them.
            lines.append(Line(self._name.unpriced(template.meter, quantity), quantity_atto, None))
            return "unpriced"
        amount = round_half_even(quantity * template.numerator, template.denominator)
        lines.append(Line(template, quantity_atto, amount, quantity if quantity != quantity_atto else None))
        return "priced"


class Markup:
    """What something costs us, and so much more."""

    def __init__(self, name: CellName, factor: Factor, exchange: Exchange) -> None:
        self._name = name
        self._factor = factor
        self._exchange = exchange
        self._templates: dict[tuple[LineTemplate, Factor | None], LineTemplate] = {}

    def line(self, cost: Line, at_us: int) -> Line:
        """The price of what a line of the cost side is for."""
        told = cost.template
        rate = None
        if told.currency is not None and told.currency != self._name.currency:
            rate = self._exchange.timeline(told.currency, self._name.currency or "").at(at_us)
        key = (told, rate)
        template = self._templates.get(key)
        if template is None:
            if len(self._templates) >= _MEMO_MAX:
                self._templates.clear()
            template = self._templates[key] = self._template(told, rate)
        if template.status != "priced" or cost.amount_atto is None:
            return Line(template, cost.quantity_atto, None)
        if template.rate is None:  # an amount without a quantity
            amount = round_half_even(cost.amount_atto * template.numerator, template.denominator)
        else:
            quantity = cost.quantity_atto if cost.billed_atto is None else cost.billed_atto
            amount = round_half_even(quantity * template.numerator, template.denominator)
        return Line(template, cost.quantity_atto, amount, cost.billed_atto)

    def _template(self, cost: LineTemplate, rate: Factor | None) -> LineTemplate:
        name = self._name
        if cost.status != "priced" or cost.currency is None:
            return name.unpriced(cost.meter, f"the cost of {cost.meter} is not known")
        if cost.currency != name.currency and rate is None:
            return name.unpriced(cost.meter, no_exchange(cost.currency, name.currency or ""))
        base = _ONE
        if cost.rate is not None and cost.per is not None:
            base = CompiledRate(cost.rate, cost.per, cost.numerator, cost.denominator, "")
        scaled = scale(base, [factor for factor in (self._factor, rate) if factor is not None])
        if isinstance(scaled, str):
            return name.unpriced(cost.meter, f"{cost.meter} at its cost, {scaled}")
        template = name.priced(cost.meter, f"{cost.meter} at its cost, {scaled.origin}", scaled)
        if cost.rate is None:
            return _without_rate(template)
        return template


def _without_rate(template: LineTemplate) -> LineTemplate:
    """A template whose amount follows from another amount and not from a quantity."""
    return LineTemplate(
        template.side,
        template.meter,
        template.status,
        template.explain,
        currency=template.currency,
        card=template.card,
        version=template.version,
        numerator=template.numerator,
        denominator=template.denominator,
    )


class MarkedUpLeaf:
    """A leaf at what it costs us and more; none where the cost has no line of it (a stated cost)."""

    def __init__(self, meter: str, markup: Markup) -> None:
        self._meter = meter
        self._markup = markup

    def add(self, lines: list[Line], _quantity_atto: int, env: Env) -> Status | None:
        found = [self._markup.line(cost, env.at_us) for cost in env.cost if cost.meter == self._meter]
        lines += found
        return found[0].status if found else None


class MarkedUpRest:
    """What costs us something that is no leaf of the call: a stated cost, a fee per request, a minimum."""

    def __init__(self, markup: Markup, priced: frozenset[str]) -> None:
        """`priced`: what has a line already."""
        self._markup = markup
        self._priced = priced

    def add(self, lines: list[Line], env: Env) -> set[Status]:
        rest = [self._markup.line(cost, env.at_us) for cost in env.cost if cost.meter not in self._priced]
        lines += rest
        return {line.status for line in rest}


class StatedCost:
    """The cost is what the provider said in the event."""

    def __init__(self, name: CellName, factors: Sequence[Factor]) -> None:
        self._name = name
        scaled = scale(_ONE, factors)
        words = "the cost that the provider stated"
        if isinstance(scaled, str):
            self._template = name.unpriced(PROVIDER_COST, f"{words}, {scaled}")
        else:
            origin = f", {scaled.origin}" if scaled.origin else ""
            self._template = name.priced(PROVIDER_COST, f"{words}{origin}", scaled)
        self._missing = name.unpriced(PROVIDER_COST, "the event states no cost")

    def add(self, lines: list[Line], env: Env) -> set[Status]:
        if env.stated is None:
            lines.append(Line(self._missing, 0, None))
            return {"unpriced"}
        quantity, currency = env.stated
        template = self._template
        if currency != self._name.currency:
            why = f"the event states the cost in {currency}, the card is in {self._name.currency}"
            template = self._name.unpriced(PROVIDER_COST, why)
        amount = None
        if template.rate is not None:
            amount = round_half_even(quantity * template.numerator, template.denominator)
        lines.append(Line(template, quantity, amount))
        return {template.status}


def no_exchange(currency: str, to: str) -> str:
    return f"no rate of exchange {currency} to {to} in force"


def words_of(rule: QuantityRule) -> str:
    """How the billed quantity follows from the counted one."""
    words = ["images as tokens by tiles"] if rule.tiles is not None else []
    if rule.minimum_atto is not None:
        words.append(f"at least {format_atto(rule.minimum_atto)}")
    if rule.increment_atto:
        words.append(f"in begun multiples of {format_atto(rule.increment_atto)}")
    return ", ".join(words)
