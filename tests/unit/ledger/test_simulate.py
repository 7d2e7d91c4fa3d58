"""book simulate: the difference between recorded and draft, by hand."""

from typing import Any

import pytest

from cli.book_simulate import describe
from ledger.core.explain import Rated
from ledger.core.simulate import Simulation, Span
from tests.unit.ledger.drafts import (
    DAY_US,
    DEC_1_US,
    NOV_1_US,
    NOV_10_US,
    add,
    book,
    draft_of,
    flat,
    record,
    side,
    sums,
)


def test_the_difference_of_two_events_by_customer_model_and_feature() -> None:
    """Recorded at 2 and 3 a million; the draft asks 2 and 4. a: 1000 tokens, b: 500.

    a: cost 0.002 as before, price 0.003 -> 0.004. b: cost 0.001, price 0.0015 -> 0.002. Together 0.0015 more.
    """
    simulation, draft = Simulation(NOV_1_US, DEC_1_US, 5), draft_of(book("2", "4"))
    add(simulation, draft, record(1, "0.002", "0.003", customer_id="a"), "1000")
    add(simulation, draft, record(2, "0.001", "0.0015", customer_id="b"), "500", feature="search")
    found = simulation.as_json()
    assert (found["total"]["events"], found["total"]["changed"]) == (2, 2)
    assert sums(found["total"]) == {
        "cost USD": ("0.003", "0.003", "0"),
        "price USD": ("0.0045", "0.006", "0.0015"),
    }
    assert [group["customer"] for group in found["by_customer"]] == ["a", "b"]
    assert sums(found["by_customer"][1])["price USD"] == ("0.0015", "0.002", "0.0005")
    assert [group["model"] for group in found["by_model"]] == ["acme: one"]
    assert [group["feature"] for group in found["by_feature"]] == ["chat", "search"]
    assert [changed["event_id"] for changed in found["top_changes"]] == ["e-1", "e-2"]
    assert found["top_changes"][0]["price_draft"] == side("0.004")
    assert found["whole_periods"] == []


def test_what_is_newly_priced_and_unpriced_is_counted_by_side() -> None:
    """Model two had neither cost nor price and gets a cost of 1; model three is in neither book any more."""
    simulation, draft = (
        Simulation(NOV_1_US, DEC_1_US, 5),
        draft_of(book("2", "3", flat("x", "acme", "two", "1"))),
    )
    add(simulation, draft, record(1, None, None), "1000", model="two")
    add(simulation, draft, record(2, "0.002", "0.003"), "1000", model="three")
    total = simulation.as_json()["total"]
    assert total["newly_priced"] == {"cost": 1, "price": 0}
    assert total["newly_unpriced"] == {"cost": 1, "price": 1}
    assert sums(total) == {"cost USD": ("0.002", "0.001", "-0.001"), "price USD": ("0.003", "0", "-0.003")}
    text = describe(simulation, 5)
    assert (
        "2 events, 2 changed; 1 newly unpriced by cost; 1 newly unpriced by price; 1 newly priced by cost"
        in text
    )
    assert "    price  0.003 USD -> unpriced" in text


def test_currencies_are_never_added_up() -> None:
    """Recorded in EUR, the draft in USD: two rows, no difference of one from the other."""
    simulation, draft = Simulation(NOV_1_US, DEC_1_US, 5), draft_of(book("2", "3"))
    rated = record(1, "0.002", None)
    add(
        simulation,
        draft,
        Rated(0, 1, 0, rated.event, dict(rated.rating) | {"price": side("0.009", "EUR")}),
        "1000",
    )
    assert sums(simulation.as_json()["total"]) == {
        "cost USD": ("0.002", "0.002", "0"),
        "price EUR": ("0.009", "0", "-0.009"),
        "price USD": ("0", "0.003", "0.003"),
    }


def test_a_draft_that_says_the_same_changes_nothing() -> None:
    simulation, draft = Simulation(NOV_1_US, DEC_1_US, 5), draft_of(book("2", "3"))
    add(simulation, draft, record(1, "0.002", "0.003"), "1000")
    assert simulation.as_json()["total"]["changed"] == 0
    assert simulation.top == []
    assert describe(simulation, 5).endswith("nothing changes")


def test_only_the_largest_changes_are_kept_and_the_first_of_equals() -> None:
    """Price 3 -> 4 a million: 1000, 3000, 2000 and 2000 tokens change by 0.001, 0.003, 0.002 and 0.002."""
    simulation, draft = Simulation(NOV_1_US, DEC_1_US, 2), draft_of(book("0", "4"))
    for number, (tokens, price) in enumerate([("1000", "0.003"), ("3000", "0.009"), ("2000", "0.006")]):
        add(simulation, draft, record(number, "0", price), tokens)
    add(simulation, draft, record(3, "0", "0.006"), "2000")
    assert [changed.event_id for changed in simulation.top] == ["e-1", "e-2"]


def test_what_the_draft_cannot_rate_is_counted_by_its_reason() -> None:
    """20 digits of tokens at 10^20 a token have more than 20 digits before the point."""
    simulation, draft = Simulation(NOV_1_US, DEC_1_US, 2), draft_of(book("9" * 20, "3"))
    add(simulation, draft, record(1, "0.002", "0.003"), "9" * 20)
    assert simulation.as_json()["refused_by_draft"] == {"amount_overflow": 1}
    assert "the draft cannot rate 1 events: amount_overflow" in describe(simulation, 5)


def test_without_a_period_price_only_what_was_asked_is_compared() -> None:
    assert draft_of(book("2", "3"), NOV_10_US, NOV_10_US + DAY_US).span("c") == Span(
        NOV_10_US, NOV_10_US + DAY_US
    )


@pytest.mark.parametrize(
    ("leg", "revision", "corrected", "current"),
    [
        ("original", 0, {}, True),
        ("original", 0, {("c", "s", "e-1"): None}, False),
        ("original", 0, {("c", "s", "e-1"): 1}, False),
        ("replacement", 1, {("c", "s", "e-1"): 1}, True),
        ("replacement", 1, {("c", "s", "e-1"): 2}, False),
        ("reversal", 1, {("c", "s", "e-1"): 1}, False),
    ],
)
def test_only_the_current_revision_counts(leg: str, revision: int, corrected: Any, *, current: bool) -> None:
    told = record(1, "0", "0")
    rated = Rated(0, 1, 0, told.event, dict(told.rating) | {"leg": leg, "revision": revision})
    assert rated.is_current(corrected) is current
