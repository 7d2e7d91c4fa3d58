"""Multipliers: which act, in which order, on which meters, and the rates that they make."""

from dataclasses import replace

import pytest

from pricing.cards import CardVersion, Cell, ContextKey, Multiplier, Rate, Step, Thresholds, Variant
from pricing.money import ATTO
from tests.unit.pricing.build import PROCESSING, TIER, M, book, card, cell, cost, flat, variant

REGION = ContextKey("region", ("us", "eu"), "us")
EU = Multiplier("eu premium", "1.1", (("region", "eu"),))
BATCH = Multiplier("batch", "0.5", (("processing", "batch"),))
KEYS = (REGION, PROCESSING, TIER)


def priced(*multipliers: Multiplier, variants: tuple[Variant, ...] = ()) -> CardVersion:
    return CardVersion(
        cell({"input_tokens": "3", "output_tokens": "9"}),
        context=KEYS,
        multipliers=multipliers,
        variants=variants,
    )


def rate_of(version: CardVersion, **context: str) -> str | None:
    return cost(book(card(version)), {"input_tokens": M}, context=context).lines[0].rate


def test_each_value_without_a_cell_brings_its_factor() -> None:
    """3; eu 3 x 1.1 = 3.3; batch 1.5; both 3 x 1.1 x 0.5 = 1.65."""
    version = priced(EU, BATCH)
    assert rate_of(version) == "3"
    assert rate_of(version, region="eu") == "3.3"
    assert rate_of(version, processing="batch") == "1.5"
    assert rate_of(version, region="eu", processing="batch") == "1.65"


def test_a_part_at_the_rate_of_its_whole_has_the_factors_of_the_whole() -> None:
    """eu input is 3 x 1.1 = 3.3, and so are cached tokens, which have no rate of their own;
    where they have a factor of their own as well 3.3 x 0.5 = 1.65."""
    premium = Multiplier("eu premium", "1.1", (("region", "eu"),), ("input_tokens",))
    cached = Multiplier("half", "0.5", (("processing", "batch"),), ("cache_read_tokens",))
    version = replace(priced(premium, cached), parts_at_whole_rate=("*",))
    usage = {"input_tokens": M, "cache_read_tokens": M}
    by = book(card(version))
    eu, both = (
        cost(by, usage, semantics="exclusive", context=context).lines
        for context in ({"region": "eu"}, {"region": "eu", "processing": "batch"})
    )
    assert [line.rate for line in (*eu, *both)] == ["3.3", "3.3", "3.3", "1.65"]


def test_wholes_that_only_factors_tell_apart_differ() -> None:
    """Cached audio is as much cached as audio: 3 both, but audio in the eu 3.3."""
    premium = Multiplier("eu premium", "1.1", (("region", "eu"),), ("input_audio_tokens",))
    rates = cell({"cache_read_tokens": "3", "input_audio_tokens": "3"})
    version = replace(priced(premium), base=rates, parts_at_whole_rate=("*",))
    by = book(card(version))
    usage = {"cache_audio_read_tokens": M}
    assert cost(by, usage, semantics="exclusive").cost.amount_atto == 3 * ATTO
    eu = cost(by, usage, semantics="exclusive", region="eu")
    assert eu.cost.amount_atto is None
    assert "those of cache_read_tokens and input_audio_tokens differ" in eu.lines[0].explain


def test_a_value_with_neither_cell_nor_factor_has_no_price() -> None:
    line = cost(
        book(card(priced(EU, BATCH))), {"input_tokens": M}, region="eu", service_tier="priority"
    ).lines[0]
    assert line.explain == "card p/m: no prices for the context region=eu, service_tier=priority"


def test_a_cell_that_names_the_value_is_the_published_price() -> None:
    """Batch is published at 1.4 and not 1.5; in the eu at 1.4 x 1.1 = 1.54. Both is published at 1.6."""
    batch = variant({"input_tokens": "1.4"}, processing="batch")
    both = variant({"input_tokens": "1.6"}, processing="batch", region="eu")
    assert rate_of(priced(EU, BATCH, variants=(batch,)), processing="batch") == "1.4"
    assert rate_of(priced(EU, BATCH, variants=(batch,)), processing="batch", region="eu") == "1.54"
    assert rate_of(priced(EU, BATCH, variants=(batch, both)), processing="batch", region="eu") == "1.6"


def test_two_cells_that_name_as_much_are_ambiguous() -> None:
    batch = variant({"input_tokens": "1.4"}, processing="batch")
    eu = variant({"input_tokens": "3.2"}, region="eu")
    line = cost(
        book(card(priced(EU, BATCH, variants=(batch, eu)))),
        {"input_tokens": M},
        processing="batch",
        region="eu",
    ).lines[0]
    assert line.status == "unpriced"
    assert line.explain == (
        "card p/m: ambiguous: the cells processing=batch and region=eu name as much of the context "
        "processing=batch, region=eu"
    )


