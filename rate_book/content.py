"""A book's content as canonical JSON, and its hash.

The JSON mirrors the dataclasses of `pricing.cards` field by field; what equals its default is left out, so
that a field added later changes neither the bytes nor the hash of an old book. Numbers that price are text:
exact.
"""

import dataclasses
import hashlib
import json
import types
from collections.abc import Callable
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from pricing.cards import (
    Assignment,
    BookContent,
    CardVersion,
    Cell,
    ContextKey,
    ModelPrefix,
    RateCard,
    Thresholds,
    Variant,
)
from pricing.meters import MeterDefinition
from rate_book.errors import BookInvalidError

D = TypeVar("D")


def canonical_json(content: BookContent) -> str:
    """The one text of this content: sorted keys, no blanks, lists in the order of `in_order`."""
    return json.dumps(plain(in_order(content)), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def content_hash(text: str) -> str:
    """SHA-256 of the canonical JSON, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def content_from_json(text: str, where: str) -> BookContent:
    """The content again. Raises BookInvalidError naming the place of whatever does not fit."""
    return _build(BookContent, json.loads(text), where)


def in_order(content: BookContent) -> BookContent:
    """The same book with every list whose order means nothing sorted, so that moved lines are no change."""
    return dataclasses.replace(
        content,
        provider_cards=_cards_in_order(content.provider_cards),
        price_cards=tuple(
            dataclasses.replace(price_card, cards=_cards_in_order(price_card.cards))
            for price_card in sorted(content.price_cards, key=lambda item: item.price_card_id)
        ),
        contracts=tuple(sorted(content.contracts, key=lambda item: item.contract_id)),
        assignments=tuple(sorted(content.assignments, key=_assignment_key)),
        context_ignored=tuple(sorted(content.context_ignored)),
        meters=tuple(
            _meter_in_order(meter) for meter in sorted(content.meters, key=lambda meter: meter.name)
        ),
    )


def _assignment_key(assignment: Assignment) -> tuple[str, bool, int]:
    start_us = assignment.valid_from_us
    return assignment.customer, start_us is not None, start_us or 0


def _meter_in_order(meter: MeterDefinition) -> MeterDefinition:
    return dataclasses.replace(meter, dimensions=tuple(sorted(meter.dimensions)))


def _cards_in_order(cards: tuple[RateCard, ...]) -> tuple[RateCard, ...]:
    return tuple(_card_in_order(card) for card in sorted(cards, key=lambda item: item.card_id))


def _card_in_order(card: RateCard) -> RateCard:
    versions = sorted(
        card.versions, key=lambda item: (item.valid_from_us is not None, item.valid_from_us or 0)
    )
    return dataclasses.replace(
        card,
        versions=tuple(_version_in_order(version) for version in versions),
        models=tuple(sorted(card.models)),
        prefixes=tuple(
            dataclasses.replace(prefix, unless=tuple(sorted(prefix.unless)))
            for prefix in sorted(card.prefixes, key=_prefix_key)
        ),
    )


def _prefix_key(prefix: ModelPrefix) -> tuple[str, int, tuple[str, ...]]:
    return prefix.prefix, prefix.priority, tuple(sorted(prefix.unless))


def _version_in_order(version: CardVersion) -> CardVersion:
    variants = (
        dataclasses.replace(
            variant,
            when=tuple(sorted(variant.when)),
            cell=_cell_in_order(variant.cell),
            inherit=tuple(sorted(variant.inherit)),
        )
        for variant in version.variants
    )
    return dataclasses.replace(
        version,
        base=_cell_in_order(version.base),
        context=tuple(_key_in_order(key) for key in sorted(version.context, key=lambda key: key.key)),
        variants=tuple(sorted(variants, key=_variant_key)),
        parts_at_whole_rate=tuple(sorted(version.parts_at_whole_rate)),
    )


def _key_in_order(key: ContextKey) -> ContextKey:
    return dataclasses.replace(key, values=tuple(sorted(key.values)))


def _variant_key(variant: Variant) -> tuple[tuple[str, str], ...]:
    return variant.when


def _cell_in_order(cell: Cell) -> Cell:
    thresholds = cell.thresholds
    if thresholds is not None:
        thresholds = _thresholds_in_order(thresholds)
    return Cell(tuple(sorted(cell.rates, key=lambda rate: rate.meter)), thresholds)


def _thresholds_in_order(thresholds: Thresholds) -> Thresholds:
    steps = (
        dataclasses.replace(
            step,
            rates=tuple(sorted(step.rates, key=lambda rate: rate.meter)),
            inherit=tuple(sorted(step.inherit)),
        )
        for step in thresholds.steps
    )
    return dataclasses.replace(thresholds, steps=tuple(steps))


def plain(value: object) -> object:
    """Dataclasses as JSON values, without what equals its default."""
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        result = {}
        for name, default in _defaults(type(value)):
            item = getattr(value, name)
            if item != default:
                result[name] = plain(item)
        return result
    return value


@cache
def _defaults(cls: type) -> tuple[tuple[str, object], ...]:
    return tuple((field.name, field.default) for field in dataclasses.fields(cls))


def _build(cls: Callable[..., D], data: object, where: str) -> D:
    if not isinstance(data, dict):
        raise BookInvalidError(where, cls.__name__, data, "must be an object")
    readers = _readers(cls)
    values = {}
    for key, item in data.items():
        if key not in readers:
            raise BookInvalidError(where, str(key), item, f"unknown field of {cls.__name__}")
        values[key] = readers[key](item, f"{where}.{key}")
    try:
        return cls(**values)
    except TypeError as error:
        raise BookInvalidError(where, cls.__name__, sorted(values), str(error)) from error


@cache
def _readers(cls: Any) -> dict[str, Callable[[Any, str], Any]]:
    hints = get_type_hints(cls)
    return {field.name: _reader(hints[field.name]) for field in dataclasses.fields(cls)}


def _reader(hint: Any) -> Callable[[Any, str], Any]:
    """How to read a value of this type; every type that `pricing.cards` uses, and no other."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return lambda value, where: _read_list(_reader_of(arguments[0]), value, where)
    if origin is tuple:
        items = [_reader(argument) for argument in arguments]
        return lambda value, where: _read_pair(items, value, where)
    if origin in (Union, types.UnionType):
        inner = _reader(next(argument for argument in arguments if argument is not type(None)))
        return lambda value, where: None if value is None else inner(value, where)
    if origin is Literal:
        return lambda value, where: _read_literal(arguments, value, where)
    if dataclasses.is_dataclass(hint):
        return lambda value, where: _build(cast("Callable[..., Any]", hint), value, where)
    return lambda value, where: _read_scalar(hint, value, where)


_reader_of = cache(_reader)


def _read_list(item: Callable[[Any, str], Any], value: object, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise BookInvalidError(where, "list", value, "must be a list")
    return tuple(item(entry, where) for entry in value)


def _read_pair(items: list[Callable[[Any, str], Any]], value: object, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list) or len(value) != len(items):
        raise BookInvalidError(where, "pair", value, f"must be a list of {len(items)}")
    return tuple(item(entry, where) for item, entry in zip(items, value, strict=True))


def _read_literal(allowed: tuple[Any, ...], value: object, where: str) -> object:
    if value not in allowed:
        raise BookInvalidError(where, "value", value, f"must be one of {', '.join(map(str, allowed))}")
    return value


def _read_scalar(expected: type, value: object, where: str) -> object:
    if type(value) is not expected:
        raise BookInvalidError(where, "value", value, f"must be {expected.__name__}")
    return value
