"""The files of a book: YAML that finance reads and reviews, into `pricing.cards`.

A directory is a book; each file says one thing, by its top-level key: one of `KINDS`.
docs/reference/rate-book.md shows every key. Loading is strict: an unknown key, a key written twice, or a
value that is not what its field holds is refused with file, card, field, value and rule.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path

from pricing.cards import Assignment, BookContent, Contract, ExchangeRate, ModelAlias, PriceCard, RateCard
from rate_book.canonical import in_order
from rate_book.errors import BookInvalidError
from rate_book.fields import Fields
from rate_book.form_cards import read_cards
from rate_book.form_plans import (
    read_alias,
    read_assignment,
    read_contract,
    read_exchange_rate,
    read_price_card,
    read_settings,
)
from rate_book.yaml_text import read_yaml
from rate_book.zones import resolve, zone_names

KINDS = ("provider", "price_card", "contracts", "assignments", "aliases", "exchange", "settings")


@dataclass
class _Parts:
    provider_cards: list[RateCard] = field(default_factory=list)
    price_cards: list[PriceCard] = field(default_factory=list)
    contracts: list[Contract] = field(default_factory=list)
    assignments: list[Assignment] = field(default_factory=list)
    aliases: list[ModelAlias] = field(default_factory=list)
    exchange: list[ExchangeRate] = field(default_factory=list)
    settings: list[tuple[Path, BookContent]] = field(default_factory=list)
    correctable: dict[str, RateCard] = field(default_factory=dict)
    """The provider cards of the directories before this one by id; one that is corrected goes."""


def shipped_books() -> tuple[Path, ...]:
    """The directories of the shipped book: provider lists, what corrects them, the example customer book."""
    books = Path(str(resources.files("rate_book"))) / "books"
    return tuple(books / name for name in ("providers", "corrections", "example") if (books / name).is_dir())


def load_book(paths: Sequence[Path], *, providers: Iterable[str] | None = None) -> BookContent:
    """The book that these directories (or files) form together, in canonical order.

    A provider card with `corrects` stands in the place of the card of the same id in an earlier directory.
    `providers`: of the shipped price lists, read only these providers' cards, for a tool that prices one
    call.

    Raises:
        BookInvalidError: with file, card, field, value and rule.
    """
    wanted = None if providers is None else {name.lower() for name in providers}
    shipped_lists = shipped_books()[:-1]
    parts = _Parts()
    for path in paths:
        only = wanted if path in shipped_lists else None
        for file in yaml_files(path):
            # A price list is named after its provider: the others need not even be read.
            if only is None or path != shipped_lists[0] or file.stem.lower() in only:
                _load_file(file, parts, only)
        parts.correctable = {card.card_id: card for card in parts.provider_cards}
    return _content(parts)


def _content(parts: _Parts) -> BookContent:
    if len(parts.settings) > 1:
        path = parts.settings[1][0]
        raise BookInvalidError(str(path), "settings", path.name, "a book has one")
    settings = parts.settings[0][1] if parts.settings else BookContent()
    content = replace(
        settings,
        provider_cards=tuple(parts.provider_cards),
        price_cards=tuple(parts.price_cards),
        contracts=tuple(parts.contracts),
        assignments=tuple(parts.assignments),
        aliases=tuple(parts.aliases),
        exchange=tuple(parts.exchange),
    )
    return in_order(replace(content, zones=resolve(zone_names(content))))


def yaml_files(path: Path) -> list[Path]:
    """The file, or every YAML file below the directory. Raises BookInvalidError where there is none."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise BookInvalidError(str(path), "path", path.name, "must be a directory or a YAML file")
    files = sorted(file for file in path.rglob("*") if file.suffix in (".yaml", ".yml"))
    if not files:
        raise BookInvalidError(str(path), "path", path.name, "holds no YAML file")
    return files


def _load_file(path: Path, parts: _Parts, providers: set[str] | None) -> None:
    fields = Fields(str(path), read_yaml(path))
    kinds = [kind for kind in KINDS if fields.has(kind)]
    if len(kinds) != 1:
        raise fields.refuse("document", kinds, f"must hold exactly one of {', '.join(KINDS)}")
    with fields.inside():
        match kinds[0]:
            case "provider":
                _add_provider_cards(fields, parts, providers)
            case "price_card":
                parts.price_cards.append(read_price_card(fields))
            case "contracts":
                parts.contracts += [read_contract(item) for item in fields.children("contracts", "contract")]
            case "assignments":
                parts.assignments += [
                    read_assignment(item) for item in fields.children("assignments", "customer")
                ]
            case "aliases":
                parts.aliases += [read_alias(item) for item in fields.children("aliases", "alias")]
            case "exchange":
                parts.exchange += [
                    read_exchange_rate(item) for item in fields.children("exchange", "currency")
                ]
            case _:
                parts.settings.append((path, read_settings(fields.child("settings"))))


def _add_provider_cards(fields: Fields, parts: _Parts, providers: set[str] | None) -> None:
    provider = fields.text("provider")
    currency = fields.text("currency")
    source = fields.optional_text("source")
    if fields.has("checked"):
        checked = f"checked {fields.text('checked')}"
        source = f"{source}, {checked}" if source else checked
    items = fields.children("cards", "card")
    reasons = [item.optional_text("corrects") for item in items]
    cards = read_cards(items, provider, currency, source)
    if providers is not None and provider.lower() not in providers:
        return
    for item, card, reason in zip(items, cards, reasons, strict=True):
        if reason is None:
            parts.provider_cards.append(card)
            continue
        known = parts.correctable.pop(card.card_id, None)
        if known is None:
            rule = "no directory before this one has a card of this id that is not corrected here already"
            raise item.refuse("corrects", reason, rule)
        if (known.provider or "").lower() != provider.lower():
            rule = f"the card of this id is one of provider {known.provider}, which would be left without it"
            raise item.refuse("corrects", reason, rule)
        parts.provider_cards = [old for old in parts.provider_cards if old.card_id != card.card_id]
        parts.provider_cards.append(_corrected(card, reason))


def _corrected(card: RateCard, reason: str) -> RateCard:
    """The card with the reason beside the source of each version."""
    versions = (
        replace(version, source=f"{version.source}; {reason}" if version.source else reason)
        for version in card.versions
    )
    return replace(card, versions=tuple(versions))
