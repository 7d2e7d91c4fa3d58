"""Spans of instants, and in which of them two timelines differ. Microseconds UTC throughout."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")

EVER = -(2**62)
NEVER = 2**62

Span = tuple[int, int]
"""Instants [from, to); EVER and NEVER are without end."""
ALWAYS: tuple[Span, ...] = ((EVER, NEVER),)


def span(from_us: int | None, to_us: int | None) -> Span:
    """With None for without end."""
    return EVER if from_us is None else from_us, NEVER if to_us is None else to_us


def union(spans: Iterable[Span]) -> Sequence[Span]:
    """The same instants in spans that neither overlap nor touch, in order."""
    result: list[Span] = []
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def intersect(left: Sequence[Span], right: Sequence[Span]) -> Sequence[Span]:
    """The instants of both."""
    pairs = ((max(a, c), min(b, d)) for a, b in left for c, d in right)
    return union((start, end) for start, end in pairs if start < end)


def differing(old: Sequence[tuple[Span, object]], new: Sequence[tuple[Span, object]]) -> Sequence[Span]:
    """In which spans two lists of dated values say different things; where neither says anything, nothing."""
    bounds = [bound for dated, _ in (*old, *new) for bound in dated]
    return differing_by(lambda instant: at(old, instant), lambda instant: at(new, instant), bounds)


def differing_by(
    old: Callable[[int], object], new: Callable[[int], object], bounds: Iterable[int]
) -> Sequence[Span]:
    """The spans between bounds in which the two give different values."""
    edges = sorted({EVER, NEVER, *bounds})
    return union((start, end) for start, end in pairwise(edges) if old(start) != new(start))


def at(timeline: Iterable[tuple[Span, T]], instant_us: int) -> T | None:
    """The value in force; None where there is none."""
    for (start, end), value in timeline:
        if start <= instant_us < end:
            return value
    return None
