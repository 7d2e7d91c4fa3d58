"""Whose budgets are whose."""

import time

from pricing.budgets import Budget, BudgetBook, Threshold
from pricing.money import ATTO


def named(budget_id: str, *customers: str) -> Budget:
    thresholds = (Threshold("80", 80 * ATTO),)
    return Budget(budget_id, customers, (), "price", "USD", "period", 100 * ATTO, thresholds)


def ids(book: BudgetBook, customer: str) -> list[str]:
    return [budget.budget_id for budget in book.for_customer(customer).budgets]


def test_a_customer_has_its_own_and_everybodys_by_id() -> None:
    book = BudgetBook(3, [named("c", "acme"), named("b", "*"), named("a", "acme", "globex", "acme")])
    assert [ids(book, customer) for customer in ("acme", "globex", "initech")] == [
        ["a", "b", "c"],
        ["a", "b"],
        ["b"],
    ]
    assert book.customers == {"acme", "globex"}
    assert {book.for_customer(customer).version for customer in ("acme", "initech")} == {3}


def test_a_budget_for_each_of_many_customers_is_made_in_time() -> None:
    """Services read a new version while they work: the time grows with the budgets, not with their square."""
    began_s = time.process_time()
    book = BudgetBook(1, [named(f"b{number}", f"c{number}") for number in range(12_000)])
    assert time.process_time() - began_s < 5
    assert ids(book, "c11999") == ["b11999"]
