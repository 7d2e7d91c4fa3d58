"""What raters rely on: before the first instant that `changes` names, two books rate every call alike."""

from dataclasses import replace
from itertools import pairwise, product
from typing import Any

from hypothesis import HealthCheck, assume, event, example, given, settings
from hypothesis import strategies as st

from pricing.cards import (
    Assignment,
    BookContent,
    CardVersion,
    Cell,
    ContextKey,
    Contract,
    ModelPrefix,
    PriceCard,
    Rate,
    RateCard,
    Step,
    Thresholds,
    Variant,
)
from pricing.compile import CompiledBook, compile_book
from pricing.errors import BookError
from pricing.rate import Call, Side, rate
from rate_book.changes import EVER, NEVER, changes

MODELS = ("ma", "mb", "mbx", "zz")
BOUNDS = (10, 20, 30, 40)
INSTANTS = (5, 10, 19, 20, 25, 30, 39, 40, 45)
CALLS = tuple(
    Call(customer, "P", model, at_us, {"input_tokens": quantity}, "inclusive", context)
    for customer, model, at_us, quantity, context in product(
        ("u", "v", "w"), MODELS, INSTANTS, ("5", "6"), ({}, {"k": "b"})
    )
)

spans = st.lists(st.sampled_from(BOUNDS), unique=True, max_size=3).flatmap(
    lambda cuts: st.lists(
        st.sampled_from(list(pairwise((None, *sorted(cuts), None)))), unique=True, min_size=1
    )
)
a_rate = st.sampled_from(("1", "2", "3")).map(lambda text: (Rate("input_tokens", text),))


@st.composite
def versions(draw: st.DrawFn) -> tuple[CardVersion, ...]:
    key = draw(st.sampled_from((None, ContextKey("k", ("a", "b"), "a"), ContextKey("k", ("a", "b"), None))))
    variants: tuple[Variant, ...] = ()
    if key is not None and key.default is not None and draw(st.booleans()):
        variants = (Variant((("k", "b"),), Cell(draw(a_rate))),)
    return tuple(
        CardVersion(
            Cell(draw(a_rate), draw(st.none() | a_rate.map(lambda rates: Thresholds((Step("5", rates),))))),
            start,
            end,
            (key,) if key is not None else (),
            variants,
            source=draw(st.sampled_from((None, "price page"))),
        )
        for start, end in draw(spans)
    )


@st.composite
def cards(draw: st.DrawFn, card_id: str, providers: tuple[str | None, ...]) -> RateCard:
    models = draw(st.lists(st.sampled_from(MODELS[:3]), unique=True, max_size=2))
    prefixes = [
        ModelPrefix(prefix, draw(st.integers(0, 1)), draw(st.sampled_from(((), ("x",)))))
        for prefix in draw(st.lists(st.sampled_from(("", "m", "MB")), unique=True, max_size=2))
    ]
    return RateCard(
        card_id,
        draw(st.sampled_from(providers)),
        "USD",
        draw(versions()),
        tuple(models) if models or prefixes else ("ma",),
        tuple(prefixes),
    )


def card_lists(
    name: str, providers: tuple[str | None, ...], size: int
) -> st.SearchStrategy[tuple[RateCard, ...]]:
    each = (st.none() | cards(f"{name}{number}", providers) for number in range(size))
    return st.tuples(*each).map(lambda found: tuple(card for card in found if card is not None))


@st.composite
def assignments(draw: st.DrawFn) -> tuple[Assignment, ...]:
    return tuple(
        Assignment(customer, draw(st.sampled_from(("x", "y"))), start, end)
        for customer in ("*", "u", "v")
        for start, end in draw(st.just([]) | spans)
    )


def contracts(name: str) -> st.SearchStrategy[Contract]:
    return st.permutations(("A", "B")).map(lambda order: Contract(name, "USD", tuple(order)))


PARTS: dict[str, st.SearchStrategy[Any]] = {
    "provider_cards": card_lists("c", ("P", "Q"), 3),
    "price_cards": st.tuples(
        card_lists("a", ("P", None), 2).map(lambda found: PriceCard("A", found)),
        card_lists("b", ("P", None), 2).map(lambda found: PriceCard("B", found)),
    ),
    "contracts": st.tuples(contracts("x"), contracts("y")),
    "assignments": assignments(),
    "context_ignored": st.sampled_from(((), (), ("k",))),
}
books = st.fixed_dictionaries(PARTS).map(lambda parts: BookContent(**parts))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[BookContent, BookContent]:
    """A book and another one, mostly the same but for one card or one part of the book."""
    old = draw(books)
    part = draw(st.sampled_from((*PARTS, "a provider card", "a customer card")))
    if part in PARTS:
        return old, replace(old, **{part: draw(PARTS[part])})
    if part == "a provider card":
        return old, replace(old, provider_cards=draw(_one_changed(old.provider_cards, "c", ("P", "Q"))))
    first, second = old.price_cards
    return old, replace(
        old, price_cards=(replace(first, cards=draw(_one_changed(first.cards, "a", ("P", None)))), second)
    )


@st.composite
def _one_changed(
    draw: st.DrawFn, known: tuple[RateCard, ...], name: str, providers: tuple[str | None, ...]
) -> tuple[RateCard, ...]:
    """One card added, taken away, matched otherwise, or priced otherwise."""
    fresh = draw(cards(f"{name}9", providers))
    if not known or draw(st.booleans()):
        return (*known, fresh)
    at = draw(st.integers(0, len(known) - 1))
    change = draw(st.sampled_from(("gone", "matched", "priced")))
    if change == "gone":
        return (*known[:at], *known[at + 1 :])
    changed = (
        replace(known[at], models=fresh.models, prefixes=fresh.prefixes)
        if change == "matched"
        else replace(known[at], versions=fresh.versions)
    )
    return (*known[:at], changed, *known[at + 1 :])


def compiled(content: BookContent) -> CompiledBook | None:
    try:
        return compile_book(content, 1, "")
    except BookError:
        return None


def sides(book: CompiledBook, call: Call) -> tuple[Side, Side]:
    rating = rate(book, call)
    return rating.cost, rating.price


def one_price(card_id: str, start: int | None, models: tuple[str, ...], prefix: str | None) -> RateCard:
    version = CardVersion(Cell((Rate("input_tokens", "2"),)), start)
    prefixes = (ModelPrefix(prefix),) if prefix is not None else ()
    return RateCard(card_id, "P", "USD", (version,), models, prefixes)


BESIDE_A_PREFIX = BookContent((one_price("c0", None, (), "m"),))
TAKEN_OVER = replace(
    BESIDE_A_PREFIX, provider_cards=(one_price("c0", None, (), "m"), one_price("c9", 30, ("ma",), None))
)


@example((BESIDE_A_PREFIX, TAKEN_OVER))
@example((TAKEN_OVER, BESIDE_A_PREFIX))
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(pairs())
def test_before_the_first_change_every_call_is_rated_alike(pair: tuple[BookContent, BookContent]) -> None:
    old, new = pair
    before, after = compiled(old), compiled(new)
    assume(before is not None and after is not None)
    assert before is not None
    assert after is not None
    found = changes(old, new)
    first_us = NEVER if not found else EVER if found[0].from_us is None else found[0].from_us
    event("no change" if not found else "since ever" if first_us == EVER else "dated")
    for call in CALLS:
        if call.at_us < first_us:
            assert sides(before, call) == sides(after, call), call
