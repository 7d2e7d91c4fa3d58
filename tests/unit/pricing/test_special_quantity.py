"""Billed quantities in a rating: minimum, increment and tiles at 0, below, at and above each boundary."""

import pytest

from pricing.cards import CardVersion, Cell, Rate, TileRule
from pricing.money import ATTO, parse_decimal
from tests.unit.pricing.build import M, book, card, cost

AUDIO = "audio_seconds"


def seconds(minimum: str | None, increment: str | None) -> CardVersion:
    return CardVersion(Cell((Rate(AUDIO, "0.5", minimum=minimum, increment=increment),)))


@pytest.mark.parametrize(
    ("minimum", "increment", "counted", "billed"),
    [
        ("10", None, "0", "0"),
        ("10", None, "0.1", "10"),
        ("10", None, "9.9", "10"),
        ("10", None, "10", "10"),
        ("10", None, "10.1", "10.1"),
        (None, "6", "0", "0"),
        (None, "6", "0.1", "6"),
        (None, "6", "6", "6"),
        (None, "6", "6.1", "12"),
        ("10", "6", "1", "12"),  # 10, then up to two begun sixes
        ("10", "6", "12", "12"),
        ("10", "6", "12.1", "18"),
    ],
)
def test_the_amount_is_for_the_billed_quantity(
    minimum: str | None, increment: str | None, counted: str, billed: str
) -> None:
    """At 0.5 a second; the line tells the billed quantity only where it is not the counted one."""
    rating = cost(book(card(seconds(minimum, increment))), {AUDIO: counted})
    line = rating.lines[0]
    billed_atto, counted_atto = parse_decimal(billed, "billed"), parse_decimal(counted, "counted")
    assert rating.cost == ("priced", billed_atto // 2, "USD")
    assert (line.quantity_atto, line.amount_atto) == (counted_atto, billed_atto // 2)
    assert line.billed_atto == (None if billed == counted else billed_atto)


def test_the_line_says_how_it_was_rounded() -> None:
    line = cost(book(card(seconds("10", "6"))), {AUDIO: "1"}).lines[0]
    assert line.explain == (
        "card p/m: audio_seconds at its own rate, at least 10, in begun multiples of 6; standard context"
    )


TILES = TileRule("85", "85", "170")
SEEING = card(
    CardVersion(Cell((Rate("input_images", "2", M, tiles=TILES), Rate("input_tokens", "1", M)))), model="m"
)


@pytest.mark.parametrize(
    ("context", "images", "tokens"),
    [
        ({"image_sizes": "1024x1024"}, "1", 765),  # scaled to 768 x 768: 4 tiles, 85 + 4 x 170
        ({"image_sizes": "512x512"}, "1", 255),  # 1 tile
        ({"image_sizes": "513x512"}, "1", 425),  # 2 tiles
        ({"image_sizes": "512x512,1024x1024"}, "2", 1020),
        ({"image_sizes": "4096x8192", "image_detail": "low"}, "1", 85),
        ({"image_detail": "low"}, "3", 255),
    ],
)
def test_images_are_billed_as_tokens(context: dict[str, str], images: str, tokens: int) -> None:
    rating = cost(book(SEEING), {"input_images": images}, context=context)
    assert rating.cost == ("priced", 2 * tokens * ATTO // 10**6, "USD")
    assert (rating.lines[0].quantity_atto, rating.lines[0].billed_atto) == (int(images) * ATTO, tokens * ATTO)


@pytest.mark.parametrize(
    ("context", "images", "why"),
    [
        ({}, "1", "the context must name image_sizes"),
        ({"image_sizes": "1x1"}, "2", "image_sizes names 1 images, the quantity is 2"),
        ({"image_sizes": "big"}, "1", "image_sizes big is not a list such as 1024x768,512x512"),
        ({"image_sizes": "1x1", "image_detail": "fine"}, "1", "image_detail fine is unknown: low or high"),
        ({"image_sizes": "1x1"}, "1.5", "1.5 images is not a whole number"),
    ],
)
def test_images_of_unknown_size_are_unpriced_beside_the_tokens(
    context: dict[str, str], images: str, why: str
) -> None:
    """A million input tokens at 1 stay priced; the images are the missing part."""
    rating = cost(book(SEEING), {"input_images": images, "input_tokens": M}, context=context)
    assert rating.cost == ("partial", ATTO, "USD")
    line = next(line for line in rating.lines if line.meter == "input_images")
    assert (line.status, line.amount_atto, line.rate) == ("unpriced", None, None)
    assert line.explain == f"card p/m: {why}; standard context"


def test_sizes_are_not_needed_where_there_is_no_image() -> None:
    rating = cost(book(SEEING), {"input_images": "0", "input_tokens": M})
    assert rating.cost == ("priced", ATTO, "USD")


def test_sizes_without_end_are_compiled_once() -> None:
    priced_by = book(SEEING)
    for side in range(1, 40):
        cost(priced_by, {"input_images": "1"}, context={"image_sizes": f"{side}x1"})
    assert len(priced_by._provider._read) == 1


def test_a_part_at_its_wholes_rate_is_billed_by_its_rule_as_well() -> None:
    """Input seconds are a part of seconds: at least 10 at 0.5 is 5."""
    version = CardVersion(Cell((Rate(AUDIO, "0.5", minimum="10"),)), parts_at_whole_rate=("*",))
    rating = cost(book(card(version)), {"input_audio_seconds": "4"}, "exclusive")
    assert rating.cost == ("priced", 5 * ATTO, "USD")
