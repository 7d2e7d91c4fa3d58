"""Budgets beside the rate book: a budget that could never be compared with anything is refused."""

from collections import defaultdict
from collections.abc import Collection, Sequence

from pricing.budgets import COST, EVERYBODY, Budget
from pricing.cards import Assignment, BookContent
from pricing.currencies import is_currency
from pricing.meters import DEFAULT_METERS
from pricing.totals import SCOPES_MAX, Scope
from rate_book.budgets.content import BudgetContent
from rate_book.errors import BookInvalidError


def check_budgets(content: BudgetContent, book: BookContent) -> None:
    """Hold the budgets against a version of the rate book.

    A budget of prices is in a currency of a contract of each customer that it names (of any contract where it
    is everybody's), one of costs in a currency of a provider card; its scope's dimensions are declared, its
    meter is known, and no customer has more than 1,000 scopes.

    Raises:
        BookInvalidError: naming budget, field, value and rule.
    """
    known = _Known(book)
    for budget in content.budgets:
        _check_scope(budget, book.dimensions)
        if budget.meter is not None and budget.meter not in known.meters:
            raise _refused(budget, "measure", budget.measure, "no such meter is registered or in the book")
        if budget.currency is not None:
            _check_currency(budget, budget.currency, known)
    _check_count(content)


class _Known:
    """What the book says of currencies and meters."""

    def __init__(self, book: BookContent) -> None:
        self.units = book.units
        self.meters = {meter.name for meter in (*DEFAULT_METERS, *book.meters)}
        self.cost_currencies = {card.currency for card in book.provider_cards}
        self._of_contract = {contract.contract_id: contract.currency for contract in book.contracts}
        self._assignments: defaultdict[str, list[Assignment]] = defaultdict(list)
        for assignment in book.assignments:
            self._assignments[assignment.customer].append(assignment)

    def price_currencies(self, customer_id: str) -> set[str]:
        """Those of the contracts that the customer ever pays by; of everybody, those of all contracts."""
        if customer_id == EVERYBODY:
            return set(self._of_contract.values())
        own = self._assignments.get(customer_id, [])
        others = [] if _whole_time(own) else self._assignments.get(EVERYBODY, [])
        return {self._of_contract[item.contract_id] for item in (*own, *others)}


def _check_scope(budget: Budget, dimensions: Collection[str]) -> None:
    for name, value in budget.scope:
        if name not in dimensions:
            declared = ", ".join(dimensions) or "none"
            rule = f"the rate book declares no such dimension; it declares {declared}"
            raise _refused(budget, f"scope.{name}", value, rule)


def _check_currency(budget: Budget, currency: str, known: _Known) -> None:
    if not is_currency(currency, known.units):
        rule = "must be an ISO 4217 code in capitals, or a unit that the rate book declares"
        raise _refused(budget, "currency", currency, rule)
    if budget.measure == COST:
        if currency not in known.cost_currencies:
            used = _listed(known.cost_currencies)
            raise _refused(budget, "currency", currency, f"no provider card is in it; they are in {used}")
        return
    for customer in budget.customers:
        used_by = known.price_currencies(customer)
        if currency not in used_by:
            whose = "any customer" if customer == EVERYBODY else f"customer {customer}"
            rule = f"no contract of {whose} uses it; they use {_listed(used_by)}"
            raise _refused(budget, "currency", currency, rule)


def _check_count(content: BudgetContent) -> None:
    scopes: defaultdict[str, set[Scope]] = defaultdict(set)
    for budget in content.budgets:
        for customer in budget.customers:
            scopes[customer].add(budget.scope)
    everybodys = scopes[EVERYBODY]
    for customer, own in sorted(scopes.items()):
        count = len(own | everybodys | {()})
        if count > SCOPES_MAX:
            whose = "every customer" if customer == EVERYBODY else f"customer {customer}"
            rule = f"at most {SCOPES_MAX:,} scopes a customer, the customer as a whole among them"
            raise BookInvalidError(f"budgets of {whose}", "scopes", count, rule)


def _whole_time(assignments: Sequence[Assignment]) -> bool:
    """Whether the customer's own contracts leave no instant to those of everybody."""
    reached: int | None = None
    ordered = sorted(assignments, key=lambda item: (item.valid_from_us is not None, item.valid_from_us or 0))
    for position, item in enumerate(ordered):
        begins = item.valid_from_us
        if begins is not None and (position == 0 or reached is None or begins > reached):
            return False
        if item.valid_to_us is None:
            return True
        reached = item.valid_to_us if reached is None else max(reached, item.valid_to_us)
    return False


def _refused(budget: Budget, field: str, value: object, rule: str) -> BookInvalidError:
    return BookInvalidError(f"budget {budget.budget_id}", field, value, rule)


def _listed(words: Collection[str]) -> str:
    return ", ".join(sorted(words)) or "none"
