"""A cell of a card version laid out step by step: the rates below the first threshold and beyond each."""

from collections.abc import Iterable, Mapping

from pricing.cards import ALL, Cell, Operator, Rate
from pricing.compiled import CompiledRate, compile_rate
from pricing.money import format_atto, parse_decimal


class Steps:
    """A cell laid out step by step: rates[0] below the first start, rates[i] beyond starts[i - 1]."""

    def __init__(
        self,
        starts: tuple[int, ...],
        rates: tuple[Mapping[str, CompiledRate], ...],
        selector: str = "",
        operator: Operator = "gt",
    ) -> None:
        self.starts = starts
        self.rates = rates
        self.selector = selector
        self.operator = operator

    @classmethod
    def of(cls, cell: Cell) -> "Steps":
        below = _compiled(cell.rates)
        thresholds = cell.thresholds
        if thresholds is None:
            return cls((), (below,))
        starts = tuple(parse_decimal(step.start, "start") for step in thresholds.steps)
        kept = {meter: rate._replace(origin="unchanged by the threshold") for meter, rate in below.items()}
        above = tuple(
            {**_inherited(kept, step.inherit), **_compiled(step.rates)} for step in thresholds.steps
        )
        return cls(starts, (below, *above), thresholds.selector, thresholds.operator)

    def with_base(self, base: "Steps", inherit: tuple[str, ...]) -> "Steps":
        """A variant's steps, with the inherited meters charged as in the base cell for the same total."""
        if not inherit:
            return self
        starts = tuple(sorted({*self.starts, *base.starts}))
        mine = frozenset(meter for rates in self.rates for meter in rates)
        rates: list[Mapping[str, CompiledRate]] = []
        for start in (None, *starts):
            own, under = self._rates_from(start), base._rates_from(start)  # noqa: SLF001 - its own class
            kept = {
                meter: rate._replace(origin="as in the standard context") for meter, rate in under.items()
            }
            # A meter that the variant prices itself at some total is never charged as in the base at another.
            rates.append(
                {meter: rate for meter, rate in _inherited(kept, inherit).items() if meter not in mine}
                | dict(own)
            )
        source = self if self.starts else base
        return Steps(starts, tuple(rates), source.selector, source.operator)

    def _rates_from(self, start: int | None) -> Mapping[str, CompiledRate]:
        return self.rates[0 if start is None else sum(1 for mine in self.starts if mine <= start)]

    def words(self) -> Iterable[tuple[str, ...]]:
        """For each step, what the total must be, in words."""
        if not self.starts:
            return ((),)
        below, beyond = ("up to", "over") if self.operator == "gt" else ("below", "from")
        texts = [format_atto(start) for start in self.starts]
        return (
            (f"{self.selector} {below} {texts[0]}",),
            *((f"whole request, {self.selector} {beyond} {text}",) for text in texts),
        )


def _compiled(rates: Iterable[Rate]) -> dict[str, CompiledRate]:
    return {rate.meter: compile_rate(rate) for rate in rates}


def _inherited(rates: Mapping[str, CompiledRate], meters: tuple[str, ...]) -> dict[str, CompiledRate]:
    return {meter: rate for meter, rate in rates.items() if ALL in meters or meter in meters}
