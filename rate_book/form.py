"""The files of a book: YAML that finance reads and reviews, into `pricing.cards`.

A directory is a book; each file says one thing, by its top-level key: `provider`, `price_card`, `contracts`,
`assignments` or `settings`. docs/reference/rate-book.md shows every key. Loading is strict: an unknown key, a
key written twice, or a value that is not what its field holds is refused with file, card, field, value and
rule.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import cast, get_args

from pricing.cards import (
    CALENDAR_MONTH_UTC,
    DEFAULT_DIMENSIONS,
    Assignment,
    BillingUnit,
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
    Variant,
)
from pricing.errors import UsageError
from pricing.meters import MeterDefinition
from pricing.money import format_atto, parse_decimal
from rate_book.content import in_order
from rate_book.dimensions import DIMENSION_FIELDS
from rate_book.errors import BookInvalidError
from rate_book.fields import Fields
from rate_book.yaml_text import read_yaml

KINDS = ("provider", "price_card", "contracts", "assignments", "settings")
PER_WORD = " per "


@dataclass
class _Parts:
    provider_cards: list[RateCard] = field(default_factory=list)
    price_cards: list[PriceCard] = field(default_factory=list)
    contracts: list[Contract] = field(default_factory=list)
    assignments: list[Assignment] = field(default_factory=list)
    settings: list[tuple[Path, BookContent]] = field(default_factory=list)


def shipped_books() -> tuple[Path, Path]:
    """The directories of the shipped book: provider lists, and the example customer book."""
    books = Path(str(resources.files("rate_book"))) / "books"
    return books / "providers", books / "example"


def load_book(paths: Sequence[Path], *, providers: Iterable[str] | None = None) -> BookContent:
    """The book that these directories (or files) form together, in canonical order.

    `providers`: read only provider files named after one of these (`openai.yaml`), for a tool that prices
    one call.

    Raises:
        BookInvalidError: with file, card, field, value and rule.
    """
    wanted = None if providers is None else {name.lower() for name in providers}
    shipped_lists, _ = shipped_books()
    parts = _Parts()
    for path in paths:
        for file in _files(path):
            if wanted is not None and path == shipped_lists and file.stem not in wanted:
                continue
            _load_file(file, parts)
    if len(parts.settings) > 1:
        raise BookInvalidError(
            str(parts.settings[1][0]), "settings", parts.settings[1][0].name, "a book has one"
        )
    settings = parts.settings[0][1] if parts.settings else BookContent()
    return in_order(
        BookContent(
            provider_cards=tuple(parts.provider_cards),
            price_cards=tuple(parts.price_cards),
            contracts=tuple(parts.contracts),
            assignments=tuple(parts.assignments),
            dimensions=settings.dimensions,
            context_ignored=settings.context_ignored,
            meters=settings.meters,
        )
    )


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise BookInvalidError(str(path), "path", path.name, "must be a directory or a YAML file")
    files = sorted(file for file in path.rglob("*") if file.suffix in (".yaml", ".yml"))
    if not files:
        raise BookInvalidError(str(path), "path", path.name, "holds no YAML file")
    return files


def _load_file(path: Path, parts: _Parts) -> None:
    fields = Fields(str(path), read_yaml(path))
    kinds = [kind for kind in KINDS if fields.has(kind)]
    if len(kinds) != 1:
        raise fields.refuse("document", kinds, f"must hold exactly one of {', '.join(KINDS)}")
    with fields.inside():
        match kinds[0]:
            case "provider":
                parts.provider_cards += _provider(fields)
            case "price_card":
                parts.price_cards.append(_price_card(fields))
            case "contracts":
                parts.contracts += [_contract(item) for item in fields.children("contracts", "contract")]
            case "assignments":
                parts.assignments += [
                    _assignment(item) for item in fields.children("assignments", "customer")
                ]
            case _:
                parts.settings.append((path, _settings(fields.child("settings"))))


def _provider(fields: Fields) -> list[RateCard]:
    provider = fields.text("provider")
    currency = fields.text("currency")
    source = fields.text("source") if fields.has("source") else None
    if fields.has("checked"):
        checked = f"checked {fields.text('checked')}"
        source = f"{source}, {checked}" if source else checked
    return [_card(item, provider, currency, source) for item in fields.children("cards", "card")]


def _price_card(fields: Fields) -> PriceCard:
    price_card_id = fields.text("price_card")
    currency = fields.text("currency")
    source = fields.text("source") if fields.has("source") else None
    cards = []
    for item in fields.children("cards", "card"):
        provider = item.text("provider") if item.has("provider") else None
        cards.append(_card(item, provider, currency, source))
    return PriceCard(price_card_id, tuple(cards))


def _card(fields: Fields, provider: str | None, currency: str, source: str | None) -> RateCard:
    with fields.inside():
        return RateCard(
            card_id=fields.text("card"),
            provider=provider,
            currency=currency,
            versions=tuple(_version(item, source) for item in fields.children("versions", "from")),
            models=fields.texts("models"),
            prefixes=tuple(_prefix(item) for item in fields.children("prefixes", "prefix")),
        )


def _prefix(fields: Fields) -> ModelPrefix:
    with fields.inside():
        # "" would be hard to see in a review: any model is written `*`.
        prefix = fields.text("prefix")
        return ModelPrefix(
            "" if prefix == "*" else prefix, fields.integer("priority", 0), fields.texts("unless")
        )


def _version(fields: Fields, source: str | None) -> CardVersion:
    with fields.inside():
        return CardVersion(
            base=_cell(fields),
            valid_from_us=fields.instant("from"),
            valid_to_us=fields.instant("to"),
            context=tuple(_context_key(name, item) for name, item in fields.mappings("context")),
            variants=tuple(_variant(item) for item in fields.children("variants", "name")),
            parts_at_whole_rate=fields.texts("parts_at_whole_rate"),
            source=fields.text("source") if fields.has("source") else source,
        )


def _context_key(name: str, fields: Fields) -> ContextKey:
    with fields.inside():
        return ContextKey(
            name, fields.texts("values"), fields.text("default") if fields.has("default") else None
        )


def _variant(fields: Fields) -> Variant:
    with fields.inside():
        return Variant(fields.pairs("when"), _cell(fields), fields.texts("inherit"))


def _cell(fields: Fields) -> Cell:
    rates = _rates(fields)
    if not fields.has("thresholds"):
        return Cell(rates)
    with fields.child("thresholds").inside() as inner:
        operator = inner.text_or("operator", "gt")
        if operator not in ("gt", "gte"):
            raise inner.refuse("operator", operator, "must be gt (above the start) or gte (at the start too)")
        return Cell(
            rates,
            Thresholds(
                steps=tuple(_step(item) for item in inner.children("steps", "start")),
                selector=inner.text_or("selector", "input_tokens"),
                operator="gt" if operator == "gt" else "gte",
            ),
        )


def _step(fields: Fields) -> Step:
    with fields.inside():
        return Step(_decimal(fields, "start", fields.text("start")), _rates(fields), fields.texts("inherit"))


def _rates(fields: Fields) -> tuple[Rate, ...]:
    rates = []
    for meter, text in fields.pairs("rates"):
        rate, word, per = text.partition(PER_WORD)
        name = f"rates.{meter}"
        rates.append(Rate(meter, _decimal(fields, name, rate), _decimal(fields, name, per if word else "1")))
    return tuple(rates)


def _decimal(fields: Fields, name: str, text: str) -> str:
    """The same number without trailing zeros: 2.50 and 2.5 are one price, and no change of the book."""
    try:
        return format_atto(parse_decimal(text, name))
    except UsageError as error:
        rule = f"{error.rule}; a rate is written like 2.5 or 2.5{PER_WORD}1000000"
        raise fields.refuse(name, text, rule) from error


def _contract(fields: Fields) -> Contract:
    with fields.inside():
        return Contract(
            contract_id=fields.text("contract"),
            currency=fields.text("currency"),
            price_cards=fields.texts("price_cards"),
            billing_period=_billing_unit(fields),
        )


def _billing_unit(fields: Fields) -> BillingUnit:
    text = fields.text_or("billing_period", CALENDAR_MONTH_UTC)
    for unit in get_args(BillingUnit):
        if text == unit:
            return cast("BillingUnit", unit)
    raise fields.refuse("billing_period", text, f"must be one of {', '.join(get_args(BillingUnit))}")


def _assignment(fields: Fields) -> Assignment:
    with fields.inside():
        return Assignment(
            customer=fields.text("customer"),
            contract_id=fields.text("contract"),
            valid_from_us=fields.instant("from"),
            valid_to_us=fields.instant("to"),
        )


def _settings(fields: Fields) -> BookContent:
    with fields.inside():
        dimensions = fields.texts("dimensions") if fields.has("dimensions") else DEFAULT_DIMENSIONS
        for name in dimensions:
            if name != "model" and name not in DIMENSION_FIELDS:
                raise fields.refuse(
                    "dimensions", name, f"must be model or one of {', '.join(sorted(DIMENSION_FIELDS))}"
                )
        return BookContent(
            dimensions=dimensions,
            context_ignored=fields.texts("context_ignored"),
            meters=tuple(_meter(item) for item in fields.children("meters", "meter")),
        )


def _meter(fields: Fields) -> MeterDefinition:
    with fields.inside():
        return MeterDefinition(
            fields.text("meter"), fields.pairs("dimensions"), fields.boolean("whole_required")
        )
