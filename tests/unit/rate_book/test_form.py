"""YAML into a book: exact, strict, and errors that say where."""

from pathlib import Path

import pytest

from pricing.cards import Assignment, BookContent, Contract, ModelPrefix, Rate, Step
from pricing.check import check_book
from rate_book.content import canonical_json
from rate_book.errors import BookInvalidError
from rate_book.form import load_book, shipped_books

LIST = """
provider: acme
currency: USD
source: price page
checked: 2026-11-01
cards:
  - card: acme/one
    models: [one, one-latest]
    prefixes:
      - {prefix: one-, priority: 2, unless: [-tts]}
    versions:
      - to: 2026-01-01T00:00:00Z
        rates: {input_tokens: 0.1234567890123456789012 per 1}
      - from: 2026-01-01T00:00:00Z
        rates:
          input_tokens: 2.50 per 1000000
          events: "0.010"
        thresholds:
          steps:
            - start: 200000
              rates: {input_tokens: 5 per 1000000}
              inherit: [events]
"""


def book_of(tmp_path: Path, **files: str) -> Path:
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def refused(tmp_path: Path, text: str) -> BookInvalidError:
    with pytest.raises(BookInvalidError) as caught:
        load_book([book_of(tmp_path, book=text)])
    assert "book.yaml" in caught.value.where
    return caught.value


def test_a_rate_is_the_text_that_stands_in_the_file_without_trailing_zeros(tmp_path: Path) -> None:
    """18 digits after the point survive, which a float could not hold."""
    text = LIST.replace("0.1234567890123456789012 per 1", "0.123456789012345678")
    card = load_book([book_of(tmp_path, book=text)]).provider_cards[0]
    assert card.versions[0].base.rates == (Rate("input_tokens", "0.123456789012345678", "1"),)
    assert card.versions[1].base.rates == (Rate("events", "0.01"), Rate("input_tokens", "2.5", "1000000"))
    thresholds = card.versions[1].base.thresholds
    assert thresholds is not None
    assert thresholds.operator == "gt"
    assert thresholds.steps == (Step("200000", (Rate("input_tokens", "5", "1000000"),), ("events",)),)
    assert card.prefixes == (ModelPrefix("one-", 2, ("-tts",)),)
    assert card.versions[1].valid_from_us == 1_767_225_600_000_000  # 20454 days of 86,400 s
    assert card.versions[1].source == "price page, checked 2026-11-01"


def test_more_than_18_digits_after_the_point_are_refused_by_card_and_meter(tmp_path: Path) -> None:
    error = refused(tmp_path, LIST)
    assert error.field == "versions[1].rates.input_tokens"
    assert error.value == "0.1234567890123456789012"


@pytest.mark.parametrize(
    ("old", "new", "field", "value"),
    [
        ("currency: USD", "currency: USD\ncolour: red", "colour", "red"),
        ("models: [one, one-latest]", "models: [one, one]", "models", "one"),
        ("priority: 2", "priority: 2.5", "priority", "2.5"),
        ("to: 2026-01-01T00:00:00Z", "to: 2026-01-01", "to", "2026-01-01"),
        ("to: 2026-01-01T00:00:00Z", "to: 2026-13-01T00:00:00Z", "to", "2026-13-01T00:00:00Z"),
        ("to: 2026-01-01T00:00:00Z", 'to: "0001-01-01T00:00:00+14:00"', "to", "0001-01-01T00:00:00+14:00"),
        ("to: 2026-01-01T00:00:00Z", 'to: "9999-12-31T23:59:59-14:00"', "to", "9999-12-31T23:59:59-14:00"),
        ("2.50 per 1000000", "2.5e-6", "rates.input_tokens", "2.5e-6"),
        ("2.50 per 1000000", "-1", "rates.input_tokens", "-1"),
        ("2.50 per 1000000", ".nan", "rates.input_tokens", ".nan"),
        ("inherit: [events]", "inherit: events", "inherit", "events"),
        ("provider: acme", "provider: acme\ncontracts: []", "document", ["provider", "contracts"]),
    ],
)
def test_what_is_not_a_book_is_refused_by_field_and_value(
    tmp_path: Path, old: str, new: str, field: str, value: object
) -> None:
    text = LIST.replace("0.1234567890123456789012", "1").replace(old, new)
    error = refused(tmp_path, text)
    assert error.field.endswith(field)
    assert error.value == value


