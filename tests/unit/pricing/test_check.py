"""A book with a fault is refused, naming card, field, value and rule."""

from dataclasses import replace

import pytest

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
    TileRule,
    Variant,
)
from pricing.check import check_book
from pricing.compile import compile_book
from pricing.errors import BookError
from pricing.meters import MeterDefinition
from tests.unit.pricing.build import PROCESSING, card, cell, flat, over, rates, variant

GOOD = card(flat({"input_tokens": "1"}))
SOLD = PriceCard("list", (GOOD,))
DEAL = Contract("deal", "USD", ("list",))


def version(**changes: object) -> RateCard:
    return card(replace(CardVersion(cell({"input_tokens": "1"})), **changes))  # type: ignore[arg-type]  # by name


def base(*own: Rate, thresholds: Thresholds | None = None) -> RateCard:
    return version(base=Cell(own, thresholds))


def steps(*starts: str) -> Thresholds:
    return Thresholds(tuple(Step(start, rates({"input_tokens": "2"})) for start in starts))


BATCH = variant({"input_tokens": "1"}, processing="batch")

CARD_FAULTS = [
    (base(Rate("input_tokens", "-1")), "versions[0].base.rates.input_tokens.rate", "'-1'", "0 or more"),
    (
        base(Rate("input_tokens", "1e-6")),
        "versions[0].base.rates.input_tokens.rate",
        "'1e-6'",
        "plain decimal",
    ),
    (base(Rate("input_tokens", "1", "0")), "versions[0].base.rates.input_tokens.per", "'0'", "above 0"),
    (base(Rate("zebras", "1")), "versions[0].base.rates", "zebras", "not a known meter"),
    (base(Rate("*", "1")), "versions[0].base.rates", "*", "not a known meter"),
    (base(Rate("images", "1"), Rate("images", "2")), "versions[0].base.rates", "images", "two rates"),
    (base(Rate("images")), "versions[0].base.rates.images.rate", "''", "plain decimal"),
    (base(Rate("images", "1", minimum="0")), "versions[0].base.rates.images.minimum", "'0'", "above 0"),
    (base(Rate("images", "1", increment="x")), "versions[0].base.rates.images.increment", "'x'", "above 0"),
    (
        base(Rate("input_tokens", "1", tiles=TileRule("85", "85", "170"))),
        "versions[0].base.rates.input_tokens.tiles",
        "input_tokens",
        "must count images",
    ),
    (
        base(Rate("images", "1", tiles=TileRule("85", "-85", "170"))),
        "versions[0].base.rates.images.tiles.base_tokens",
        "'-85'",
        "plain decimal",
    ),
    (
        base(Rate("images", "1", tiles=TileRule("85", "85", "170", tile_px=0))),
        "versions[0].base.rates.images.tiles.tile_px",
        "0",
        "above 0",
    ),
    (base(thresholds=steps("5", "5")), "versions[0].base.thresholds.steps[1].start", "5", "ascend"),
    (base(thresholds=steps("x")), "versions[0].base.thresholds.steps[0].start", "'x'", "plain decimal"),
    (base(thresholds=steps()), "versions[0].base.thresholds.steps", "()", "must have a step"),
    (
        base(thresholds=Thresholds(steps("5").steps, "zebras")),
        "versions[0].base.thresholds.selector",
        "zebras",
        "known meter",
    ),
    (
        base(thresholds=Thresholds(steps("5").steps, operator="lt")),  # type: ignore[arg-type]  # the fault
        "versions[0].base.thresholds.operator",
        "'lt'",
        "gt or gte",
    ),
    (
        base(thresholds=Thresholds((Step("5", (), ("zebras",)),))),
        "versions[0].base.thresholds.steps[0].inherit",
        "zebras",
        "known meter",
    ),
    (version(parts_at_whole_rate=("zebras",)), "versions[0].parts_at_whole_rate", "zebras", "known meter"),
    (
        version(valid_from_us=5, valid_to_us=5),
        "versions",
        "[1970-01-01T00:00:00.000005Z, 1970-01-01T00:00:00.000005Z)",
        "before its end",
    ),
    (version(context=(PROCESSING, PROCESSING)), "versions[0].context", "processing", "declared twice"),
    (
        version(context=(ContextKey("k", ("a", "a"), "a"),)),
        "versions[0].context.k",
        "a",
        "listed twice",
    ),
    (version(context=(ContextKey("k", (), None),)), "versions[0].context.k", "()", "must have a value"),
    (version(context=(ContextKey("k", ("a",), "b"),)), "versions[0].context.k", "b", "one of the values"),
    (
        version(context=(PROCESSING,), variants=(BATCH, BATCH)),
        "versions[0].variants",
        "processing=batch",
        "two variants",
    ),
    (version(variants=(BATCH,)), "versions[0].variants[processing=batch]", "processing", "not a context key"),
    (
        version(context=(PROCESSING,), variants=(variant({}, processing="Batch"),)),
        "versions[0].variants[processing=Batch]",
        "processing=Batch",
        "one of standard, batch",
    ),
    (
        version(context=(PROCESSING,), variants=(variant({}, processing="standard"),)),
        "versions[0].variants[processing=standard]",
        "processing=standard",
        "is the default",
    ),
    (version(variants=(Variant((), cell({})),)), "versions[0].variants[]", "()", "must name a context value"),
    (
        version(context=(PROCESSING,), variants=(variant({}, ("zebras",), processing="batch"),)),
        "versions[0].variants[processing=batch].inherit",
        "zebras",
        "known meter",
    ),
    (
        version(
            base=cell({"input_tokens": "1"}, over("5", {"input_tokens": "2"})),
            context=(PROCESSING,),
            variants=(variant({}, ("*",), over("5", {"input_tokens": "1"}, "gte"), processing="batch"),),
        ),
        "versions[0].variants[processing=batch].thresholds",
        "input_tokens gte",
        "those of the base",
    ),
    (replace(GOOD, card_id=""), "card_id", "''", "not be empty"),
    (replace(GOOD, provider=None), "provider", "None", "must name its provider"),
    (replace(GOOD, currency="usd"), "currency", "'usd'", "ISO 4217"),
    (replace(GOOD, currency="CREDIT"), "currency", "'CREDIT'", "a declared unit"),
    (replace(GOOD, models=()), "models", "()", "by name or by prefix"),
    (replace(GOOD, models=("m", "M")), "models", "m", "listed twice"),
    (replace(GOOD, versions=()), "versions", "()", "must have a version"),
]


