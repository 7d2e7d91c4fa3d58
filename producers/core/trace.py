"""A request trace: when each request arrived and how many tokens it took and gave."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

HEADER: Final = "TIMESTAMP,ContextTokens,GeneratedTokens"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_MICROSECOND_CHARACTERS: Final = len("2023-11-16 18:15:46.680590")


class TraceError(ValueError):
    """A trace file that cannot be replayed: the text names file, line, value and rule."""


class Row(NamedTuple):
    """One request: its number in the file from 1, microseconds since 1970 UTC, tokens in and tokens out."""

    number: int
    at_us: int
    context_tokens: int
    generated_tokens: int


@dataclass(frozen=True, slots=True)
class Trace:
    """Rows in order of time; the name becomes part of each event's id."""

    name: str
    rows: tuple[Row, ...]


def parse_trace(name: str, lines: Iterable[str]) -> Trace:
    """The trace in a CSV file's lines. Raises TraceError."""
    rows: list[Row] = []
    for number, line in enumerate(lines):
        text = line.rstrip("\r\n")
        if number == 0:
            if text.lstrip("\ufeff") != HEADER:
                raise TraceError(f"{name} line 1 is {text[:80]!r}; rule: {HEADER}")
            continue
        if text:
            rows.append(_row(name, number, text))
    if not rows:
        raise TraceError(f"{name} has no rows; rule: at least one")
    rows.sort(key=lambda row: (row.at_us, row.number))
    return Trace(name, tuple(rows))


def length_us(traces: Sequence[Trace]) -> int:
    """From the first request of all traces to the last, in microseconds."""
    return max(trace.rows[-1].at_us for trace in traces) - first_us(traces)


def first_us(traces: Sequence[Trace]) -> int:
    """When the first request of all traces arrived, in microseconds since 1970 UTC."""
    return min(trace.rows[0].at_us for trace in traces)


def _row(name: str, number: int, text: str) -> Row:
    try:
        timestamp, context, generated = text.split(",")
        # The seventh digit of a second is dropped; the published traces have 0 there.
        instant = datetime.fromisoformat(timestamp[:_MICROSECOND_CHARACTERS]).replace(tzinfo=UTC)
        row = Row(number, (instant - _EPOCH) // _MICROSECOND, int(context), int(generated))
    except ValueError as error:
        raise TraceError(f"{name} line {number + 1} is {text[:80]!r}; rule: {HEADER} ({error})") from error
    if row.context_tokens < 0 or row.generated_tokens < 0:
        raise TraceError(f"{name} line {number + 1} is {text[:80]!r}; rule: token counts are not negative")
    return row
