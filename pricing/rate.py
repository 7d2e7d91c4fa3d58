"""rate(): what one call cost us and what it is worth to the customer, line by line; a pure function.

Lines come in a fixed order: cost before price; on each side the leaves in the registry's order, unknown
meters after them by name, then what the card counts once per event. The same call rated by the same book
gives the same rating.
"""

from collections.abc import Mapping, Sequence
from operator import mul
from typing import NamedTuple

from pricing.compile import CompiledBook
from pricing.compiled import (
    UNPRICED,
    Env,
    Line,
    LinePlan,
    Pools,
    PoolState,
    Side,
    overflow,
)
from pricing.instants import calendar_month
from pricing.money import ATTO, LIMIT, round_half_even
from pricing.special import special_side

__all__ = ["Call", "Line", "PoolBefore", "PoolState", "Pools", "Rating", "Side", "no_pools", "rate"]

PoolBefore = PoolState


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


class Rating(NamedTuple):
    """The result of rate(); `leaves` are the disjoint quantities, `service_period` is [start_us, end_us).

    `pools_before` and `pools_after` are the pools that the call took part in, in the same order. `plan` is
    the contract in force for the customer at that instant; None: no customer, or none is assigned.
    """

    cost: Side
    price: Side
    lines: tuple[Line, ...]
    leaves: tuple[tuple[str, int], ...]
    service_period: tuple[int, int]
    pools_before: tuple[PoolState, ...] = ()
    pools_after: tuple[PoolState, ...] = ()
    plan: str | None = None


def no_pools(_pool: str, _start_us: int) -> tuple[int, int]:
    """The state of every pool in which nothing has happened yet."""
    return 0, 0


def rate(book: CompiledBook, call: Call, pools: Pools = no_pools) -> Rating:
    """Rate one call.

    `pools` is asked for the pools that price the call, and for no other.

    Raises:
        UsageError: bad_quantity, impossible_counts or amount_overflow: the event is to be rejected.
        ValueError: unknown semantics, or an instant outside the years 1 to 9999.
    """
    customer, provider, model, at_us, usage, semantics, said, stated = call
    plan, leaves = book.splitter.split(semantics, usage)
    context = tuple(said.items()) if said else ()
    lines_plan = book.cost_ladder(provider, model, context, at_us).cell(plan, leaves).plan(plan.meters)
    if lines_plan.special is None:
        cost, lines = _side(lines_plan, leaves)
    else:
        env = Env(said, at_us, stated, (), pools, _no_period, {}, {})
        cost, lines = special_side(lines_plan, lines_plan.special, leaves, env)
    price, period, contract = UNPRICED, None, None
    before: tuple[PoolState, ...] = ()
    after: tuple[PoolState, ...] = ()
    if customer is not None:
        term = book.term(customer, at_us)
        if term is None:
            ladder = book.unassigned
        else:
            ladder = term.contract.cards.timeline(provider, model, context).at(at_us)
            period = term.service_period(at_us)
            contract = term.contract.contract.contract_id
        lines_plan = ladder.cell(plan, leaves).plan(plan.meters)
        if lines_plan.special is None:
            price, priced = _side(lines_plan, leaves)
        else:
            pool_period = _no_period if term is None else term.pool_period
            env = Env(said, at_us, stated, lines, pools, pool_period, {}, {})
            price, priced = special_side(lines_plan, lines_plan.special, leaves, env)
            before, after = tuple(env.before.values()), tuple(env.after.values())
        lines += priced
    return Rating(
        cost,
        price,
        tuple(lines),
        tuple(zip(plan.meters, leaves, strict=True)),
        period or calendar_month(at_us),
        before,
        after,
        contract,
    )


def _no_period(pool: str, _at_us: int) -> tuple[int, int]:
    raise ValueError(f"pool {pool}: only a contract has periods")


def _side(plan: LinePlan, leaves: list[int]) -> tuple[Side, list[Line]]:
    if not plan.templates:
        return UNPRICED, []  # nothing was reported, which is not the same as nothing
    quantities = leaves + [ATTO] * plan.per_event if plan.per_event else leaves
    if not plan.all_priced:
        return _partial_side(plan, quantities)
    amounts = list(map(round_half_even, map(mul, quantities, plan.numerators), plan.denominators))
    total = sum(amounts)
    if total >= LIMIT:
        raise overflow(plan.templates[0].side, total)
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
        raise overflow(plan.templates[0].side, total)
    if plan.currency is None or (unpriced and not priced):
        return UNPRICED, lines
    return Side("partial" if unpriced else "priced", total, plan.currency), lines