def test_the_refused_card_is_named(tmp_path: Path) -> None:
    assert refused(tmp_path, LIST.replace("inherit", "inherits")).where.endswith("book.yaml: acme/one")


def test_a_key_written_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    error = refused(tmp_path, "provider: acme\ncurrency: USD\ncurrency: EUR\ncards: []\n")
    assert error.field == "line 3, column 1"


@pytest.mark.parametrize(
    "text",
    [
        "provider: acme\ncurrency: !!omap {USD: 1, USD: 2}\ncards: []\n",
        "provider: acme\ncurrency: !money {USD: 1, USD: 2}\ncards: []\n",
        "provider: acme\ncurrency: !money USD\ncards: []\n",
        "provider: acme\ncurrency: !!float 2\ncards: []\n",
        "provider: acme\n!key currency: USD\ncards: []\n",
        "provider: acme\ncurrency: !!map [USD]\ncards: []\n",
        "provider: acme\ncurrency: !!seq {USD: 1}\ncards: []\n",
        "provider: acme\ncurrency: !!str [USD]\ncards: []\n",
    ],
)
def test_a_tag_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    """A tagged mapping would pass by the check for keys written twice."""
    assert refused(tmp_path, text).field.startswith("line 2, column ")


@pytest.mark.parametrize("depth", [51, 100_000])
def test_what_is_nested_without_end_is_refused_with_its_line(tmp_path: Path, depth: int) -> None:
    """The mapping of the document and 49 lists are 50; the 50th list stands in column 60 of line 2."""
    error = refused(tmp_path, f"provider: acme\ncurrency: {'[' * (depth - 1)}{']' * (depth - 1)}\n")
    assert error.field == "line 2, column 60"
    assert error.rule == "nested in more than 50 lists and mappings"


def test_two_settings_and_an_empty_directory_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BookInvalidError, match="holds no YAML file"):
        load_book([tmp_path])
    settings = "settings: {context_ignored: [region]}"
    with pytest.raises(BookInvalidError, match="a book has one"):
        load_book([book_of(tmp_path, one=settings, two=settings)])


def test_a_dimension_that_no_event_has_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, "settings: {dimensions: [model, weather]}").value == "weather"


def test_contracts_and_assignments_are_read(tmp_path: Path) -> None:
    content = load_book(
        [
            book_of(
                tmp_path,
                contracts="contracts: [{contract: c, currency: EUR, price_cards: [a, b]}]",
                assignments='assignments: [{customer: "*", contract: c, to: 2026-01-01T00:00:00+01:00}]',
            )
        ]
    )
    assert content.contracts == (Contract("c", "EUR", ("a", "b")),)
    assert content.assignments == (Assignment("*", "c", None, 1_767_222_000_000_000),)


def test_where_a_book_is_split_into_files_and_lines_moved_nothing_changes(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    card = "  - {{card: {0}, models: [{0}], versions: [{{rates: {{input_tokens: 1, output_tokens: 2}}}}]}}\n"
    head = "provider: p\ncurrency: USD\ncards:\n"
    book_of(one, all=head + card.format("a") + card.format("b"))
    moved = card.replace("input_tokens: 1, output_tokens: 2", "output_tokens: 2.0, input_tokens: 1")
    book_of(two, b=head + moved.format("b"), a=head + moved.format("a"))
    assert canonical_json(load_book([one])) == canonical_json(load_book([two]))


def test_the_shipped_book_is_sound_and_one_provider_of_it_is_read_alone(shipped: BookContent) -> None:
    assert check_book(shipped) == ()
    assert len(shipped.provider_cards) > 2_000
    alone = load_book(shipped_books(), providers=["groq"])
    assert {card.provider for card in alone.provider_cards} == {"groq", "own"}  # the example's own beside it
    assert alone.price_cards == shipped.price_cards
