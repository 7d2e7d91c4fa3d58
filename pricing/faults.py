"""What the checks of a book share: how a fault is told, and small tests of a field."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

from pricing.cards import ALL
from pricing.errors import CardError, UsageError
from pricing.instants import instant_text
from pricing.meters import MeterRegistry
from pricing.money import parse_decimal

H = TypeVar("H", bound=Hashable)
Fault = Callable[[str, str, str], CardError]
"""Makes a fault of one card from field, value and rule."""
Faults = Iterator[CardError]
Span = tuple[int | None, int | None]

NOT_A_DECIMAL = "must be a plain decimal, 0 or more"
NOT_A_CURRENCY = "must be an ISO 4217 code or a declared unit"
NOT_ABOVE_0 = "must be a plain decimal above 0"


def decimal(text: str) -> int | None:
    """The number in atto; None where the text is no plain decimal."""
    try:
        return parse_decimal(text, "")
    except UsageError:
        return None


def repeated(items: Iterable[H]) -> list[H]:
    """What occurs more than once, in order of appearance."""
    counts = Counter(items)
    return [item for item, count in counts.items() if count > 1]


def words(when: Iterable[tuple[str, str]]) -> str:
    """Context pairs as text, in one order."""
    return ", ".join(f"{name}={value}" for name, value in sorted(when))


def spans(field: str, dated: Iterable[Span], fault: Fault) -> Faults:
    """Spans [from, to) hold an instant each and do not overlap."""
    previous: Span | None = None
    for span in sorted(dated, key=lambda span: (span[0] is not None, span[0] or 0)):
        start, end = span
        if start is not None and end is not None and start >= end:
            yield fault(field, _span_text(span), "must begin before its end")
        if previous is not None and (previous[1] is None or start is None or start < previous[1]):
            yield fault(field, _span_text(span), f"overlaps {_span_text(previous)}")
        if previous is None or (previous[1] is not None and (end is None or end > previous[1])):
            previous = span


def _span_text(span: Span) -> str:
    """As `[2026-01-01T00:00:00Z, without end)`."""
    start, end = span
    since = "since ever" if start is None else instant_text(start)
    return f"[{since}, {'without end' if end is None else instant_text(end)})"


def meters(
    field: str, named: Iterable[str], registry: MeterRegistry, fault: Fault, *, every: bool = True
) -> Faults:
    """Known meters; `every`: `*` may stand for all."""
    for meter in named:
        if meter not in registry and not (every and meter == ALL):
            yield fault(field, meter, "is not a known meter: a new one is defined in the book's meters")


def number(field: str, text: str, fault: Fault, *, above_0: bool = False) -> Faults:
    """A plain decimal."""
    value = decimal(text)
    if value is None or (above_0 and value == 0):
        yield fault(field, repr(text), NOT_ABOVE_0 if above_0 else NOT_A_DECIMAL)
