"""One call as JSON, priced from a book without Kafka or PostgreSQL: what `ratestream price` answers.

Numbers are read as the text they are written in and go out as plain decimal strings; none passes through
float.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from pricing.compile import CompiledBook, compile_book
from pricing.errors import UsageError
from pricing.money import format_atto
from pricing.rate import Call, Line, Side, rate
from rate_book.content import canonical_json, content_hash
from rate_book.errors import CallInvalidError
from rate_book.form import load_book, shipped_books
from rate_book.instants import parse_instant
from rate_book.translate import optional_atto
from schemas.cloudevents import plain_text

KEYS = ("provider", "model", "at", "usage", "context", "semantics", "customer")
SEMANTICS = ("inclusive", "exclusive")


class _Number(str):
    """A JSON number as the text it was written in, to be told from a JSON string."""

    __slots__ = ()


def read_json(text: str, name: str) -> object:
    """JSON with numbers as text. Raises CallInvalidError for bad JSON, and for a key that is written
    twice.
    """

    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        result = dict(items)
        if len(result) != len(items):
            repeated = next(key for key, _ in items if sum(key == other for other, _ in items) > 1)
            raise CallInvalidError(f"{name}.{_printable(repeated)}", text, "the key is written twice")
        return result

    try:
        return json.loads(
            text, parse_int=_Number, parse_float=_Number, parse_constant=_Number, object_pairs_hook=pairs
        )
    except (ValueError, RecursionError) as error:
        raise CallInvalidError(name, text, f"must be JSON: {error}") from error


def parse_call(data: object, now_us: int) -> Call:
    """The call that a JSON object with the keys of KEYS asks about; without `at` it happens at `now_us`.

    Raises:
        CallInvalidError: naming field, value and rule.
    """
    if not isinstance(data, dict):
        raise CallInvalidError("call", _shown(data), f"must be an object with the keys {', '.join(KEYS)}")
    for key, value in data.items():
        if not _is_unicode({key: value}):
            rule = "must be Unicode text: half of a character (a lone surrogate) is none"
            raise CallInvalidError(_printable(str(key)), _printable(_shown(value)), rule)
        if key not in KEYS:
            raise CallInvalidError(str(key), _shown(value), f"unknown key; the keys are {', '.join(KEYS)}")
    semantics = _text(data, "semantics", "inclusive")
    if semantics not in SEMANTICS:
        raise CallInvalidError("semantics", semantics, "must be inclusive or exclusive")
    customer = None if data.get("customer") is None else _text(data, "customer")
    at_us = now_us if data.get("at") is None else _instant(_text(data, "at"))
    usage = _texts(data, "usage", numbers=True)
    if not usage:
        raise CallInvalidError("usage", "{}", "must name at least one meter and its quantity")
    context = _texts(data, "context", numbers=False)
    return Call(customer, _text(data, "provider"), _text(data, "model"), at_us, usage, semantics, context)


def answer(book: CompiledBook, call: Call) -> dict[str, Any]:
    """The priced call in the shape of `ratestream price --json`; price is None where no customer was asked
    about.

    Raises:
        CallInvalidError: the quantities cannot be rated, naming field, value and rule.
    """
    try:
        rating = rate(book, call)
    except UsageError as error:
        # As it was written, not as pricing quotes it; impossible counts name a computed value.
        written = call.usage.get(error.field.removeprefix("usage."), error.value)
        value = written if error.code == "bad_quantity" else error.value
        raise CallInvalidError(error.field, value, f"{error.rule} ({error.code})") from error
    except ValueError as error:
        raise CallInvalidError("at", str(call.at_us), str(error)) from error
    sides = [rating.cost] if call.customer_id is None else [rating.cost, rating.price]
    return {
        "status": _status(sides),
        "cost": _side(rating.cost),
        "price": None if call.customer_id is None else _side(rating.price),
        "lines": [_line(line) for line in rating.lines],
    }


def error_answer(error: CallInvalidError) -> dict[str, Any]:
    """What a call that is none is answered by."""
    return {"error": {"field": error.field, "value": str(error.value), "rule": error.rule}}


@dataclass
class Pricer:
    """Prices calls from the YAML of a book; of the shipped provider lists it reads only those that are asked
    about.
    """

    paths: Sequence[Path] = field(default_factory=shipped_books)
    _books: dict[str, CompiledBook] = field(default_factory=dict)

    def answer(self, call: Call) -> dict[str, Any]:
        """As `answer`. Raises BookInvalidError or pricing.errors.BookError where the book is none."""
        provider = call.provider.lower()
        book = self._books.get(provider)
        if book is None:
            content = load_book(self.paths, providers=[provider])
            book = compile_book(content, 0, content_hash(canonical_json(content)))
            self._books[provider] = book
        return answer(book, call)


def _status(sides: Sequence[Side]) -> str:
    found = {side.status for side in sides}
    return found.pop() if len(found) == 1 else "partial"


def _side(side: Side) -> dict[str, str | None]:
    return {"status": side.status, "amount": optional_atto(side.amount_atto), "currency": side.currency}


def _line(line: Line) -> dict[str, str | None]:
    """A line; `billed_quantity` only where it is not what was counted."""
    billed = {} if line.billed_atto is None else {"billed_quantity": format_atto(line.billed_atto)}
    return {
        "side": line.side,
        "meter": line.meter,
        "quantity": format_atto(line.quantity_atto),
        "rate": line.rate,
        "per": line.per,
        "amount": optional_atto(line.amount_atto),
        "currency": line.currency,
        "card": line.card,
        "version": line.version,
        "status": line.status,
        "explain": line.explain,
        **billed,
    }


def _text(data: Mapping[str, object], key: str, default: str | None = None) -> str:
    value = data.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or isinstance(value, _Number) or not value:
        raise CallInvalidError(
            key, _shown(value), "is required" if value is None else "must be text, not empty"
        )
    return value


def _texts(data: Mapping[str, object], key: str, *, numbers: bool) -> dict[str, str]:
    value = data.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise CallInvalidError(key, _shown(value), "must be an object")
    for name, item in value.items():
        if not isinstance(item, str) or (isinstance(item, _Number) and not numbers):
            rule = "must be a number, or a plain decimal as text" if numbers else "must be text"
            raise CallInvalidError(f"{key}.{name}", _shown(item), rule)
    return {
        str(name): _plain(item) if isinstance(item, _Number) else str(item) for name, item in value.items()
    }


def _plain(number: _Number) -> str:
    """A JSON number without exponent where it has one, as `ratestream emit` reads it."""
    if "e" not in number.lower():
        return str(number)
    try:
        text = plain_text(Decimal(number))
    except ArithmeticError:
        text = None
    return str(number) if text is None else text  # what stays as it was written is refused as no quantity


def _is_unicode(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _printable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def _instant(text: str) -> int:
    try:
        return parse_instant(text)
    except ValueError as error:
        raise CallInvalidError("at", text, str(error)) from error


def _shown(value: object) -> str:
    """The value for an error, as JSON, cut to a readable length."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 200 else text[:197] + "..."
