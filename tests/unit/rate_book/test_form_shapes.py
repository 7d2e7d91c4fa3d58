"""Every price shape in YAML, into the dataclasses; and what is refused, by file, card, field and value."""

from pathlib import Path

import pytest

from pricing.cards import (
    CardVersion,
    Cell,
    ContextKey,
    Multiplier,
    NotBilled,
    Rate,
    RateCard,
    Schedule,
    TileRule,
    Variant,
    Window,
)
from rate_book.errors import BookInvalidError
from rate_book.form import load_book
from tests.unit.rate_book.yaml_files import refused, written

HEAD = "provider: acme\ncurrency: USD\ncards:\n  - card: acme/one\n    models: [one]\n"


def card_of(tmp_path: Path, version: str) -> RateCard:
    """The card with one version that says this, on lines of its own."""
    text = HEAD + "    versions:\n      - " + version.strip().replace("\n", "\n        ") + "\n"
    return load_book([written(tmp_path, book=text)]).provider_cards[0]


def version_of(tmp_path: Path, version: str) -> CardVersion:
    return card_of(tmp_path, version).versions[0]


def refused_version(tmp_path: Path, version: str) -> BookInvalidError:
    with pytest.raises(BookInvalidError) as caught:
        version_of(tmp_path, version)
    assert "book.yaml: acme/one" in caught.value.where
    return caught.value


def test_a_rate_may_say_how_its_quantity_is_billed(tmp_path: Path) -> None:
    rates = version_of(
        tmp_path,
        """
rates:
  audio_seconds: {rate: 0.04 per 3600, minimum: 10.0, increment: 1}
  input_images: {rate: "5 per 1000000", tiles: {low: 85, base: 85, tile: 170, short_px: 512}}
  output_tokens: 15 per 1000000
""",
    ).base.rates
    assert rates == (
        Rate("audio_seconds", "0.04", "3600", "10", "1"),
        Rate("input_images", "5", "1000000", tiles=TileRule("85", "85", "170", 512, 2048, 512)),
        Rate("output_tokens", "15", "1000000"),
    )


def test_schedules_multipliers_and_what_is_not_billed(tmp_path: Path) -> None:
    version = version_of(
        tmp_path,
        """
rates: {input_tokens: 2}
schedules:
  - key: hours
    default: normal
    zone: Asia/Shanghai
    windows:
      - {value: peak, days: [tue, mon], from: "09:00", to: "12:00"}
      - {value: night, from: "22:00", to: "06:00"}
    holidays: ["2026-10-02", "2026-10-01"]
multipliers:
  - {name: peak, factor: 2.0, when: {hours: peak}, meters: [output_tokens, input_tokens]}
  - {name: always, factor: 1.10}
not_billed:
  - {when: {event.status: refused}, without: [output_tokens]}
minimum: 0.010
accepted: {gap: as agreed}
""",
    )
    assert version.schedules == (
        Schedule(
            "hours",
            "normal",
            (Window("night", "22:00", "06:00"), Window("peak", "09:00", "12:00", ("mon", "tue"))),
            "Asia/Shanghai",
            ("2026-10-01", "2026-10-02"),
        ),
    )
    assert version.multipliers == (
        Multiplier("peak", "2", (("hours", "peak"),), ("input_tokens", "output_tokens")),
        Multiplier("always", "1.1"),
    )
    assert version.not_billed == (NotBilled((("event.status", "refused"),), ("output_tokens",)),)
    assert (version.minimum, version.accepted) == ("0.01", (("gap", "as agreed"),))


MATRIX = """
rates: {input_tokens: 1}
context:
  size: {values: [small, large], default: small}
  quality: {values: [low, high], default: low}
matrix:
  keys: [size, quality]
  meter: output_images
  per: 10
  cells:
    - {values: [small, low], rate: 0.11}
    - {values: [large, low], rate: 0.2}
    - {values: [large, high], rate: 0.40}
"""


