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
    ExchangeRate,
    ModelAlias,
    ModelPrefix,
    Multiplier,
    NotBilled,
    Pool,
    PoolVersion,
    PriceCard,
    Rate,
    RateCard,
    Schedule,
    Step,
    Thresholds,
    Tier,
    Variant,
    Window,
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
        ("u", "v", "w"), MODELS, INSTANTS, ("5", "6"), ({}, {"k": "b", "event.status": "refused"})
    )
)

spans = st.lists(st.sampled_from(BOUNDS), unique=True, max_size=3).flatmap(
    lambda cuts: st.lists(
        st.sampled_from(list(pairwise((None, *sorted(cuts), None)))), unique=True, min_size=1
    )
)
a_rate = st.sampled_from(("1", "2", "3")).map(lambda text: (Rate("input_tokens", text),))

beyond_five = a_rate.map(lambda rates: Thresholds((Step("5", rates),)))

NIGHT = Schedule("hours", "day", (Window("night", "00:00", "12:00"),))
TERMS: tuple[dict[str, Any], ...] = (
    {},
    {"multipliers": (Multiplier("double", "2"),)},
    {"schedules": (NIGHT,), "multipliers": (Multiplier("night", "3", (("hours", "night"),)),)},
    {"not_billed": (NotBilled((("event.status", "refused"),)),)},
    {"minimum": "40"},
    {"accepted": (("gap", "so it is"),)},
)
CUSTOMERS_TERMS: tuple[dict[str, Any], ...] = (
    {"base": Cell((Rate("input_tokens", pool="pool"),)), "variants": (), "multipliers": ()},
    {"base": Cell(()), "variants": (), "markup_percent": "50"},
    {"base": Cell((Rate("queries", "1"),)), "variants": (), "included": ("*",)},
)


@st.composite
def versions(draw: st.DrawFn, others: tuple[dict[str, Any], ...]) -> tuple[CardVersion, ...]:
    """Versions over time; `others` are further things that one may say."""
    key = draw(st.sampled_from((None, ContextKey("k", ("a", "b"), "a"), ContextKey("k", ("a", "b"), None))))
    variants: tuple[Variant, ...] = ()
    if key is not None and key.default is not None and draw(st.booleans()):
        variants = (Variant((("k", "b"),), Cell(draw(a_rate))),)
    return tuple(
        replace(
            CardVersion(
                Cell(
                    draw(a_rate), draw(st.none() | a_rate.map(lambda rates: Thresholds((Step("5", rates),))))
                ),
                start,
                end,
                (key,) if key is not None else (),
                variants,
                source=draw(st.sampled_from((None, "price page"))),
            ),
            **draw(st.sampled_from((*TERMS, *others))),
        )
        for start, end in draw(spans)
    )


@st.composite
def cards(draw: st.DrawFn, card_id: str, providers: tuple[str | None, ...], pooled: bool = False) -> RateCard:
    models = draw(st.lists(st.sampled_from(MODELS[:3]), unique=True, max_size=2))
    prefixes = [
        ModelPrefix(prefix, draw(st.integers(0, 1)), draw(st.sampled_from(((), ("x",)))))
        for prefix in draw(st.lists(st.sampled_from(("", "m", "MB")), unique=True, max_size=2))
    ]
    return RateCard(
        card_id,
        draw(st.sampled_from(providers)),
        "USD",
        draw(versions(CUSTOMERS_TERMS if pooled else ())),
        tuple(models) if models or prefixes else ("ma",),
        tuple(prefixes),
    )


def card_lists(
    name: str, providers: tuple[str | None, ...], size: int, *, pooled: bool = False
) -> st.SearchStrategy[tuple[RateCard, ...]]:
    each = (st.none() | cards(f"{name}{number}", providers, pooled) for number in range(size))
    return st.tuples(*each).map(lambda found: tuple(card for card in found if card is not None))


@st.composite
def assignments(draw: st.DrawFn) -> tuple[Assignment, ...]:
    return tuple(
        Assignment(customer, draw(st.sampled_from(("x", "y"))), start, end)
        for customer in ("*", "u", "v")
        for start, end in draw(st.just([]) | spans)
    )


@st.composite
def contracts(draw: st.DrawFn, name: str, currency: str) -> Contract:
    order = draw(st.permutations(("A", "B")))
    return Contract(name, currency, tuple(order), carry_over=draw(st.booleans()))


@st.composite
def pools(draw: st.DrawFn) -> tuple[Pool, ...]:
    tiers = st.sampled_from((Tier("0", "1"), Tier("0", "2"), Tier("0", "2", flat="9")))
    dated = tuple(
        PoolVersion("graduated", (draw(tiers),), valid_from_us=start, valid_to_us=end)
        for start, end in draw(spans)
    )
    return (Pool("pool", "USD", dated),)


@st.composite
def aliases(draw: st.DrawFn) -> tuple[ModelAlias, ...]:
    name = draw(st.sampled_from(("zz", "mbx")))
    return tuple(
        ModelAlias("p", name, draw(st.sampled_from(("ma", "mb"))), start, end)
        for start, end in draw(st.just([]) | spans)
    )


@st.composite
def exchange(draw: st.DrawFn) -> tuple[ExchangeRate, ...]:
    return tuple(
        ExchangeRate("USD", "EUR", draw(st.sampled_from(("2", "3"))), start, end)
        for start, end in draw(spans)
    )


def price_card(name: str, pooled: bool) -> st.SearchStrategy[PriceCard]:
    found = card_lists(name.lower(), ("P", None), 2, pooled=pooled)
    return st.builds(lambda cards, held: PriceCard(name, cards, held), found, pools())


def parts(pooled: bool) -> dict[str, st.SearchStrategy[Any]]:
    """What a book is made of: with pools and shares on cost, or with a contract in another currency."""
    return {
        "provider_cards": card_lists("c", ("P", "Q"), 3),
        "price_cards": st.tuples(price_card("A", pooled), price_card("B", pooled)),
        "contracts": st.tuples(contracts("x", "USD"), contracts("y", "USD" if pooled else "EUR")),
        "assignments": assignments(),
        "context_ignored": st.sampled_from(((), (), ("k",))),
        "aliases": aliases(),
        "exchange": exchange(),
    }


@st.composite
def pairs(draw: st.DrawFn) -> tuple[BookContent, BookContent]:
    """A book and another one, mostly the same but for one card or one part of the book."""
    pooled = draw(st.booleans())
    made = parts(pooled)
    old = BookContent(**{name: draw(strategy) for name, strategy in made.items()})
    part = draw(st.sampled_from((*made, "a provider card", "a customer card")))
    if part in made:
        return old, replace(old, **{part: draw(made[part])})
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
    known = {key: value for key, value in call.context.items() if key in book.attributes or key == "k"}
    rating = rate(book, call._replace(context=known), counted)
    return rating.cost, rating.price


def counted(pool: str, start_us: int) -> tuple[int, int]:
    """A period's quantity and amount so far, another one for each pool and start."""
    return (start_us % 97 + len(pool)) * 10**18, (start_us % 89) * 10**18


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
