"""The billed quantity: tiles of images, minimum, increment, at, below and above each boundary."""

import pytest

from pricing.cards import Rate, TileRule
from pricing.errors import UsageError
from pricing.money import ATTO, format_atto, parse_decimal
from pricing.quantity import QuantityRule, billed

TILES = TileRule("85", "85", "170")
"""The published rule of gpt-4o: squares of 512 px, in 2048 x 2048, shorter side 768."""


def rule_of(rate: Rate) -> QuantityRule:
    rule = QuantityRule.of(rate)
    assert rule is not None
    return rule


def tokens(images: str, tiles: TileRule = TILES, **context: str) -> str:
    found = billed(rule_of(Rate("input_images", "1", tiles=tiles)), parse_decimal(images, "images"), context)
    return format_atto(found) if isinstance(found, int) else found


def bills(quantity: str, minimum: str | None = None, increment: str | None = None) -> str:
    rule = rule_of(Rate("audio_seconds", "1", minimum=minimum, increment=increment))
    found = billed(rule, parse_decimal(quantity, "quantity"), {})
    return format_atto(found) if isinstance(found, int) else found


# --- minimum and increment


def test_a_rate_without_rules_bills_what_is_counted() -> None:
    assert QuantityRule.of(Rate("input_tokens", "1")) is None


@pytest.mark.parametrize(
    ("counted", "expected"),
    [("0", "0"), ("0.000000000000000001", "10"), ("9.99", "10"), ("10", "10"), ("10.01", "10.01")],
)
def test_a_quantity_above_nothing_is_billed_as_the_minimum_at_least(counted: str, expected: str) -> None:
    """At least 10 seconds: 9.99 is billed as 10, 10.01 as itself, nothing as nothing."""
    assert bills(counted, minimum="10") == expected


@pytest.mark.parametrize(
    ("counted", "expected"),
    [
        ("0", "0"),
        ("0.1", "15"),
        ("14.999999999999999999", "15"),
        ("15", "15"),
        ("15.000000000000000001", "30"),
        ("30", "30"),
    ],
)
def test_each_increment_is_billed_when_it_is_begun(counted: str, expected: str) -> None:
    """Steps of 15 seconds: up to 15 one, from the last place beyond 15 two."""
    assert bills(counted, increment="15") == expected


@pytest.mark.parametrize(
    ("counted", "expected"), [("1", "12"), ("10", "12"), ("11", "12"), ("12", "12"), ("12.5", "18")]
)
def test_the_increment_comes_after_the_minimum(counted: str, expected: str) -> None:
    """At least 10, in steps of 6: 1 -> 10 -> 12; 12.5 -> 18. The other way round 1 -> 6 -> 10."""
    assert bills(counted, minimum="10", increment="6") == expected


def test_an_increment_may_be_a_part_of_a_unit() -> None:
    """Tenths of a second: 1.01 -> 1.1; a thousandth part of 3: 1 -> 1.002 (334 steps of 0.003)."""
    assert bills("1.01", increment="0.1") == "1.1"
    assert bills("1", increment="0.003") == "1.002"


def test_a_billed_quantity_that_has_no_place_on_the_wire_is_refused() -> None:
    """20 nines before the point, in steps of 1000: 10**20."""
    assert bills("9" * 20, increment="1") == "9" * 20
    assert bills("9" * 20, increment="1000") == (
        "the billed quantity 100000000000000000000 has more than 20 digits before the point"
    )


def test_a_malformed_rule_is_named() -> None:
    with pytest.raises(UsageError, match="minimum"):
        QuantityRule.of(Rate("audio_seconds", "1", minimum="ten"))


# --- tiles


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("1024x1024", "765"),
        ("2048x4096", "1105"),
        ("4096x2048", "1105"),
        ("512x512", "255"),
        ("513x512", "425"),
        ("1x1", "255"),
    ],
)
def test_an_image_in_high_detail_costs_its_tiles(size: str, expected: str) -> None:
    """1024x1024 -> 768x768: 2 x 2 tiles, 4 x 170 + 85 = 765.

    2048x4096 -> 1024x2048 -> 768x1536: 2 x 3 tiles, 6 x 170 + 85 = 1105. 512x512 is one tile: 170 + 85 = 255;
    a pixel more is two: 340 + 85 = 425. A small image is not made larger.
    """
    assert tokens("1", image_sizes=size) == expected
    assert tokens("1", image_sizes=size, image_detail="high") == expected


