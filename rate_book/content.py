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

from pricing.cards import BookContent
from rate_book.canonical import in_order
from rate_book.errors import BookInvalidError

__all__ = ["canonical_json", "content_from_json", "content_hash", "from_plain", "in_order", "plain"]

D = TypeVar("D")


def canonical_json(content: BookContent) -> str:
    """The one text of this content: sorted keys, no blanks, lists in the order of `rate_book.canonical`."""
    return json.dumps(plain(in_order(content)), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def content_hash(text: str) -> str:
    """SHA-256 of the canonical JSON, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def content_from_json(text: str, where: str) -> BookContent:
    """The content again. Raises BookInvalidError naming the place of whatever does not fit."""
    return _build(BookContent, json.loads(text), where)


def from_plain(cls: Callable[..., D], data: object, where: str) -> D:
    """A dataclass of `pricing.cards` from its JSON values, as `plain` gives them. Raises BookInvalidError."""
    return _build(cls, data, where)


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
