"""Values over time: one for every instant, cut where it changes."""

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Generic, TypeVar

_T = TypeVar("_T")
Span = tuple[int | None, int | None]
"""[from, to) in microseconds; None is without end."""

_MEMO_MAX = 1024


class Timeline(Generic[_T]):
    """A value for every instant: slots[i] holds from bounds[i - 1] until bounds[i]."""

    __slots__ = ("_bounds", "_slots")

    def __init__(self, bounds: tuple[int, ...], slots: tuple[_T, ...]) -> None:
        self._bounds = bounds
        self._slots = slots

    def at(self, instant_us: int) -> _T:
        return self._slots[bisect_right(self._bounds, instant_us)]

    def spans(self) -> Iterator[tuple[int | None, int | None, _T]]:
        """Each value with the span in which it holds, in order and without gaps."""
        return zip((None, *self._bounds), (*self._bounds, None), self._slots, strict=True)


class Moving(Generic[_T]):
    """A value that follows from what some functions say of an instant; made when it is first needed."""

    __slots__ = ("_made", "_make", "_parts")

    def __init__(
        self,
        parts: tuple[Callable[[int], Hashable], ...],
        make: Callable[[tuple[Hashable, ...]], _T],
    ) -> None:
        self._parts = parts
        self._make = make
        self._made: dict[tuple[Hashable, ...], _T] = {}

    def at(self, instant_us: int) -> _T:
        key = tuple(part(instant_us) for part in self._parts)
        if key not in self._made:
            if len(self._made) >= _MEMO_MAX:
                self._made.clear()
            self._made[key] = self._make(key)
        return self._made[key]


class MovingTimeline(Generic[_T]):
    """A timeline that holds moving values: apart from `Timeline`, so that it costs the others nothing."""

    __slots__ = ("_slots",)

    def __init__(self, slots: Timeline[_T | Moving[_T]]) -> None:
        self._slots = slots

    def at(self, instant_us: int) -> _T:
        slot = self._slots.at(instant_us)
        return slot.at(instant_us) if isinstance(slot, Moving) else slot


class Reaching(Generic[_T]):
    """A timeline of the instants from one on, and one of all instants for older ones, made when it is first
    needed.
    """

    __slots__ = ("_from_us", "_make_whole", "_recent", "_whole")

    def __init__(
        self, from_us: int, recent: "Instants[_T]", make_whole: "Callable[[], Instants[_T]]"
    ) -> None:
        self._from_us = from_us
        self._recent = recent
        self._make_whole = make_whole
        self._whole: Instants[_T] | None = None

    def at(self, instant_us: int) -> _T:
        if instant_us >= self._from_us:
            return self._recent.at(instant_us)
        if self._whole is None:
            self._whole = self._make_whole()
        return self._whole.at(instant_us)


Instants = Timeline[_T] | MovingTimeline[_T]


def fill_timeline(
    spans: Iterable[tuple[int | None, int | None, _T]], gap: Callable[[int | None, int | None], _T]
) -> Timeline[_T]:
    """A timeline from spans [from, to) that do not overlap; None is without end.

    `gap(after, before)` makes what holds where no span does.
    """
    bounds: list[int] = []
    slots: list[_T] = []
    end: int | None = None
    open_ended = False
    for start, until, value in sorted(spans, key=lambda span: (span[0] is not None, span[0] or 0)):
        if start is not None and (not slots or end != start):
            slots.append(gap(end, start))
            bounds += [start] if end is None else [end, start]
        elif start is not None:
            bounds.append(start)
        slots.append(value)
        end, open_ended = until, until is None
    if not open_ended:
        slots.append(gap(end, None))
        bounds += [end] if end is not None else []
    return Timeline(tuple(bounds), tuple(slots))


def splice(outer: Timeline[Timeline[_T]]) -> Timeline[_T]:
    """The timeline that holds, at each instant, what the timeline in force holds."""
    bounds: list[int] = []
    slots: list[_T] = []
    for start, end, inner in outer.spans():
        for since, until, value in inner.spans():
            begin, stop = intersect((start, end), (since, until))
            if begin is not None and stop is not None and begin >= stop:
                continue
            if begin is not None:
                bounds.append(begin)
            slots.append(value)
    return Timeline(tuple(bounds), tuple(slots))


def intersect(one: Span, other: Span) -> Span:
    """What is in both; where that is nothing, the end is not after the start."""
    starts = [span[0] for span in (one, other) if span[0] is not None]
    ends = [span[1] for span in (one, other) if span[1] is not None]
    return max(starts, default=None), min(ends, default=None)