@pytest.mark.parametrize(("faulty", "field", "value", "rule"), CARD_FAULTS)
def test_a_faulty_card_is_named(faulty: RateCard, field: str, value: str, rule: str) -> None:
    (fault,) = check_book(BookContent((faulty,)))
    assert (fault.card, fault.field, fault.value) == (faulty.card_id, field, value)
    assert rule in fault.rule


@pytest.mark.parametrize(
    ("spans", "faults"),
    [
        ([(None, 5), (5, None)], 0),
        ([(5, None), (None, 5)], 0),
        ([(1, 5), (6, 7)], 0),
        ([(None, 6), (5, None)], 1),
        ([(None, None), (5, None)], 1),
        ([(1, None), (5, 6)], 1),
        ([(None, None), (None, None)], 1),
        ([(1, 9), (2, 3), (4, 5)], 2),
    ],
)
def test_versions_and_assignments_do_not_overlap(
    spans: list[tuple[int | None, int | None]], faults: int
) -> None:
    dated = card(*(CardVersion(cell({}), start, end) for start, end in spans))
    assert len(check_book(BookContent((dated,)))) == faults
    assigned = tuple(Assignment("acme", "deal", start, end) for start, end in spans)
    content = BookContent((), (SOLD,), (DEAL,), assigned)
    assert [fault.card for fault in check_book(content)] == ["assignment of acme"] * faults


@pytest.mark.parametrize(
    ("second", "faults"),
    [
        (card(flat({}), model="M", card_id="other"), 1),
        (card(flat({}), model="m", provider="P", card_id="other"), 1),
        (card(flat({}), model="m", provider="q", card_id="other"), 0),
        (card(flat({}), model="", card_id="other", prefixes=[ModelPrefix("g")]), 1),
        (card(flat({}), model="", card_id="other", prefixes=[ModelPrefix("g", 1)]), 0),
        (card(flat({}), model="", card_id="other", prefixes=[ModelPrefix("gp")]), 0),
    ],
)
def test_two_cards_for_one_model_at_one_priority_are_ambiguous(second: RateCard, faults: int) -> None:
    first = card(flat({}), prefixes=[ModelPrefix("G")])
    found = check_book(BookContent((first, second)))
    assert [(fault.card, "same priority" in fault.rule) for fault in found] == [("other", True)] * faults


BOOK_FAULTS = [
    (BookContent((GOOD, replace(GOOD, models=("x",)))), "book", "provider_cards", "p/m"),
    (BookContent(dimensions=("a", "a")), "book", "dimensions", "a"),
    (BookContent(meters=(MeterDefinition("images", (("family", "x"),)),)), "book", "meters", "images"),
    *(
        (BookContent(meters=(MeterDefinition(name, (("family", "x"),)),)), "book", "meters", name)
        for name in ("*", "minimum_charge", "provider_cost", "tier_adjustment")
    ),
    (BookContent((), (SOLD, SOLD)), "book", "price_cards", "list"),
    (BookContent((), (SOLD,), (DEAL, DEAL)), "book", "contracts", "deal"),
    (BookContent((), (), (DEAL,)), "deal", "price_cards", "list"),
    (BookContent((), (SOLD,), (replace(DEAL, price_cards=("list", "list")),)), "deal", "price_cards", "list"),
    (BookContent((), (SOLD,), (replace(DEAL, currency="EUR"),)), "deal", "currency", "EUR"),
    (
        BookContent((), (SOLD,), (replace(DEAL, billing_period="weekly"),)),  # type: ignore[arg-type]  # the fault
        "deal",
        "billing_period",
        "'weekly'",
    ),
    (BookContent((), (), (), (Assignment("acme", "none"),)), "assignment of acme", "contract_id", "none"),
    (BookContent((), (SOLD,), (DEAL,), (Assignment("", "deal"),)), "assignment", "customer", "''"),
]


@pytest.mark.parametrize(("content", "owner", "field", "value"), BOOK_FAULTS)
def test_a_faulty_book_is_refused_with_every_fault(
    content: BookContent, owner: str, field: str, value: str
) -> None:
    with pytest.raises(BookError) as caught:
        compile_book(content, 1, "hash")
    (fault,) = caught.value.faults
    assert (fault.card, fault.field, fault.value) == (owner, field, value)
    assert str(fault) in str(caught.value)


def test_all_faults_are_told_at_once() -> None:
    bad = base(Rate("zebras", "-1", "0"))
    assert len(check_book(BookContent((bad, replace(GOOD, card_id="x", models=("y",), currency=""))))) == 4
