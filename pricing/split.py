"""From the counts that a call reports to disjoint leaves: each token in exactly one, so that nothing is
priced twice.

Exclusive counts (Anthropic) are leaves already. Inclusive counts (OpenAI, OpenTelemetry) hold their parts: a
leaf is what its meter reports minus the leaves of all reported parts of it, most specific first, which is
inclusion-exclusion over the registry: cached audio is taken out of cached and of audio input, and once only
out of input.

Rules for inclusive counts:
1. A leaf below zero is refused: impossible_counts.
2. A part without its outermost whole (cache_read_tokens without input_tokens) is refused where its quantity
is not 0 and
   the meter says `whole_required`: the rest of the call is unknown. A missing meter between the two is not
   needed.
3. What two overlapping parts have in common counts as 0 where it is not reported, because providers leave out
what is 0;
   except that where one of them is the whole (all input is text), the other lies in it, which is then known
   exactly.
4. A meter that the registry does not know is a leaf of its own.
"""

from collections.abc import Mapping
from itertools import combinations

from pricing.errors import UsageError
from pricing.meters import MeterRegistry
from pricing.money import ATTO, format_atto, parse_decimal

_PLANS_MAX = 4096
"""Distinct key sets remembered: producers send a handful; a flood of odd ones only costs time."""


class SplitPlan:
    """How one set of reported meters becomes leaves; made once and shared by all calls that report these
    meters.
    """

    __slots__ = ("_registry", "_totals", "meters", "required", "subtract")

    def __init__(self, registry: MeterRegistry, meters: tuple[str, ...], *, inclusive: bool) -> None:
        self.meters = meters
        self._registry = registry
        self._totals: dict[str, tuple[int, ...]] = {}
        self.subtract: tuple[tuple[int, tuple[int, ...]], ...] = ()
        self.required: tuple[tuple[int, tuple[str, ...]], ...] = ()
        if inclusive:
            self.subtract = self._parts_of_each()
            self.required = self._missing_wholes()

    def _parts_of_each(self) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """For each meter with reported parts, their positions; a part always comes before its wholes."""
        rows = []
        for position, meter in enumerate(self.meters):
            parts = self._registry.parts(meter)
            inside = tuple(i for i, other in enumerate(self.meters) if other in parts)
            if inside:
                rows.append((position, inside))
        rows.sort(key=lambda row: len(self._registry.wholes(self.meters[row[0]])), reverse=True)
        return tuple(rows)

    def _missing_wholes(self) -> tuple[tuple[int, tuple[str, ...]], ...]:
        rows = []
        for position, meter in enumerate(self.meters):
            if meter in self._registry and self._registry.definitions[meter].whole_required:
                roots = (whole for whole in self._registry.wholes(meter) if not self._registry.wholes(whole))
                missing = tuple(sorted(root for root in roots if root not in self.meters))
                if missing:
                    rows.append((position, missing))
        return tuple(rows)

    def take_out(self, leaves: list[int]) -> bool:
        """Take the parts out of their wholes, in place. False, and nothing is sure, where one would fall
        below zero.
        """
        for position, parts in self.subtract:
            rest = leaves[position]
            for part in parts:
                rest -= leaves[part]
            if rest < 0:
                return False
            leaves[position] = rest
        return True

    def positions_in(self, whole: str) -> tuple[int, ...]:
        """The positions of the leaves that make up the inclusive total of `whole`."""
        positions = self._totals.get(whole)
        if positions is None:
            parts = self._registry.parts(whole)
            positions = tuple(i for i, meter in enumerate(self.meters) if meter == whole or meter in parts)
            self._totals[whole] = positions
        return positions


