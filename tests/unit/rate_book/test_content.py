"""Canonical JSON: the same book, the same bytes; and back without loss."""

from dataclasses import replace

import pytest

from pricing.cards import BookContent, CardVersion, Cell, ModelPrefix, Rate, RateCard
from rate_book.content import canonical_json, content_from_json, content_hash
from rate_book.errors import BookInvalidError

CARD = RateCard("a", "p", "USD", (CardVersion(Cell((Rate("events", "1"),)), 5),), models=("m",))


def test_defaults_are_left_out_so_that_a_field_added_later_changes_no_hash() -> None:
    assert canonical_json(BookContent(provider_cards=(CARD,))) == (
        '{"provider_cards":[{"card_id":"a","currency":"USD","models":["m"],"provider":"p","versions":'
        '[{"base":{"rates":[{"meter":"events","rate":"1"}]},"valid_from_us":5}]}]}'
    )
    assert content_hash("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_the_order_in_which_prefixes_and_their_exceptions_stand_changes_no_hash() -> None:
    """Two prefixes may differ only in `unless`, whose own order says nothing."""
    one, two = ModelPrefix("g", 1, ("z", "a")), ModelPrefix("g", 1, ("b", "c"))
    written = [
        BookContent(provider_cards=(replace(CARD, prefixes=prefixes),))
        for prefixes in (
            (one, two),
            (two, one),
            (replace(two, unless=("c", "b")), replace(one, unless=("a", "z"))),
        )
    ]
    assert len({canonical_json(content) for content in written}) == 1


def test_the_shipped_book_comes_back_as_it_was(shipped: BookContent) -> None:
    text = canonical_json(shipped)
    again = content_from_json(text, "book")
    assert again == shipped
    assert canonical_json(again) == text


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("[]", "BookContent"),
        ('{"cards":[]}', "cards"),
        ('{"contracts":[{"contract_id":"c","currency":"USD"}]}', "Contract"),
        ('{"dimensions":[1]}', "value"),
        ('{"dimensions":"model"}', "list"),
    ],
)
def test_stored_text_that_is_no_book_is_refused(text: str, field: str) -> None:
    with pytest.raises(BookInvalidError) as caught:
        content_from_json(text, "version 1")
    assert caught.value.field == field
