"""The compiled form of prices: templates of lines, plans for a side, and what a price that is more than rate
x quantity reads of a call.

Memoised look-ups are bounded and hold only what the key determines, so they change how long an answer takes
and never the answer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Literal, NamedTuple, Protocol

from pricing.cards import Rate
from pricing.errors import UsageError
from pricing.money import LIMIT, format_atto, parse_decimal
from pricing.quantity import QuantityRule

Kind = Literal["cost", "price"]
Status = Literal["priced", "partial", "unpriced", "included"]
"""`included`: no amount, because the query that the call belongs to pays for it."""
Context = tuple[tuple[str, str], ...]


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


class Side(NamedTuple):
    """The sum of one side's lines. What has no amount has None, never 0.

    Leaves of quantity 0 owe nothing at any rate, so they do not count: `priced` when every other leaf has a
    rate or is paid for by the query, `included` when the query pays for all of them, `unpriced` when none has
    a rate and one ought to, else `partial` with the amount of those that have.
    """

    status: Status
    amount_atto: int | None
    currency: str | None


UNPRICED = Side("unpriced", None, None)


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


Pools = Callable[[str, int], tuple[int, int]]
"""(pool, start of its period in microseconds) -> quantity and amount so far, in atto."""


class Env(NamedTuple):
    """What special prices read of one call, beside its leaves.

    `cost` is the other side's lines; `period` the billing period at the time of the event in which a price
    card's pools count; `before` and `after` the pools touched so far, by pool and start.
    """

    context: Mapping[str, str]
    at_us: int
    stated: tuple[int, str] | None
    cost: Sequence[Line]
    pools: Pools
    period: Callable[[str, int], tuple[int, int]]
    before: dict[tuple[str, int], PoolState]
    after: dict[tuple[str, int], PoolState]


class Pricer(Protocol):
    """Prices one leaf that is not simply rate x quantity."""

    def add(self, lines: list[Line], quantity_atto: int, env: Env) -> Status | None:
        """Appends the leaf's lines and tells their status; None: something else prices it."""
        ...


class WholeCall(Protocol):
    """Prices what a call costs as a whole, or adds to it."""

    def add(self, lines: list[Line], env: Env) -> set[Status]:
        """Appends lines and tells their statuses."""
        ...


class Special(NamedTuple):
    """What is not rate x quantity on one side.

    `leaves` prices the leaf at each position (None: by its template). The first of `waived` whose positions
    hold no quantity makes all of them cost nothing. `whole` comes instead of the leaves, `rest` after them.
    `minimum` is the least amount, and its line.
    """

    leaves: tuple[Pricer | None, ...]
    waived: tuple[tuple[tuple[int, ...], tuple[LineTemplate, ...]], ...]
    whole: WholeCall | None
    rest: WholeCall | None
    minimum: tuple[int, LineTemplate] | None


class LinePlan(NamedTuple):
    """The templates for one set of leaves, then those of what is counted once per event."""

    templates: tuple[LineTemplate, ...]
    numerators: tuple[int, ...]
    denominators: tuple[int, ...]
    per_event: int
    all_priced: bool
    currency: str | None
    special: Special | None = None


class CompiledRate(NamedTuple):
    """A rate ready to multiply with, and where it is from (empty: the cell itself).

    With a `pool` the pool's prices hold and the rate means nothing.
    """

    rate: str
    per: str
    numerator: int
    denominator: int
    origin: str
    rule: QuantityRule | None = None
    pool: str | None = None


def compile_rate(rate: Rate, origin: str = "") -> CompiledRate:
    atto = parse_decimal(rate.rate, "rate") if rate.pool is None else 0
    per_atto = parse_decimal(rate.per, "per")
    divisor = gcd(atto, per_atto)
    return CompiledRate(
        format_atto(atto),
        format_atto(per_atto),
        atto // divisor,
        per_atto // divisor,
        origin,
        QuantityRule.of(rate),
        rate.pool,
    )


class CellName(NamedTuple):
    """Whose cell it is, for its lines; `because` ends each explanation."""

    side: Kind
    card: str | None
    version: str | None
    currency: str | None
    who: str
    because: str

    def priced(self, meter: str, words: str, rate: CompiledRate | None = None) -> LineTemplate:
        """A line with an amount; without a rate the amount follows from other lines."""
        return LineTemplate(
            side=self.side,
            meter=meter,
            status="priced",
            explain=f"{self.who}: {words}; {self.because}",
            rate=rate.rate if rate is not None else None,
            per=rate.per if rate is not None else None,
            currency=self.currency,
            card=self.card,
            version=self.version,
            numerator=rate.numerator if rate is not None else 0,
            denominator=rate.denominator if rate is not None else 1,
        )

    def unpriced(self, meter: str, why: str, status: Status = "unpriced") -> LineTemplate:
        """A line without an amount, which says why."""
        explain = f"{self.who}: {why}; {self.because}"
        return LineTemplate(self.side, meter, status, explain, card=self.card, version=self.version)


def overflow(side: Kind, amount_atto: int) -> UsageError:
    """The error for an amount that the wire cannot hold."""
    rule = "an amount has at most 20 digits before the point"
    return UsageError("amount_overflow", side, format_atto(amount_atto), rule)


def fits(amount_atto: int) -> bool:
    return -LIMIT < amount_atto < LIMIT