def test_an_image_in_low_detail_costs_the_same_at_any_size() -> None:
    """4096x8192 in low detail: 85; three images: 3 x 85 = 255, with or without their sizes."""
    assert tokens("1", image_sizes="4096x8192", image_detail="low") == "85"
    assert tokens("3", image_sizes="1x1,512x512,9999x9", image_detail="low") == "255"
    assert tokens("3", image_detail="low") == "255"


def test_several_images_are_the_sum_of_each() -> None:
    """765 + 1105 + 255 = 2125."""
    assert tokens("3", image_sizes="1024x1024,2048x4096,512x512") == "2125"


@pytest.mark.parametrize(
    ("size", "tiles"),
    [
        ("768x1536", 6),  # 2 x 3, nothing to scale
        ("768x1537", 8),  # 1537 is a pixel more than 3 tiles: 2 x 4
        ("768x2048", 8),  # fits exactly: 2 x 4
        ("768x2049", 8),  # longer side 2048, shorter 768 x 2048/2049 = 767.6: 2 x 4
        ("769x1538", 6),  # x 768/769: 768 x 1536 exactly: 2 x 3
        ("769x1539", 8),  # x 768/769: 1536 + 768/769, a part of a pixel more than 3 tiles: 2 x 4
        ("1000x2000", 6),  # x 0.768: 768 x 1536 exactly: 2 x 3
        ("1000x1999", 6),  # 1535.232: 2 x 3
        ("1000x2001", 8),  # 2000 x 0.768 + 0.768 = 1536.768: 2 x 4
        ("2048x2048", 4),  # 768 x 768: 2 x 2
        ("512x8192", 4),  # x 2048/8192: 128 x 2048: 1 x 4
        ("511x2045", 4),  # nothing to scale: 1 x 4
        ("512x1", 1),
        ("999999x1", 4),  # 2048 x 0.002: a line is still a tile high: 4 x 1
    ],
)
def test_tiles_are_counted_on_the_exact_scaled_size(size: str, tiles: int) -> None:
    """Scaled sides are exact fractions; only the number of tiles along a side is rounded, up."""
    assert tokens("1", image_sizes=size) == str(85 + 170 * tiles)


def test_a_rule_brings_its_own_sizes_and_tokens() -> None:
    """Tiles of 100 px in 1000 px, shorter side 300: 2000x500 -> 1000x250: 10 x 3 tiles.

    30 x 0.5 + 2.5 = 17.5.
    """
    own = TileRule("1", "2.5", "0.5", tile_px=100, fit_px=1000, short_px=300)
    assert tokens("1", own, image_sizes="2000x500") == "17.5"


@pytest.mark.parametrize(
    ("images", "context", "reason"),
    [
        ("1.5", {"image_sizes": "1x1"}, "1.5 images is not a whole number"),
        ("1.5", {"image_detail": "low"}, "1.5 images is not a whole number"),
        ("1", {}, "the context must name image_sizes"),
        ("1", {"image_sizes": "1x1", "image_detail": "auto"}, "image_detail auto is unknown: low or high"),
        ("2", {"image_sizes": "1x1"}, "image_sizes names 1 images, the quantity is 2"),
        ("2", {"image_sizes": "1x1", "image_detail": "low"}, "image_sizes names 1 images, the quantity is 2"),
        ("1", {"image_sizes": "1x1,1x1"}, "image_sizes names 2 images, the quantity is 1"),
    ],
)
def test_images_that_cannot_be_told_are_refused_with_the_reason(
    images: str, context: dict[str, str], reason: str
) -> None:
    assert tokens(images, TILES, **context) == reason


@pytest.mark.parametrize(
    "sizes",
    ["", "1024", "1024x", "x1024", "0x5", "5x0", "-1x5", "1.5x2", "1x1, 2x2", "1x1,", "1X1", "1234567x1"],
)
def test_sizes_that_are_no_sizes_are_refused(sizes: str) -> None:
    assert tokens("1", image_sizes=sizes) == f"image_sizes {sizes} is not a list such as 1024x768,512x512"


def test_no_images_are_no_tokens_whatever_the_context_says() -> None:
    assert tokens("0") == "0"
    assert tokens("0", image_sizes="nonsense", image_detail="auto") == "0"


def test_minimum_and_increment_count_tokens_where_images_are_tokens() -> None:
    """Low detail, 2 images: 170 tokens; at least 200, in steps of 150: 300."""
    rule = rule_of(Rate("input_images", "1", minimum="200", increment="150", tiles=TILES))
    assert billed(rule, 2 * ATTO, {"image_detail": "low"}) == 300 * ATTO
