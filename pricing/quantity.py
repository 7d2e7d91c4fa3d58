"""From the quantity that an event counts to the one that is billed: tiles, minimum, increment."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from pricing.cards import Rate, TileRule
from pricing.money import ATTO, LIMIT, format_atto, parse_decimal

SIZES_KEY = "image_sizes"
DETAIL_KEY = "image_detail"
TILE_KEYS = frozenset((SIZES_KEY, DETAIL_KEY))
"""The context keys that only rates with tiles read."""

_SIZE = re.compile(r"([1-9][0-9]{0,5})x([1-9][0-9]{0,5})")


class Tiles(NamedTuple):
    """A `TileRule` with its tokens in atto; sides in pixels."""

    low_atto: int
    base_atto: int
    tile_atto: int
    tile_px: int
    fit_px: int
    short_px: int

    @classmethod
    def of(cls, rule: TileRule) -> "Tiles":
        """Raises UsageError where a number of tokens is not a plain decimal."""
        return cls(
            parse_decimal(rule.low_tokens, "low_tokens"),
            parse_decimal(rule.base_tokens, "base_tokens"),
            parse_decimal(rule.tile_tokens, "tile_tokens"),
            rule.tile_px,
            rule.fit_px,
            rule.short_px,
        )

    def tokens(self, width_px: int, height_px: int) -> int:
        """The tokens (in atto) of one image in high detail.

        Scaling down to fit a square of `fit_px` and then to a shorter side of `short_px` is one factor, the
        least of 1, fit/longer and short/shorter. The scaled sides stay exact fractions, never rounded to
        pixels; what is rounded, up, is the number of tiles along each side.
        """
        numerator, denominator = 1, 1
        for limit, side in (
            (self.fit_px, max(width_px, height_px)),
            (self.short_px, min(width_px, height_px)),
        ):
            if limit * denominator < numerator * side:
                numerator, denominator = limit, side
        tile = denominator * self.tile_px
        tiles = _ceil(width_px * numerator, tile) * _ceil(height_px * numerator, tile)
        return self.base_atto + self.tile_atto * tiles


class QuantityRule(NamedTuple):
    """What a rate makes of a counted quantity, in this order: tiles, minimum, increment. None: not asked."""

    minimum_atto: int | None
    increment_atto: int | None
    tiles: Tiles | None

    @classmethod
    def of(cls, rate: Rate) -> "QuantityRule | None":
        """The rule of a rate, None where it bills what is counted. Raises UsageError for a bad decimal."""
        if rate.minimum is None and rate.increment is None and rate.tiles is None:
            return None
        return cls(
            None if rate.minimum is None else parse_decimal(rate.minimum, "minimum"),
            None if rate.increment is None else parse_decimal(rate.increment, "increment"),
            None if rate.tiles is None else Tiles.of(rate.tiles),
        )


def billed(rule: QuantityRule, quantity_atto: int, context: Mapping[str, str]) -> int | str:
    """The billed quantity in atto, or the reason why it cannot be told. Nothing counted is nothing billed."""
    if quantity_atto == 0:
        return 0
    quantity = quantity_atto
    if rule.tiles is not None:
        tokens = _tokens(rule.tiles, quantity_atto, context)
        if isinstance(tokens, str):
            return tokens
        quantity = tokens
    if rule.minimum_atto is not None:
        quantity = max(quantity, rule.minimum_atto)
    if rule.increment_atto:
        quantity = _ceil(quantity, rule.increment_atto) * rule.increment_atto
    if quantity >= LIMIT:
        return f"the billed quantity {format_atto(quantity)} has more than 20 digits before the point"
    return quantity


def _tokens(tiles: Tiles, quantity_atto: int, context: Mapping[str, str]) -> int | str:
    images, rest = divmod(quantity_atto, ATTO)
    if rest:
        return f"{format_atto(quantity_atto)} images is not a whole number"
    detail = context.get(DETAIL_KEY, "high")
    if detail not in {"low", "high"}:
        return f"{DETAIL_KEY} {detail} is unknown: low or high"
    text = context.get(SIZES_KEY)
    if text is None and detail == "low":
        return tiles.low_atto * images  # whatever their sizes
    sizes = _sizes(text, images)
    if isinstance(sizes, str):
        return sizes
    return tiles.low_atto * images if detail == "low" else sum(tiles.tokens(*size) for size in sizes)


def _sizes(text: str | None, images: int) -> list[tuple[int, int]] | str:
    if text is None:
        return f"the context must name {SIZES_KEY}"
    matches = [_SIZE.fullmatch(size) for size in text.split(",")]
    sizes = [(int(match[1]), int(match[2])) for match in matches if match is not None]
    if len(sizes) != len(matches):
        return f"{SIZES_KEY} {text} is not a list such as 1024x768,512x512"
    if len(sizes) != images:
        return f"{SIZES_KEY} names {len(sizes)} images, the quantity is {images}"
    return sizes


def _ceil(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)