def test_a_matrix_is_a_base_rate_and_variants(tmp_path: Path) -> None:
    version = version_of(tmp_path, MATRIX)
    assert version.base == Cell((Rate("input_tokens", "1"), Rate("output_images", "0.11", "10")))
    assert version.variants == (
        Variant(
            (("quality", "high"), ("size", "large")), Cell((Rate("output_images", "0.4", "10"),)), ("*",)
        ),
        Variant((("size", "large"),), Cell((Rate("output_images", "0.2", "10"),)), ("*",)),
    )
    narrow = version_of(tmp_path, MATRIX.replace("  per: 10\n", "  inherit: [input_tokens]\n"))
    assert {variant.inherit for variant in narrow.variants} == {("input_tokens",)}


def test_a_markup_has_a_fee_and_a_least_amount(tmp_path: Path) -> None:
    version = version_of(tmp_path, "markup: {percent: 20.0, fixed: 0.001, minimum: 0.01}")
    assert version == CardVersion(Cell((Rate("events", "0.001"),)), markup_percent="20", minimum="0.01")
    assert version_of(tmp_path, "markup: {percent: 5}\nminimum: 1").minimum == "1"


def test_stated_costs_and_included_meters(tmp_path: Path) -> None:
    assert version_of(tmp_path, "stated_cost: true") == CardVersion(Cell(()), stated_cost=True)
    version = version_of(tmp_path, 'rates: {queries: 0.05}\nincluded: ["*"]')
    assert version == CardVersion(Cell((Rate("queries", "0.05"),)), included=("*",))


@pytest.mark.parametrize(
    ("version", "field", "value", "rule"),
    [
        ("rates: {images: {rate: 1, pool: p}}", "rates.images.rate", None, "either"),
        ("rates: {images: {minimum: 1}}", "rates.images.rate", None, "either"),
        ("rates: {images: {rate: 1, maximum: 1}}", "rates.images.maximum", "1", "unknown key"),
        ("rates: {images: [1]}", "rates.images", ["1"], "mapping"),
        ('rates: {images: ""}', "rates.images", "", "not empty"),
        ("rates: {images: {rate: 1, increment: -1}}", "rates.images.increment", "-1", "plain decimal"),
        ("rates: {images: {rate: 1, tiles: {low: 1}}}", "rates.images.tiles.base", None, "required"),
        ("schedules: [{key: k, default: d, windows: [{value: v}]}]", "windows[1].from", None, "required"),
        ("multipliers: [{name: m}]", "multipliers[1].factor", None, "required"),
        ("multipliers: [{name: m, factor: 1e2}]", "multipliers[1].factor", "1e2", "plain decimal"),
        ("not_billed: [{if: {}}]", "not_billed[1].if", {}, "unknown key"),
        ("not_billed: [{when: {event.mood: sad}}]", "when", "event.mood", "no attribute of events"),
        ("context: {event.tag.: {values: [a]}}", "key", "event.tag.", "no attribute of events"),
        ("included: all", "included", "all", "must be a list"),
        ("stated_cost: yes", "stated_cost", "yes", "true or false"),
        ("markup: {fixed: 1}", "markup.percent", None, "required"),
        ("minimum: 1\nmarkup: {percent: 1, minimum: 2}", "markup.minimum", "2", "already"),
        ("accepted: {laziness: why not}", "accepted", "laziness", "must be one of"),
        ("accepted: {gap: }", "accepted.gap", "", "not empty"),
        (MATRIX.replace("[size, quality]", "[size, colour]"), "matrix.keys", "colour", "declare it"),
        (MATRIX.replace("[large, high]", "[large]"), "values", ["large"], "one value for each"),
        (MATRIX.replace("[large, high]", "[large, low]"), "values", ["large", "low"], "the same values"),
        (MATRIX.replace("[size, quality]", "[]"), "matrix.keys", None, "must name"),
        (MATRIX.partition("    - ")[0].replace("cells:", "cells: []"), "matrix.cells", None, "have a cell"),
    ],
)
def test_a_faulty_version_is_refused_by_card_field_and_value(
    tmp_path: Path, version: str, field: str, value: object, rule: str
) -> None:
    error = refused_version(tmp_path, version)
    assert error.field.endswith(field)
    assert error.value == value
    assert rule in error.rule