class Splitter:
    """Splits calls by one registry, remembering a plan for each set of meters seen."""

    __slots__ = ("_plans", "registry")

    def __init__(self, registry: MeterRegistry) -> None:
        self.registry = registry
        self._plans: dict[tuple[str, ...], SplitPlan] = {}

    def split(self, semantics: str, usage: Mapping[str, str]) -> tuple[SplitPlan, list[int]]:
        """The plan and the leaves' quantities in atto, in the order of `plan.meters`.

        Raises:
            UsageError: bad_quantity or impossible_counts, naming the meter.
        """
        plan = self._plans.get((semantics, *usage)) or self._plan(semantics, tuple(usage))
        leaves: list[int] = []
        for meter in plan.meters:
            text = usage[meter]
            # Token counts are short runs of digits; everything else takes the strict road.
            if text.__class__ is str and len(text) < 19 and text.isascii() and text.isdigit():
                leaves.append(int(text) * ATTO)
            else:
                leaves.append(parse_decimal(text, f"usage.{meter}"))
        if plan.required:
            _check_wholes(plan, leaves)
        return (plan, leaves) if plan.take_out(leaves) else self._settle(semantics, usage)

    def plan(self, semantics: str, meters: tuple[str, ...]) -> SplitPlan:
        """How these reported meters become leaves."""
        return self._plans.get((semantics, *meters)) or self._plan(semantics, meters)

    def _plan(self, semantics: str, meters: tuple[str, ...]) -> SplitPlan:
        if semantics not in ("inclusive", "exclusive"):
            raise ValueError(f"usage semantics {semantics!r}: must be inclusive or exclusive")
        if len(self._plans) >= _PLANS_MAX:
            self._plans.clear()
        ordered = tuple(sorted(meters, key=self.registry.sort_key))
        plan = SplitPlan(self.registry, ordered, inclusive=semantics == "inclusive")
        self._plans[(semantics, *meters)] = plan
        return plan

    def _settle(self, semantics: str, usage: Mapping[str, str]) -> tuple[SplitPlan, list[int]]:
        """Rule 3: add the overlaps that are certain and split again; without any, refuse the counts."""
        values = {meter: parse_decimal(text, f"usage.{meter}") for meter, text in usage.items()}
        certain = self._certain_overlaps(values)
        if certain:
            return self.split(semantics, {**usage, **{m: format_atto(atto) for m, atto in certain.items()}})
        raise self._impossible(values)

    def _certain_overlaps(self, values: Mapping[str, int]) -> dict[str, int]:
        known = [meter for meter, atto in values.items() if atto and meter in self.registry]
        certain: dict[str, int] = {}
        for first, second in combinations(known, 2):
            join = self.registry.join(first, second)
            if join is None or join in values:
                continue
            wholes = self.registry.wholes(first) & self.registry.wholes(second)
            if any(values.get(whole) == values[first] for whole in wholes):
                certain[join] = values[second]
            elif any(values.get(whole) == values[second] for whole in wholes):
                certain[join] = values[first]
        return certain

    def _impossible(self, values: Mapping[str, int]) -> UsageError:
        """The error for the first meter, most specific first, whose parts make more than it."""
        plan = self._plan("inclusive", tuple(values))
        leaves = [values[meter] for meter in plan.meters]
        for position, inside in plan.subtract:
            leaves[position] -= sum(leaves[part] for part in inside)
            if leaves[position] < 0:
                break
        whole = plan.meters[position]
        parts = [plan.meters[part] for part in inside if values[plan.meters[part]]]
        # Each without what is counted in its own parts, so that the sum can be checked by hand.
        rests = ((plan.meters[part], leaves[part]) for part in inside if leaves[part])
        said = " + ".join(f"{part} {format_atto(rest)}" for part, rest in rests)
        excess = format_atto(-leaves[position])
        rule = (
            f"parts cannot exceed their whole: {said} exceed {whole} {format_atto(values[whole])} by {excess}"
        )
        overlaps = sorted(
            join
            for first, second in combinations(parts, 2)
            if (join := self.registry.join(first, second)) is not None and join not in values
        )
        if overlaps:
            rule += f"; parts that overlap need their common part reported: {', '.join(overlaps)}"
        return UsageError("impossible_counts", f"usage.{whole}", format_atto(values[whole]), rule)


def _check_wholes(plan: SplitPlan, quantities: list[int]) -> None:
    for position, missing in plan.required:
        if quantities[position]:
            meter = plan.meters[position]
            raise UsageError(
                "impossible_counts",
                f"usage.{meter}",
                format_atto(quantities[position]),
                f"{meter} is a part of {', '.join(missing)}, which inclusive usage must report as well",
            )
