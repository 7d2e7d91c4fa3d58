"""Budgets as data: what a customer may spend in a window, at which amounts somebody is told, and whom.

Amounts are ints times 10**18 in the unit of the measure: of a currency, of events, or of a meter.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from pricing.money import format_atto
from pricing.totals import Scope, scope_key

Action: TypeAlias = Literal["none", "soft", "hard"]
Severity: TypeAlias = Literal["info", "warning", "critical"]

PRICE: Final = "price"
COST: Final = "cost"
EVENTS: Final = "events"
QUANTITY: Final = "quantity:"
EVERYBODY: Final = "*"
DEFAULT_CHANNELS: Final = ("log",)
"""Of an alert that no route takes: nothing is lost in silence."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """An amount that is crossed where the value is that or more.

    `name` is what the file says, `80%` or `150`; `share` is the percentage as a plain decimal, None where
    the file gives the amount.
    """

    name: str
    amount_atto: int
    share: str | None = None
    action: Action = "none"
    severity: Severity = "warning"
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Budget:
    """`measure` is price, cost, events or quantity:<meter>; `currency` is None for the last two.

    A scope `()` is the customer as a whole. Thresholds are in ascending order.
    """

    budget_id: str
    customers: tuple[str, ...]
    scope: Scope
    measure: str
    currency: str | None
    window: str
    limit_atto: int
    thresholds: tuple[Threshold, ...]
    note: str = ""

    @property
    def meter(self) -> str | None:
        """Of a budget of a quantity."""
        return self.measure.removeprefix(QUANTITY) if self.measure.startswith(QUANTITY) else None

    def compared(self, threshold: Threshold) -> str:
        """`price USD 80`, `events 1000`, `quantity:images 50`: what the threshold compares, and with what.

        A threshold that fired stays the same one in a later version where this is the same.
        """
        currency = f" {self.currency}" if self.currency is not None else ""
        return f"{self.measure}{currency} {format_atto(threshold.amount_atto)}"


@dataclass(frozen=True, slots=True)
class Route:
    """The channels of alerts of these customers and severities; empty is any."""

    channels: tuple[str, ...]
    customers: tuple[str, ...] = ()
    severities: tuple[Severity, ...] = ()

    def takes(self, customer_id: str | None, severity: str) -> bool:
        """Whether this is the route of such an alert; one about the pipeline has no customer."""
        named = not self.customers or customer_id in self.customers
        return named and (not self.severities or severity in self.severities)


@dataclass(frozen=True, slots=True)
class CustomerBudgets:
    """What holds for one customer, indexed for whoever compares totals with it."""

    version: int
    budgets: tuple[Budget, ...] = ()
    places: Mapping[tuple[str, Scope], tuple[int, ...]] = field(init=False, repr=False, compare=False)
    """Positions in `budgets` by window and scope."""
    scopes: tuple[Scope, ...] = field(init=False, repr=False, compare=False)
    """Those watched, in order; `()` is always among them."""
    by_scope: Mapping[str, tuple[int, ...]] = field(init=False, repr=False, compare=False)
    """Positions in `budgets` by the key of their scope."""
    keys: tuple[tuple[str, tuple[str, ...]], ...] = field(init=False, repr=False, compare=False)
    """Of each budget: the key of its scope, and what each of its thresholds compares."""
    price_currencies: frozenset[str] = field(init=False, repr=False, compare=False)
    """Those that a budget of prices covers; empty where there is none."""
    cost_currencies: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        places: dict[tuple[str, Scope], tuple[int, ...]] = {}
        by_scope: dict[str, tuple[int, ...]] = {}
        for position, budget in enumerate(self.budgets):
            place = (budget.window, budget.scope)
            places[place] = (*places.get(place, ()), position)
            key = scope_key(budget.scope)
            by_scope[key] = (*by_scope.get(key, ()), position)
        derived = {
            "places": places,
            "scopes": tuple(sorted({(), *(budget.scope for budget in self.budgets)})),
            "by_scope": by_scope,
            "keys": tuple(
                (
                    scope_key(budget.scope),
                    tuple(budget.compared(threshold) for threshold in budget.thresholds),
                )
                for budget in self.budgets
            ),
            "price_currencies": self._currencies(PRICE),
            "cost_currencies": self._currencies(COST),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def _currencies(self, measure: str) -> frozenset[str]:
        return frozenset(
            budget.currency
            for budget in self.budgets
            if budget.measure == measure and budget.currency is not None
        )


class BudgetBook:
    """One version of all budgets and routes; version 0 is none."""

    def __init__(
        self, version: int = 0, budgets: Iterable[Budget] = (), routes: Iterable[Route] = ()
    ) -> None:
        self.version = version
        self.budgets = tuple(sorted(budgets, key=lambda budget: budget.budget_id))
        self.routes = tuple(routes)
        named: dict[str, list[Budget]] = {}
        for budget in self.budgets:
            for customer in dict.fromkeys(budget.customers):
                named.setdefault(customer, []).append(budget)
        everybodys = named.pop(EVERYBODY, [])
        self._others = CustomerBudgets(version, tuple(everybodys))
        self._of = {
            customer: CustomerBudgets(
                version, tuple(sorted([*own, *everybodys], key=lambda budget: budget.budget_id))
            )
            for customer, own in named.items()
        }

    @property
    def customers(self) -> frozenset[str]:
        """Those that a budget names; the others have what holds for everybody."""
        return frozenset(self._of)

    def for_customer(self, customer_id: str) -> CustomerBudgets:
        """The customer's own budgets and those of everybody, by id."""
        return self._of.get(customer_id, self._others)

    def scopes(self, customer_id: str) -> tuple[Scope, ...]:
        """The scopes that the customer's budgets watch, in order; `()` is always among them."""
        return self.for_customer(customer_id).scopes

    def channels_for(
        self, customer_id: str | None, severity: str, named: tuple[str, ...] = ()
    ) -> tuple[str, ...]:
        """Where an alert goes: what its threshold names, else the first route that takes it, else the log."""
        if named:
            return named
        for route in self.routes:
            if route.takes(customer_id, severity):
                return route.channels
        return DEFAULT_CHANNELS
