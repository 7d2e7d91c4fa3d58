"""rate(): what one call cost us and what it is worth to the customer, line by line; a pure function.

Lines come in a fixed order: cost before price; on each side the leaves in the registry's order, unknown
meters after them by name, then what the card counts once per event. The same call rated by the same book
gives the same rating.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import mul
from typing import NamedTuple

from pricing.compile import CompiledBook
from pricing.compiled import Kind, LinePlan, LineTemplate, Status
from pricing.errors import UsageError
from pricing.instants import calendar_month
from pricing.money import ATTO, LIMIT, format_atto, round_half_even


class Call(NamedTuple):
    """One call as the event tells it: quantities as on the wire, `at_us` the event time.

    `semantics` is inclusive or exclusive. Without a customer the price side is left out. `context` holds the
    attributes that the book asks for as well. `stated_cost` is what the provider said that the call costs:
    (amount in atto, currency).
    """

    customer_id: str | None
    provider: str
    model: str
    at_us: int
    usage: Mapping[str, str]
    semantics: str = "inclusive"
    context: Mapping[str, str] = {}
    stated_cost: tuple[int, str] | None = None


class Side(NamedTuple):
    """The sum of one side's lines. What has no amount has None, never 0.

    Leaves of quantity 0 owe nothing at any rate, so they do not count: `priced` when every other leaf has a
    rate, `unpriced` when none has, else `partial` with the amount of those that have.
    """

    status: Status
    amount_atto: int | None
    currency: str | None


class Line(NamedTuple):
    """One leaf's cost or price. All but quantity and amount stands in `template`, one object for all lines
    alike.

    `billed_atto` is the quantity that the amount is for where a rule rounds it up; None: as counted.
    """

    template: LineTemplate
    quantity_atto: int
    amount_atto: int | None
    billed_atto: int | None = None

    @property
    def side(self) -> Kind:
        return self.template.side

    @property
    def meter(self) -> str:
        return self.template.meter

    @property
    def rate(self) -> str | None:
        """The price of `per` units, a plain decimal."""
        return self.template.rate

    @property
    def per(self) -> str | None:
        return self.template.per

    @property
    def currency(self) -> str | None:
        return self.template.currency

    @property
    def card(self) -> str | None:
        return self.template.card

    @property
    def version(self) -> str | None:
        """The instant from which the card's prices hold; None: since ever, or no card."""
        return self.template.version

    @property
    def status(self) -> Status:
        return self.template.status

    @property
    def explain(self) -> str:
        return self.template.explain


class PoolState(NamedTuple):
    """Quantity and amount of a customer's pool in the period [start_us, end_us), before or after a call."""

    pool: str
    start_us: int
    end_us: int
    quantity_atto: int
    amount_atto: int
    currency: str


PoolBefore = PoolState
Pools = Callable[[str, int], tuple[int, int]]
"""(pool, start of its period in microseconds) -> quantity and amount so far, in atto."""


class Rating(NamedTuple):
    """The result of rate(); `leaves` are the disjoint quantities, `service_period` is [start_us, end_us).

    `pools_before` and `pools_after` are the pools that the call took part in, in the same order.
    """

    cost: Side
    price: Side
    lines: tuple[Line, ...]
    leaves: tuple[tuple[str, int], ...]
    service_period: tuple[int, int]
    pools_before: tuple[PoolState, ...] = ()
    pools_after: tuple[PoolState, ...] = ()


_UNPRICED = Side("unpriced", None, None)


def no_pools(_pool: str, _start_us: int) -> tuple[int, int]:
    """The state of every pool in which nothing has happened yet."""
    return 0, 0


def rate(book: CompiledBook, call: Call, pools: Pools = no_pools) -> Rating:  # noqa: ARG001 - pools come next
    """Rate one call.

    `pools` is asked for the pools that price the call, and for no other.

    Raises:
        UsageError: bad_quantity, impossible_counts or amount_overflow: the event is to be rejected.
        ValueError: unknown semantics, or an instant outside the years 1 to 9999.
    """
    customer, provider, model, at_us, usage, semantics, said, _stated = call
    plan, leaves = book.splitter.split(semantics, usage)
    context = tuple(said.items()) if said else ()
    cell = book.cost_ladder(provider, model, context, at_us).cell(plan, leaves)
    cost, lines = _side(cell.plan(plan.meters), leaves)
    price = _UNPRICED
    if customer is not None:
        cell = book.price_ladder(customer, provider, model, context, at_us).cell(plan, leaves)
        price, priced = _side(cell.plan(plan.meters), leaves)
        lines += priced
    return Rating(
        cost,
        price,
        tuple(lines),
        tuple(zip(plan.meters, leaves, strict=True)),
        calendar_month(at_us),
    )


def _side(plan: LinePlan, leaves: list[int]) -> tuple[Side, list[Line]]:
    if not plan.templates:
        return _UNPRICED, []  # nothing was reported, which is not the same as nothing
    quantities = leaves + [ATTO] * plan.per_event if plan.per_event else leaves
    if not plan.all_priced:
        return _partial_side(plan, quantities)
    amounts = list(map(round_half_even, map(mul, quantities, plan.numerators), plan.denominators))
    total = sum(amounts)
    if total >= LIMIT:
        raise _overflow(plan, total)
    return Side("priced", total, plan.currency), list(map(Line, plan.templates, quantities, amounts))


def _partial_side(plan: LinePlan, quantities: Sequence[int]) -> tuple[Side, list[Line]]:
    total = 0
    lines = []
    priced = unpriced = False
    for template, quantity in zip(plan.templates, quantities, strict=True):
        amount = None
        if template.rate is None:
            unpriced = unpriced or quantity != 0
        else:
            priced = priced or quantity != 0
            amount = round_half_even(quantity * template.numerator, template.denominator)
            total += amount
        lines.append(Line(template, quantity, amount))
    if total >= LIMIT:
        raise _overflow(plan, total)
    if plan.currency is None or (unpriced and not priced):
        return _UNPRICED, lines
    return Side("partial" if unpriced else "priced", total, plan.currency), lines


def _overflow(plan: LinePlan, total: int) -> UsageError:
    side = plan.templates[0].side
    return UsageError(
        "amount_overflow", side, format_atto(total), "an amount has at most 20 digits before the point"
    )
