"""Strict reading of the nested text that YAML gives: every error names file, card, field, value and rule."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from pricing.errors import UsageError
from pricing.money import format_atto, parse_decimal
from rate_book.errors import BookInvalidError
from rate_book.instants import parse_instant

L = TypeVar("L", bound=str)


class Fields:
    """A YAML mapping that is read key by key; a key that nobody read is an error."""

    def __init__(self, where: str, data: object, path: str = "") -> None:
        self.where = where
        self._path = path
        if not isinstance(data, dict):
            raise BookInvalidError(where, path or "document", data, "must be a mapping of keys to values")
        self._left: dict[str, object] = dict(data)

    def refuse(self, field: str, value: object, rule: str) -> BookInvalidError:
        """The error for one field, to be raised."""
        return BookInvalidError(self.where, self._name(field), value, rule)

    @contextmanager
    def inside(self) -> Iterator["Fields"]:
        """All keys are read inside; what is left over at the end is refused."""
        yield self
        for key, value in self._left.items():
            raise self.refuse(key, value, "unknown key")

    def has(self, key: str) -> bool:
        return key in self._left

    def text(self, key: str) -> str:
        if key not in self._left:
            raise self.refuse(key, None, "is required")
        value = self._left.pop(key)
        if not isinstance(value, str) or not value:
            raise self.refuse(key, value, "must be text, not empty")
        return value

    def text_or(self, key: str, default: str) -> str:
        return self.text(key) if key in self._left else default

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts without repetition; absent is the empty list."""
        values = self.text_list(key)
        for value in values:
            if values.count(value) > 1:
                raise self.refuse(key, value, "is listed twice")
        return values

    def text_list(self, key: str) -> tuple[str, ...]:
        """A list of texts, in which one may come twice; absent is the empty list."""
        values = self._list(key)
        for value in values:
            if not isinstance(value, str) or not value:
                raise self.refuse(key, value, "must be a list of texts")
        return tuple(str(value) for value in values)

    def instant(self, key: str) -> int | None:
        """An instant in microseconds UTC; absent is None."""
        if key not in self._left:
            return None
        value = self.text(key)
        try:
            return parse_instant(value)
        except ValueError as error:
            raise self.refuse(key, value, str(error)) from error

    def integer(self, key: str, default: int) -> int:
        value = self.text_or(key, str(default))
        if not value.removeprefix("-").isascii() or not value.removeprefix("-").isdigit() or len(value) > 9:
            raise self.refuse(key, value, "must be a whole number of at most 9 digits")
        return int(value)

    def one_of(self, key: str, allowed: tuple[L, ...], default: L | None = None) -> L:
        """One of these words; `default` where the key is absent, else it is required."""
        value = self.text(key) if default is None else self.text_or(key, default)
        for word in allowed:
            if value == word:
                return word
        raise self.refuse(key, value, f"must be one of {', '.join(allowed)}")

    def decimal(self, key: str) -> str:
        return self.as_decimal(key, self.text(key))

    def decimal_or(self, key: str, default: str) -> str:
        return self.decimal(key) if key in self._left else default

    def optional_decimal(self, key: str) -> str | None:
        return self.decimal(key) if key in self._left else None

    def as_decimal(self, name: str, text: str, written: str = "") -> str:
        """The same number without trailing zeros: 2.50 and 2.5 are one price, and no change of the book.

        `written` ends the message of what is refused.
        """
        try:
            return format_atto(parse_decimal(text, name))
        except UsageError as error:
            raise self.refuse(name, text, f"{error.rule}{written}") from error

    def optional_text(self, key: str) -> str | None:
        return self.text(key) if key in self._left else None

    def boolean(self, key: str) -> bool:
        value = self.text_or(key, "false")
        if value not in ("true", "false"):
            raise self.refuse(key, value, "must be true or false")
        return value == "true"

    def pairs(self, key: str) -> tuple[tuple[str, str], ...]:
        """A mapping of text to text; absent is empty."""
        data = self._left.pop(key, {})
        if not isinstance(data, dict):
            raise self.refuse(key, data, "must be a mapping of texts")
        for name, value in data.items():
            if not isinstance(value, str) or not value:
                raise self.refuse(f"{key}.{name}", value, "must be text, not empty")
        return tuple((str(name), str(value)) for name, value in data.items())

    def named_values(self, key: str) -> list[tuple[str, object]]:
        """A mapping of names to whatever stands there, for the caller to read; absent is empty."""
        data = self._left.pop(key, {})
        if not isinstance(data, dict):
            raise self.refuse(key, data, "must be a mapping")
        return [(str(name), value) for name, value in data.items()]

    def under(self, name: str, data: object) -> "Fields":
        """The mapping that stands at this field, taken from `named_values`."""
        return Fields(self.where, data, self._name(name))

    def child(self, key: str) -> "Fields":
        return Fields(self.where, self._left.pop(key, None), self._name(key))

    def children(self, key: str, named: str) -> list["Fields"]:
        """A list of mappings; `named` is the key inside that names each in messages."""
        result = []
        for position, item in enumerate(self._list(key), start=1):
            name = item.get(named) if isinstance(item, dict) else None
            where = f"{self.where}: {name}" if name and isinstance(name, str) else self.where
            result.append(Fields(where, item, f"{key}[{position}]"))
        return result

    def mappings(self, key: str) -> list[tuple[str, "Fields"]]:
        """A mapping of names to mappings; absent is empty."""
        data = self._left.pop(key, {})
        if not isinstance(data, dict):
            raise self.refuse(key, data, "must be a mapping of names to mappings")
        return [
            (str(name), Fields(self.where, item, self._name(f"{key}.{name}"))) for name, item in data.items()
        ]

    def _list(self, key: str) -> list[object]:
        value = self._left.pop(key, [])
        if not isinstance(value, list):
            raise self.refuse(key, value, "must be a list")
        return value

    def _name(self, field: str) -> str:
        return f"{self._path}.{field}" if self._path else field
