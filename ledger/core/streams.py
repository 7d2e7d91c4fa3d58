"""Which records of usage.rated and usage.rejected belong to which frame, with bounded memory.

The outputs of a partition stand in the order of its frames, so both logs are walked beside the frames. A
record that is missing or should not be there must not spoil what follows: what belongs later is held back,
within limits.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

from ledger.core.model import RatedRecord, RejectedRecord

LOOK_AHEAD_MAX = 10_000  # records searched for what a frame lacks; a sound log needs none

R = TypeVar("R")


class Place(Enum):
    """Where a record belongs, seen from a frame."""

    BEFORE = "before"
    HERE = "here"
    LATER = "later"


class Walk(Generic[R]):
    """A log walked once, from which records can be put back."""

    def __init__(self, records: Iterable[R]) -> None:
        self._records = iter(records)
        self._held: deque[R] = deque()

    def next(self) -> R | None:
        if self._held:
            return self._held.popleft()
        return next(self._records, None)

    def peek(self) -> R | None:
        record = self.next()
        if record is not None:
            self._held.appendleft(record)
        return record

    def take(self, count: int, place: Callable[[R], Place], out_of_place: Callable[[R], None]) -> list[R]:
        """The frame's records: `count` are expected; `out_of_place` is told of those of frames before."""
        here: list[R] = []
        later: list[R] = []
        while len(here) < count and len(later) <= LOOK_AHEAD_MAX:
            record = self.next()
            if record is None:
                break
            belongs = place(record)
            if belongs is Place.HERE:
                here.append(record)
            elif belongs is Place.LATER:
                later.append(record)
            else:
                out_of_place(record)
        self._held.extendleft(reversed(later))
        return here

    def drop(self, place: Callable[[R], Place], *, until: frozenset[Place]) -> None:
        """Leaves records out until one has a place in `until`."""
        while (record := self.next()) is not None:
            if place(record) in until:
                self._held.appendleft(record)
                return

    def rest(self) -> Iterator[R]:
        while (record := self.next()) is not None:
            yield record


def place_rejected(frame: Mapping[str, Any], rejected: RejectedRecord) -> Place:
    """By the input offset, each input apart."""
    offsets = frame["events" if rejected.of_events else "corrections"]
    if rejected.record["offset"] >= offsets["to_offset"]:
        return Place.LATER
    return Place.HERE if rejected.record["offset"] >= offsets["from_offset"] else Place.BEFORE


def claims(frame: Mapping[str, Any], record: RatedRecord) -> bool:
    """Whether the record's sequence is one that the frame gave to its customer."""
    customer, seq = record.event["customer_id"], record.rating["customer_seq"]
    return any(
        delta["customer_id"] == customer and delta["first_seq"] <= seq <= delta["last_seq"]
        for delta in frame["customers"]
    )


@dataclass(frozen=True, slots=True)
class Whole:
    """Which logs still begin at their first record."""

    frames: bool = True
    rated: bool = True
    rejected: bool = True

    @property
    def all(self) -> bool:
        return self.frames and self.rated and self.rejected


@dataclass(frozen=True, slots=True)
class Start:
    """The first frame that is whole. `rated_before`: the oldest rated records outlived their frames."""

    frame_no: int = 1
    rated_before: bool = False


def find_start(
    frames: Iterable[Mapping[str, Any]],
    whole: Whole,
    rated: RatedRecord | None,
    rejected: RejectedRecord | None,
) -> Start:
    """Where verification can begin after retention cut a log; `rated` and `rejected` are the oldest records.

    A log that was cut is whole from the frame after that of its oldest record.
    """
    first = rated_in = rejected_in = with_rated = with_rejected = 0
    for frame in frames:
        number = frame["frame_no"]
        first = first or number
        with_rated = number if frame["customers"] else with_rated
        with_rejected = number if frame["rejected"] or frame["corrections_rejected"] else with_rejected
        if rated is not None and claims(frame, rated):
            rated_in = number
        if rejected is not None and place_rejected(frame, rejected) is Place.HERE:
            rejected_in = number
    start = first
    if not whole.rated:
        start = max(start, (rated_in if rated is not None else with_rated) + 1)
    if not whole.rejected:
        start = max(start, (rejected_in if rejected is not None else with_rejected) + 1)
    return Start(start, rated_before=rated is not None and not rated_in)