LIKE = (
    HEAD
    + """    versions: [{rates: {input_tokens: 2}, source: page}]
  - card: acme/tuned
    prefixes: [{prefix: "ft:one"}]
    like: acme/one
    factor: 1.50
"""
)


def test_a_card_that_is_like_another_has_its_versions_at_a_factor(tmp_path: Path) -> None:
    one, tuned = load_book([written(tmp_path, book=LIKE)]).provider_cards
    assert tuned.versions == (
        CardVersion(one.versions[0].base, source="page", multipliers=(Multiplier("like acme/one", "1.5"),)),
    )
    assert (tuned.card_id, tuned.models, tuned.prefixes[0].prefix) == ("acme/tuned", (), "ft:one")
    plain = load_book([written(tmp_path, book=LIKE.replace("    factor: 1.50\n", ""))])
    assert plain.provider_cards[1].versions == one.versions


@pytest.mark.parametrize(
    ("old", "new", "field", "value"),
    [
        ("like: acme/one", "like: acme/two", "like", "acme/two"),
        ("like: acme/one", "like: acme/tuned", "like", "acme/tuned"),
        ("factor: 1.50", "versions: [{rates: {images: 1}}]", "versions", 1),
        ("    like: acme/one\n", "", "factor", "1.50"),
    ],
)
def test_a_card_that_is_like_nothing_is_refused(
    tmp_path: Path, old: str, new: str, field: str, value: object
) -> None:
    error = refused(tmp_path, LIKE.replace(old, new))
    assert (error.field.rpartition(".")[2], error.value) == (field, value)
    assert error.where.endswith("acme/tuned")


CORRECTION = (
    HEAD.replace("    models", "    corrects: the page says 3\n    models").replace(
        "USD", "USD\nsource: page"
    )
    + "    versions: [{rates: {input_tokens: 3}}]\n"
)


def test_a_correction_stands_in_the_place_of_an_earlier_directorys_card(tmp_path: Path) -> None:
    lists = written(tmp_path / "lists", book=LIKE)
    corrections = written(tmp_path / "corrections", book=CORRECTION)
    one, tuned = load_book([lists, corrections]).provider_cards
    assert one.versions == (CardVersion(Cell((Rate("input_tokens", "3"),)), source="page; the page says 3"),)
    assert tuned.versions[0].base.rates[0].rate == "2"  # a card of the list stays like the list's


@pytest.mark.parametrize(
    ("second", "rule"),
    [
        (CORRECTION.replace("{input_tokens: 3}", "{input_tokens: 4}"), "not corrected here already"),
        (CORRECTION.replace("provider: ", "provider: not-"), "is one of provider"),
    ],
)
def test_a_card_has_one_correction_and_it_is_of_its_provider(tmp_path: Path, second: str, rule: str) -> None:
    """Names of files mean nothing, so of two corrections in one directory neither can be the one."""
    lists = written(tmp_path / "lists", book=LIKE)
    files = {"b": second} if "provider" in rule else {"a": CORRECTION, "b": second}
    with pytest.raises(BookInvalidError, match=rule) as caught:
        load_book([lists, written(tmp_path / "corrections", **files)])
    assert caught.value.field == "cards[1].corrects"
    once = written(tmp_path / "once", book=CORRECTION)
    again = written(tmp_path / "again", book=CORRECTION)
    assert len(load_book([lists, once, again]).provider_cards) == 2  # in directories of their own


def test_a_correction_of_nothing_is_refused(tmp_path: Path) -> None:
    """The card must stand in a directory before, not beside."""
    error = refused(tmp_path / "alone", CORRECTION)
    assert (error.field, error.value) == ("cards[1].corrects", "the page says 3")
    beside = written(tmp_path / "beside", a=LIKE, b=CORRECTION)
    with pytest.raises(BookInvalidError, match="no directory before this one"):
        load_book([beside])


def test_context_keys_may_be_attributes_of_the_event(tmp_path: Path) -> None:
    version = version_of(tmp_path, "context: {event.tag.team: {values: [red, blue]}}")
    assert version.context == (ContextKey("event.tag.team", ("blue", "red"), None),)
