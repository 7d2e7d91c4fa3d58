"""The compiled form of cards: look-ups and integers only, everything constant about a line made once.

Memoised look-ups are bounded and hold only what the key determines, so they change how long an answer takes
and never the answer.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Generic, Literal, NamedTuple, TypeVar

from pricing.cards import ALL, Operator, Rate
from pricing.meters import COUNTED_PER_EVENT, MeterRegistry
from pricing.money import format_atto, parse_decimal
from pricing.split import SplitPlan

Kind = Literal["cost", "price"]
Status = Literal["priced", "partial", "unpriced", "included"]
"""`included`: no amount, because the query that the call belongs to pays for it."""
Context = tuple[tuple[str, str], ...]
_T = TypeVar("_T")

_PLANS_MAX = 1024


@dataclass(frozen=True, slots=True, eq=False)
class LineTemplate:
    """All of a rated line but its quantity and amount.

    One object for all lines alike and compared by identity, so that encoders may cache by it.

    `numerator` / `denominator` is rate / per in lowest terms, and means something only where `rate` is not
    None.
    """

    side: Kind
    meter: str
    status: Status
    explain: str
    rate: str | None = None
    per: str | None = None
    currency: str | None = None
    card: str | None = None
    version: str | None = None
    numerator: int = 0
    denominator: int = 1


class CompiledRate(NamedTuple):
    """A rate ready to multiply with, and where it is from (empty: the cell itself)."""

    rate: str
    per: str
    numerator: int
    denominator: int
    origin: str


def compile_rate(rate: Rate, origin: str = "") -> CompiledRate:
    atto = parse_decimal(rate.rate, "rate")
    per_atto = parse_decimal(rate.per, "per")
    divisor = gcd(atto, per_atto)
    return CompiledRate(
        format_atto(atto), format_atto(per_atto), atto // divisor, per_atto // divisor, origin
    )


class LinePlan(NamedTuple):
    """The templates for one set of leaves, then those of what is counted once per event."""

    templates: tuple[LineTemplate, ...]
    numerators: tuple[int, ...]
    denominators: tuple[int, ...]
    per_event: int
    all_priced: bool
    currency: str | None


class CellName(NamedTuple):
    """Whose cell it is, for its lines; `because` ends each explanation."""

    side: Kind
    card: str | None
    version: str | None
    currency: str | None
    who: str
    because: str


class CompiledCell:
    """The rates of one card version in one context at one threshold step; or, `reason` given, why there are
    none.
    """

    __slots__ = ("_at_whole_rate", "_name", "_plans", "_rates", "_registry", "_templates", "reason")

    def __init__(
        self,
        name: CellName,
        registry: MeterRegistry,
        rates: Mapping[str, CompiledRate],
        at_whole_rate: frozenset[str] = frozenset(),
        reason: str = "",
    ) -> None:
        self.reason = reason
        self._name = name
        self._registry = registry
        self._rates = rates
        self._at_whole_rate = at_whole_rate
        self._templates: dict[str, LineTemplate] = {}
        self._plans: dict[tuple[str, ...], LinePlan] = {}

    def plan(self, meters: tuple[str, ...]) -> LinePlan:
        """The lines for these leaves, in their order, then the rates counted once per event."""
        found = self._plans.get(meters)
        return found if found is not None else self._make_plan(meters)

    def _make_plan(self, meters: tuple[str, ...]) -> LinePlan:
        once = [meter for meter in COUNTED_PER_EVENT if meter in self._rates and meter not in meters]
        templates = tuple(self._template(meter) for meter in (*meters, *once))
        all_priced = not self.reason and all(template.rate is not None for template in templates)
        plan = LinePlan(
            templates,
            tuple(template.numerator for template in templates),
            tuple(template.denominator for template in templates),
            len(once),
            all_priced,
            None if self.reason else self._name.currency,
        )
        if len(self._plans) >= _PLANS_MAX:
            self._plans.clear()
        self._plans[meters] = plan
        return plan

    def _template(self, meter: str) -> LineTemplate:
        template = self._templates.get(meter)
        if template is None:
            template = self._make_template(meter)
            if meter in self._registry:  # unknown names are without end
                self._templates[meter] = template
        return template

    def _make_template(self, meter: str) -> LineTemplate:
        if self.reason:
            return self._unpriced(meter, self.reason)
        own = self._rates.get(meter)
        if own is not None:
            return self._priced(meter, own, "its own rate")
        wholes = self._registry.nearest(meter, self._rates) if self._may_use_whole_rate(meter) else ()
        rates = [self._rates[whole] for whole in wholes]
        if len({(rate.numerator, rate.denominator) for rate in rates}) == 1:
            return self._priced(meter, rates[0], f"the rate of {wholes[0]}, having none of its own")
        if meter not in self._registry:
            why = f"meter {meter} is unknown"
        elif wholes:
            why = f"{meter} has no rate and those of {' and '.join(wholes)} differ"
        else:
            why = f"{meter} has no rate"
        return self._unpriced(meter, f"{self._name.who}: {why}; {self._name.because}")

    def _may_use_whole_rate(self, meter: str) -> bool:
        return ALL in self._at_whole_rate or meter in self._at_whole_rate

    def _priced(self, meter: str, rate: CompiledRate, whose: str) -> LineTemplate:
        name = self._name
        origin = f", {rate.origin}" if rate.origin else ""
        return LineTemplate(
            side=name.side,
            meter=meter,
            status="priced",
            explain=f"{name.who}: {meter} at {whose}{origin}; {name.because}",
            rate=rate.rate,
            per=rate.per,
            currency=name.currency,
            card=name.card,
            version=name.version,
            numerator=rate.numerator,
            denominator=rate.denominator,
        )

    def _unpriced(self, meter: str, explain: str) -> LineTemplate:
        name = self._name
        return LineTemplate(name.side, meter, "unpriced", explain, card=name.card, version=name.version)


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


class Timeline(Generic[_T]):
    """A value for every instant: slots[i] holds from bounds[i - 1] until bounds[i]."""

    __slots__ = ("_bounds", "_slots")

    def __init__(self, bounds: tuple[int, ...], slots: tuple[_T, ...]) -> None:
        self._bounds = bounds
        self._slots = slots

    def at(self, instant_us: int) -> _T:
        return self._slots[bisect_right(self._bounds, instant_us)]


def fill_timeline(
    spans: Iterable[tuple[int | None, int | None, _T]], gap: Callable[[int | None, int | None], _T]
) -> Timeline[_T]:
    """A timeline from spans [from, to) that do not overlap; None is without end.

    `gap(after, before)` makes what holds where no span does.
    """
    bounds: list[int] = []
    slots: list[_T] = []
    end: int | None = None
    open_ended = False
    for start, until, value in sorted(spans, key=lambda span: (span[0] is not None, span[0] or 0)):
        if start is not None and (not slots or end != start):
            slots.append(gap(end, start))
            bounds += [start] if end is None else [end, start]
        elif start is not None:
            bounds.append(start)
        slots.append(value)
        end, open_ended = until, until is None
    if not open_ended:
        slots.append(gap(end, None))
        bounds += [end] if end is not None else []
    return Timeline(tuple(bounds), tuple(slots))
