"""The chain of frames: parts into frames, numbers and ranges without gaps, each frame's own arithmetic."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ledger.core.findings import Reporter
from ledger.core.model import frame_where

INPUTS = ("events", "corrections")


@dataclass(frozen=True, slots=True)
class Part:
    """One record of usage.deltas, decoded."""

    offset: int
    frame_no: int
    part_no: int
    part_count: int
    chunk: bytes


def assemble(parts: Iterable[Part], report: Reporter, *, from_start: bool) -> Iterator[tuple[int, bytes]]:
    """(frame_no, bytes) of each complete frame.

    A log that retention cut (`from_start` false) may begin inside a frame: those parts are left out. Any
    other part out of its place is a finding `torn_frame`.
    """
    chunks: list[bytes] = []
    open_frame: tuple[int, int] | None = None
    cut = not from_start
    for part in parts:
        if part.part_no == 0:
            if chunks:
                _torn(report, part, open_frame, len(chunks))
            chunks, open_frame, cut = [part.chunk], (part.frame_no, part.part_count), False
        elif cut:
            continue
        elif open_frame != (part.frame_no, part.part_count) or part.part_no != len(chunks):
            _torn(report, part, open_frame, len(chunks))
            chunks, open_frame = [], None
            continue
        else:
            chunks.append(part.chunk)
        if len(chunks) == open_frame[1]:
            yield open_frame[0], b"".join(chunks)
            chunks, open_frame = [], None
    if open_frame is not None:
        where = f"frame {open_frame[0]}"
        report("torn_frame", where, f"the log ends after {len(chunks)} of {open_frame[1]} parts")


def _torn(report: Reporter, part: Part, open_frame: tuple[int, int] | None, held: int) -> None:
    expected = f"part {held} of {open_frame[1]} of frame {open_frame[0]}" if open_frame and held else "part 0"
    report(
        "torn_frame",
        f"usage.deltas@{part.offset}",
        f"expected {expected}, found part {part.part_no} of {part.part_count} of frame {part.frame_no}",
    )


class FrameChain:
    """Follows frames in order: numbers, ranges, book versions and append times only move as they may.

    `from_start` says that nothing of the log is gone, so that the first frame must be number 1.
    """

    def __init__(self, report: Reporter, *, from_start: bool) -> None:
        self._report = report
        self._from_start = from_start
        self.last: Mapping[str, Any] | None = None

    def follow(self, frame: Mapping[str, Any]) -> None:
        """Checks the frame against the one before it and against itself, and moves on to it."""
        where = frame_where(frame)
        self._numbers(frame, where)
        for name in INPUTS:
            self._range(frame, name, where)
        self._arithmetic(frame, where)
        if self.last is not None:
            self._never_falls(frame, where, "book_version")
            self._never_falls(frame, where, "highest_append_us")
        self.last = frame

    def _numbers(self, frame: Mapping[str, Any], where: str) -> None:
        if self.last is None:
            expected = 1 if self._from_start else frame["frame_no"]
        else:
            expected = self.last["frame_no"] + 1
        if frame["frame_no"] != expected:
            self._report("frame_gap", where, f"expected frame {expected}")

    def _range(self, frame: Mapping[str, Any], name: str, where: str) -> None:
        start, end = frame[name]["from_offset"], frame[name]["to_offset"]
        begins = 0 if self._from_start else start
        expected = self.last[name]["to_offset"] if self.last is not None else begins
        if start != expected:
            self._report("range_gap", where, f"{name} begin at {start}, the frame before ended at {expected}")
        if end < start:
            self._report("range_gap", where, f"{name} end at {end}, before they begin at {start}")

    def _arithmetic(self, frame: Mapping[str, Any], where: str) -> None:
        """What was received is accounted for: rated, rejected, duplicates; applied, rejected, repeated."""
        duplicates = len(frame["duplicates"])
        told = frame["rated"] + frame["rejected"] + duplicates
        received = _length(frame["events"])
        if received != told:
            self._report(
                "conservation",
                where,
                f"received {received} events, but {frame['rated']} rated + {frame['rejected']} rejected"
                f" + {duplicates} duplicates = {told}",
            )
        applied, rejected = frame["corrections_applied"], frame["corrections_rejected"]
        repeated = frame["corrections_repeated"]
        received = _length(frame["corrections"])
        if received != applied + rejected + repeated:
            self._report(
                "conservation",
                where,
                f"received {received} corrections, but {applied} applied + {rejected} rejected"
                f" + {repeated} repeated = {applied + rejected + repeated}",
            )

    def _never_falls(self, frame: Mapping[str, Any], where: str, field: str) -> None:
        before = self.last[field] if self.last is not None else frame[field]
        if frame[field] < before:
            self._report(
                f"{field}_falls", where, f"{field} is {frame[field]}, in the frame before it was {before}"
            )


def _length(offsets: Mapping[str, int]) -> int:
    return offsets["to_offset"] - offsets["from_offset"]
