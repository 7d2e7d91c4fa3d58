"""Calls at plain prices rated and encoded in one step, to the same bytes as `pricing.rate` and
`rate_book.encode` make of them.

Plain are the prices that are rate x quantity alone, on both sides, of counts that are whole numbers. What
selects them is looked up once for all events that share it (`Shape`, then `_Selection`); a line is encoded
once for each of its quantities. Anything else is left to `pricing.rate`: pools, shares on cost, rounded
quantities, lines without a rate, counts that do not add up, amounts that the wire cannot hold.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from pricing.cardset import LadderTimeline
from pricing.compile import CompiledBook
from pricing.compiled import Line, LinePlan, LineTemplate, Side
from pricing.money import ATTO, LIMIT, round_half_even
from pricing.rate import Rating
from pricing.terms import CompiledContract
from rate_book.dimensions import dimension_values
from rate_book.encode import encode_amount, encode_line, encode_sequence, frame
from rate_book.translate import call_of_event

_SELECTIONS_MAX: Final = 4_096
_SOLD_MAX: Final = 32_768
_LINES_MAX: Final = 65_536
_DIGITS_MAX: Final = 18
_SEQUENCES: Final = tuple(encode_sequence(number) for number in range(4_096))

_Priced = tuple[int, bytes]


class Shape:
    """What calls have in common that differ in customer, instant and quantities only."""

    __slots__ = ("_order", "context", "cost", "dimensions", "model", "plan", "provider")

    def __init__(self, book: CompiledBook, event: Mapping[str, Any]) -> None:
        """`event`: one of them."""
        call = call_of_event(event, book.attributes)
        self.provider, self.model = call.provider, call.model
        self.context = tuple(call.context.items()) if call.context else ()
        self.dimensions = dimension_values(event, book.dimensions)
        meters = tuple(call.usage)
        self.plan = book.splitter.plan(call.semantics, meters)
        self.cost = book.cost_timeline(self.provider, self.model, self.context)
        self._order = tuple(meters.index(meter) for meter in self.plan.meters)

    def leaves(self, quantities: Sequence[bytes]) -> list[int] | None:
        """The disjoint quantities of the counts as they stand on the wire; None: they are not plain."""
        if len(quantities) != len(self._order):
            return None  # a meter stands twice in the bytes
        leaves = []
        for index in self._order:
            text = quantities[index]
            if not text.isdigit() or len(text) > _DIGITS_MAX:
                return None
            leaves.append(int(text) * ATTO)
        for position, _ in self.plan.required:
            if leaves[position]:
                return None
        return leaves if self.plan.take_out(leaves) else None


class PlainCall(NamedTuple):
    """What a call does not share with others of its shape; counts as they stand on the wire."""

    customer_id: str
    at_us: int
    quantities: Sequence[bytes]


class Plain(NamedTuple):
    """A call that was rated: the body of its Avro record Rating, and what is summed of it.

    `row` are the service period's start and end, the currencies of cost and price, and the dimensions.
    """

    body: bytes
    row: tuple[int, int, str | None, str | None, tuple[str | None, ...]]
    cost_atto: int
    price_atto: int
    meters: tuple[str, ...]
    leaves: Sequence[int]


class PlainPricer:
    """Rates with one version of the book. Its memos hold what their keys determine, and are bounded."""

    def __init__(self, book: CompiledBook) -> None:
        self._book = book
        self._selections: dict[tuple[int, ...], _Selection] = {}
        # Identities are of what the values hold, or the book: none is another object's meanwhile.
        self._sold: dict[tuple[int, int], tuple[Shape, LadderTimeline]] = {}
        self._lines: dict[LineTemplate, dict[int, _Priced]] = {}
        self._kept = 0

    def shape(self, event: Mapping[str, Any]) -> Shape:
        """The shape of a decoded event that states no cost."""
        return Shape(self._book, event)

    def rate(
        self, shape: Shape, call: "PlainCall", customer_seq: int, before: tuple[bytes, ...] = ()
    ) -> Plain | None:
        """The rating, its body behind the bytes `before`; None where the call is not plain, or is to be
        rejected.
        """
        customer_id, at_us, quantities = call
        leaves = shape.leaves(quantities)
        term = self._book.term(customer_id, at_us)
        if leaves is None or term is None:
            return None
        contract, plan = term.contract, shape.plan
        sold = self._sold.get((id(shape), id(contract)))
        if sold is None:
            sold = self._timeline(shape, contract)
        cost_plan = shape.cost.at(at_us).cell(plan, leaves).plan(plan.meters)
        price_plan = sold[1].at(at_us).cell(plan, leaves).plan(plan.meters)
        period = term.service_period(at_us)
        key = (id(cost_plan), id(price_plan), id(contract), id(shape), *period)
        selection = self._selections.get(key)
        if selection is None:
            if not (_is_plain(cost_plan) and _is_plain(price_plan)):
                return None
            if len(self._selections) >= _SELECTIONS_MAX:
                self._selections.clear()
            sides = (Side("priced", None, cost_plan.currency), Side("priced", None, price_plan.currency))
            like = Rating(*sides, (), (), period, plan=contract.contract.contract_id)
            selection = _Selection(self._book, shape, (cost_plan, price_plan), like)
            self._selections[key] = selection
        return self._rated(selection, leaves, customer_seq, before)

    def _timeline(self, shape: Shape, contract: CompiledContract) -> tuple[Shape, LadderTimeline]:
        if len(self._sold) >= _SOLD_MAX:
            self._sold.clear()
        sold = shape, contract.cards.timeline(shape.provider, shape.model, shape.context)
        self._sold[id(shape), id(contract)] = sold
        return sold

    def _rated(
        self, selection: "_Selection", leaves: list[int], customer_seq: int, before: tuple[bytes, ...]
    ) -> Plain | None:
        encoded: list[bytes] = []
        cost = self._side(selection.cost, leaves, encoded)
        price = self._side(selection.price, leaves, encoded)
        if cost >= LIMIT or price >= LIMIT:
            return None
        before_cost, before_price, before_lines, after_lines = selection.frame
        body = b"".join(
            (
                *before,
                _SEQUENCES[customer_seq] if customer_seq < len(_SEQUENCES) else encode_sequence(customer_seq),
                before_cost,
                encode_amount(cost),
                before_price,
                encode_amount(price),
                before_lines,
                *encoded,
                after_lines,
            )
        )
        return Plain(body, selection.row, cost, price, selection.meters, leaves)

    def _side(self, plan: LinePlan, leaves: list[int], encoded: list[bytes]) -> int:
        """The side's amount; its lines are added."""
        quantities = leaves + [ATTO] * plan.per_event if plan.per_event else leaves
        total = 0
        lines = self._lines
        for template, quantity in zip(plan.templates, quantities, strict=True):
            known = lines.get(template)
            priced = None if known is None else known.get(quantity)
            if priced is None:
                priced = self._line(template, quantity)
            total += priced[0]
            encoded.append(priced[1])
        return total

    def _line(self, template: LineTemplate, quantity: int) -> _Priced:
        amount = round_half_even(quantity * template.numerator, template.denominator)
        if amount >= LIMIT:
            return amount, b""  # no decimal of the wire holds it, and its side is refused
        if self._kept >= _LINES_MAX:
            self._lines.clear()
            self._kept = 0
        self._kept += 1
        priced = amount, encode_line(Line(template, quantity, amount))
        self._lines.setdefault(template, {})[quantity] = priced
        return priced


class _Selection:
    """The prices of one shape under one contract in one period, for one set of leaves."""

    __slots__ = ("cost", "frame", "held", "meters", "price", "row")

    def __init__(
        self, book: CompiledBook, shape: Shape, sides: tuple[LinePlan, LinePlan], like: Rating
    ) -> None:
        """`like`: without lines and amounts."""
        self.cost, self.price = cost, price = sides
        self.meters = shape.plan.meters
        self.held = shape  # with both plans: what its key tells the identity of stays alive
        self.row = (*like.service_period, cost.currency, price.currency, shape.dimensions)
        self.frame = frame(book, like, len(cost.templates) + len(price.templates))


def _is_plain(plan: LinePlan) -> bool:
    return plan.special is None and plan.all_priced and bool(plan.templates)
