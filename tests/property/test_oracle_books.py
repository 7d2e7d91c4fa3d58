"""Books made up by rule and whole histories of calls: the product and the oracle agree on every amount."""

import tempfile
from collections.abc import Sequence
from dataclasses import astuple
from fractions import Fraction
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pricing.compile import CompiledBook, compile_book
from pricing.money import ATTO
from pricing.rate import Rating, Side, rate
from rate_book.form import load_book
from rate_book.translate import call_of_event
from tests.fix_rater import whole
from tests.oracle.books import Books
from tests.oracle.money import Amount, Pools, Sides, in_detail
from tests.property.made_books import books, events

Json = dict[str, Any]
ADJUSTMENT = "tier_adjustment"

made = settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.reuse, Phase.generate],  # to make a book smaller takes minutes, and shows little more
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
histories = st.lists(events(), min_size=1, max_size=8)


def compiled(texts: Sequence[str]) -> CompiledBook:
    """The book as the product reads it: by the strict loader, from files."""
    with tempfile.TemporaryDirectory() as name:
        for number, text in enumerate(texts):
            (Path(name) / f"{number}.yaml").write_text(text, encoding="utf-8")
        return compile_book(load_book([Path(name)]), 1, "hash")


class Rater:
    """Rates one call after another, and keeps the periods of its customers as the rater does."""

    def __init__(self, book: CompiledBook) -> None:
        self.book = book
        self.states: dict[tuple[str, str, int], tuple[int, int]] = {}

    def rate(self, event: Json) -> Rating:
        customer = event["customer_id"]

        def before(pool: str, start_us: int) -> tuple[int, int]:
            return self.states.get((customer, pool, start_us), (0, 0))

        rating = rate(self.book, call_of_event(event, self.book.attributes), before)
        for state in rating.pools_after:
            self.states[customer, state.pool, state.start_us] = (state.quantity_atto, state.amount_atto)
        return rating

    def pools(self) -> Pools:
        return {key: (Fraction(q, ATTO), Fraction(a, ATTO)) for key, (q, a) in self.states.items()}


def full(event: Json, number: int = 0) -> Json:
    return whole({"source": "made up", "event_id": str(number), **event})


def as_amount(side: Side) -> Amount:
    amount = None if side.amount_atto is None else Fraction(side.amount_atto, ATTO)
    return Amount(side.status, amount, side.currency)


def by_meter(rating: Rating, side: str) -> dict[str, Fraction | None]:
    """What the lines of each meter say together; all of one pool, adjustments too, under its name."""
    pooled = {line.meter for line in rating.lines if is_pooled(rating, line)}
    found: dict[str, Fraction | None] = {}
    for line in rating.lines:
        if line.side != side:
            continue
        in_pool = line.meter == ADJUSTMENT or (side == "price" and line.meter in pooled)
        name = f"pool {rating.pools_after[0].pool}" if in_pool else line.meter
        before = found.get(name)
        amount = None if line.amount_atto is None else Fraction(line.amount_atto, ATTO)
        found[name] = amount if before is None else before + (amount or Fraction(0))
    return found


def is_pooled(rating: Rating, line: Any) -> bool:
    return line.side == "price" and any(state.pool in line.explain for state in rating.pools_after)


def in_words(rating: Rating) -> tuple[Any, ...]:
    """All that a rating says: the templates of two books are never the same objects."""
    return rating._replace(lines=()), [(astuple(line.template), *line[1:]) for line in rating.lines]


def sides_of(rating: Rating) -> Sides:
    return Sides(
        as_amount(rating.cost), as_amount(rating.price), by_meter(rating, "cost"), by_meter(rating, "price")
    )


def assert_lines_multiply(rating: Rating) -> None:
    """What a line shows is what is charged: the billed quantity at the rate (of a pool: at its tier)."""
    for line in rating.lines:
        if line.rate is None or line.per is None or line.amount_atto is None:
            continue
        rate_ = Fraction(line.rate) / Fraction(line.per)
        assert rate_ == Fraction(line.template.numerator, line.template.denominator)
        billed = line.quantity_atto if line.billed_atto is None else line.billed_atto
        away = abs(line.amount_atto - rate_ * billed)
        # Portions are rounded as the period is, so that they sum to it: each of their two ends by a half.
        assert away <= (1 if is_pooled(rating, line) else Fraction(1, 2))


@made
@given(books(), histories)
def test_a_history_costs_what_the_oracle_says(texts: list[str], history: list[Json]) -> None:
    rater, theirs, pools = Rater(compiled(texts)), Books(texts=texts), Pools()
    for number, event in enumerate(history):
        told = full(event, number)
        rating = rater.rate(told)
        assert sides_of(rating) == in_detail(theirs, told, pools)
        assert_lines_multiply(rating)
        assert rating.service_period == theirs.period(told["customer_id"], told["event_time_us"])
        assert rater.pools() == pools


@made
@given(books(), histories, st.data())
def test_batches_restarts_and_other_customers_change_nothing(
    texts: list[str], history: list[Json], data: st.DataObject
) -> None:
    """Whoever goes on from the states of another rates the same; so does each customer alone."""
    told = [full(event, number) for number, event in enumerate(history)]
    book = compiled(texts)
    rater = Rater(book)
    straight = [rater.rate(event) for event in told]
    first, then = Rater(book), Rater(compiled(texts))
    cut = data.draw(st.integers(0, len(told)))
    before = [first.rate(event) for event in told[:cut]]
    then.states = first.states
    again = [*before, *(then.rate(event) for event in told[cut:])]
    assert list(map(in_words, straight)) == list(map(in_words, again))
    assert then.states == rater.states
    for customer in {event["customer_id"] for event in told}:
        alone = Rater(book)
        mine = [in_words(alone.rate(event)) for event in told if event["customer_id"] == customer]
        both = zip(told, straight, strict=True)
        assert mine == [in_words(rating) for event, rating in both if event["customer_id"] == customer]


@made
@given(books(), histories, st.data())
def test_the_order_of_events_changes_no_period(
    texts: list[str], history: list[Json], data: st.DataObject
) -> None:
    """Whatever comes late: each period ends at the same; each other call costs the same."""
    told = [full(event, number) for number, event in enumerate(history)]
    book = compiled(texts)
    rater, other = Rater(book), Rater(book)
    one = {event["event_id"]: rater.rate(event) for event in told}
    two = {event["event_id"]: other.rate(event) for event in data.draw(st.permutations(told))}
    assert rater.states == other.states
    for number, rating in one.items():
        assert rating.cost == two[number].cost
        if not rating.pools_after:
            assert in_words(rating) == in_words(two[number])
