"""Billed quantities, rounded amounts, and P(Q): arithmetic in fractions."""

import re
from collections.abc import Mapping
from fractions import Fraction
from math import ceil

from tests.oracle.books import Json
from tests.oracle.cells import Price, unit_of

PLACES = 10**18


def rounded(amount: Fraction) -> Fraction:
    """To 18 places; Python rounds a fraction half to even."""
    return Fraction(round(amount * PLACES), PLACES)


def billed(price: Price, quantity: Fraction, context: Mapping[str, str]) -> Fraction | None:
    """The quantity that is charged: tiles, then the minimum, then whole increments; None where unknown."""
    if not quantity:
        return quantity
    if price.tiles is not None:
        tokens = _tokens_of_images(price.tiles, quantity, context)
        if tokens is None:
            return None
        quantity = tokens
    quantity = max(quantity, price.minimum)
    if price.increment:
        quantity = ceil(quantity / price.increment) * price.increment
    return quantity


def _tokens_of_images(tiles: Json, count: Fraction, context: Mapping[str, str]) -> Fraction | None:
    detail = context.get("image_detail", "high")
    told = context.get("image_sizes", "").split(",")
    if detail not in ("low", "high") or len(told) != count:
        return None
    if not all(re.fullmatch("[1-9][0-9]*x[1-9][0-9]*", size) for size in told):
        return None
    sizes = [tuple(map(int, size.split("x"))) for size in told]
    if detail == "low":
        return Fraction(tiles["low"]) * count
    side, fit, short = (
        int(tiles.get(k, d)) for k, d in (("tile_px", 512), ("fit_px", 2048), ("short_px", 768))
    )
    tokens = Fraction(0)
    for width, height in sizes:
        scale = min(Fraction(1), Fraction(fit, max(width, height)))
        scale *= min(Fraction(1), Fraction(short) / (min(width, height) * scale))
        squares = ceil(width * scale / side) * ceil(height * scale / side)
        tokens += Fraction(tiles["base"]) + squares * Fraction(tiles["tile"])
    return tokens


def period_price(version: Json, quantity: Fraction) -> Fraction:
    """P(Q), not yet rounded."""
    rest = max(Fraction(0), quantity - Fraction(version.get("free", "0")))
    if not rest:
        return rest
    tiers = version["tiers"]
    if version["shape"] == "package":
        price, _, size = tiers[0]["rate"].partition(" per ")
        return ceil(rest / Fraction(size or "1")) * Fraction(price)
    starts = [Fraction(tier["start"]) for tier in tiers]
    at = version.get("operator", "gt") == "gte"
    reached = [not n or rest > start or (at and rest == start) for n, start in enumerate(starts)]
    flats = [Fraction(tier.get("flat", "0")) for tier in tiers]
    if version["shape"] == "volume":
        last = max(n for n, is_reached in enumerate(reached) if is_reached)
        return rest * unit_of(tiers[last]["rate"]) + flats[last]
    total = sum((flat for flat, is_reached in zip(flats, reached, strict=True) if is_reached), Fraction(0))
    for start, end, tier in zip(starts, [*starts[1:], max(rest, starts[-1])], tiers, strict=True):
        total += max(Fraction(0), min(rest, end) - start) * unit_of(tier["rate"])
    return total
