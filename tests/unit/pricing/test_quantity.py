"""The billed quantity: tiles of images, minimum, increment."""

import pytest

from pricing.cards import Rate, TileRule
from pricing.money import ATTO
from pricing.quantity import QuantityRule, billed

TILES = TileRule("85", "85", "170")


def tokens(images: int, **context: str) -> int | str:
    rule = QuantityRule.of(Rate("input_images", "1", tiles=TILES))
    assert rule is not None
    found = billed(rule, images * ATTO, context)
    return found // ATTO if isinstance(found, int) else found


@pytest.mark.parametrize(
    ("size", "expected"),
    [("1024x1024", 765), ("2048x4096", 1105), ("4096x2048", 1105), ("512x512", 255), ("1x1", 255)],
)
def test_an_image_in_high_detail_costs_its_tiles(size: str, expected: int) -> None:
    """1024x1024 -> 768x768: 2 x 2 tiles, 4 x 170 + 85 = 765.

    2048x4096 -> 1024x2048 -> 768x1536: 2 x 3 tiles, 6 x 170 + 85 = 1105. 512x512: one tile, 170 + 85 = 255.
    """
    assert tokens(1, image_sizes=size) == expected