def test_factors_are_told_in_the_order_of_the_version() -> None:
    for multipliers, said in (
        ((EU, BATCH), "3 x 1.1 (eu premium) x 0.5 (batch)"),
        ((BATCH, EU), "3 x 0.5 (batch) x 1.1 (eu premium)"),
    ):
        line = cost(
            book(card(priced(*multipliers))), {"input_tokens": M}, processing="batch", region="eu"
        ).lines[0]
        assert line.rate == "1.65"
        assert line.explain == (
            f"card p/m: input_tokens at its own rate, {said}; processing=batch, region=eu"
        )


def test_a_factor_of_some_meters_leaves_the_others_alone() -> None:
    """Output 9 x 1.1 = 9.9; reasoning goes at output's rate, and has a factor of its own: 9.9 x 2 = 19.8."""
    output = Multiplier("eu premium", "1.1", (("region", "eu"),), ("output_tokens",))
    reasoning = Multiplier("thought", "2", (), ("output_reasoning_tokens",))
    version = CardVersion(
        cell({"input_tokens": "3", "output_tokens": "9"}),
        context=(REGION,),
        multipliers=(output, reasoning),
        parts_at_whole_rate=("*",),
    )
    usage = {"input_tokens": M, "output_tokens": M, "output_reasoning_tokens": M}
    rating = cost(book(card(version)), usage, "exclusive", region="eu")
    assert [line.rate for line in rating.lines] == ["3", "9.9", "19.8"]


def test_a_factor_without_a_context_always_acts_on_inherited_rates_steps_and_fees_alike() -> None:
    """Factor 1.5 on 2, over 100 on 4, on the batch cell's inherited output 8, and on 0.1 an event."""
    version = CardVersion(
        Cell(
            (Rate("input_tokens", "2"), Rate("output_tokens", "8"), Rate("events", "0.1")),
            Thresholds((Step("100", (Rate("input_tokens", "4"),)),)),
        ),
        context=(PROCESSING,),
        multipliers=(Multiplier("like acme/base", "1.5"),),
        variants=(variant({"input_tokens": "1"}, ("output_tokens", "events"), processing="batch"),),
    )
    priced_by = book(card(version))
    assert [line.rate for line in cost(priced_by, {"input_tokens": "100"}).lines] == ["3", "0.15"]
    assert cost(priced_by, {"input_tokens": "101"}).lines[0].rate == "6"
    batch = cost(priced_by, {"output_tokens": "1"}, processing="batch").lines
    assert [(line.meter, line.rate) for line in batch] == [("output_tokens", "12"), ("events", "0.15")]


@pytest.mark.parametrize(
    ("rate", "factor", "per", "made"),
    [
        ("0.000000000000000001", "0.5", "1", ("0.000000000000000005", "10")),
        ("0.000000000000000003", "0.125", "1000", ("0.000000000000000375", "1000000")),
        ("0.1", "0.10", "1", ("0.01", "1")),
        ("5", "0", "7", ("0", "7")),
    ],
)
def test_a_rate_of_more_than_18_places_is_written_for_more_units(
    rate: str, factor: str, per: str, made: tuple[str, str]
) -> None:
    """0.5 x 10^-18 a unit is 5 x 10^-18 for ten. 3e-18 x 0.125 for 1000 is 375e-18 for a million."""
    version = CardVersion(Cell((Rate("input_tokens", rate, per),)), multipliers=(Multiplier("some", factor),))
    line = cost(book(card(version)), {"input_tokens": "20"}).lines[0]
    assert (line.rate, line.per) == made


def test_a_rate_of_more_than_38_digits_is_no_price() -> None:
    """10^-18 three times over has 54 places: for 10^36 units, which no number here can hold."""
    tiny = "0.000000000000000001"
    version = CardVersion(
        Cell((Rate("input_tokens", tiny),)), multipliers=(Multiplier("a", tiny), Multiplier("b", tiny))
    )
    line = cost(book(card(version)), {"input_tokens": "1"}).lines[0]
    assert line.status == "unpriced"
    assert line.explain.startswith(
        f"card p/m: input_tokens at its own rate, {tiny} x {tiny} (a) x {tiny} (b) has more than 38 digits"
    )


def test_the_amount_is_rounded_once_after_all_factors() -> None:
    """1 token at 1 for 3, times 1.1 and 0.5: 0.55 / 3 = 0.18333..., never the rounded third times 0.55."""
    version = CardVersion(
        Cell((Rate("input_tokens", "1", "3"),)), context=(REGION, PROCESSING), multipliers=(EU, BATCH)
    )
    line = cost(book(card(version)), {"input_tokens": "1"}, region="eu", processing="batch").lines[0]
    assert line.amount_atto == (55 * ATTO) // 300


def test_a_plain_card_is_as_it_was() -> None:
    line = cost(book(card(flat({"input_tokens": "3"}))), {"input_tokens": M}).lines[0]
    assert line.explain == "card p/m: input_tokens at its own rate; standard context"
